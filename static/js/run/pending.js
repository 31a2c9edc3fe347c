// What is chosen before there is a run, breaks and that sleeps are skipped: it goes with the run when it starts, and is forgotten then.

import { tell } from "../dom.js";

let breaks = [];
let skips = false;
let results = [];

/** Whether the run that is to come skips its sleeps. */
export const pendingSkip = () => skips;

export function togglePendingSkip() {
  skips = !skips;
  tell("pending");
}

/** Those that are set now, as a run's own would be. */
export const pendingBreaks = () => breaks;

/** Sets or clears one, as `POST …/break` would. */
export function setPending(body) {
  const kept = breaks.filter((each) => each.step.name !== body.step.name);
  breaks = body.how === null ? kept : [...kept, { ...body, left: body.times }];
  tell("pending");
}

/** What goes with the start of a run. */
export const pendingBody = () => breaks.map(({ left, ...body }) => body);

/** Steps that the next run begins with, of a file: once, by the press that follows at once. */
export function setResults(found) {
  results = found;
}

export function takeResults() {
  const taken = results;
  results = [];
  return taken;
}

/** The run has begun with them. */
export function forgetPending() {
  if (!breaks.length && !skips) return;
  breaks = [];
  skips = false;
  tell("pending");
}
