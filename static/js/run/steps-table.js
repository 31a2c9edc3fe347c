// The timeline as a table: the same steps for a screen reader, for the keyboard, and for whoever likes figures better than bars.

import { el, icon, setText, setVar } from "../dom.js";
import { stepState } from "../statuses.js";
import { read, write } from "../stored.js";
import { isLost, stepMs, typesText } from "./fold.js";
import { depthOf, rowsOf } from "./nested.js";
import { skippedWords } from "./skipped.js";
import { count, errorBrief, lasting, left, pathLabel, short, stepLabel } from "./words.js";

const PAGE = 200; // rows at first, and more with each press of the button below
const EVERY_MS = 500; // between two drawings while the run goes on
const NOTE = 60; // characters of an error

const HEADS = ["Step", "Status", "Attempts", "Began", "Took", "Executions", "Note"];

export class StepsTable {
  /** @param {{root: HTMLElement, button: HTMLElement, timeline: HTMLElement, open: (step: object) => void}} how */
  constructor({ root, button, timeline, open }) {
    Object.assign(this, { root, button, timeline });
    this.body = el("tbody");
    this.more = el("button.btn.line.small", { type: "button", onclick: () => this.show((this.most += PAGE)) });
    root.append(el("table.sheet-table", {}, el("caption.sr", {}, "Steps of this run"), el("thead", {}, el("tr", {}, ...HEADS.map((name) => el(`th${["Attempts", "Began", "Took"].includes(name) ? ".r" : ""}`, { scope: "col" }, name)))), this.body), this.more);
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row && event.target.closest(".row-open")) open(rowsOf(this.state)[row.sectionRowIndex]);
    });
    button.addEventListener("click", () => this.turn(!this.on));
    this.reset();
    this.turn(read("steps-table", false) === true);
  }

  reset() {
    this.most = PAGE;
    this.state = null;
    this.drawn = [];
    this.body.replaceChildren();
    clearTimeout(this.timer);
    this.timer = 0;
  }

  turn(on) {
    this.on = on;
    write("steps-table", on);
    this.button.setAttribute("aria-pressed", String(on));
    this.timeline.classList.toggle("as-table", on);
    this.root.hidden = !on;
    this.show();
  }

  update(state, context) {
    const first = !this.state;
    this.state = state;
    this.context = context;
    if (!this.on) return;
    if (first || context.final || context.past) this.show();
    else this.timer ||= setTimeout(() => this.show(), EVERY_MS);
  }

  show() {
    clearTimeout(this.timer);
    this.timer = 0;
    if (!this.on || !this.state) return;
    const rows = rowsOf(this.state);
    const shown = Math.min(rows.length, this.most);
    while (this.body.childElementCount > shown) this.body.lastElementChild.remove();
    this.drawn.length = Math.min(this.drawn.length, shown);
    for (let index = 0; index < shown; index += 1) {
      const looks = `${rows[index].key}:${rows[index].version}:${this.context.final}`;
      if (this.drawn[index] === looks) continue;
      this.drawn[index] = looks;
      const row = this.row(rows[index]);
      const old = this.body.children[index];
      if (!old) this.body.append(row);
      else if (old.contains(document.activeElement)) old.replaceChildren(...row.children), old.querySelector("button")?.focus();
      else old.replaceWith(row);
    }
    this.more.hidden = rows.length <= shown;
    setText(this.more, `${count(rows.length - shown, "more step")}`);
  }

  row(step) {
    const { final, now } = this.context;
    const begun = this.state.startedAt ?? this.state.generationAt;
    const shown = stepState(step, final);
    const lived = [...new Set([step.execution, ...step.attempts.map((attempt) => attempt.execution), step.endedExecution].filter((one) => one !== null))];
    const open = step.endedAt === null && !final;
    const took = step.endedAt !== null ? lasting(stepMs(step)) : open && step.until !== null ? `${left(step.until - now)} left` : "";
    const name = el("th", { scope: "row", title: pathLabel(step) }, el("button.row-open", { type: "button" }, stepLabel(step)));
    setVar(name, "--deep", depthOf(step));
    return el(
      "tr",
      {},
      name,
      el("td", {}, el("span.with-icon", {}, icon(shown.icon, { tone: shown.tone }), shown.word)),
      el("td.r", {}, step.kind === "do" ? String(step.attempts.length) : ""),
      el("td.r", {}, `+${lasting(step.startedAt - begun)}`),
      el("td.r", {}, took),
      el("td", {}, lived.join(", ")),
      el("td.mono", {}, noteOf(step)),
    );
  }
}

/** What a table has room for besides figures: why an attempt failed, what is waited for, what was done by hand, what was undone. */
function noteOf(step) {
  const said = [];
  const failed = step.attempts.filter((attempt) => attempt.error && !isLost(attempt)).at(-1);
  const lost = step.attempts.filter(isLost).length;
  if (lost) said.push(`${count(lost, "attempt")} lost with its worker`);
  if (step.error ?? failed?.error) said.push(short(errorBrief(step.error ?? failed.error), NOTE));
  if (step.kind === "wait") said.push(`for ${typesText(step)}`);
  if (step.child) said.push(`run ${step.child}`);
  if (step.copied) said.push(step.copied.edited ? "edited when forked" : "copied");
  if (step.byEnd) said.push("the run ended first");
  if (step.returned) said.push("its event went back");
  if (step.virtual || step.attempts.some((attempt) => attempt.virtual)) said.push(skippedWords(step) || "ended early by hand");
  if (step.rollback && step.rollback.status !== "pending") said.push({ completed: "rolled back", errored: "rollback failed" }[step.rollback.status] ?? "rolling back");
  return said.join("; ");
}
