// Forking: a new run from what this one has finished. A dialog asks where it leaves, what becomes of that step, and which code runs.

import { dialogHead, el, icon, lineLink, once, setInvalid, setText, tell } from "../dom.js";
import { STEP } from "../statuses.js";
import { shelf } from "../stored.js";
import { call } from "./api.js";
import { culprit, eventTypes, refOf } from "./fold.js";
import { instancePath, nameOf } from "./paths.js";
import { checkAsTyped, typed } from "./typed.js";
import { valueText } from "./value.js";
import { count, pathLabel } from "./words.js";

const LISTED = 3; // names of copied steps that are said
const REMEMBERED = 100; // runs whose forks this browser remembers
const END = "";

const known = shelf("forks", REMEMBERED, ({ forks }) => Array.isArray(forks) && forks.every((one) => typeof one?.id === "string"));

/** Forks of a run that this browser has made or heard of, newest first: [{id, step}]. */
export const forksOf = (run) => known.get(nameOf(run))?.forks ?? [];

export function rememberForks(run, forks) {
  const all = [...forks, ...forksOf(run)];
  known.put(nameOf(run), { forks: all.filter((one, index) => all.findIndex((other) => other.id === one.id) === index) });
}

/**
 * Asks the server for a fork. `output` is what somebody typed; without it the step runs again. `stops` are breakpoints that it begins with.
 * @returns {Promise<string>} the words of a refusal, or "" once the page is on its way to the fork
 */
export async function fork(run, { step = null, output = null, source = null, stops = [] }) {
  const breakpoints = stops.length ? { breakpoints: stops.map((each) => ({ step: each.step })) } : {};
  const body = { ...(step ? { from_step: refOf(step) } : {}), ...(output ? { output } : {}), ...(source === null ? {} : { source }), ...breakpoints };
  const answer = await call("POST", `${instancePath(run)}/fork`, { token: run.token, body });
  if (!answer.ok) return answer.words;
  rememberForks(run, [{ id: answer.data.id, step: step && pathLabel(step) }]);
  tell("forked", { instance: answer.data, source: source ?? run.source });
  return "";
}

/** What may become of the step that a fork leaves at: [[value, words]]. */
function choices(step, last) {
  const again = { do: "Run it again", sleep: "Sleep again", wait: "Wait for its event again", child: "Run its child again" }[step.kind];
  const kept = step.status === "completed" ? { do: "Keep its result", sleep: "Keep it: it slept", wait: "Keep its event", child: "Keep its result" }[step.kind] : step.status === "cancelled" ? "Keep it: it was cancelled" : "Keep its error";
  const found = [["again", again]];
  if (step.endedAt !== null && (step.status === "completed" || !last)) found.push(["keep", kept]);
  if (step.kind !== "sleep") found.push(["edit", step.kind === "wait" ? "Give it another event" : "Give it another result"]);
  return found;
}

/** The JSON that editing a step's result begins with. */
function startOf(step) {
  const stored = step.kind === "wait" ? step.output?.payload : step.output;
  return step.hasOutput && stored !== "[REDACTED]" ? valueText(stored ?? null) : "null";
}

export class ForkDialog {
  constructor() {
    this.at = el("select.field", { id: "fork-at" });
    this.fates = el("fieldset.choices");
    this.edit = el("textarea.field", { id: "fork-output", rows: "6", spellcheck: "false", autocomplete: "off", autocapitalize: "off", "aria-describedby": "fork-said" });
    this.editing = el("label.fork-edit", { for: "fork-output" }, el("span", {}, "Result, JSON"), this.edit);
    this.codes = el("fieldset.choices");
    this.stopping = el("label.choice", { hidden: true });
    this.plan = el("p.fork-plan", { role: "status" });
    this.said = el("p.said.notice.bad", { id: "fork-said", role: "alert", hidden: true });
    this.button = el("button.btn.main", { type: "submit" }, icon("i-fork"), el("span", {}, "Fork"));
    const form = el(
      "form",
      { novalidate: true, onsubmit: (event) => this.submit(event) },
      el("label.fork-at", { for: "fork-at" }, el("span", {}, "Leave this run at"), this.at),
      this.fates,
      this.editing,
      this.codes,
      this.stopping,
      this.plan,
      this.said,
      el("p.row-end", {}, el("button.btn.line", { type: "button", dataset: { close: "" } }, "Cancel"), this.button),
    );
    this.dialog = el("dialog.dialog.fork", { id: "fork", "aria-labelledby": "fork-title" }, dialogHead("fork-title", "Fork this run"), form);
    document.body.append(this.dialog);
    this.at.addEventListener("change", () => this.chosen());
    form.addEventListener("change", () => this.look());
    this.edit.addEventListener("input", () => this.say(""));
    checkAsTyped(this.edit, (words) => this.say(words), "The result is");
  }

  /** `step` is where to leave; without one, the step that ended the run, the last one, or the end. `stops` are the breakpoints on offer. */
  show({ run, state, step = null, stops = [] }) {
    const { rows } = state;
    const failed = culprit(state);
    Object.assign(this, { run, state, failed, stops });
    const start = step ?? failed ?? (state.status === "complete" ? rows.at(-1) : null);
    this.at.replaceChildren(
      ...rows.map((one) => el("option", { value: one.key, selected: one === start }, `${pathLabel(one)}, ${(STEP[one.status] ?? STEP.running).word}`)),
      el("option", { value: END, selected: !start }, "the end: keep all that has finished"),
    );
    const mine = run.code();
    const same = mine === run.source;
    this.codes.replaceChildren(
      el("legend", {}, "Code"),
      radio("fork-code", "run", "The code of this run", same),
      radio("fork-code", "editor", same ? "The code in the editor, which is the same" : "The edited code in the editor", !same, same),
    );
    this.stopping.hidden = !stops.length;
    this.stopping.replaceChildren(el("input", { type: "checkbox" }), el("span", {}, ...stopsSaid(stops)));
    this.say("");
    this.chosen();
    this.dialog.showModal();
    this.dialog.scrollTop = 0;
  }

  get step() {
    return this.at.value === END ? null : this.state.steps.get(this.at.value);
  }

  /** Another step: what may become of it is another matter. */
  chosen() {
    const { step } = this;
    this.fates.hidden = !step;
    if (step) {
      const found = choices(step, step === this.state.rows.at(-1));
      this.fates.replaceChildren(el("legend", {}, "That step"), ...found.map(([value, words], index) => radio("fork-fate", value, words, index === 0)));
      this.edit.value = startOf(step);
      setText(this.editing.firstElementChild, step.kind === "wait" ? `Payload of “${step.output?.type ?? eventTypes(step)[0]}”, JSON` : "Result, JSON");
    }
    this.look();
  }

  get fate() {
    return this.step ? (this.fates.querySelector(":checked")?.value ?? "again") : "end";
  }

  look() {
    const { fate, step, state } = this;
    this.editing.hidden = fate !== "edit";
    this.say("");
    const until = step ? step.index + (fate === "keep" ? 1 : 0) : state.rows.length;
    const kept = state.rows.filter((one) => one.index < until && one.endedAt !== null && (step || one !== this.failed));
    const edited = fate === "edit" ? [step] : [];
    const next = step && fate === "again" ? step : null;
    const names = kept.slice(0, LISTED).flatMap((one, index) => [index ? ", " : "", el("code", {}, pathLabel(one))]);
    const more = kept.length > LISTED ? ` and ${kept.length - LISTED} more` : "";
    const begins = kept.length ? [`Begins with ${count(kept.length, "finished step")}, copied and not run: `, ...names, more, ". "] : edited.length ? [] : ["Begins with nothing: every step runs. "];
    const given = edited.length ? [el("code", {}, pathLabel(step)), " has the result you give. "] : [];
    this.plan.replaceChildren(icon("i-fork"), el("span", {}, ...begins, ...given, ...(next && kept.length ? ["Then ", el("code", {}, pathLabel(next)), " runs."] : [])));
  }

  say(words) {
    setText(this.said, words);
    this.said.hidden = !words;
    setInvalid(this.edit, words && this.fate === "edit");
  }

  submit(event) {
    event.preventDefault();
    const { fate, run, state } = this;
    const { json, wrong } = typed(this.edit.value, "The result is");
    if (fate === "edit" && wrong) {
      this.say(wrong);
      this.edit.focus();
      return;
    }
    const output = fate === "edit" ? json : null;
    const step = fate === "keep" ? (state.rows[this.step.index + 1] ?? null) : this.step;
    const source = this.codes.querySelector(":checked")?.value === "editor" ? run.code() : null;
    const stops = this.stopping.querySelector(":checked") ? this.stops : [];
    once(this.button, async () => {
      const refused = await fork(run, { step, output, source, stops });
      if (refused) this.say(refused);
      else this.dialog.close();
    });
  }
}

/** What a fork may stop at. */
const stopsSaid = (stops) => (stops.length === 1 ? ["Stop before ", el("code", {}, stops[0].step.name)] : [`Stop at the ${stops.length} breakpoints of this run`]);

function radio(name, value, words, checked, disabled = false) {
  const input = el("input", { type: "radio", name, value, disabled });
  input.checked = checked;
  return el("label.choice", {}, input, el("span", {}, words));
}

/** Under an error: the way on, once the code is mended. `state` is that of a run that ended in one. Without breakpoints: the dialog offers them. */
export function wayOn(run, state, refused) {
  const events = state.rows.some((step) => step.kind === "wait" && step.status === "completed");
  const line = state.error?.line ? ["Fix ", lineLink(state.error.line)] : ["Fix the code"];
  const kept = state.rows.some((step) => step.endedAt !== null && step.status !== "errored");
  const words = kept ? ` and continue in a fork: what finished is kept${events ? ", the event too" : ""}.` : " and run it in a fork: nothing had finished yet.";
  const button = el("button.btn.main", { type: "button" }, icon("i-fork"), el("span", {}, "Fork with this source"));
  button.addEventListener("click", () => once(button, async () => refused("It was not forked.", await fork(run, { source: run.code() }))));
  return el("div.next", {}, el("p", {}, ...line, words), button);
}
