// Breakpoints: the run stops before a step. Pure; the fold's part of them is playground/workflows/breakpoints.py in the browser.

const FIELDS = ["kind", "name", "count"];

const same = (one, other) => FIELDS.every((field) => (one[field] ?? null) === (other[field] ?? null));

/** The breakpoints that outlast a stop. */
export const lastingOnes = (breakpoints) => breakpoints.filter((each) => !each.once);

/** The breakpoints after a `breakpoint_set` or a `breakpoint_cleared`. */
export function breakpointsAfter(breakpoints, type, data) {
  const once = Boolean(data.once);
  const kept = breakpoints.filter((each) => Boolean(each.once) !== once || !same(each.step, data.step));
  if (type === "breakpoint_cleared") return kept;
  return [...kept, once ? { step: data.step, once: true } : { step: data.step }];
}

/** The step that a run is stopped before, by the data of its `breakpoint_hit`. */
export const stopOf = ({ step, ...begins }) => ({ ...step, ...begins });

/** The breakpoint that a person has set before a step: one for this very call before one for every call of its name. */
export function breakpointOf(breakpoints, { kind, name, count = null }) {
  const named = lastingOnes(breakpoints).filter((each) => each.step.name === name && (each.step.kind ?? kind) === kind);
  const any = named.find((each) => (each.step.count ?? null) === null);
  return (count !== null && named.find((each) => each.step.count === count)) || any || (count === null ? named[0] : null) || null;
}
