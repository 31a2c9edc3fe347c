// The narrator's line on the page: one sentence at a time. How fast it may change is in pace.js.

import { el, icon, lineLink, setText } from "../dom.js";
import { Pace } from "./pace.js";

export class Sentence {
  constructor(root) {
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    Object.assign(this, { line: part("narrator"), sentence: part("sentence"), mark: part("mark"), replay: part("see-replay"), pace: new Pace() });
    this.reset();
  }

  reset() {
    this.pace.reset();
    this.drawn = "";
    this.sentence.replaceChildren();
    this.replay.hidden = true;
  }

  /** `context` is that of the views, with what `narrate` takes besides. */
  say(state, context) {
    const told = this.pace.next(state, context, performance.now());
    if (!told) return;
    const { icon: mark, tone, parts, lens, press, words } = told;
    if (words !== this.drawn) {
      this.drawn = words;
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

function partNode(part) {
  if (typeof part === "string") return part;
  if (part.code) return el("code", {}, part.code);
  if (part.b) return el("b", {}, part.b);
  if (part.line) return lineLink(part.line);
  return el("span.ticking.num", { "aria-hidden": "true" }, part.tick);
}
