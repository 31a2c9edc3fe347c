// The JSON of `GET /api/instances/{id}` from a folded state: what the journal tells of an instance, in the API's words.

export function view(state) {
  const shown = {
    status: state.status,
    output: state.output,
    error: state.error,
    rollback: state.rollback,
    params: state.params,
    generation: state.generation,
    created_at: state.createdAt,
    started_at: state.startedAt,
    ended_at: state.endedAt,
    waiting_until: state.status === "waiting" ? state.waitingUntil : null,
    executions: state.executions.map((one) => ({
      execution: one.execution,
      worker: one.worker,
      replayed: one.replayed,
      code_version: one.codeVersion,
      started_at: one.startedAt,
      ended_at: one.endedAt,
      reason: one.reason,
    })),
    last_seq: state.lastSeq,
    steps: [...state.steps.values()].map(stepView),
    log_truncated: state.logTruncated,
    breaks: state.breaks,
    armed: state.armed,
  };
  if (state.trigger !== null && typeof state.trigger === "object") shown.trigger = state.trigger;
  if (state.codeChanges.length) shown.code_changes = [...state.codeChanges];
  return shown;
}

function stepView(step) {
  const shown = {
    kind: step.kind,
    name: step.name,
    count: step.count,
    line: step.line,
    status: step.status,
    started_at: step.startedAt,
    ended_at: step.endedAt,
  };
  if (step.until !== null) shown.until = step.until;
  if (step.eventType !== null) shown.event_type = step.eventType;
  if (step.config !== null) shown.config = step.config;
  if (step.error !== null) shown.error = step.error;
  if (step.hasOutput) shown.output = step.output;
  if (step.virtual) shown.virtual = true;
  if (step.copied) shown.copied = step.copied;
  if (step.kind === "do") shown.attempts = step.attempts.map(attemptView);
  if (step.rollback !== null) {
    shown.rollback = { status: step.rollback.status, attempts: step.rollback.attempts.map(attemptView) };
    if (step.rollback.error !== null) shown.rollback.error = step.rollback.error;
  }
  return shown;
}

function attemptView(attempt) {
  const shown = {
    attempt: attempt.attempt,
    execution: attempt.execution,
    started_at: attempt.startedAt,
    ended_at: attempt.endedAt,
  };
  if (attempt.error !== null) shown.error = attempt.error;
  if (attempt.retryDelayMs !== null) shown.retry_delay_ms = attempt.retryDelayMs;
  if (attempt.injected !== null) shown.injected = attempt.injected;
  if (attempt.virtual) shown.virtual = true;
  return shown;
}
