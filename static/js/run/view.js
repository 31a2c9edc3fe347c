// The JSON of `GET /api/instances/{id}` from a folded state: what the journal tells of an instance, in the API's words.

import { streamsView } from "./fold-streams.js";

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
    held_until: state.heldUntil,
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
    streams: streamsView(state),
    breaks: state.breaks,
    breakpoints: state.breakpoints,
    stopped_before: state.stoppedBefore,
    armed: state.armed,
    skips_sleeps: state.skipsSleeps,
    tags: [...state.tags],
  };
  if (state.trigger !== null && typeof state.trigger === "object") shown.trigger = state.trigger;
  if (state.patches.size) shown.patches = [...state.patches.values()];
  if (state.codeChanges.length) shown.code_changes = [...state.codeChanges];
  return shown;
}

function stepView(step) {
  const { until, eventType: event_type, child, reply, config, error, ai, mcp, rollback } = step;
  return {
    kind: step.kind,
    name: step.name,
    count: step.count,
    ...told({ parent: step.parent }),
    line: step.line,
    status: step.status,
    started_at: step.startedAt,
    ended_at: step.endedAt,
    ...told({ until, event_type, child, reply, config, error, ai, mcp }),
    ...(step.hasOutput ? { output: step.output } : {}),
    ...(step.virtual ? { virtual: true } : {}),
    ...(step.copied ? { copied: step.copied } : {}),
    ...(step.edited ? { edited: true } : {}),
    ...(step.kind === "do" ? { attempts: step.attempts.map(attemptView) } : {}),
    ...(rollback ? { rollback: { status: rollback.status, attempts: rollback.attempts.map(attemptView), ...told({ error: rollback.error }) } } : {}),
  };
}

function attemptView({ attempt, execution, startedAt, endedAt, tookUs, error, retryDelayMs, injected, virtual }) {
  return { attempt, execution, started_at: startedAt, ended_at: endedAt, ...told({ took_us: tookUs, error, retry_delay_ms: retryDelayMs, injected }), ...(virtual ? { virtual: true } : {}) };
}

/** The fields that have something to say. */
const told = (fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
