// The fold of what concerns one step: its attempts, its waits, its rollback. Names of events are those of the journal.

import { breaksAfter } from "./breaks.js";
import { close, forgetStops, keyOf, stirred } from "./fold-state.js";
import { attemptBegins } from "./fold-streams.js";

function stepOf(state, event) {
  const step = event.step && state.steps.get(keyOf(event.step));
  if (step) step.version = event.seq;
  return step;
}

function addStep(state, event, status, more) {
  const key = keyOf(event.step);
  const { bracket } = state;
  const { parent = null } = event.step;
  if (parent) state.nested = true;
  else {
    if (bracket.open === 0) bracket.id += 1;
    bracket.open += 1;
  }
  const step = {
    key,
    parent,
    kind: event.step.kind,
    name: event.step.name,
    count: event.step.count,
    status,
    line: event.data.line ?? null,
    startedAt: event.at,
    endedAt: null,
    until: null,
    eventType: null,
    reply: null, // of a wait, to its event
    by: null, // who sent the event of a wait
    ai: null, // what its calls of models came to
    mcp: null, // what its calls of tools came to
    child: null, // the id of the run that it started and waits for
    config: null,
    hasOutput: false,
    output: null,
    error: null,
    attempts: [],
    rollback: null,
    virtual: false,
    returned: false, // its event went back to those that are kept
    byEnd: false, // cancelled, since the run had ended
    copied: null,
    edited: false, // a person gave its result
    brokeLimit: false, // its worker broke a limit, which ended the run
    startedSeq: event.seq,
    version: event.seq,
    endedSeq: null,
    execution: event.execution,
    endedExecution: null,
    bracket: parent ? null : bracket.id,
    index: state.rows.length,
    ...more,
  };
  state.steps.set(key, step);
  state.rows.push(step);
  state.open.add(step);
  return step;
}

/** What the calls of a step came to, with one more. */
const called = (before, { data }, more) => ({
  calls: (before?.calls ?? 0) + 1,
  failed: (before?.failed ?? 0) + ("error" in data ? 1 : 0),
  took_ms: (before?.took_ms ?? 0) + data.took_ms,
  ...more,
});

/** What becomes of a step's rollback handler. */
const newHandler = (status) => ({ status, attempts: [], error: null });

function newAttempt(event) {
  return {
    attempt: event.data.attempt,
    execution: event.execution,
    startedAt: event.at,
    endedAt: null,
    tookUs: null,
    error: null,
    retryDelayMs: null,
    virtual: Boolean(event.data.virtual),
    injected: event.data.injected ?? null,
    done: false,
  };
}

function completeAttempt(attempts, event) {
  const attempt = attempts[attempts.length - 1];
  if (attempt) {
    attempt.endedAt = event.at;
    attempt.tookUs = event.data.took_us ?? null;
    attempt.done = true;
  }
}

function failAttempt(attempts, event) {
  const attempt = attempts[attempts.length - 1];
  if (!attempt || attempt.endedAt !== null) return;
  attempt.endedAt = event.at;
  attempt.tookUs = event.data.took_us ?? null;
  attempt.error = event.data.error;
  attempt.retryDelayMs = event.data.retry_delay_ms ?? null;
}

function end(state, event, status) {
  const step = stepOf(state, event);
  if (!step) return;
  close(state, step);
  step.status = status;
  step.endedAt = event.at;
  step.endedSeq = event.seq;
  step.endedExecution = event.execution;
  step.error = event.data.error ?? null;
  if (step.kind === "do") step.until = null;
  step.virtual = Boolean(event.data.virtual);
  return step;
}

function attemptStarted(state, event) {
  const step = stepOf(state, event);
  if (!step) return;
  step.status = "running";
  state.open.add(step);
  step.until = null;
  step.attempts.push(newAttempt(event));
  attemptBegins(state, step, event.data.attempt);
  if (event.data.break !== undefined) breaks(state, event);
  stirred(state, event);
}

function breaks(state, event) {
  state.breaks = breaksAfter(state.breaks, event.type, event.seq, event.data);
}

function rollbackStepEnded(status) {
  return (state, event, data) => {
    const step = stepOf(state, event);
    if (!step) return;
    step.rollback ??= newHandler("pending");
    step.rollback.status = status;
    step.rollback.error = data.error ?? null;
    step.rollback.endedAt = event.at;
  };
}

/** A step that a fork begins with: it ran in the instance that this one was forked from. */
function stepCopied(state, event, data) {
  const copied = Object.fromEntries(["attempts", "took_ms", "edited"].filter((name) => name in data).map((name) => [name, data[name]]));
  const { config = null, event_type: eventType = null, child = null, error = null } = data;
  const output = "output" in data ? { hasOutput: true, output: data.output } : {};
  const step = addStep(state, event, data.status, { endedAt: event.at, endedSeq: event.seq, config, eventType, child, error, copied, ...output });
  if (data.rollback) step.rollback = newHandler("pending");
  close(state, step);
}

/** A person gave the result, or the error, of the step that the run was stopped before: it does not run. */
function stepGiven(state, event, data) {
  const { config = null, event_type: eventType = null, child = null, error = null } = data;
  const output = "output" in data ? { hasOutput: true, output: data.output } : {};
  const step = addStep(state, event, data.status, { endedAt: event.at, endedSeq: event.seq, config, eventType, child, error, edited: true, ...output });
  if (data.rollback) step.rollback = newHandler("pending");
  close(state, step);
  state.stoppedBefore = null;
}

/** Nobody waits for it any more. What it was given the code has never seen. */
function cancelled(state, event, data) {
  const step = end(state, event, "cancelled");
  if (!step) return;
  Object.assign(step, { hasOutput: false, output: null, by: null, returned: Boolean(data.returned) });
  stirred(state, event);
}

export const STEPS = {
  step_copied: stepCopied,
  step_given: stepGiven,
  step_started(state, event, data) {
    const step = addStep(state, event, "running", { config: data.config ?? null });
    if (data.rollback) step.rollback = newHandler("pending");
    stirred(state, event);
  },
  attempt_started: attemptStarted,
  attempt_completed(state, event) {
    const step = stepOf(state, event);
    if (step) completeAttempt(step.attempts, event);
  },
  attempt_errored(state, event, data) {
    const step = stepOf(state, event);
    if (!step) return;
    failAttempt(step.attempts, event);
    step.status = "retrying";
    state.open.add(step);
    step.until = event.at + (data.retry_delay_ms ?? 0);
  },
  break_set: breaks,
  break_cleared: breaks,
  retry_woken(state, event) {
    const step = stepOf(state, event);
    if (!step) return;
    step.until = event.at;
    const last = step.attempts[step.attempts.length - 1];
    if (last) last.virtual = true;
    stirred(state, event);
  },
  step_completed(state, event, data) {
    const step = end(state, event, "completed");
    if (step) Object.assign(step, { hasOutput: true, output: data.output ?? null });
    if (step) stirred(state, event);
  },
  step_errored(state, event) {
    if (end(state, event, "errored")) stirred(state, event);
  },
  sleep_started(state, event, data) {
    addStep(state, event, "sleeping", { until: data.until });
  },
  sleep_completed(state, event) {
    if (end(state, event, "completed")) stirred(state, event);
  },
  wait_started(state, event, data) {
    addStep(state, event, "waiting", { until: data.until, eventType: data.event_type, config: data.config ?? null });
  },
  wait_completed(state, event, data) {
    const step = end(state, event, "completed");
    if (!step) return;
    Object.assign(step, { hasOutput: true, output: data.event, by: data.by ?? null });
    stirred(state, event);
  },
  wait_timed_out(state, event) {
    if (end(state, event, "timed_out")) stirred(state, event);
  },
  child_started(state, event, data) {
    addStep(state, event, "waiting", { child: data.child, cascade: data.cascade ?? true });
  },
  child_completed(state, event, data) {
    const step = end(state, event, "completed");
    if (!step) return;
    Object.assign(step, { hasOutput: true, output: data.output ?? null });
    stirred(state, event);
  },
  child_errored(state, event) {
    if (end(state, event, "errored")) stirred(state, event);
  },
  child_cancelled: cancelled,
  ai_called(state, event, { model, tokens_in: sent, tokens_out: received }) {
    const step = stepOf(state, event);
    if (step) step.ai = called(step.ai, event, { model, tokens_in: (step.ai?.tokens_in ?? 0) + sent, tokens_out: (step.ai?.tokens_out ?? 0) + received });
  },
  mcp_called(state, event, { server, tool }) {
    const step = stepOf(state, event);
    if (step) step.mcp = called(step.mcp, event, { server, tool });
  },
  event_replied(state, event, { output, error }) {
    const wait = state.steps.get(keyOf({ ...event.step, kind: "wait" }));
    if (!wait) return;
    wait.reply = { at: event.at, ...(error === undefined ? { output } : { error }) };
    wait.version = event.seq;
  },
  sleep_cancelled: cancelled,
  wait_cancelled: cancelled,
  rollback_started(state, event) {
    state.rollback = "running";
    forgetStops(state);
    if (!state.inExecution) Object.assign(state, { status: "queued", heldUntil: null });
    stirred(state, event);
  },
  rollback_step_started(state, event) {
    const step = stepOf(state, event);
    if (!step) return;
    step.rollback = newHandler("running");
    stirred(state, event);
  },
  rollback_attempt_started(state, event) {
    const step = stepOf(state, event);
    if (!step) return;
    step.rollback ??= newHandler("pending");
    step.rollback.status = "running";
    step.rollback.attempts.push({ ...newAttempt(event), virtual: false, injected: null });
    stirred(state, event);
  },
  rollback_attempt_completed(state, event) {
    const step = stepOf(state, event);
    if (step && step.rollback) completeAttempt(step.rollback.attempts, event);
  },
  rollback_attempt_errored(state, event) {
    const step = stepOf(state, event);
    if (!step) return;
    step.rollback ??= newHandler("pending");
    failAttempt(step.rollback.attempts, event);
    step.rollback.status = "retrying";
  },
  rollback_step_completed: rollbackStepEnded("completed"),
  rollback_step_errored: rollbackStepEnded("errored"),
  rollback_completed(state) {
    state.rollback = "complete";
  },
  rollback_errored(state) {
    state.rollback = "errored";
  },
};
