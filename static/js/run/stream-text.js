// What a step gives out as text, under its row: it grows while the step runs, and in replay as it grew. The text of the last step that gave
// one out stays when that is over, since somebody may still read it.

import { el, icon, setText } from "../dom.js";
import { partsOf } from "./fold-streams.js";
import { count, stepLabel } from "./words.js";

const MOST = 3; // steps whose text stands under rows at once
const END_PX = 4; // nearer to its end than this, a text is followed

/** The steps whose text is shown, in the order in which they began: those that go on, and the last one that gave out any. Pure. */
export function textsOf(state) {
  const begun = [...new Set([...state.parts.values()].filter(({ text }) => text).map(({ key }) => key))];
  const steps = begun.map((key) => state.steps.get(key)).filter(Boolean);
  const last = steps.reduce((found, step) => (step.version > (found?.version ?? -1) ? step : found), null);
  const shown = steps.filter((step) => step.endedAt === null || step === last).sort((a, b) => a.startedSeq - b.startedSeq);
  return shown.slice(-MOST);
}

export class StreamTexts {
  /** @param {(text: string) => void} copy */
  constructor(copy) {
    this.copy = copy;
    this.reset();
  }

  reset() {
    this.blocks = new Map(); // by key of their step
    this.shown = new Set();
    this.state = null;
  }

  /** Takes a state; true when texts of other steps are there than before. */
  update(state) {
    this.state = state;
    const before = [...this.shown].join("\n");
    this.shown = new Set(state.parts.size ? textsOf(state).map(({ key }) => key) : []);
    for (const key of this.blocks.keys()) if (!this.shown.has(key)) this.blocks.delete(key);
    return before !== [...this.shown].join("\n");
  }

  /** The block that hangs from the row of a step, or null. */
  blockOf(step) {
    if (!this.shown.has(step.key)) return null;
    let block = this.blocks.get(step.key);
    if (!block) this.blocks.set(step.key, (block = newBlock(step, this.copy)));
    block.fill(step, partsOf(this.state, step).filter(({ text }) => text));
    return block;
  }
}

function newBlock(step, copy) {
  const block = el("section.stream-text", { "aria-label": `Text of ${stepLabel(step)}` });
  const texts = new Map(); // by name of the stream
  block.fill = (fresh, parts) => {
    for (const [name, text] of texts) if (!parts.some((part) => part.stream === name)) text.node.remove(), texts.delete(name);
    for (const part of parts) {
      let text = texts.get(part.stream);
      if (!text) {
        texts.set(part.stream, (text = newText(part.stream, stepLabel(fresh), copy)));
        block.append(text.node);
      }
      text.fill(part, fresh.endedAt === null);
    }
  };
  return block;
}

/** The text of one stream, which is followed for as long as its end is in sight. */
function newText(stream, label, copy) {
  const attempt = el("span.tag");
  const values = el("span.dim.num");
  const written = document.createTextNode("");
  const said = el("div.said", { tabindex: "0", role: "group", "aria-label": `Stream ${stream} of ${label}` }, written);
  const note = el("p.note", {});
  const button = el("button.btn.icon", { type: "button", "aria-label": `Copy the text of ${stream}`, title: "Copy" }, icon("i-copy"));
  const node = el("div", {}, el("p.stream-head", {}, el("b", {}, stream), attempt, values, el("span.grow"), button), said, note);
  let whole = "";
  let follows = true;
  button.addEventListener("click", (event) => {
    event.stopPropagation();
    copy(whole);
  });
  said.addEventListener("scroll", () => (follows = said.scrollHeight - said.clientHeight - said.scrollTop < END_PX), { passive: true });
  const fill = (part, isOpen) => {
    attempt.hidden = note.hidden = part.attempt === 1;
    setText(attempt, `attempt ${part.attempt}`);
    setText(note, part.attempt === 1 ? "" : "It began anew with this attempt: what was given out before does not count.");
    setText(values, count(part.values, "value"));
    said.classList.toggle("is-open", isOpen);
    if (part.text === whole) return;
    if (whole && part.text.startsWith(whole)) written.appendData(part.text.slice(whole.length));
    else written.data = part.isCut ? `…${part.text}` : part.text;
    whole = part.text;
    if (follows) requestAnimationFrame(() => (said.scrollTop = said.scrollHeight));
  };
  return { node, fill };
}
