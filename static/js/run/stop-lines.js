// Breakpoints as the editor shows them: a tag behind the number of each line before whose step a run stops.

import { tell } from "../dom.js";
import { toast } from "../toast.js";
import { mayStop, outermost, rowStop, whyNoStop } from "./row-stop.js";
import { stepLabel } from "./words.js";

/** The lines of steps that have a breakpoint: [{line, here}]; `here`: the run stands before it. */
export function stopLines(breakpoints, entries, stop) {
  const lines = new Map();
  for (const entry of entries) if (entry.line && rowStop(breakpoints, entry)) lines.set(entry.line, false);
  if (stop?.line) lines.set(stop.line, true);
  return [...lines].map(([line, here]) => ({ line, here }));
}

/** The step on a line, or the nearest one below it, which is said; null, and said why, where there is none. */
export function entryAt(entries, line) {
  const able = entries.filter((entry) => entry.line && mayStop(entry));
  const found = able.find((entry) => entry.line === line);
  if (found) return found;
  const inner = entries.flatMap((entry) => (entry.parent ? [entry] : (entry.inside ?? []))).find((entry) => entry.line === line);
  const outer = inner && able.find(({ kind, name }) => kind === outermost(inner).kind && name === outermost(inner).name);
  if (outer) {
    toast(`${whyNoStop(inner)}, on line ${outer.line}`);
    return outer;
  }
  const below = able.filter((entry) => entry.line > line).sort((a, b) => a.line - b.line)[0];
  toast(below ? `No step on line ${line}: the next is ${stepLabel(below)} on line ${below.line}` : `No step on line ${line} or below whose name is known`);
  return below ?? null;
}

/** Tells the editor when they have changed. Of a run that has ended it says so: those of the draft count then. */
export class StopLines {
  constructor() {
    this.reset();
  }

  reset() {
    this.told = "";
  }

  tell({ breakpoints, rows, stoppedBefore }, flat, final) {
    if (final) {
      if (this.told !== null) tell("stops", { lines: null });
      this.told = null;
      return;
    }
    const entries = breakpoints.length ? [...rows, ...flat] : []; // most runs have none, and this is asked at every drawing
    const lines = stopLines(breakpoints, entries, stoppedBefore);
    const told = JSON.stringify(lines);
    if (told === this.told) return;
    this.told = told;
    tell("stops", { lines, ofRun: true });
  }
}
