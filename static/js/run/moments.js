// Every moment of a run: its events, its newest state, and the state at any seq in a time that does not grow with the run. Pure.
// A checkpoint is kept every so many events, and what lies between two of them is folded again. Checkpoints share what is alike in them.

import { apply, newState } from "./fold.js";

const EVERY = 256; // events between two checkpoints, at first
const MOST = 64; // checkpoints; with one more, every second goes and they stand twice as far apart
const SHARED = new Set(["params", "trigger", "output", "error"]); // values, which nothing changes in place
const OWN = new Set(["rows", "steps", "open", "executions", "quiet", "pauses", "logs"]);

export class Moments {
  constructor({ every = EVERY, most = MOST } = {}) {
    Object.assign(this, { every, most });
    this.events = [];
    this.restarts = []; // their seqs
    this.state = newState();
    this.kept = [frozen(this.state, null)];
    this.past = null;
  }

  /** The seq of the newest event. */
  get last() {
    return this.events.length;
  }

  /** Takes the next event. */
  push(event) {
    apply(this.state, event);
    this.events.push(event);
    if (event.type === "workflow_restarted") this.restarts.push(this.last);
    if (this.last % this.every) return;
    this.kept.push(frozen(this.state, this.kept[this.kept.length - 1]));
    if (this.kept.length <= this.most) return;
    this.kept = this.kept.filter((_, index) => index % 2 === 0);
    this.every *= 2;
  }

  /** The state after event `seq`, which is the caller's to read until the next call. */
  at(seq) {
    const wanted = Math.max(0, Math.min(seq, this.last));
    const near = Math.min(Math.floor(wanted / this.every), this.kept.length - 1);
    if (!this.past || this.past.lastSeq > wanted || this.past.lastSeq < near * this.every) this.past = thawed(this.kept[near]);
    for (let index = this.past.lastSeq; index < wanted; index += 1) apply(this.past, this.events[index]);
    return this.past;
  }

  /** The last seq of the generation that `seq` belongs to: a restart begins another timeline. */
  generationEnd(seq) {
    const next = this.restarts.find((restart) => restart > seq);
    return next === undefined ? this.last : next - 1;
  }
}

const copyOf = (one) => ({ ...one });
const copyAttempts = (part) => ({ ...part, attempts: part.attempts.map(copyOf) });
const copyStep = (step) => ({ ...copyAttempts(step), rollback: step.rollback && copyAttempts(step.rollback) });

/** A copy that later events do not change. What is as it was in `before`, the checkpoint ahead of it, is taken from there. */
function frozen(state, before) {
  return {
    ...others(state),
    rows: state.rows.map((step, index) => (unchanged(step, before?.rows[index]) ? before.rows[index] : copyStep(step))),
    steps: [...state.steps.values()].map((step) => step.index),
    open: [...state.open].map((step) => step.index),
    ...Object.fromEntries(["executions", "quiet", "pauses"].map((name) => [name, state[name].map((one, index) => reused(one, before?.[name][index]))])),
    logs: state.logs.slice(),
  };
}

function thawed(kept) {
  const rows = kept.rows.map(copyStep);
  return {
    ...others(kept),
    rows,
    steps: new Map(kept.steps.map((index) => [rows[index].key, rows[index]])),
    open: new Set(kept.open.map((index) => rows[index])),
    executions: kept.executions.map(copyOf),
    quiet: kept.quiet.map((spell) => spell.slice()),
    pauses: kept.pauses.map((spell) => spell.slice()),
    logs: kept.logs.slice(),
  };
}

/** The fields that are no lists of many: copied, so that a field the fold may gain is right here too. Nothing changes what stands in them. */
function others(state) {
  const fields = {};
  for (const [name, value] of Object.entries(state)) {
    if (!OWN.has(name)) fields[name] = SHARED.has(name) ? value : copied(value);
  }
  return fields;
}

function copied(value) {
  if (value === null || typeof value !== "object") return value;
  if (value instanceof Map) return new Map(value);
  return Array.isArray(value) ? value.slice() : { ...value };
}

const unchanged = (step, kept) => kept !== undefined && kept.key === step.key && kept.startedSeq === step.startedSeq && kept.version === step.version;

/** `kept` if it says the same, else a copy. */
function reused(one, kept) {
  if (kept) {
    const names = Object.keys(one);
    if (names.length === Object.keys(kept).length && names.every((name) => one[name] === kept[name])) return kept;
  }
  return Array.isArray(one) ? one.slice() : copyOf(one);
}
