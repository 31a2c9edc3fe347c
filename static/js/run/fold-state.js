// What a fold holds, and what every part of it may ask of it.

import { lastingOnes } from "./breakpoints.js";

export const OPEN = new Set(["running", "retrying", "sleeping", "waiting"]);

/** Kinds of steps that are waits: when the run ends they are over, too. */
const WAITS = new Set(["sleeping", "waiting"]);

/** A step as the API names it; `parent` is the step in whose callback it was called. */
export const refOf = ({ kind, name, count, parent }) => ({ kind, name, count, ...(parent ? { parent: refOf(parent) } : {}) });

/** The types of events that a wait waits for, of which the first ends it: they are stored with a comma between. */
export const eventTypes = ({ eventType }) => (eventType ?? "").split(",");

/** The same in a sentence. */
export const typesText = (step) => eventTypes(step).join(" or ");

/** What a step is found by. No name has a control character, so that no two steps have one key. */
export const keyOf = (step) => `${step.parent ? `${keyOf(step.parent)}\n` : ""}${step.kind}:${step.name}:${step.count}`;

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
    heldUntil: null, // it may not start yet, for a delay or the limits of its key, and not before this
    flow: null, // what was asked of its start
    lastSeq: 0,
    steps: new Map(),
    executions: [],
    logTruncated: 0,
    streams: new Map(), // name -> how many values were dropped (fold-streams.js)
    parts: new Map(), // what each step has in each stream
    sent: 0, // messages into queues
    codeChanges: [],
    inExecution: false,
    breaks: [],
    breakpoints: [],
    stoppedBefore: null, // the step, with what it would begin with
    skipsSleeps: false,
    tags: [],
    armed: null, // when the worker is to be killed
    patches: new Map(), // decisions of `step.patched`, by name
    diverged: [], // [{seq, execution, steps}]: stored steps that a replay did not come to again
    // for pictures only
    lastAt: null,
    generationAt: null,
    version: 0,
    rows: [], // the steps of this generation, in the order they started
    open: new Set(), // those of them that are not over
    logs: [],
    logsBegun: new Map(), // where the lines stand that have begun and not ended
    logsJoined: 0, // how many pieces were put to a line that had begun
    quiet: [], // [from, to or null]: nothing ran
    pauses: [],
    nested: false, // whether any of them was called in another one
    bracket: { id: 0, open: 0 }, // of steps that run side by side, those in no other step only
  };
}

/** The execution that has a worker at this moment, or null. */
export function alive(state) {
  return state.inExecution ? state.executions[state.executions.length - 1] : null;
}

/** No step of this generation begins any more: what is left are breakpoints for a restart. */
export function forgetStops(state) {
  state.breakpoints = lastingOnes(state.breakpoints);
  state.stoppedBefore = null;
}

/** The executions that made what this generation shows; a restart from a step keeps some of an earlier one. */
export function lives(state) {
  return state.executions.filter((one) => one.generation === state.generation || (one.endedAt !== null && one.endedAt > state.generationAt));
}

/** Ends what still sleeps or waits when the run has ended. */
export function cancelWaits(state, event) {
  for (const step of [...state.open]) {
    if (!WAITS.has(step.status)) continue;
    Object.assign(step, { status: "cancelled", byEnd: true, endedAt: event.at, endedSeq: event.seq, endedExecution: event.execution, version: event.seq });
    close(state, step);
  }
}

/** What the end of the run had cancelled goes on when the run does. */
export function reopen(step) {
  Object.assign(step, { status: step.kind === "sleep" ? "sleeping" : "waiting", byEnd: false, endedAt: null, endedSeq: null, endedExecution: null });
}

/** Takes a step from those that are not over. */
export function close(state, step) {
  if (state.open.delete(step) && !step.parent) state.bracket.open = Math.max(0, state.bracket.open - 1);
}

/** How long an attempt ran, in milliseconds: by the worker's own clock where that was told. */
export const attemptMs = ({ tookUs, startedAt, endedAt }) => (tookUs === null ? endedAt - startedAt : tookUs / 1000);

/** How long a step took, in milliseconds. */
export function stepMs({ attempts, startedAt, endedAt }) {
  return attempts.length === 1 && attempts[0].endedAt !== null && attempts[0].tookUs !== null ? attemptMs(attempts[0]) : endedAt - startedAt;
}

export function hush(state, at) {
  const last = state.quiet[state.quiet.length - 1];
  if (!last || last[1] !== null) state.quiet.push([at, null]);
}

export function stir(state, at) {
  const last = state.quiet[state.quiet.length - 1];
  if (last && last[1] === null) last[1] = at;
}

/** Something of the run has moved: it is not waiting any more, as long as it has a worker. */
export function stirred(state, event) {
  if (!state.inExecution) return;
  if (state.status === "waiting") state.status = "running";
  stir(state, event.at);
  const execution = alive(state);
  if (event.step && !execution.firstStep) {
    execution.firstStep = event.step;
    execution.firstAt ??= event.at;
  }
}

/** The latest step whose error is the one that ended the run, if that came from a step. */
export const culprit = ({ rows, error }) => error && rows.findLast((step) => step.error?.name === error.name && step.error.message === error.message);

const members = (error) => [error, ...(error.errors ?? []).flatMap(members)];

/** The same, or where the run ended in a group of errors, the latest step that raised one of them. */
export function blamed(state) {
  const raised = (step) => step.error && members(state.error).some(({ name, message }) => step.error.name === name && step.error.message === message);
  return culprit(state) ?? (state.error?.errors ? state.rows.findLast(raised) : undefined);
}

/** Whether the replay of an execution took a way on which it did not come to a stored step. */
export const isMissed = (step, execution, { diverged }) => diverged.some((one) => one.execution === execution && one.steps.some((each) => keyOf(each) === step.key));

/** An attempt that went with its worker: not the tenant's error, and drawn as none. */
export const isLost = (attempt) => attempt.error !== null && attempt.error.name === "WorkerLost";

/** An attempt that did not finish because the run was ended by hand: lost too, but that was meant. */
export const isStopped = (attempt, state) => state.status === "terminated" && attempt.endedAt === state.endedAt && isLost(attempt);
