// The fold: what an instance looks like after its journal's events, taken one at a time. Pure; it touches no page.
// It is playground/workflows/state.py in the browser. tests/journals holds cases both must agree on (see view.js for the JSON).
// Beyond that one it keeps what only pictures need: log lines, spells with nothing running, brackets of parallel steps.

export const OPEN = new Set(["running", "retrying", "sleeping", "waiting"]);
export const FINAL = new Set(["complete", "errored", "terminated"]);

// Reasons for which a worker is gone without having been asked to give up: drawn as a cut through every row.
const DEATHS = new Set(["killed", "crashed", "evicted", "lost", "limit"]);

export const keyOf = (step) => `${step.kind}:${step.name}:${step.count}`;

export function newState() {
  return {
    status: "queued",
    generation: 1,
    params: null,
    trigger: null,
    output: null,
    error: null,
    rollback: null,
    createdAt: null,
    startedAt: null,
    endedAt: null,
    pausedAt: null,
    waitingUntil: null,
    lastSeq: 0,
    steps: new Map(),
    executions: [],
    logTruncated: 0,
    inExecution: false,
    // for pictures only
    lastAt: null,
    generationAt: null,
    version: 0,
    rows: [], // the steps of this generation, in the order they started
    open: new Set(), // those of them that are not over
    logs: [],
    quiet: [], // [from, to or null]: nothing ran
    pauses: [],
    kept: [], // events received and not yet given to a wait
    bracket: { id: 0, open: 0 },
  };
}

export function apply(state, event) {
  state.lastSeq = event.seq;
  state.lastAt = event.at;
  state.version = event.seq;
  const handler = HANDLERS[event.type];
  if (handler) handler(state, event, event.data || {});
}

export function fold(events) {
  const state = newState();
  for (const event of events) apply(state, event);
  return state;
}

/** The execution that has a worker at this moment, or null. */
export function alive(state) {
  return state.inExecution ? state.executions[state.executions.length - 1] : null;
}

/** The executions that made what this generation shows; a restart from a step keeps some of an earlier one. */
export function lives(state) {
  return state.executions.filter((one) => one.generation === state.generation || (one.endedAt !== null && one.endedAt > state.generationAt));
}

function hush(state, at) {
  const last = state.quiet[state.quiet.length - 1];
  if (!last || last[1] !== null) state.quiet.push([at, null]);
}

function stir(state, at) {
  const last = state.quiet[state.quiet.length - 1];
  if (last && last[1] === null) last[1] = at;
}

function stirred(state, event) {
  if (!state.inExecution) return;
  if (state.status === "waiting") state.status = "running";
  stir(state, event.at);
  const execution = alive(state);
  if (event.step && !execution.firstStep) {
    execution.firstStep = event.step;
    execution.firstAt ??= event.at;
  }
}

function stepOf(state, event) {
  const step = state.steps.get(keyOf(event.step));
  if (step) step.version = event.seq;
  return step;
}

function addStep(state, event, status, more) {
  const key = keyOf(event.step);
  const bracket = state.bracket;
  if (bracket.open === 0) bracket.id += 1;
  bracket.open += 1;
  const step = {
    key,
    kind: event.step.kind,
    name: event.step.name,
    count: event.step.count,
    status,
    line: event.data.line ?? null,
    startedAt: event.at,
    endedAt: null,
    until: null,
    eventType: null,
    config: null,
    hasOutput: false,
    output: null,
    error: null,
    attempts: [],
    rollback: null,
    virtual: false,
    startedSeq: event.seq,
    version: event.seq,
    endedSeq: null,
    execution: event.execution,
    endedExecution: null,
    bracket: bracket.id,
    index: state.rows.length,
    ...more,
  };
  state.steps.set(key, step);
  state.rows.push(step);
  state.open.add(step);
  return step;
}

function newAttempt(event) {
  return {
    attempt: event.data.attempt,
    execution: event.execution,
    startedAt: event.at,
    endedAt: null,
    error: null,
    retryDelayMs: null,
    virtual: Boolean(event.data.virtual),
    done: false,
  };
}

function completeAttempt(attempts, event) {
  const attempt = attempts[attempts.length - 1];
  if (attempt) {
    attempt.endedAt = event.at;
    attempt.done = true;
  }
}

function failAttempt(attempts, event) {
  const attempt = attempts[attempts.length - 1];
  if (!attempt || attempt.endedAt !== null) return;
  attempt.endedAt = event.at;
  attempt.error = event.data.error;
  attempt.retryDelayMs = event.data.retry_delay_ms ?? null;
}

/** An attempt that went with its worker: not the tenant's error, and drawn as none. */
export const isLost = (attempt) => attempt.error !== null && attempt.error.name === "WorkerLost";

function end(state, event, status) {
  const step = stepOf(state, event);
  if (!step) return;
  if (state.open.delete(step)) state.bracket.open = Math.max(0, state.bracket.open - 1);
  step.status = status;
  step.endedAt = event.at;
  step.endedSeq = event.seq;
  step.endedExecution = event.execution;
  step.error = event.data.error ?? null;
  if (step.kind === "do") step.until = null;
  step.virtual = Boolean(event.data.virtual);
  return step;
}

function restarted(state, event, data) {
  const before = [...state.steps.values()];
  const first = data.from_step && state.steps.get(keyOf(data.from_step));
  const kept = first ? before.filter((step) => step.startedSeq < first.startedSeq) : [];
  state.generation += 1;
  state.steps = new Map(kept.map((step) => [step.key, step]));
  state.rows = kept;
  state.rows.forEach((step, index) => {
    step.index = index;
    step.version = event.seq;
  });
  state.open = new Set(kept.filter((step) => OPEN.has(step.status)));
  state.bracket = { id: state.bracket.id + 1, open: state.open.size };
  state.status = "queued";
  state.output = state.error = state.rollback = state.startedAt = state.endedAt = state.pausedAt = null;
  state.logTruncated = 0;
  state.generationAt = kept.length ? Math.min(...kept.map((step) => step.startedAt)) : event.at;
  state.kept = [];
  const last = state.executions[state.executions.length - 1];
  if (last && last.endedAt === event.at) last.cut = false;
  state.logs.push({ seq: event.seq, at: event.at, cut: "restart", execution: null });
  hush(state, event.at);
}

function final(status) {
  return (state, event, data) => {
    state.status = status;
    state.output = data.output ?? null;
    state.error = data.error ?? null;
    state.endedAt = event.at;
    stir(state, event.at);
    const last = state.executions[state.executions.length - 1];
    if (last && last.endedAt === event.at && last.reason !== "limit") last.cut = false;
  };
}

function paused(state, event) {
  state.status = "paused";
  state.pausedAt = event.at;
  state.pauses.push([event.at, null]);
  hush(state, event.at);
}

function resumed(state, event) {
  if (state.status === "waitingForPause") {
    state.status = "running";
    return;
  }
  state.status = "queued";
  const held = event.at - (state.pausedAt ?? event.at);
  for (const step of state.open) {
    if (step.until !== null) {
      step.until += held;
      step.version = event.seq;
    }
  }
  state.pausedAt = null;
  const last = state.pauses[state.pauses.length - 1];
  if (last && last[1] === null) last[1] = event.at;
}

function executionStarted(state, event, data) {
  state.executions.push({
    execution: data.execution,
    worker: data.worker ?? null,
    replayed: data.replayed ?? 0,
    codeVersion: data.code_version ?? null,
    startedAt: event.at,
    endedAt: null,
    reason: null,
    generation: state.generation,
    startedSeq: event.seq,
    firstStep: null,
    firstAt: null,
    cut: false,
  });
  state.inExecution = true;
  stir(state, event.at);
  if (state.status !== "waitingForPause") state.status = "running";
}

function executionEnded(state, event, data) {
  const last = state.executions[state.executions.length - 1];
  if (last) {
    last.endedAt = event.at;
    last.reason = data.reason;
    last.cut = DEATHS.has(data.reason);
    if (last.cut) state.logs.push({ seq: event.seq, at: event.at, cut: data.reason, execution: last.execution });
  }
  state.inExecution = false;
  if (state.status === "running") state.status = "queued";
  hush(state, event.at);
}

function log(state, event, data) {
  const lines = String(data.text ?? "").split("\n");
  lines.forEach((text, index) => {
    state.logs.push({
      seq: event.seq,
      at: event.at,
      execution: event.execution,
      step: event.step ?? null,
      stream: data.stream,
      level: index === 0 ? (data.level ?? null) : null,
      text,
      replay: Boolean(data.replay),
      line: data.line ?? null,
      more: index > 0,
      cut: null,
    });
  });
}

function attemptStarted(state, event) {
  const step = stepOf(state, event);
  if (!step) return;
  step.status = "running";
  step.until = null;
  step.attempts.push(newAttempt(event));
  stirred(state, event);
}

function rollbackStepEnded(status) {
  return (state, event, data) => {
    const step = stepOf(state, event);
    if (!step) return;
    step.rollback = step.rollback ?? { status: "running", attempts: [], error: null };
    step.rollback.status = status;
    step.rollback.error = data.error ?? null;
    step.rollback.endedAt = event.at;
  };
}

const HANDLERS = {
  workflow_queued(state, event, data) {
    state.params = data.params ?? null;
    state.trigger = data.trigger ?? null;
    state.createdAt = state.generationAt = event.at;
    state.status = "queued";
    hush(state, event.at);
  },
  workflow_started(state, event) {
    state.startedAt = event.at;
  },
  workflow_waiting(state, event, data) {
    state.waitingUntil = data.until ?? null;
    state.status = "waiting";
    const execution = alive(state);
    if (execution) execution.firstAt ??= event.at;
    hush(state, event.at);
  },
  workflow_waiting_for_pause(state) {
    state.status = "waitingForPause";
  },
  workflow_paused: paused,
  workflow_resumed: resumed,
  workflow_restarted: restarted,
  workflow_completed: final("complete"),
  workflow_errored: final("errored"),
  workflow_terminated: final("terminated"),
  execution_started: executionStarted,
  execution_ended: executionEnded,
  step_started(state, event, data) {
    const step = addStep(state, event, "running", { config: data.config ?? null });
    if (data.rollback) step.rollback = { status: "pending", attempts: [], error: null };
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
    step.until = event.at + (data.retry_delay_ms ?? 0);
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
    addStep(state, event, "waiting", { until: data.until, eventType: data.event_type });
  },
  wait_completed(state, event, data) {
    const step = end(state, event, "completed");
    if (!step) return;
    Object.assign(step, { hasOutput: true, output: data.event });
    state.kept = state.kept.filter((one) => one.seq !== data.received);
    stirred(state, event);
  },
  wait_timed_out(state, event) {
    if (end(state, event, "timed_out")) stirred(state, event);
  },
  event_received(state, event, data) {
    state.kept.push({ seq: event.seq, at: event.at, type: data.type, payload: data.payload });
  },
  log,
  log_truncated(state, event, data) {
    state.logTruncated = data.dropped;
  },
  rollback_started(state, event) {
    state.rollback = "running";
    stirred(state, event);
  },
  rollback_step_started(state, event) {
    const step = stepOf(state, event);
    if (step) step.rollback = { status: "running", attempts: [], error: null };
    stirred(state, event);
  },
  rollback_attempt_started(state, event) {
    const step = stepOf(state, event);
    if (step && step.rollback) {
      step.rollback.status = "running";
      step.rollback.attempts.push({ ...newAttempt(event), virtual: false });
    }
    stirred(state, event);
  },
  rollback_attempt_completed(state, event) {
    const step = stepOf(state, event);
    if (step && step.rollback) completeAttempt(step.rollback.attempts, event);
  },
  rollback_attempt_errored(state, event) {
    const step = stepOf(state, event);
    if (!step || !step.rollback) return;
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
