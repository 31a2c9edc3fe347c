// The narrator's line on the page: one sentence at a time, changed no faster than it can be read.

import { el, icon, setText } from "../dom.js";
import { narrate } from "./narrator.js";
import { clock } from "./words.js";

const CHANGE_MS = 1_000; // at most one change in this time

export class Sentence {
  constructor(root) {
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    Object.assign(this, { line: part("narrator"), sentence: part("sentence"), mark: part("mark"), replay: part("see-replay") });
    this.reset();
  }

  reset() {
    this.said = "";
    this.saidAt = -CHANGE_MS;
    this.sentence.replaceChildren();
    this.replay.hidden = true;
  }

  /** `context` is that of the views, with what `narrate` takes besides. */
  say(state, context) {
    const { icon: mark, tone, parts, lens, press } = context.past ? recalled(state, context) : narrate(state, context);
    const words = parts.map((one) => (typeof one === "string" ? one : (one.code ?? one.b ?? (one.line ? `line ${one.line}` : "")))).join("");
    const moved = performance.now();
    if (words !== this.said) {
      const urgent = context.past || context.final || context.stale || state.status === "paused";
      if (!urgent && moved - this.saidAt < CHANGE_MS) return;
      this.said = words;
      this.saidAt = state.executions.length ? moved : -CHANGE_MS; // what comes next is news at once
      this.mark.replaceChildren(icon(mark, { tone }));
      this.line.classList.toggle("try", tone === "try");
      this.line.dataset.press = press ?? "";
      this.sentence.setAttribute("aria-live", context.past ? "off" : "polite"); // the slider says where it is
      this.sentence.replaceChildren(...parts.map(partNode));
      this.replay.hidden = !lens;
    }
    const ticks = parts.filter((one) => one.tick !== undefined);
    this.sentence.querySelectorAll(".ticking").forEach((node, index) => setText(node, ticks[index]?.tick ?? ""));
  }
}

/** What is said of a moment that is over. */
function recalled(state, context) {
  const { seq, last } = context.past;
  const said = narrate(state, { ...context, stale: false, watching: true });
  return { ...said, icon: "i-clock", tone: "", parts: [{ b: `Seq ${seq.toLocaleString("en")}` }, ` of ${last.toLocaleString("en")}, ${clock(state.lastAt)}: `, ...said.parts] };
}

function partNode(part) {
  if (typeof part === "string") return part;
  if (part.code) return el("code", {}, part.code);
  if (part.b) return el("b", {}, part.b);
  if (part.line) return el("a.line-link", { href: `#L${part.line}`, dataset: { line: part.line } }, `line ${part.line}`);
  return el("span.ticking.num", { "aria-hidden": "true" }, part.tick);
}
