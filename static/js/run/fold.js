// The fold: what an instance looks like after its journal's events, taken one at a time. Pure; it touches no page.
// It is playground/workflows/state.py in the browser. tests/journals holds cases both must agree on (see view.js for the JSON).
// Beyond that one it keeps what only pictures need: log lines, spells with nothing running, brackets of parallel steps.

import { RUN } from "./fold-run.js";
import { newState } from "./fold-state.js";
import { STEPS } from "./fold-steps.js";
import { STREAMS } from "./fold-streams.js";

export { FINAL } from "../statuses.js";
export { OPEN, alive, attemptMs, blamed, culprit, eventTypes, isLost, isMissed, isStopped, keyOf, lives, newState, refOf, stepMs, typesText } from "./fold-state.js";

export { meanPercent } from "./progress.js";

const HANDLERS = { ...RUN, ...STEPS, ...STREAMS };

/** Takes one more event. Unknown types change nothing but `lastSeq`, so that an older page can read on. */
export function apply(state, event) {
  state.lastSeq = event.seq;
  state.lastAt = event.at;
  state.version = event.seq;
  const handler = HANDLERS[event.type];
  if (handler) handler(state, event, event.data || {});
}

export function fold(events) {
  const state = newState();
  for (const event of events) apply(state, event);
  return state;
}
