// What a fold holds, and what every part of it may ask of it.

export const OPEN = new Set(["running", "retrying", "sleeping", "waiting"]);

/** A step as the API names it. */
export const refOf = ({ kind, name, count }) => ({ kind, name, count });

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
    codeChanges: [],
    inExecution: false,
    breaks: [],
    armed: null, // when the worker is to be killed
    // for pictures only
    lastAt: null,
    generationAt: null,
    version: 0,
    rows: [], // the steps of this generation, in the order they started
    open: new Set(), // those of them that are not over
    logs: [],
    quiet: [], // [from, to or null]: nothing ran
    pauses: [],
    bracket: { id: 0, open: 0 },
  };
}

/** The execution that has a worker at this moment, or null. */
export function alive(state) {
  return state.inExecution ? state.executions[state.executions.length - 1] : null;
}

/** The executions that made what this generation shows; a restart from a step keeps some of an earlier one. */
export function lives(state) {
  return state.executions.filter((one) => one.generation === state.generation || (one.endedAt !== null && one.endedAt > state.generationAt));
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

/** An attempt that went with its worker: not the tenant's error, and drawn as none. */
export const isLost = (attempt) => attempt.error !== null && attempt.error.name === "WorkerLost";

/** An attempt that did not finish because the run was ended by hand: lost too, but that was meant. */
export const isStopped = (attempt, state) => state.status === "terminated" && attempt.endedAt === state.endedAt && isLost(attempt);
