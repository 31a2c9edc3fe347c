// All breakpoints in one list, each with its line and a way to clear it: those of the run that is looked at, and once it has ended, or before there
// is one, those of the draft. Loaded when it is first asked for.

import { dialogHead, el, setText, tell } from "../dom.js";
import { runStops } from "./panel.js";
import { pendingStops, togglePending } from "./pending-stops.js";
import { loadStyles } from "./styles.js";
import { count, stepLabel } from "./words.js";

let made = null;

/** Shows them. `entries` are the steps of the code in the editor, for whom there is no run. */
export async function showStops(entries) {
  await loadStyles();
  made ??= new AllStops();
  made.show(runStops() ?? { stops: pendingStops(), entries, why: "", isOwn: () => false, unset: ({ step }) => togglePending(step, false) });
}

class AllStops {
  constructor() {
    this.lead = el("p.lead");
    this.trouble = el("p.notice", { role: "alert", hidden: true });
    this.list = el("ul.all-stops");
    this.button = el("button.btn.line", { type: "button" }, "Clear all");
    this.button.addEventListener("click", () => this.clear(this.stops.filter((each) => this.mayClear(each))));
    this.dialog = el("dialog.dialog.small", { "aria-labelledby": "all-stops-title" }, dialogHead("all-stops-title", "Breakpoints"), el("div", {}, this.lead, this.trouble, this.list, el("p.row-end", {}, this.button)));
    document.body.append(this.dialog);
  }

  /** `entries` are steps that have run or are to come; `why` says why no breakpoint can be cleared, or is ""; `unset` gives the words of a refusal. */
  show(found) {
    Object.assign(this, found);
    this.say("");
    this.draw();
    if (!this.dialog.open) this.dialog.showModal();
  }

  draw() {
    const { stops } = this;
    setText(this.lead, stops.length ? `The run stops before ${stops.length === 1 ? "this step" : `each of these ${count(stops.length, "step")}`}.` : "None is set. Press B on a step, or press the number of its line.");
    this.list.hidden = !stops.length;
    this.list.replaceChildren(...stops.map((each) => this.row(each)));
    this.button.hidden = stops.filter((each) => this.mayClear(each)).length < 2;
  }

  mayClear(each) {
    return !this.why && !this.isOwn(each);
  }

  row(each) {
    const { step } = each;
    const line = this.entries.find((entry) => entry.kind === step.kind && entry.name === step.name && !entry.parent)?.line ?? null;
    const which = (step.count ?? null) === null ? step.name : stepLabel(step);
    const name = line ? el("button.link-quiet.mono", { type: "button", title: which }, which) : el("code", { title: which }, which);
    if (line) name.addEventListener("click", () => (this.dialog.close(), tell("goto", { line })));
    const clear = el("button.btn.quiet", { type: "button", "aria-label": `Clear the breakpoint before ${which}` }, "Clear");
    clear.addEventListener("click", () => this.clear([each]));
    const rest = this.mayClear(each) ? clear : el("small", {}, this.why || "Restart the run, then clear it");
    return el("li", {}, el("span.stop-tag", { "aria-hidden": "true" }), el("span.all-stops-name", {}, name, line && el("small", {}, `line ${line}`)), rest);
  }

  async clear(wanted) {
    for (const each of wanted) {
      const words = (await this.unset(each)) ?? "";
      this.say(words);
      if (words) break;
      this.stops = this.stops.filter((one) => one !== each);
    }
    this.draw();
    this.list.querySelector("button.btn")?.focus() ?? this.dialog.querySelector("[data-close]").focus();
  }

  say(words) {
    this.trouble.hidden = !words;
    setText(this.trouble, words);
  }
}
