// Breakpoints that belong to the draft: they go with each run that is started from it, are kept with it (drafts.js), and follow its steps when
// those get other names. Where a run is shown that has ended, they are what can be set.

import { edits } from "../edits.js";
import { tell } from "../dom.js";

const MOST = 100; // as many as a run takes: MAX_BREAKPOINTS of playground/workflows/breakpoints.py

let stops = []; // [{step: {kind, name}}]

/** Those that are set now, as a run's own would be. */
export const pendingStops = () => stops;

const isOf = ({ kind, name }, each) => each.step.name === name && each.step.kind === kind;

/** Sets or clears one; with `on`, only that. */
export function togglePending({ kind, name }, on = null) {
  const there = stops.some((each) => isOf({ kind, name }, each));
  if (on === there || (!there && stops.length >= MOST)) return;
  setPendingStops(there ? stops.filter((each) => !isOf({ kind, name }, each)) : [...stops, { step: { kind, name } }]);
}

/** Those of a draft that comes back, or anything that was once kept as such. */
export function setPendingStops(found) {
  const known = Array.isArray(found) ? found.filter((each) => typeof each?.step?.name === "string" && typeof each.step.kind === "string") : [];
  const next = known.slice(0, MOST).map(({ step: { kind, name } }) => ({ step: { kind, name } }));
  if (JSON.stringify(next) === JSON.stringify(stops)) return;
  stops = next;
  tell("pending");
}

/** What goes with the start of a run whose code has these steps; names that are made at run time can't be known. */
export const pendingStopsOf = (flat) => stops.filter((each) => flat.some((entry) => isOf(entry, each)));

/**
 * Breakpoints after an edit: one before a step that is gone stands before the step that its line now has, if that is a new one. Pure.
 * `before` and `after` are {source, flat}: a text and the steps that were found in it.
 */
export function followed(set, before, after) {
  const has = (flat, step) => flat.some((entry) => isOf(entry, { step }));
  return set.map((each) => {
    const old = before.flat.find((entry) => isOf(entry, each));
    if (!old?.line || has(after.flat, each.step)) return each;
    const lines = linesAfter(before.source, after.source, old.line);
    const now = after.flat.find((entry) => lines.includes(entry.line) && entry.kind === old.kind && !entry.computed && !has(before.flat, entry));
    return now ? { step: { kind: now.kind, name: now.name } } : each;
  });
}

/** The same for those that are set. */
export function followEdit(before, after) {
  if (stops.length && before.source !== after.source) setPendingStops(followed(stops, before, after));
}

/** The numbers that a line of a text has after its edits: of its first letter and of its end. */
function linesAfter(before, after, line) {
  const lines = before.split("\n");
  const text = lines[line - 1] ?? "";
  const start = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
  const made = edits(before, after);
  return [start + text.length - text.trimStart().length, start + text.length].map((at) => {
    let shift = 0;
    for (const { from, to, insert } of made) if (to <= at && from < at) shift += insert.length - (to - from);
    return after.slice(0, Math.max(0, at + shift)).split("\n").length;
  });
}
