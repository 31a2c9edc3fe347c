// The tasks of a lesson, pure: whether one has been done is a question to the fold, never to what was pressed. The kinds are described in
// playground/examples/__init__.py, which refuses a header that this file would not understand.

import { eventTypes, isLost, lives } from "./fold.js";
import { same } from "./value.js";

/**
 * @param {object} task as in an example's header
 * @param {object} state the fold
 * @param {any} params the example's own
 * @returns {boolean} whether this run shows that the task was done
 */
export function isDone(task, state, params) {
  return KINDS[task.do]?.(task, state, params) ?? false;
}

/** Whether this is the moment to do it, while the run goes on. */
export function canTry(task, state) {
  const open = [...state.open];
  if (task.do === "kill-worker") {
    if (!state.inExecution) return false;
    if (task.undoing) return state.rows.some((step) => step.name === task.undoing && step.rollback?.status === "running");
    const step = open.find((one) => one.name === (task.during ?? task.between));
    if (!step || (task.during && (lives(state).length > 1 || !enoughRead(task, state)))) return false;
    return task.between ? step.status === "retrying" : step.status !== "retrying";
  }
  if (task.do === "send-event") return open.some((step) => step.status === "waiting" && eventTypes(step).includes(task.type));
  if (task.do === "wake") return open.some((step) => step.name === task.step && step.until !== null && step.status !== "running") && (!task.hibernated || !state.inExecution);
  return false;
}

/** Before the worker is killed: would the next one have enough to read? */
const enoughRead = (task, state) => !task.read || state.rows.filter((step) => step.endedAt !== null).length >= task.read;

const GIVEN_UP = new Set(["hibernated", "evicted"]);

const has = (value, wanted) => Boolean(value) && typeof value === "object" && Object.entries(wanted).every(([name, one]) => same(value[name], one));

const named = (state, name) => state.rows.filter((step) => step.name === name);

/** Executions that were killed, each with the one that went on after it. */
function killed(state) {
  return state.executions.flatMap((one, index) => (one.reason === "killed" && one.cut && state.executions[index + 1] ? [[one, state.executions[index + 1]]] : []));
}

const lostIn = (attempts, execution) => attempts.some((one) => one.execution === execution.execution && isLost(one));

/** Whether an execution's death fell into the time from `from` to `to`; null is still to come. */
const within = (execution, from, to) => from <= execution.endedAt && (to === null || execution.endedAt <= to);

function diedIn(step, execution) {
  if (step.kind === "do") return lostIn(step.attempts, execution);
  return within(execution, step.startedAt, step.endedAt);
}

function diedBetween(step, execution) {
  return step.attempts.some((one, index) => one.retryDelayMs !== null && one.endedAt !== null && within(execution, one.endedAt, step.attempts[index + 1]?.startedAt ?? null));
}

const KINDS = {
  finish: (task, state, params) => state.status === "complete" && (task.params !== "changed" || !same(state.params, params)),
  "kill-worker": (task, state) =>
    killed(state).some(([dead, next]) => {
      if (next.replayed < (task.read ?? 0)) return false;
      if (task.undoing) return named(state, task.undoing).some((step) => step.rollback && lostIn(step.rollback.attempts, dead) && step.rollback.attempts.some((one) => one.execution > dead.execution));
      if (task.between) return named(state, task.between).some((step) => diedBetween(step, dead));
      return named(state, task.during).some((step) => diedIn(step, dead) && (step.kind !== "do" || step.attempts.some((one) => one.execution > dead.execution)));
    }),
  "send-event": (task, state) =>
    state.rows.some((step) => step.kind === "wait" && step.status === "completed" && step.output?.type === task.type && has(step.output?.payload ?? {}, task.match ?? {})),
  wake: (task, state) =>
    named(state, task.step).some((step) => (step.kind === "do" ? step.attempts.some((one) => one.virtual) : step.virtual)) &&
    (!task.hibernated || state.executions.some((one) => GIVEN_UP.has(one.reason))),
  fail: (task, state) => named(state, task.step).some((step) => step.status === "errored" && step.attempts.filter((one) => !isLost(one)).length === task.attempts),
  step: (task, state) => state.status === "complete" && named(state, task.name).some((step) => step.status === "completed"),
  answer: (task, state) =>
    named(state, task.step).some((step) => step.status === "completed" && (task.has ? has(step.output, task.has) : !same(step.output, task.differs))),
};
