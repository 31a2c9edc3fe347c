// What the rest of the page hears of a run: its steps for the editor and the outline, its status for the page's own bar and title.

import { tell } from "../dom.js";
import { pictureOf, shownStatus } from "../statuses.js";
import { keyOf, lives } from "./fold.js";
import { attemptOf, setback, setbacksOf } from "./setback.js";
import { errorBrief, moment, short } from "./words.js";

const NOTE = 120; // characters of an error beside its line in the editor
const TELL_MS = 100; // between two tellings, …
const SHARE = 5; // … or so many times as long as the last one took: whoever hears it has all steps to look at

export class Telling {
  constructor() {
    this.reset();
  }

  /** What was told counts no more. */
  reset() {
    this.told = null;
    this.toldAt = -Infinity;
    this.every = TELL_MS;
  }

  /**
   * Tells, if that has changed, the steps of `state`, which is shown, and the status of `newest`, which is how the run stands.
   * Returns in how many milliseconds to be called again for what it has held back, or 0.
   */
  tell(state, newest, { now, final, stale, past }) {
    let labels = "";
    if (!final) for (const step of state.open) labels += `${labelOf(step, now)};`;
    const signature = `${state.version}:${newest.status}:${stale}:${labels}`;
    if (signature === this.told) return 0;
    if ((past || !final) && performance.now() - this.toldAt < this.every) return this.every;
    this.told = signature;
    this.toldAt = performance.now();
    const steps = state.rows.map((step) => ({
      key: step.key,
      parent: step.parent && keyOf(step.parent),
      kind: step.kind,
      name: step.name,
      count: step.count,
      line: step.line,
      status: shownStatus(step, final),
      label: step.endedAt === null && !final ? labelOf(step, now) : "",
    }));
    const awaited = final ? null : [...state.open].findLast((step) => step.line !== null);
    const error = raised(state, final);
    tell("steps", { steps, awaitedLine: awaited?.line ?? null, error });
    this.every = Math.max(TELL_MS, (performance.now() - this.toldAt) * SHARE);
    const executions = lives(newest);
    tell("status", { status: newest.status, picture: pictureOf(newest.status, [...newest.open]), executions: executions.length, replayed: executions.at(-1)?.replayed ?? 0, killed: executions.at(-1)?.reason === "killed" });
    return 0;
  }
}

/** What went wrong, and where: in a run that has ended so, or in a step that will be tried again. */
function raised(state, final) {
  if (state.status === "errored" && state.error?.line) return { line: state.error.line, message: short(errorBrief(state.error), NOTE) };
  const [held] = final ? [] : setbacksOf(state);
  const found = held && setback(held);
  return found?.line ? { line: found.line, message: `${short(errorBrief(found.error), NOTE)} (${attemptOf(found)})` } : null;
}

function labelOf(step, now) {
  if (step.status === "retrying" && step.until <= now) return "attempt due";
  if (step.status === "retrying") return `retry at ${moment(step.until, now)}`;
  if (step.status === "running" && step.attempts.length > 1) return `attempt ${step.attempts[step.attempts.length - 1].attempt} running`;
  return "";
}
