// Steps that were called in the callback of another one: where they stand and how deep. Pure.

import { keyOf } from "./fold-state.js";

const orders = new WeakMap(); // of a state: {generation, taken, rows}

/** How many steps a step lies in. */
export const depthOf = (step) => (step.parent ? 1 + depthOf(step.parent) : 0);

/** The steps of a state as they are shown: in the order in which they began, but those called in another one under it. */
export function rowsOf(state) {
  if (!state.nested) return state.rows;
  const { generation, rows } = state;
  const known = orders.get(state);
  if (known?.generation === generation && known.taken === rows.length) return known.rows;
  const shown = ordered(rows);
  orders.set(state, { generation, taken: rows.length, rows: shown });
  return shown;
}

function ordered(rows) {
  const known = new Set(rows.map(({ key }) => key));
  const inside = new Map(); // key of a step -> those called in it
  const tops = [];
  for (const step of rows) {
    const parent = step.parent && keyOf(step.parent);
    if (!known.has(parent)) tops.push(step);
    else if (inside.has(parent)) inside.get(parent).push(step);
    else inside.set(parent, [step]);
  }
  const shown = [];
  const add = (step) => {
    shown.push(step);
    for (const one of inside.get(step.key) ?? []) add(one);
  };
  for (const step of tops) add(step);
  return shown;
}

/**
 * Where the bracket of steps that run side by side stands beside a row: [before, after, passing], whether it comes from above, goes on below,
 * and only passes by what such a step has called. `inner` says which rows lie in another one.
 */
export function bracketAt(rows, index, inner = (at) => Boolean(rows[at]?.parent)) {
  const own = (at) => rows[at]?.bracket ?? null;
  const next = (at, by) => {
    let to = at + by;
    while (inner(to)) to += by;
    return to;
  };
  if (!inner(index)) {
    const mine = own(index);
    return [own(next(index, -1)) === mine, own(next(index, 1)) === mine, false];
  }
  const goesOn = own(next(index, -1)) !== null && own(next(index, -1)) === own(next(index, 1));
  return [goesOn, goesOn, true];
}
