// How far a step is, as it says itself with a value {percent, text} in a stream, and the end that this foretells. Pure.

import { partsOf } from "./fold-streams.js";
import { percentText } from "./words.js";

/** How far a step is that runs, by the last value that says so: {percent, text, at}, or null. */
export function progressOf(state, step) {
  if (step.endedAt !== null || !state.parts.size) return null;
  return partsOf(state, step).findLast(({ progress }) => progress)?.progress ?? null;
}

/** How far those of some steps are that run and say so: the mean of their percents, rounded down to a tenth, or null. */
export function meanPercent(state, steps) {
  if (!state.parts.size) return null;
  const told = steps.map((step) => progressOf(state, step)).filter(Boolean);
  return told.length ? Math.floor((told.reduce((sum, { percent }) => sum + percent, 0) / told.length) * 10) / 10 : null;
}

/** When an attempt that began at `from` will be over if it goes on as fast as it went, or null where nothing can be said. */
export function foreseenEnd({ percent, at }, from) {
  if (percent <= 0 || percent >= 100 || at <= from) return null;
  return from + ((at - from) * 100) / percent;
}

/** "62 %, 5 of 8 files" */
export const percentWords = ({ percent, text }) => [percentText(percent), text].filter(Boolean).join(", ");

/** The last of the ends that are foretold for steps that run now, or null. */
export function lastForeseen(state) {
  let last = null;
  for (const step of state.open) {
    const progress = progressOf(state, step);
    const attempt = step.attempts[step.attempts.length - 1];
    const end = progress && attempt?.endedAt === null ? foreseenEnd(progress, attempt.startedAt) : null;
    if (end !== null && end > (last ?? 0)) last = end;
  }
  return last;
}
