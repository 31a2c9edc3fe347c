// A step that has failed and will be tried again: what went wrong, at which line, and what can be done about it, under its row. An error
// must not hide until the last attempt: with the default config that is five minutes away.

import { el, icon, lineLink, once, setText } from "../dom.js";
import { isBroken } from "./breaks.js";
import { alikeErrors } from "./errors.js";
import { isLost } from "./fold.js";
import { count, errorBrief, short, stepLabel } from "./words.js";

const MOST = 3; // errors of one run that stand under rows at once; one that several steps have stands under the first of them
const MESSAGE = 300; // characters of an error shown there; the step's panel has all of it

/** What the last attempt that ended left: {error, line, attempt, of, running}, or null where the step is not held up by an error of its own. Pure. */
export function setback(step) {
  if (step.kind !== "do" || step.endedAt !== null) return null;
  const tried = step.attempts.filter((attempt) => attempt.endedAt !== null && !isLost(attempt));
  const last = tried.at(-1);
  if (!last?.error || isBroken(last)) return null;
  const limit = step.config?.retries?.limit;
  return {
    error: last.error,
    line: last.error.line ?? step.line,
    attempt: tried.length,
    of: Number.isFinite(limit) ? limit + 1 : null,
    running: step.attempts.at(-1) !== last,
  };
}

/** "attempt 1 of 6" */
export const attemptOf = ({ attempt, of }) => `attempt ${attempt}${of ? ` of ${of}` : ""}`;

/** The open steps of a state that are held up by an error, in the order in which they began. Pure. */
export const setbacksOf = (state) => [...state.open].filter(setback).sort((a, b) => a.startedSeq - b.startedSeq);

export class Setbacks {
  /** @param {{retry: (step) => Promise<any>, stop: () => Promise<any>, fix: (step, line: number | null) => boolean}} how `fix` goes to the line, or to the fork once the code differs: true for the line */
  constructor(how) {
    Object.assign(this, how);
    this.reset();
  }

  reset() {
    this.blocks = new Map(); // by key of its step
    this.shown = new Map(); // key of a step whose error stands under its row -> in how many others it is the same
  }

  /** Takes a state; true when other steps are told of than before. */
  update(state, { final, watching, past, why }) {
    this.may = !final && !watching && !past && !why;
    this.paused = state.status === "paused";
    const before = [...this.shown.keys()].join("\n");
    const held = final ? [] : setbacksOf(state);
    const distinct = alikeErrors(held.map((step) => setback(step).error)).slice(0, MOST);
    this.shown = new Map(distinct.map(({ places }) => [held[places[0]].key, places.length - 1]));
    for (const key of this.blocks.keys()) if (!this.shown.has(key)) this.blocks.delete(key);
    return before !== [...this.shown.keys()].join("\n");
  }

  /** The block that hangs from the row of a step, or null. */
  blockOf(step) {
    if (!this.shown.has(step.key)) return null;
    let block = this.blocks.get(step.key);
    if (!block) this.blocks.set(step.key, (block = this.newBlock(step)));
    block.fill(step, this.shown.get(step.key));
    return block;
  }

  newBlock(step) {
    const line = el("span");
    const what = el("b");
    const which = el("span.num.which");
    const notes = el("div.notes");
    const said = el("p.said", { role: "status", hidden: true });
    const button = (shape, words, act, name = words) => {
      const made = el("button.btn.line.small", { type: "button", "aria-label": name }, icon(shape), el("span", {}, words));
      made.addEventListener("click", () => once(made, act));
      return made;
    };
    let now = step;
    const retry = button("i-retry", "Retry now", () => this.retry(now), `Retry ${step.name} now`);
    const stop = button("i-stop", "Stop", () => this.stop(), "Stop this run");
    const fix = button("i-fork", "Fix and fork", async () => {
      const { line: at } = setback(now) ?? { line: null };
      const there = this.fix(now, at);
      said.hidden = !there;
      said.replaceChildren(...(there ? ["Mend ", at ? lineLink(at) : "the code", ", then press Fix and fork again: a fork keeps what has finished and runs the mended code."] : []));
    });
    const acts = el("p.setback-acts", {}, retry, stop, fix);
    const block = el("section.setback", { "aria-label": `Error of ${stepLabel(step)}` }, el("p.what", {}, icon("i-failed", { tone: "bad" }), what, line, which), notes, acts, said);
    block.fill = (fresh, others) => {
      now = fresh;
      const found = setback(fresh);
      if (!found) return;
      const { error } = found;
      setText(what, short(errorBrief(error), MESSAGE));
      if (line.firstChild?.dataset.line !== String(found.line)) line.replaceChildren(...(found.line ? [lineLink(found.line)] : []));
      const tried = found.running ? `${attemptOf(found)}; attempt ${found.attempt + 1} runs` : attemptOf(found);
      setText(which, others ? `${tried}; the same in ${count(others, "other step")}` : tried);
      const told = (error.notes ?? []).join("\n");
      if (notes.dataset.told !== told) {
        notes.dataset.told = told;
        notes.replaceChildren(...(error.notes ?? []).map((note) => el("p", {}, note)));
      }
      acts.hidden = !this.may;
      retry.hidden = this.paused || found.running || fresh.status !== "retrying";
    };
    return block;
  }
}
