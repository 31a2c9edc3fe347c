// The fold of what concerns the run as a whole: its life, its executions, its log. Names of events are those of the journal.

import { breakpointsAfter, lastingOnes, stopOf } from "./breakpoints.js";
import { OPEN, alive, cancelWaits, forgetStops, hush, keyOf, reopen, stir } from "./fold-state.js";
import { restartStreams } from "./fold-streams.js";

// Reasons for which a worker is gone without having been asked to give up: drawn as a cut through every row.
const FETCHES = 50; // requests of one step that are shown, the latest
const DEATHS = new Set(["killed", "crashed", "lost", "limit"]);

// Reasons after which no kill is armed any more: it has come, or nothing is left to kill.
const DISARMING = new Set(["killed", "completed", "limit"]);

const LINE_MOST = 16_000; // characters of a line that came in pieces; what goes on after it stands in a row of its own

const openAttempt = (attempts) => attempts.length > 0 && attempts[attempts.length - 1].endedAt === null;

/** Whether an attempt runs: then a worker that is taken away takes something with it. */
function busy(state) {
  for (const step of state.open) if (openAttempt(step.attempts)) return true;
  return state.rollback === "running" && state.rows.some((step) => step.rollback !== null && openAttempt(step.rollback.attempts));
}

/** Whether the last execution was ended by what `event` tells, so that its end was meant and is no cut. */
function meant(state, event) {
  const last = state.executions[state.executions.length - 1];
  return Boolean(last) && last.cut && last.endedSeq === event.seq - 1;
}

function uncut(state) {
  state.executions[state.executions.length - 1].cut = false;
  state.logs.pop();
}

function restarted(state, event, data) {
  const before = [...state.steps.values()];
  const first = data.from_step && state.steps.get(keyOf(data.from_step));
  const kept = first ? before.filter((step) => step.startedSeq < first.startedSeq) : [];
  state.patches = new Map([...state.patches].filter(([, patch]) => first && patch.seq < first.startedSeq));
  state.generation += 1;
  for (const step of kept) if (step.byEnd) reopen(step);
  state.steps = new Map(kept.map((step) => [step.key, step]));
  state.rows = kept;
  state.rows.forEach((step, index) => {
    step.index = index;
    step.version = event.seq;
  });
  state.open = new Set(kept.filter((step) => OPEN.has(step.status)));
  restartStreams(state);
  state.nested = kept.some((step) => step.parent);
  state.diverged = [];
  state.bracket = { id: state.bracket.id + 1, open: [...state.open].filter((step) => !step.parent).length };
  state.status = "queued";
  state.heldUntil = data.until ?? null;
  state.inExecution = false;
  state.output = state.error = state.rollback = state.startedAt = state.endedAt = state.pausedAt = null;
  state.logTruncated = 0;
  forgetStops(state);
  state.generationAt = kept.length ? Math.min(...kept.map((step) => step.startedAt)) : event.at;
  if (meant(state, event)) uncut(state);
  state.logs.push({ seq: event.seq, at: event.at, cut: "restart", execution: null });
  hush(state, event.at);
}

function final(status) {
  return (state, event, data) => {
    state.status = status;
    state.heldUntil = null;
    state.inExecution = false;
    state.output = data.output ?? null;
    state.error = data.error ?? null;
    state.endedAt = event.at;
    forgetStops(state);
    if (status === "errored") blame(state, event);
    cancelWaits(state, event);
    stir(state, event.at);
    if (meant(state, event) && state.executions[state.executions.length - 1].reason !== "limit") uncut(state);
  };
}

/** The step whose worker broke a limit: the engine says which by its line; its end is in no event. */
function blame(state, event) {
  const { reason, execution } = state.executions.at(-1) ?? {};
  if (reason !== "limit") return;
  const running = [...state.open].filter((step) => step.kind === "do" && step.attempts.at(-1)?.execution === execution);
  const step = running.find((one) => one.line === state.error?.line) ?? running[0];
  if (step) Object.assign(step, { brokeLimit: true, version: event.seq });
}

function paused(state, event) {
  state.status = "paused";
  state.inExecution = false;
  state.pausedAt = event.at;
  state.pauses.push([event.at, null]);
  hush(state, event.at);
}

function resumed(state, event) {
  state.stoppedBefore = null;
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
    endedSeq: null,
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
    last.endedSeq = event.seq;
    last.reason = data.reason;
    last.cut = DEATHS.has(data.reason) || (data.reason === "evicted" && busy(state));
    if (last.cut) state.logs.push({ seq: event.seq, at: event.at, cut: data.reason, execution: last.execution });
  }
  state.inExecution = false;
  state.logsBegun.clear();
  if (DISARMING.has(data.reason)) state.armed = null;
  if (state.status === "running") state.status = "queued";
  hush(state, event.at);
}

/** The lines of a log event. One that is `partial` goes on in a later event: see playground/workflows/logs.py. */
function log(state, event, data) {
  const source = JSON.stringify([event.execution, data.stream, event.step ? keyOf(event.step) : null]);
  const begun = state.logsBegun.get(source);
  const replay = Boolean(data.replay);
  const lines = String(data.text ?? "").split("\n");
  let last = begun;
  let before = null; // where the line above stands, if it is of this event too
  lines.forEach((text, index) => {
    const old = index === 0 && begun !== undefined ? state.logs[begun] : null;
    if (old && old.text.length + text.length <= LINE_MOST) {
      state.logs[begun] = { ...old, text: old.text + text, replay: old.replay && replay };
      state.logsJoined += 1;
      return;
    }
    last = state.logs.push({
      seq: event.seq,
      at: event.at,
      execution: event.execution,
      step: event.step ?? null,
      stream: data.stream,
      level: index === 0 ? (data.level ?? null) : null,
      text,
      replay,
      line: data.line ?? null,
      more: before !== null,
      cut: null,
    }) - 1;
    before = last;
  });
  if (data.partial) state.logsBegun.set(source, last);
  else state.logsBegun.delete(source);
}

function breakpoints(state, event, data) {
  state.breakpoints = breakpointsAfter(state.breakpoints, event.type, data);
}

function armed(state, event, data) {
  state.armed = data.when ?? null;
}

export const RUN = {
  workflow_queued(state, event, data) {
    state.params = data.params ?? null;
    state.trigger = data.trigger ?? null;
    state.createdAt = state.generationAt = event.at;
    state.status = "queued";
    state.flow = data.flow ?? null;
    state.heldUntil = data.flow?.until ?? null;
    hush(state, event.at);
  },
  workflow_admitted(state) {
    state.heldUntil = null;
  },
  workflow_debounced(state, event, data) {
    state.params = data.params ?? null;
    state.heldUntil = data.until;
  },
  message_sent(state) {
    state.sent += 1;
  },
  fetch_called(state, event, data) {
    const step = event.step && state.steps.get(keyOf(event.step));
    if (!step) return;
    step.fetches = [...(step.fetches ?? []), data].slice(-FETCHES); // a new list: an earlier moment may hold this one
    step.version = event.seq;
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
  code_changed(state, event, data) {
    state.codeChanges.push({ seq: event.seq, at: event.at, from: data.from ?? null, snippet: data.snippet });
    if (meant(state, event)) uncut(state);
    state.logs.push({ seq: event.seq, at: event.at, cut: "code", execution: null });
  },
  execution_started: executionStarted,
  execution_ended: executionEnded,
  patch_decided(state, event, { patched }) {
    const { name } = event.step;
    state.patches.set(name, { name, patched, at: event.at, seq: event.seq });
  },
  replay_diverged(state, event, data) {
    state.diverged.push({ seq: event.seq, execution: event.execution, steps: data.steps });
  },
  breakpoint_set: breakpoints,
  breakpoint_cleared: breakpoints,
  breakpoint_hit(state, event, data) {
    state.breakpoints = lastingOnes(state.breakpoints);
    state.stoppedBefore = stopOf(data);
  },
  workflow_tagged(state, event, data) {
    state.tags = [...new Set([...state.tags, ...data.tags])];
  },
  sleeps_skipped(state) {
    state.skipsSleeps = true;
  },
  sleeps_kept(state) {
    state.skipsSleeps = false;
  },
  kill_armed: armed,
  kill_disarmed: armed,
  log,
  log_truncated(state, event, data) {
    state.logTruncated = data.dropped;
  },
};
