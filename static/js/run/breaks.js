// Breaks: attempts of a step that a person has made to fail, time out, be slow or return a given value. Pure; the fold's part of them is
// playground/workflows/breaks.py in the browser.

const same = (one, other) => one.name === other.name && (one.count ?? null) === (other.count ?? null);

/** The breaks after a `break_set`, a `break_cleared` or an `attempt_started` that names one. */
export function breaksAfter(breaks, type, seq, data) {
  if (type === "attempt_started") {
    return breaks.map((each) => (each.id === data.break ? { ...each, left: each.left - 1 } : each)).filter((each) => each.left > 0);
  }
  const kept = breaks.filter((each) => !same(each.step, data.step));
  return type === "break_set" ? [...kept, { id: seq, ...data, left: data.times }] : kept;
}
