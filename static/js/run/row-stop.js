// What a row of the timeline, or of the plan, shows of breakpoints: a tag at its left edge, which is the button that sets and clears one.

import { el, setFlag } from "../dom.js";
import { breakpointOf } from "./breakpoints.js";
import { rowTool } from "./new-row.js";
import { stepLabel } from "./words.js";

/** Whether a run can be made to stop before the step of a row: not before one inside another's callback, whose attempt would be lost. */
export const mayStop = (entry) => Boolean(entry.name) && !entry.parent && !entry.computed;

/** Why a run can't be made to stop before the step of a row. */
export function whyNoStop({ name, parent }) {
  if (!parent) return "The name of this step is made when it runs: it can be stopped before once it has run";
  return `No run stops inside a step: ${name} belongs to ${stepLabel(outermost(parent))}`;
}

export const outermost = (step) => (step.parent ? outermost(step.parent) : step);

/** The breakpoint of a row. */
export const rowStop = (breakpoints, entry) => (breakpoints.length && mayStop(entry) ? breakpointOf(breakpoints, entry) : null);

/** Puts the button at the beginning of a row, or takes it away. `toggle` null: nobody here may set one, and what is set is only shown. */
export function stopTool(item, entry, found, here, toggle, tabIndex = 0) {
  setFlag(item.parts.row, "is-stop", here);
  setFlag(item.parts.row, "has-stop", Boolean(found));
  const act = mayStop(entry) ? toggle : null;
  const button = rowTool(item, "stops", { act, tabIndex, make: (row) => row.insertBefore(el("button.row-stop", { type: "button" }), row.firstChild) });
  if (!button) return;
  button.setAttribute("aria-pressed", String(Boolean(found)));
  button.setAttribute("aria-label", `Pause before ${entry.name}`);
  button.title = found ? "The run stops before this step. Press to clear" : "Pause before this step";
}
