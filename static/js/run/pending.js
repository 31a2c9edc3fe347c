// Breaks set before there is a run: they go with it when it starts, and are forgotten then.

import { tell } from "../dom.js";

let breaks = [];

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

/** The run has begun with them. */
export function forgetPending() {
  if (!breaks.length) return;
  breaks = [];
  tell("pending");
}
