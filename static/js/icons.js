// The page's own icons, drawn in templates/_icons.html.

const SVG = "http://www.w3.org/2000/svg";

// A step's status as an icon, its tone and a word; as drawn everywhere on the page.
export const STATUSES = {
  errored: ["failed", "bad", "failed"],
  timed_out: ["failed", "bad", "timed out"],
  running: ["running", "now", "running"],
  retrying: ["retry", "now", "between attempts"],
  waiting: ["waiting", "now", "waiting for an event"],
  sleeping: ["sleep", "now", "asleep"],
  completed: ["done", "", "done"],
  not: ["not", "not", "not reached"],
};

export function icon(name, label = "", tone = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `i ${tone}`.trim());
  if (label) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
  } else {
    svg.setAttribute("aria-hidden", "true");
  }
  svg.appendChild(document.createElementNS(SVG, "use")).setAttribute("href", `#i-${name}`);
  return svg;
}

/** The status that stands for several steps on one line: the first, in the order above, that any of them has. */
export function worst(steps) {
  return Object.keys(STATUSES).find((status) => steps.some((step) => step.status === status)) ?? "not";
}
