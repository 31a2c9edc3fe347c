// Many steps of one line of code are one row: a fold over the steps of a state that says which rows there are. Pure.
// A group opens by itself for what has failed or waits for somebody, and shows no more than that: the rest stays one row. What the reader has
// folded or opened stays so; only what fails anew opens it again. Steps that were called in another one make groups of their own under it.
// Taking a change costs what has changed, not what there is: steps that are over are not looked at again.

import { STEP, shownStatus } from "../statuses.js";
import { keyOf, stepMs } from "./fold-state.js";

export const LEAST = 6; // steps of one line that make a group: five rows are read as well as one
const IN = 2; // how much deeper what lies in a group is: one for the sign that opens it
export const MOST = 12; // failed or waiting ones that a group shows by itself; the words of the rest count the others

const FAILED = new Set(["errored", "timed_out", "retrying"]);
const COUNTED = ["completed", "errored", "timed_out", "running", "retrying", "waiting", "sleeping", "cancelled", "stopped"]; // in this order

const tallied = (counts) => COUNTED.flatMap((status) => (counts.get(status) ? [[status, counts.get(status)]] : []));

/** How much a step wants to be seen: 2 it has failed, 1 it waits for an event, 0. */
const concern = (status) => (FAILED.has(status) ? 2 : status === "waiting" ? 1 : 0);

/** The steps of one line that one other step, or the run, has called. */
export class Group {
  constructor(key, first) {
    Object.assign(this, { key, kind: first.kind, line: first.line, parent: first.parent, isGroup: true });
    this.steps = [];
    this.counts = new Map(); // status as people see it -> how many
    this.concerns = [new Set(), new Set(), new Set()]; // steps by how much they want to be seen
    this.name = first.name; // null once they have several …
    this.common = first.name.length; // … which begin with so many characters of the first
    this.overlap = false;
    this.own = 0; // how many ran here: those that a fork began with say nothing of how they ran
    this.longest = null;
    this.bracket = first.bracket;
    this.version = 0;
    this.mode = "folded"; // or "some", "all"
    this.rest = { key: `${key}\nrest`, isRest: true, group: this, steps: [], version: -1, kind: this.kind, line: this.line, parent: this.parent };
  }

  /** Whether they ran one after the other. */
  get isLoop() {
    return !this.overlap && (this.own > 1 || this.name !== null);
  }

  /** What their names begin with, up to where a word or a number ends. */
  get head() {
    return this.name ?? headOf(this.steps[0].name, this.common);
  }

  /** How many there are of each status: [status, number], in a fixed order. */
  get tally() {
    return tallied(this.counts);
  }

  /** The place of a step among them, from 0. */
  placeOf(step) {
    let low = 0;
    let high = this.steps.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.steps[middle].startedSeq < step.startedSeq) low = middle + 1;
      else high = middle;
    }
    return this.steps[low] === step ? low : this.steps.indexOf(step);
  }

  add(step) {
    const before = this.steps.at(-1);
    this.steps.push(step);
    if (step.name !== this.name) this.name = null;
    if (this.name === null) this.common = alike(this.steps[0].name, step.name, this.common);
    if (step.bracket !== this.bracket) this.bracket = this.key;
    if (step.copied) return;
    this.own += 1;
    if (before && !before.copied && !(before.endedSeq !== null && before.endedSeq < step.startedSeq)) this.overlap = true;
  }
}

/** The status that stands for several, by a tally. */
export const worstOf = (tally) => Object.keys(STEP).find((status) => tally.some(([each]) => each === status)) ?? "not";

export const tallyOf = (steps, final) => {
  const counts = new Map();
  for (const step of steps) counts.set(shownStatus(step, final), (counts.get(shownStatus(step, final)) ?? 0) + 1);
  return tallied(counts);
};

const measured = new WeakMap(); // of a list of steps: {done, found}, what was found when so many were done

/** The lengths in milliseconds of those that are done: {least, middle, most}, or null. While the run goes on they may be those of a moment ago, when `done` was a tenth less. */
export function lengths(steps, done, final) {
  const before = measured.get(steps);
  if (before && done >= before.done && done - before.done <= (final ? 0 : before.done / 10)) return before.found;
  const taken = new Float64Array(steps.length);
  let many = 0;
  for (const step of steps) if (step.status === "completed" && !step.copied && !step.edited) taken[many++] = stepMs(step);
  const all = taken.subarray(0, many).sort();
  const found = all.length ? { least: all[0], middle: all[(all.length - 1) >> 1], most: all.at(-1) } : null;
  measured.set(steps, { done, found });
  return found;
}

const LETTER = /\p{L}/u;
const DIGIT = /\d/;

/** How much of a name, of which others have the first `length` characters, begins all of them: up to where a word or a number ends. */
export function headOf(name, length) {
  for (let end = length; end > 0; end -= 1) {
    const [last, next = ""] = [name[end - 1], name[end]];
    if (DIGIT.test(last) || (last >= "\ud800" && last <= "\udbff")) continue; // in the middle of a number, or of a character
    if (!LETTER.test(last) || !next || DIGIT.test(next)) return name.slice(0, end);
  }
  return "";
}

function alike(one, other, most) {
  let end = 0;
  while (end < most && one[end] === other[end]) end += 1;
  return end;
}

const lineKey = (step, parent) => `${parent}\n\n${step.kind}:${step.line ?? `\n${step.name}`}`;

export class Groups {
  constructor() {
    this.reset();
  }

  /** Another run: nothing is known, and nobody has folded anything. */
  reset() {
    this.choices = new Map(); // key of a group -> {mode, generation, failed}: what the reader has chosen, and what had failed by then
    this.state = null;
  }

  /** Takes a state. Where it went on from the one before, only what has changed since is looked at. */
  take(state, final) {
    const moved = state.codeChanges.length || state.trigger?.source; // lines of steps that are over may change
    const known = this.state === state && this.final === final && this.generation === state.generation && this.executions === state.executions.length;
    if (!known || moved || state.lastSeq < this.seq || state.rows.length < this.taken) this.begin(state, final);
    const before = this.open;
    this.open = new Set(state.open);
    for (; this.taken < state.rows.length; this.taken += 1) this.add(state.rows[this.taken]);
    for (const step of before) if (!this.open.has(step)) this.count(step);
    for (const step of this.open) this.count(step);
    this.seq = state.lastSeq;
  }

  begin(state, final) {
    Object.assign(this, { state, final, generation: state.generation, executions: state.executions.length, taken: 0, seq: 0, open: new Set() });
    this.families = new Map([["", newFamily()]]); // key of the step that called them, or "" -> {units, groups}: what stands in its place
    this.seen = new Map(); // step -> {group, status, version, concern}
    this.inner = new Map(); // key of a step -> of those that it called, how many are of concern: [, 1, 2]
  }

  add(step) {
    const called = step.parent ? keyOf(step.parent) : "";
    const parent = called && this.seen.has(this.state.steps.get(called)) ? called : "";
    if (!this.families.has(parent)) this.families.set(parent, newFamily());
    const family = this.families.get(parent);
    const key = lineKey(step, parent);
    let group = family.groups.get(key);
    if (!group) family.groups.set(key, (group = new Group(key, step)));
    group.add(step);
    if (group.steps.length < LEAST) family.units.push(step);
    else if (group.steps.length === LEAST) gather(family, group);
    this.seen.set(step, { group, parent, status: null, version: -1, concern: 0 });
    this.count(step);
  }

  /** Takes how a step stands now. */
  count(step) {
    const seen = this.seen.get(step);
    const status = shownStatus(step, this.final);
    const { group } = seen;
    if (seen.version === step.version && seen.status === status) return;
    if (seen.status !== status) {
      if (seen.status !== null) group.counts.set(seen.status, group.counts.get(seen.status) - 1);
      group.counts.set(status, (group.counts.get(status) ?? 0) + 1);
    }
    Object.assign(seen, { status, version: step.version });
    group.version += 1;
    if (step.endedAt !== null && !step.copied && !step.edited && (!group.longest || stepMs(step) > stepMs(group.longest))) group.longest = step;
    this.weigh(step, seen, concern(status));
  }

  /** Takes how much a step wants to be seen; those that it was called in want as much. */
  weigh(step, seen, own = concern(seen.status)) {
    const [, waits, failed] = this.inner.get(step.key) ?? [0, 0, 0];
    const now = Math.max(own, failed ? 2 : waits ? 1 : 0);
    const { group } = seen;
    if (now === seen.concern) return;
    group.concerns[seen.concern].delete(step);
    if (now) group.concerns[now].add(step);
    group.version += 1;
    if (seen.parent) {
      const inner = this.inner.get(seen.parent) ?? [0, 0, 0];
      inner[seen.concern] -= 1;
      inner[now] += 1;
      this.inner.set(seen.parent, inner);
      const parent = this.state.steps.get(seen.parent);
      seen.concern = now;
      if (this.seen.has(parent)) this.weigh(parent, this.seen.get(parent));
    } else seen.concern = now;
  }

  /** The rows of the state that was taken: steps, groups and rests of groups; with how deep each lies and which group it belongs to. */
  rows() {
    const found = { rows: [], depths: [], owners: [] };
    this.put(found, this.families.get(""), 0);
    return found;
  }

  put(found, { units }, depth) {
    for (const unit of units) {
      if (unit.isGroup) this.putGroup(found, unit, depth);
      else this.putStep(found, unit, depth, null);
    }
  }

  putStep(found, step, depth, owner) {
    push(found, step, depth, owner);
    const family = this.families.get(step.key);
    if (family?.units.length) this.put(found, family, depth + 1);
  }

  putGroup(found, group, depth) {
    group.mode = this.modeOf(group);
    push(found, group, depth, null);
    if (group.mode === "folded") return;
    if (group.mode === "all") return group.steps.forEach((step) => this.putStep(found, step, depth + IN, group));
    const shown = wanted(group);
    for (const step of shown) this.putStep(found, step, depth + IN, group);
    if (shown.length === group.steps.length) return;
    if (group.rest.version !== group.version) {
      const some = new Set(shown);
      Object.assign(group.rest, { steps: group.steps.filter((step) => !some.has(step)), version: group.version });
    }
    push(found, group.rest, depth + IN, group);
  }

  modeOf(group) {
    const choice = this.choices.get(group.key);
    const failed = group.concerns[2];
    const anew = choice?.mode === "folded" && [...failed].some((step) => choice.generation !== this.generation || !choice.failed.has(step.key));
    if (anew) this.choices.delete(group.key);
    else if (choice) return choice.mode;
    return failed.size + group.concerns[1].size ? "some" : "folded";
  }

  /** Opens a group: what it would show by itself, else every step of it. */
  unfold(group, all = false) {
    this.choose(group, all || !(group.concerns[1].size + group.concerns[2].size) ? "all" : "some");
  }

  fold(group) {
    this.choose(group, "folded");
  }

  choose(group, mode) {
    this.choices.set(group.key, { mode, generation: this.generation, failed: new Set([...group.concerns[2]].map((step) => step.key)) });
  }

  /** The group that a step belongs to, or null where it stands by itself. */
  groupOf(step) {
    const group = this.seen?.get(step)?.group;
    return group && group.steps.length >= LEAST ? group : null;
  }
}

const newFamily = () => ({ units: [], groups: new Map() });

/** Puts a group where the first of its steps stood. */
function gather(family, group) {
  const own = new Set(group.steps);
  const at = family.units.indexOf(group.steps[0]);
  family.units[at] = group;
  family.units = family.units.filter((unit) => !own.has(unit));
}

function push({ rows, depths, owners }, row, depth, owner) {
  rows.push(row);
  depths.push(depth);
  owners.push(owner);
}

/** The steps that an open group shows by itself, in the order in which they began; those that have failed come first where they are too many. */
function wanted({ concerns: [, waits, failed] }) {
  const order = (steps) => [...steps].sort((a, b) => a.startedSeq - b.startedSeq);
  return order([...order(failed), ...order(waits)].slice(0, MOST));
}
