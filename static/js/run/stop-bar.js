// Where a run is stopped before a step: what is held, and how it goes on. It stands in the narrator's place, since it says the same moment.

import { el, icon, isDisabled, lineLink, once, setDisabled, setFlag, setInvalid, setText } from "../dom.js";
import { checkAsTyped, typed } from "./typed.js";
import { count, stepLabel } from "./words.js";

const STILL_RUNS = "What runs finishes first.";
const GIVES = {
  do: { word: "Edit result", label: "Its result, JSON", yes: "Use it and continue", say: "It does not run, and has this result.", ways: ["A result", "An error"], fails: "Fail and continue", failing: "It does not run, and raises this error. It is not tried again." },
  wait: { word: "Edit event", label: "The event's payload, JSON", yes: "Use it and continue", say: "It does not wait, and gets this event.", ways: ["An event", "Its timeout"], fails: "Time out and continue", failing: "It does not wait: it raises the error of its timeout." },
  sleep: { word: "Skip it", label: "", yes: "Skip it and continue", say: "" },
};
const ERROR = "RuntimeError";

export class StopBar {
  /**
   * @param {{narrator: HTMLElement, go: (body: object) => Promise<string>, target: () => {kind: string, name: string, count?: number} | null, fork: (step: object) => void}} how
   *   `narrator` is whose place it takes; `go` continues with a body of POST …/continue and resolves to a refusal's words or "";
   *   `target` is the step of the row that the keyboard is at; `fork` asks for a fork that leaves at a step
   */
  constructor({ narrator, go, target, fork }) {
    Object.assign(this, { narrator, go, target, fork });
    this.title = el("p.stop-title", { role: "alert" });
    this.held = el("p.stop-held");
    const button = (word, keys, kind, act) => {
      const made = el(`button.btn.${kind}`, { type: "button", "aria-keyshortcuts": keys, dataset: { title: "" } }, word);
      made.addEventListener("click", () => !isDisabled(made) && act(made));
      return made;
    };
    this.next = button("Next commit", "n", "main", (made) => this.send(made, { until: "next-commit" }));
    this.here = button("Run to here", "t", "line", (made) => this.runTo(made));
    this.on = button("Continue", "c", "line", (made) => this.send(made, {}));
    this.edit = button("Edit result", "e", "line.edit", () => this.toggle());
    this.said = el("p.said", { role: "alert", hidden: true });
    this.form = el("form.stop-edit", { novalidate: true, hidden: true });
    this.form.addEventListener("submit", (event) => this.give(event));
    this.form.addEventListener("keydown", (event) => event.key === "Escape" && (event.stopPropagation(), this.toggle(false), this.edit.focus()));
    this.box = el("section.stop-bar", { "aria-label": "Stopped before a step", hidden: true }, el("span.gate", { "aria-hidden": "true" }), el("div.stop-words", {}, this.title, this.held), el("div.stop-acts", {}, this.next, this.here, this.on, this.edit), this.said, this.form);
    narrator.append(this.box);
    this.drawn = null;
  }

  update(state, { why, final }) {
    const stop = final ? null : state.stoppedBefore;
    const seq = stop && `${state.generation}:${state.executions.length}:${stepLabel(stop)}`;
    this.box.hidden = !stop;
    setFlag(this.narrator, "is-stopped", Boolean(stop));
    if (seq !== this.drawn) this.fill(stop, seq);
    if (!stop) return;
    const stopping = state.status === "waitingForPause";
    const ended = state.rows.filter((step) => step.endedAt !== null && !step.parent);
    const stored = ended.length;
    this.source = ended.at(-1) ?? null;
    if (this.input) this.input.hidden = !this.source;
    const running = [...state.open].filter((step) => step.status === "running");
    const waits = stopping ? `${running.map(stepLabel).join(", ")} finishes first. ` : "";
    setText(this.held, `${waits}${stored ? `${count(stored, "result")} stored. ` : ""}Nothing of it has begun.`);
    for (const button of [this.next, this.here, this.on]) setDisabled(button, why);
    setDisabled(this.edit, why || (stopping ? STILL_RUNS : ""));
  }

  fill(stop, seq) {
    this.drawn = seq;
    this.stop = stop;
    this.refuse("");
    this.toggle(false);
    this.title.replaceChildren();
    if (!stop) return;
    this.gives = GIVES[stop.kind];
    this.title.append("Paused before ", el("code", {}, stepLabel(stop)), stop.line ? " on " : "", ...(stop.line ? [lineLink(stop.line)] : []));
    setText(this.edit, this.gives.word);
    const id = `give-${seq}`;
    this.field = el("textarea.field", { id, rows: "2", spellcheck: "false", autocomplete: "off", autocapitalize: "off" });
    this.field.value = "null";
    this.field.addEventListener("input", () => this.refuse(""));
    checkAsTyped(this.field, (words) => this.refuse(words));
    this.yes = el("button.btn.main", { type: "submit" }, this.gives.yes);
    this.means = el("span");
    const parts = this.gives.label ? [this.ways(seq), el("label", { for: id }, this.gives.label, this.field), ...this.failing(stop)] : [];
    this.form.replaceChildren(...parts, el("p.dim", {}, icon("i-bolt-on"), this.means), this.yes, ...this.inputOf(stop));
    this.result = this.field.parentNode;
    this.look();
  }

  /** A result, or an error. */
  ways(seq) {
    const ways = this.gives.ways.map((word, index) => {
      const radio = el("input", { type: "radio", name: `way-${seq}`, value: index ? "error" : "result" });
      radio.checked = index === 0;
      return el("label.choice", {}, radio, el("span", {}, word));
    });
    const box = el("fieldset.stop-ways", {}, el("legend.sr", {}, "What it ends with"), ...ways);
    box.addEventListener("change", () => this.look());
    return box;
  }

  failing({ kind }) {
    const field = (words, value, placeholder) => el("label", {}, words, el("input.field", { type: "text", value, placeholder, spellcheck: "false", autocomplete: "off", autocapitalize: "off" }));
    this.error = kind === "do" ? el("div.stop-error", {}, field("Its class", ERROR, ""), field("Its message", "", "given by hand")) : null;
    this.error?.addEventListener("input", () => this.refuse(""));
    return this.error ? [this.error] : [];
  }

  /** Why there is no field for what goes into a step, and what there is instead. */
  inputOf({ kind }) {
    this.input = null;
    if (kind !== "do") return [];
    const other = el("button.link-quiet", { type: "button" }, "Fork with another earlier result");
    other.addEventListener("click", () => this.source && this.fork(this.source));
    this.input = el("span", {}, " ", other);
    return [el("p.dim.stop-input", {}, icon("i-info"), el("span", {}, "What goes into it can’t be edited here: your code makes that of the params and of earlier results.", this.input))];
  }

  get fails() {
    return Boolean(this.form.querySelector("[value=error]")?.checked);
  }

  look() {
    const { fails, gives } = this;
    if (this.result) this.result.hidden = fails;
    if (this.error) this.error.hidden = !fails;
    setText(this.means, `${fails ? gives.failing : gives.say} On this run only, and marked as edited in its journal.`.trim());
    setText(this.yes, fails ? gives.fails : gives.yes);
    this.refuse("");
  }

  runTo(button) {
    const target = this.target();
    if (!target) return this.refuse("Choose a step of the timeline that is still to come: the run stops once before it.");
    return this.send(button, { until: target });
  }

  toggle(open = this.form.hidden) {
    this.form.hidden = !open;
    if (open && this.yes) this.yes.before(this.said);
    else this.form.before(this.said);
    this.edit.setAttribute("aria-expanded", String(open));
    if (open) (this.gives.label ? this.field : this.yes).focus();
    if (open && this.gives.label) this.field.select();
  }

  give(event) {
    event.preventDefault();
    event.stopPropagation();
    if (this.fails) {
      const [name, message] = [...(this.error?.querySelectorAll("input") ?? [])].map((field) => field.value.trim());
      return this.send(this.yes, { error: { ...(name ? { name } : {}), ...(message ? { message } : {}) } });
    }
    const { json, wrong } = typed(this.field.value);
    if (wrong) {
      this.refuse(wrong);
      this.field.focus();
    } else this.send(this.yes, { output: json });
  }

  send(button, body) {
    return once(button, async () => this.refuse(await this.go(body)));
  }

  refuse(words) {
    setText(this.said, words);
    this.said.hidden = !words;
    if (this.field) setInvalid(this.field, words);
  }

  /** Does what a key asks for; false where there is nothing to go on with. */
  press(name) {
    const button = { next: this.next, here: this.here, on: this.on }[name];
    if (this.box.hidden || isDisabled(button)) return false;
    button.click();
  }
}
