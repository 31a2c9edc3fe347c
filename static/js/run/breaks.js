// Breaks: attempts of a step that a person has made to fail, time out, be slow or return a given value. Pure; the fold's part of them is
// playground/workflows/breaks.py in the browser.

import { brief } from "./value.js";
import { lasting } from "./words.js";

const same = (one, other) => one.name === other.name && (one.count ?? null) === (other.count ?? null);

/** The breaks after a `break_set`, a `break_cleared` or an `attempt_started` that names one. */
export function breaksAfter(breaks, type, seq, data) {
  if (type === "attempt_started") {
    return breaks.map((each) => (each.id === data.break ? { ...each, left: each.left - 1 } : each)).filter((each) => each.left > 0);
  }
  const kept = breaks.filter((each) => !same(each.step, data.step));
  return type === "break_set" ? [...kept, { id: seq, ...data, left: data.times }] : kept;
}

/** The break that a step falls under: one for this very call before one for every call of its name. `count` null: whatever call comes. */
export function breakOf(breaks, { name, count = null }) {
  const named = breaks.filter((each) => each.step.name === name);
  return named.find((each) => count !== null && each.step.count === count) ?? named.find((each) => (each.step.count ?? null) === null) ?? (count === null ? named[0] : undefined) ?? null;
}

/** What a break does to its step: "fails its next 2 attempts". */
export function says({ how, left, times, ms, value }) {
  const many = left ?? times;
  const next = many === 1 ? "its next attempt" : `its next ${many} attempts`;
  if (how === "fail") return `fails ${next}`;
  if (how === "timeout") return `times out at ${next}`;
  if (how === "slow") return `is ${lasting(ms)} slow at ${next}`;
  return `returns ${brief(value)} without running, ${many === 1 ? "once" : `${many} times`}`;
}

/** What was done to an attempt, by `injected` in its events. */
export const INJECTED = {
  fail: "made to fail on purpose",
  timeout: "made to time out on purpose",
  slow: "made slow on purpose",
  return: "given its result, not run",
};

/** Whether an attempt failed because it was made to: no error of the tenant's. */
export const isBroken = (attempt) => attempt.error !== null && (attempt.injected === "fail" || attempt.injected === "timeout");
