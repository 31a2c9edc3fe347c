// What is drawn on the track of one step: marks with their times, in words that a picture and a screen reader both understand. Pure.

import { INJECTED } from "./breaks.js";
import { alive, attemptMs, isLost, isMissed, isStopped, lives, typesText } from "./fold.js";
import { foreseenEnd, percentWords, progressOf } from "./progress.js";
import { QUEUED_MS } from "./scale.js";
import { clock, copiedWords, errorBrief, lasting, stepLabel } from "./words.js";

/**
 * A mark is {type, from, to, text?, title?}; a `to` or `from` of null means now.
 * One that was made to be so has `injected`; one of a step that says how far it is has `progress`. Types: ran given fail lost live stopped · gap ahead-gap · sleep wait (live: sleep-on wait-on) ahead · read · copied · pause · undo undo-fail undo-on.
 */
export function marksOf(step, state, final) {
  const marks = step.copied || step.edited ? [copied(step)] : step.kind === "do" ? attempts(step, state, final) : wait(step, state, final);
  for (const execution of lives(state).slice(step.copied ? 1 : 0)) {
    if (step.endedSeq !== null && execution.startedSeq > step.endedSeq && !isMissed(step, execution.execution, state)) {
      marks.push({ type: "read", from: execution.startedAt, title: `read from the journal by execution ${execution.execution}, not run` });
    }
  }
  for (const [from, to] of state.pauses) {
    if (from >= step.startedAt && (step.endedAt === null || from < step.endedAt)) marks.push({ type: "pause", from, to, title: "paused" });
  }
  if (step.rollback) marks.push(...undo(step.rollback, state, final));
  return marks;
}

/** A step that a fork began with stands at its beginning, whatever it took where it ran. */
function copied(step) {
  const words = step.edited ? (step.error ? "made to fail by hand" : "its result was given by hand") : copiedWords(step);
  return { type: "copied", from: step.startedAt, to: step.startedAt, title: `${words}; not run here` };
}

function attempts(step, state, final) {
  const marks = [];
  const many = step.attempts.length > 1 || (step.attempts[0]?.attempt ?? 1) > 1;
  if (!step.attempts.length && step.endedAt === null) marks.push({ type: final ? "stopped" : "live", from: step.startedAt, to: final ? state.endedAt : null });
  step.attempts.forEach((attempt, index) => {
    const next = step.attempts[index + 1];
    const mark = attemptMark(attempt, many, state, final);
    marks.push(...(mark.type === "live" ? withProgress(mark, step, state) : [mark]));
    if (attempt.endedAt !== null && next) {
      const whole = next.startedAt - attempt.endedAt;
      const skipped = early(attempt, next);
      const gap = skipped ? whole : (attempt.retryDelayMs ?? whole);
      const of = skipped && attempt.retryDelayMs > whole ? ` of ${lasting(attempt.retryDelayMs)}` : "";
      if (!isLost(attempt)) marks.push({ type: "gap", from: attempt.endedAt, to: next.startedAt, text: lasting(gap), skipped, title: `waited ${lasting(gap)}${of} before attempt ${next.attempt}${skipped ? ", ended early by hand" : ""}` });
    }
  });
  const last = step.attempts[step.attempts.length - 1];
  if (step.status === "retrying" && last && last.endedAt !== null && !isLost(last)) {
    marks.push({ type: "gap", from: last.endedAt, to: final ? state.endedAt : null });
    if (!final) marks.push({ type: "ahead-gap", from: null, to: step.until });
  }
  return marks;
}

/** The bar of what runs is solid to now; where the step says how far it is, it goes on, dashed, to the end that this foretells. */
function withProgress(mark, step, state) {
  const progress = progressOf(state, step);
  if (!progress) return [mark];
  const end = foreseenEnd(progress, mark.from);
  const said = { ...mark, progress, name: `Progress of ${stepLabel(step)}`, text: progress.text || mark.text, long: Boolean(progress.text), title: `${mark.title}, ${percentWords(progress)}` };
  return end === null ? [said] : [said, { type: "ahead", from: null, to: end, title: "foretold by how far it is" }];
}

/** Whether a person ended the wait between two attempts. */
export const early = (attempt, next) => attempt.virtual || next.virtual;

function attemptMark(attempt, many, state, final) {
  const mark = plainMark(attempt, many, state, final);
  if (!attempt.injected) return mark;
  const type = attempt.injected === "return" && mark.type === "ran" ? "given" : mark.type;
  return { ...mark, type, injected: true, title: `attempt ${attempt.attempt} ${INJECTED[attempt.injected]}${mark.type === "live" ? ", running" : ""}` };
}

function plainMark(attempt, many, state, final) {
  const text = many ? String(attempt.attempt) : "";
  const name = `attempt ${attempt.attempt}`;
  if (attempt.endedAt === null) {
    const cut = lostAt(attempt, state);
    if (cut !== null) return { type: "lost", from: attempt.startedAt, to: cut, text: "", title: `${name} lost with its worker` };
    if (final) return { type: "stopped", from: attempt.startedAt, to: state.endedAt, text, title: `${name} did not finish` };
    return { type: "live", from: attempt.startedAt, to: null, text, title: `${name} running` };
  }
  if (isStopped(attempt, state)) return { type: "stopped", from: attempt.startedAt, to: attempt.endedAt, text, title: `${name} did not finish` };
  const took = lasting(attemptMs(attempt));
  if (attempt.done) return { type: "ran", from: attempt.startedAt, to: attempt.endedAt, text, title: `${name}, ${took}` };
  if (isLost(attempt)) return { type: "lost", from: attempt.startedAt, to: lostAt(attempt, state) ?? attempt.endedAt, text: "", title: `${name} lost with its worker` };
  return { type: "fail", from: attempt.startedAt, to: attempt.endedAt, text, title: `${name} failed after ${took}: ${errorBrief(attempt.error)}` };
}

/** When the worker of an attempt went, if it is known to have gone under it. */
function lostAt(attempt, state) {
  for (let index = state.executions.length - 1; index >= 0; index -= 1) {
    const execution = state.executions[index];
    if (execution.execution === attempt.execution) return execution.cut ? execution.endedAt : null;
  }
  return null;
}

/** [from, to] without the spells in which the instance was paused. */
function unpaused(from, to, pauses) {
  const pieces = [];
  for (const [began, over] of pauses) {
    if (began < from || (to !== null && began >= to)) continue;
    pieces.push([from, began]);
    from = over;
    if (over === null) return pieces;
  }
  pieces.push([from, to]);
  return pieces;
}

function wait(step, state, final) {
  const bars = (type, to, title) => unpaused(step.startedAt, to, state.pauses).map(([from, until]) => ({ type, from, to: until, title }));
  const open = step.endedAt === null;
  const verb = step.kind === "sleep" ? "asleep" : step.kind === "child" ? `waiting for the run ${step.child}` : `waiting for ${typesText(step)}`;
  if (open && final) return bars(step.kind, state.endedAt, `${verb} until the end`);
  if (!open) {
    const took = lasting(step.endedAt - step.startedAt);
    const cancelled = `${verb} until ${step.byEnd ? "the end" : `it was cancelled, after ${took}`}`;
    const how = step.status === "cancelled" ? cancelled : step.status === "timed_out" ? `timed out after ${took}` : step.kind === "sleep" ? `slept ${took}` : step.kind === "child" ? `${step.status === "errored" ? "its run failed" : "its run completed"} after ${took}` : `received after ${took}`;
    const marks = bars(step.status === "timed_out" || step.status === "errored" ? "late" : step.kind, step.endedAt, step.virtual ? `${how}, ended early by hand` : how);
    if (step.virtual) marks[marks.length - 1].skipped = true;
    return marks;
  }
  return [
    ...bars(`${step.kind}-on`, null, `${verb} since ${clock(step.startedAt)}`),
    ...(step.until === null ? [] : [{ type: "ahead", from: null, to: state.status === "paused" ? Infinity : step.until, title: `until ${clock(step.until)}` }]),
  ];
}

function undo(rollback, state, final) {
  return rollback.attempts.map((attempt) => {
    const cut = attempt.endedAt === null ? lostAt(attempt, state) : null;
    if (cut !== null) return { type: "lost", from: attempt.startedAt, to: cut, text: "", title: `rollback attempt ${attempt.attempt} lost with its worker` };
    const open = attempt.endedAt === null;
    const type = open ? (final ? "stopped" : "undo-on") : attempt.done ? "undo" : isLost(attempt) ? "lost" : "undo-fail";
    return { type, from: attempt.startedAt, to: open ? (final ? state.endedAt : null) : attempt.endedAt, text: "", title: `rolled back, attempt ${attempt.attempt}` };
  });
}

/** An execution that gave its worker up with nothing running: no cut. */
const gaveUp = (execution) => (execution.reason === "hibernated" || execution.reason === "evicted") && !execution.cut;

/** A wait for a worker that is over. */
const forWorker = (from, to) => ({ type: "none", queued: true, from, to, text: "in line for a worker", short: "in line", title: `Waited ${lasting(to - from)} for a worker` });

/** The bands of the execution lane and the cuts through all rows: [{type, from, to, text, title}]. */
export function lifeOf(state, final) {
  const bands = [];
  const cuts = [];
  const mine = lives(state);
  mine.forEach((one, index) => {
    const read = one.replayed ? `; ${one.replayed} ${one.replayed === 1 ? "step" : "steps"} read from the journal` : "";
    bands.push({ type: "life", from: one.startedAt, to: one.endedAt, number: one.execution, title: `Execution ${one.execution}${read}` });
    if (one.cut) cuts.push({ at: one.endedAt, reason: one.reason, execution: one.execution });
    const next = mine[index + 1];
    if (one.endedAt !== null && gaveUp(one)) {
      const held = state.pauses.some(([from]) => from >= one.endedAt && (!next || from <= next.startedAt));
      bands.push({ type: "none", from: one.endedAt, to: next ? next.startedAt : final ? state.endedAt : null, text: held ? "paused" : "hibernating", title: "No worker: the instance is a row in the database" });
    }
  });
  const since = mine[0]?.startedSeq ?? 0;
  for (const { at, seq } of state.codeChanges) if (seq > since) cuts.push({ at, reason: "recoded", soft: true });
  cuts.sort((a, b) => a.at - b.at);
  const first = mine[0];
  if (first && first.startedAt - state.generationAt >= QUEUED_MS && first.generation === state.generation) bands.push(forWorker(state.generationAt, first.startedAt));
  mine.forEach((one, index) => {
    const next = mine[index + 1];
    if (next && one.cut && next.startedAt - one.endedAt >= QUEUED_MS) bands.push(forWorker(one.endedAt, next.startedAt));
  });
  if (!first && !final && state.heldUntil !== null) bands.push({ type: "none", queued: true, from: state.generationAt, to: null, text: "held back", short: "held", title: "It may not start yet" });
  else if (!first && !final) bands.push({ type: "none", queued: true, from: state.generationAt, to: null, text: "in line for a worker", short: "in line", title: "Waiting for a worker" });
  if (!alive(state) && first && !final && !gaveUp(mine[mine.length - 1])) {
    bands.push({ type: "none", queued: true, from: mine[mine.length - 1].endedAt, to: null, text: "in line for a worker", short: "in line", title: "The next execution begins when a worker is free" });
  }
  return { bands, cuts };
}
