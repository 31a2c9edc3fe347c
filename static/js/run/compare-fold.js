// Two instances side by side, as the API shows them: which steps belong together, and where they differ. Pure.
// It is playground/workflows/compare.py in the browser, which says what the answer holds.

import { keyOf, refOf } from "./fold.js";
import { same } from "./value.js";

export function compare(a, b) {
  const rows = pairs(a.steps, b.steps).map(([mine, other]) => row(a.steps, b.steps, mine, other));
  const outcome = ["status", "output", "error"].filter((name) => !same(outcomeOf(a, name), outcomeOf(b, name)));
  const found = rows.findIndex(({ differs }) => differs.length > 0);
  return { rows, outcome, params: same(a.params, b.params), code: a.snippet === b.snippet, first: found >= 0 ? found : outcome.length ? rows.length : null };
}

/** How often a step was tried, here or where it was copied from; null for what has no attempts. */
export function attemptsOf({ kind, copied, attempts }) {
  if (kind !== "do" || copied?.edited) return null;
  return copied ? (copied.attempts ?? null) : attempts.length;
}

/** How long a step took, in milliseconds; null while it is not over and where nobody knows. */
export function tookMs({ copied, started_at: from, ended_at: to, attempts = [] }) {
  if (copied) return copied.took_ms ?? null;
  if (to === null) return null;
  const [first] = attempts;
  return attempts.length === 1 && first.ended_at !== null && first.took_us !== undefined ? first.took_us / 1000 : to - from;
}

function pairs(a, b) {
  const places = new Map(b.map((step, place) => [keyOf(step), place]));
  const mine = new Set(a.map(keyOf));
  const found = [];
  let after = 0;
  const onlyB = (until) => {
    for (; after < until; after += 1) if (!mine.has(keyOf(b[after]))) found.push([null, after]);
  };
  a.forEach((step, place) => {
    const other = places.get(keyOf(step)) ?? null;
    if (other !== null) onlyB(other);
    found.push([place, other]);
  });
  onlyB(b.length);
  return found;
}

function row(a, b, mine, other) {
  const one = mine === null ? null : a[mine];
  const two = other === null ? null : b[other];
  return { ...refOf(one ?? two), a: mine, b: other, differs: differences(one, two) };
}

function differences(a, b) {
  if (!a || !b) return [a ? "only_a" : "only_b"];
  const found = a.status === b.status ? [] : ["status"];
  const output = (step) => (step.kind === "wait" ? step.output?.payload : step.output) ?? null; // the same event at another time is the same
  if (!same(output(a), output(b))) found.push("output");
  if (!same(errorOf(a), errorOf(b))) found.push("error");
  const tried = [a, b].map(attemptsOf);
  if (!tried.includes(null) && tried[0] !== tried[1]) found.push("attempts");
  return found;
}

const outcomeOf = (view, name) => (name === "error" ? errorOf(view) : view[name]);

// Where an error was raised may have moved with the code.
const errorOf = ({ error }) => (error ? [error.name, error.message ?? ""] : null);
