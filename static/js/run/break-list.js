// What has been set up to go wrong: the breaks that are not used up, and a kill that is armed. Each can be taken back here.

import { el, icon, isDisabled, setDisabled } from "../dom.js";
import { says } from "./breaks.js";
import { stepLabel } from "./words.js";

const ARMED = { "during-step": "killed during its next step", "before-commit": "killed after its next effect, before the commit" };
const ENDED = "This run has ended. A restart keeps it, and then it can be cleared.";

export class BreakList {
  /** @param {{root: HTMLElement, clear: (step: object) => void, disarm: () => void}} how `step` is the break's own: kind, name and perhaps count */
  constructor({ root, clear, disarm }) {
    Object.assign(this, { clear, disarm });
    this.box = el("div.set-up", { role: "group", "aria-label": "Set up to go wrong", "aria-live": "polite", hidden: true });
    root.append(this.box);
    this.drawn = null;
  }

  update(state, { why, final, watching }) {
    const drawn = `${state.armed}:${why}:${final}:${state.breaks.map((each) => `${each.id}/${each.left}`)}`;
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    const armed = !final && state.armed;
    this.box.hidden = !armed && !state.breaks.length;
    const items = state.breaks.map((each) =>
      this.item("i-bolt-on", [el("code", {}, stepLabel(each.step)), ` ${says(each)}`], `Clear: ${stepLabel(each.step)} ${says(each)}`, final ? ENDED : why, watching, () => this.clear(each.step)),
    );
    if (armed) items.unshift(this.item("i-cut", [el("b", {}, "Armed:"), ` the worker is ${ARMED[armed]}`], "Disarm", why, watching, this.disarm));
    const focused = this.box.contains(document.activeElement);
    this.box.replaceChildren(...items);
    if (focused) this.box.querySelector("button")?.focus();
  }

  item(mark, words, name, why, watching, act) {
    const button = watching ? null : el("button.btn.small.line", { type: "button", "aria-label": name }, name === "Disarm" ? name : "Clear");
    if (button) {
      button.dataset.title = "";
      setDisabled(button, why);
      button.addEventListener("click", () => !isDisabled(button) && act());
    }
    return el("p", {}, icon(mark), el("span", {}, ...words), button);
  }
}
