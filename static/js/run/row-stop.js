// What a row of the timeline, or of the plan, shows of breakpoints: a tag at its left edge, which is the button that sets and clears one.

import { el, setFlag } from "../dom.js";
import { breakpointOf } from "./breakpoints.js";

/** The breakpoint of a row. One inside another step's callback has none: the attempt around it would run out of time. */
export const rowStop = (breakpoints, entry) => (entry.name && !entry.parent && !entry.computed && breakpoints.length ? breakpointOf(breakpoints, entry) : null);

/** Whether a run can be made to stop before the step of a row. */
export const mayStop = (entry) => Boolean(entry.name) && !entry.parent && !entry.computed;

/** Puts the button at the beginning of a row, or takes it away. `toggle` null: nobody here may set one, and what is set is only shown. */
export function stopTool(item, entry, found, here, toggle, tabIndex = 0) {
  setFlag(item.parts.row, "is-stop", here);
  setFlag(item.parts.row, "has-stop", Boolean(found));
  if (!toggle || !mayStop(entry)) {
    item.stops?.remove();
    item.stops = null;
    return;
  }
  item.stops ??= newTool(item);
  const button = item.stops;
  button.toggle = toggle;
  button.tabIndex = tabIndex;
  button.setAttribute("aria-pressed", String(Boolean(found)));
  button.setAttribute("aria-label", `Pause before ${entry.name}`);
  button.title = found ? "The run stops before this step. Press to clear" : "Pause before this step";
}

function newTool(item) {
  const button = el("button.row-stop", { type: "button" });
  button.addEventListener("click", (event) => {
    event.stopPropagation();
    button.toggle();
  });
  item.parts.row.prepend(button);
  return button;
}
