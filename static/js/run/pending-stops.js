// Breakpoints set before there is a run. They go with the next one that is started here, and stay with the draft: who steps through code
// runs it again and again.

import { tell } from "../dom.js";

let stops = []; // [{step: {kind, name}}]

/** Those that are set now, as a run's own would be. */
export const pendingStops = () => stops;

/** Sets or clears one. */
export function togglePending({ kind, name }) {
  const kept = stops.filter((each) => each.step.name !== name || each.step.kind !== kind);
  stops = kept.length < stops.length ? kept : [...stops, { step: { kind, name } }];
  tell("pending");
}

/** What goes with the start of a run whose code has these steps; names that are made at run time can't be known. */
export const pendingStopsOf = (flat) => stops.filter((each) => flat.some((entry) => entry.kind === each.step.kind && entry.name === each.step.name));
