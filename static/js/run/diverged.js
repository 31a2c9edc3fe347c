// A replay that took another way than the execution before it: said plainly, since what was stored on the old way is not used any more.

import { el, icon } from "../dom.js";
import { count, pathLabel } from "./words.js";

const LISTED = 3; // names of steps that are said

/** Which stored steps a replay did not come to: names, and the words after them. */
function parted(steps) {
  const names = steps.slice(0, steps.length > LISTED ? LISTED - 1 : LISTED).map((step) => pathLabel(step));
  const more = steps.length > names.length ? ` and ${count(steps.length - names.length, "more step")}` : "";
  return [names, `${more} ${steps.length === 1 ? "was" : "were"} not reached again`];
}

export function notReached(steps) {
  const [names, words] = parted(steps);
  return names.join(", ") + words;
}

export class Diverged {
  /** @param {HTMLElement} home where banners of the run stand */
  constructor(home) {
    this.line = el("div.notice.diverged", { role: "status", hidden: true });
    home.append(this.line);
    this.drawn = "";
  }

  /** Takes the newest state of a run. */
  update({ diverged }) {
    const drawn = diverged.map(({ seq }) => seq).join();
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    this.line.hidden = !diverged.length;
    const last = diverged.at(-1);
    if (!last) return this.line.replaceChildren();
    const which = last.execution === null ? "" : ` in execution ${last.execution}`;
    const before = diverged.length > 1 ? ` ${count(diverged.length - 1, "replay")} before it did so, too.` : "";
    const [names, words] = parted(last.steps);
    const listed = names.flatMap((name, index) => [index ? ", " : " ", el("code", {}, name)]);
    const why = `${words}${which}, so what is stored there is not used. What the code decides by has to come from a step.${before}`;
    this.line.replaceChildren(icon("i-warn"), el("p", {}, el("b", {}, "Replay took another way:"), ...listed, why));
  }
}
