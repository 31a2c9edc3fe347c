// The replay lens: a column per execution, read downwards like a thread. Ran, read from the journal, lost, not reached.

import { el, icon, setFlag, setVar } from "../dom.js";
import { INJECTED, isBroken } from "./breaks.js";
import { attemptMs, isLost, isMissed, isStopped, lives } from "./fold.js";
import { groupName, memberName } from "./group-row.js";
import { Plan } from "./plan.js";
import { Rows } from "./rows.js";
import { CUT, hours, lasting, pathLabel, stepLabel } from "./words.js";

const ROW_PX = 28;
const NARROW_PX = 40;
const COLUMN_PX = 130; // least width of a column
const PARENT = 16; // characters of the name of a step in which the first of an execution was called
const COLUMNS = 4; // more executions than this, or than there is room for: the first, a folded one, the last; opened, those of the folded one

export class Lens {
  /** @param {{root, onStep, rowsNow, onGroup}} how `rowsNow()` are the rows of the timeline, whose groups are these, too; `onGroup(entry)` folds or opens one */
  constructor({ root, onStep, rowsNow, onGroup }) {
    Object.assign(this, { root, onStep, rowsNow });
    this.head = root.querySelector('[data-part="lens-head"]');
    this.list = root.querySelector('[data-part="lens-rows"]');
    this.rows = new Rows({ viewport: root, list: this.list, height: () => (root.clientWidth < 640 ? NARROW_PX : ROW_PX), draw: (index) => this.draw(index) });
    this.list.addEventListener("click", (event) => {
      const row = event.target.closest("[data-key]");
      const entry = row && this.shown?.find(({ key }) => key === row.dataset.key);
      if (entry?.isGroup || entry?.isRest) onGroup(entry);
      else if (entry) this.onStep(entry);
    });
    this.head.addEventListener("click", (event) => this.opened(event.target.closest("button")));
    this.reset(new Plan([]));
  }

  reset(plan) {
    this.plan = plan;
    this.state = this.linked = this.looks = this.from = null;
    this.rows.setCount(0, 0);
    this.head.replaceChildren();
  }

  update(state, { final, hideRest }) {
    if (this.root.hidden || !this.root.clientHeight) return;
    if (this.state?.generation !== state.generation) this.from = null;
    this.state = state;
    Object.assign(this, this.rowsNow());
    this.final = final;
    this.hideRest = hideRest;
    this.rest = hideRest ? [] : this.plan.ahead(state);
    const room = Math.floor((this.root.clientWidth * 0.7) / COLUMN_PX);
    this.most = Math.max(2, Math.min(COLUMNS, room));
    this.columns = columnsOf(lives(state), this.most, this.from);
    const looks = `${final}:${state.generation}:${state.diverged.length}:${this.columns.map((one) => one.folded ? `${one.folded}+${one.index}` : `${one.execution}:${one.endedSeq}:${one.cut}:${one.firstAt}`).join()}`;
    if (looks !== this.looks) {
      this.looks = looks;
      this.heads(state);
      for (const index of this.rows.shown.keys()) this.rows.touch(index);
    } else {
      for (const [index, row] of this.rows.shown) {
        if (row.version !== this.version(index) || row.next !== this.version(index + 1)) this.rows.touch(index);
      }
    }
    const count = this.shown.length + this.rest.length;
    this.rows.setCount(count, Math.min(count, this.rows.count));
  }

  heads(state) {
    const widths = this.columns.map((column) => (column.folded ? "44px" : "minmax(0, 1fr)")).join(" ");
    setVar(this.root, "--columns", widths || "minmax(0, 1fr)");
    this.root.classList.toggle("is-empty", !this.columns.length);
    const held = this.head.contains(document.activeElement);
    this.head.replaceChildren(el("span", { role: "columnheader" }, el("b", {}, "Step")), ...this.columns.map((column) => headOf(column, state)));
    if (held) (this.head.querySelector("button") ?? this.root).focus({ preventScroll: true });
  }

  /** Shows executions that were folded: of many, those next to what is shown. */
  opened(button) {
    const at = button ? [...this.head.children].indexOf(button.parentNode) - 1 : -1;
    const fold = this.columns?.[at];
    if (!fold?.folded) return;
    const before = at < this.columns.length - 1;
    this.from = before ? Math.max(0, fold.index + fold.folded - this.most) : fold.index;
    if (this.from + this.most >= lives(this.state).length) this.from = null;
    this.update(this.state, this);
  }

  /** What a row is drawn from: a step as it stood at a seq, or an entry of the plan. */
  version(index) {
    const step = this.shown[index];
    if (step) return `${step.key}:${step.version}:${this.depths[index]}:${step.mode ?? ""}:${this.owners[index]?.head ?? ""}`;
    const entry = this.rest[index - this.shown.length];
    return entry && `plan:${entry.kind}:${entry.name}:${entry.line}`;
  }

  link(line) {
    this.linked = line;
    for (const row of this.rows.shown.values()) setFlag(row, "is-linked", line !== null && row.line === line);
  }

  draw(index) {
    const step = this.shown[index];
    const entry = step ?? this.rest[index - this.shown.length];
    const short = this.columns.length > 2;
    const last = this.columns[this.columns.length - 1];
    const next = this.shown[index + 1];
    const cells = this.columns.map((column) => {
      const isLive = column === last && !this.final;
      const goesOn = next && !column.folded && cellOf(next, column, this.state, isLive)[0] !== "none";
      const [kind, words] = step && !column.folded ? cellOf(step, column, this.state, isLive) : column.folded ? ["fold", ""] : ["none", "not reached"];
      return el(`span.cell.${kind.replace(" ", ".")}${goesOn ? ".goes-on" : ""}`, { role: "cell" }, kind === "none" ? el("span.sr", {}, words) : short ? words.replace(" with its worker", "") : words);
    });
    const row = el("li.lens-row", { role: "row", dataset: step ? { key: step.key } : {} }, nameOf(step, this.owners[index] ?? null, entry), ...cells);
    setVar(row, "--deep", step ? this.depths[index] : 0);
    setFlag(row, "not", !step);
    row.line = entry.line ?? null;
    row.version = this.version(index);
    row.next = this.version(index + 1);
    setFlag(row, "is-linked", this.linked !== null && row.line === this.linked);
    return row;
  }
}

/** What a row is called: a step, a group, or an entry of the plan. */
function nameOf(step, owner, entry) {
  const part = (what, ...children) => el(what, { role: "rowheader", title: step ? (step.isGroup || step.isRest ? groupName(step).whole : pathLabel(step)) : entry.name || "" }, ...children);
  if (step?.isGroup || step?.isRest) {
    const { words, count } = groupName(step);
    const sign = icon("i-right");
    sign.classList.add("fold-sign");
    if (step.mode && step.mode !== "folded") sign.classList.add("is-open");
    return part("span.lens-name.of-group", sign, el("span.nm", {}, words), el("span.nth", {}, count));
  }
  if (!step || !owner) return part("span.lens-name", step ? stepLabel(step) : entry.name || "…");
  const { cut, head, tail, count, whole } = memberName(step, owner);
  return part("span.lens-name.of-group", el("span.nm", { "aria-hidden": cut && "true" }, cut ? `…${head}` : head), el("span.nth.is-tail", { "aria-hidden": cut && "true" }, tail + count), cut ? el("span.sr", {}, whole) : null);
}

/** The columns: `most` executions of those there are, from `from` on or else the first and the latest, and the rest folded. */
export function columnsOf(executions, most, from) {
  const { length } = executions;
  if (length <= most) return executions;
  const fold = (index, end) => (index < end ? [{ folded: end - index, index, between: executions.slice(index, end) }] : []);
  if (from !== null) return [...fold(0, from), ...executions.slice(from, from + most), ...fold(Math.min(length, from + most), length)];
  const first = most > 2 ? 1 : 0;
  const last = length - most + first;
  return [...executions.slice(0, first), ...fold(first, last), ...executions.slice(last)];
}

function headOf(column, state) {
  if (column.folded) {
    const words = `Show ${foldedTitle(column.between)}`;
    return el("span.folded", { role: "columnheader" }, el("button", { type: "button", title: words, "aria-label": words }, el("b", {}, "…"), `+${column.folded}`));
  }
  const begun = state.startedAt ?? column.startedAt;
  const read = column.replayed ? `${column.replayed} read${column.firstAt ? ` in ${lasting(Math.max(1, column.firstAt - column.startedAt))}` : ""}` : "";
  const on = column.firstStep && column.execution > 1 ? el("code", {}, pathLabel(column.firstStep, PARENT)) : null;
  const after = state.executions[state.executions.indexOf(column) + 1];
  const end = column.endedAt === null ? `started ${hours(column.startedAt)}` : column.cut ? `${CUT[column.reason]} at ${lasting(column.endedAt - begun)}` : { hibernated: "hibernated", evicted: after && after.codeVersion !== column.codeVersion ? "gave way to edited code" : "gave its worker up", killed: "ended by hand" }[column.reason] ?? (state.status === "errored" && !after ? "ended in an error" : "ran to the end");
  const before = state.executions[state.executions.indexOf(column) - 1];
  const recoded = before && before.codeVersion !== column.codeVersion ? el("span.tag", {}, "edited code") : null;
  const parts = column.cut || !read ? [end] : [read, on ? ["continuing at ", on] : null].filter(Boolean);
  return el("span", { role: "columnheader" }, el("b", {}, `Execution ${column.execution}`), recoded, recoded ? " " : "", ...parts.flatMap((part, index) => (index ? [", ", part] : [part])).flat());
}

function foldedTitle(between) {
  const cuts = between.filter((one) => one.cut).length;
  const numbers = between.length > 1 ? `executions ${between[0].execution} to ${between.at(-1).execution}` : `execution ${between[0].execution}`;
  return `${numbers}${cuts ? `, ${cuts} of them cut off` : ""}`;
}

// What a cell of a group says of each kind of its steps' cells, in this order; the first of MARKS that is among them is drawn.
const COUNTED = { read: "read", ran: "ran", fail: "failed", lost: "lost with its worker", hurt: "broken on purpose", partly: "cut short", "run-now": "running", live: "waiting", "live-sleep": "asleep", missed: "not reached again" };
const MARKS = ["run-now", "live", "live-sleep", "ran", "lost", "fail", "hurt", "partly", "read", "missed"];

const cells = new WeakMap(); // of the steps of a group: what they were counted from, and by execution {settled, counts} of those that are over

/** The same of a row, which may be that of a group: counts of what was done with its steps. */
export function cellOf(entry, execution, state, live) {
  if (!entry.isGroup && !entry.isRest) return cell(entry, execution, state, live);
  const { steps } = entry;
  const from = `${state.generation}:${state.executions.length}:${state.executions.at(-1)?.endedSeq}:${state.diverged.length}:${live}`;
  if (cells.get(steps)?.from !== from) cells.set(steps, { from, found: new Map() });
  const { found } = cells.get(steps);
  if (!found.has(execution)) found.set(execution, { settled: 0, counts: {} });
  return counted(steps, execution, state, live, found.get(execution));
}

/** Counts all, but from the steps on that were not over the last time: what is over stays as it is while the executions do. */
function counted(steps, execution, state, live, known) {
  const add = (counts, step) => {
    const [kind] = cell(step, execution, state, live);
    counts[kind] = (counts[kind] ?? 0) + 1;
  };
  while (known.settled < steps.length && steps[known.settled].endedSeq !== null) add(known.counts, steps[known.settled++]);
  const counts = { ...known.counts };
  for (let at = known.settled; at < steps.length; at += 1) add(counts, steps[at]);
  const mark = MARKS.find((kind) => counts[kind]);
  if (!mark) return ["none", "not reached"];
  const words = Object.entries(COUNTED).flatMap(([kind, word]) => (counts[kind] ? [`${counts[kind].toLocaleString("en")} ${word}`] : []));
  return [`${mark} many`, words.join(" · ")];
}

/** What an execution did with a step: [class, words]. `live`: it is the latest and the run is not over. */
export function cell(step, execution, state, live) {
  const number = execution.execution;
  const began = step.copied || (step.execution !== null && step.execution <= number);
  if (!began) return ["none", "not reached"];
  if (isMissed(step, number, state)) return ["missed", "not reached again"];
  if (step.endedSeq !== null && step.endedSeq < execution.startedSeq) return ["read", "read"];
  if (step.kind !== "do") return waited(step, execution, live);
  const mine = step.attempts.filter((attempt) => attempt.execution === number);
  if (!mine.length) {
    if (step.status === "retrying" && live) return ["live", "waiting to retry"];
    return step.attempts.length && step.execution <= number ? ["partly", "between attempts"] : ["none", "not reached"];
  }
  const last = mine[mine.length - 1];
  const nth = last.attempt > 1 ? `, attempt ${last.attempt}` : "";
  if (last.endedAt === null) return execution.cut ? ["lost", "lost with its worker"] : live ? ["run-now", `running${nth}`] : ["partly", "stopped"];
  if (isStopped(last, state)) return ["partly", "stopped"];
  if (isLost(last)) return ["lost", "lost with its worker"];
  if (isBroken(last) && !(step.status === "retrying" && live)) return ["hurt", `${INJECTED[last.injected].replace(" on purpose", "")}${nth}`];
  if (last.done && last.injected === "return") return ["hurt", INJECTED.return];
  if (last.done) return ["ran", mine.length > 1 ? `ran, ${mine.length} attempts` : nth ? `ran${nth}` : `ran, ${lasting(attemptMs(last))}`];
  if (step.status === "errored" && last === step.attempts[step.attempts.length - 1]) return ["fail", `failed${nth}`];
  if (step.status === "retrying" && live) return ["live", `attempt ${last.attempt} ${isBroken(last) ? "made to fail" : "failed"}, waiting`];
  return ["partly", `attempt ${last.attempt} failed`];
}

function waited(step, execution, live) {
  const sleep = step.kind === "sleep";
  if (step.endedAt === null && live) return [sleep ? "live-sleep" : "live", sleep ? "asleep" : "waiting"];
  if (step.endedExecution === execution.execution) {
    if (step.status === "timed_out") return ["fail", "timed out"];
    if (step.status === "cancelled") return ["partly", step.byEnd ? "the run ended" : "cancelled"];
    if (step.status === "errored") return ["fail", "its run failed"];
    return ["ran", sleep ? "slept" : step.kind === "child" ? "its run completed" : "received"];
  }
  if (step.execution === execution.execution) return ["partly", sleep ? "fell asleep" : "began to wait"]; // it ended after this one
  return ["partly", sleep ? "still asleep" : "still waiting"];
}

