// From moments to places: where a time stands on the timeline, in percent of the track. Pure arithmetic.
// Time in which something ran is drawn to one scale. Longer spells in which nothing ran shrink to strips. Time is counted from the moment a
// worker first had the run: how long it waited for one says nothing about the run, and stands before that, out of scale.

import { lastForeseen } from "./progress.js";

const LONG_MS = 3_500; // a quiet spell longer than this is drawn as a strip; one of three seconds, as examples have, is not
export const QUEUED_MS = 1_000; // … and a wait for a worker that is longer than this; a shorter one before the first execution is not drawn
const LONG_SHARE = 0.15; // … unless it is less than this share of the time in which something ran
const STRIP = 0.11; // width of a strip, as a share of the whole
const NAMED = 2.6; // a wait for a worker is so many times as wide: its name stands in it
const BARE = 0.5; // … where no attempt has run: there is nothing else to show
const STRIPS = 0.5; // most that all strips together may take
const FOLD_MS = 800; // how long a spell that turned out long takes to shrink while you watch
const AHEAD = 1.3; // a live timeline is this much longer than what has passed
const FORESEEN = 3; // … and than the end that a step's progress foretells, if that is at most so many times as far as what has passed
const MARGIN = 1.04; // … and than a deadline that is near
const TIGHT = 0.94; // … and stays as it is until the past fills this much of it
const ROOMY = 0.8; // … or this much of it while something waits, which has its button after the now-line
const COUNTED = 0.66; // … or of this where a retry is counted down there too
const LOOSE = 0.42; // … or less than this
const LEAST_MS = 1_000; // shortest span of a timeline while something runs
const DEADLINE = 0.82; // where in the rest a deadline out of scale stands

const BEYOND = 3; // percent by which a place may lie outside of a track that is zoomed: what is far away is as good as just outside

const NICE = [1, 1.5, 2, 3, 4, 6, 8, 10];

/** The least of 1, 1.5, 2, 3, 4, 6, 8 times a power of ten that is at least `value`. */
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return (NICE.find((one) => one * power >= value * 0.9999) ?? 10) * power;
}

const smooth = (share) => share * share * (3 - 2 * share);

export class Scale {
  constructor() {
    this.reset();
  }

  reset() {
    this.span = 0;
    this.view = null; // {a, b}: the part that is in view while zoomed, in units, which are milliseconds of time drawn to the common scale
    this.knots = [[0, 0]];
    this.idles = [];
    this.start = this.now = 0;
  }

  /**
   * Takes the state of a moment.
   * @param {object} state a folded state with `quiet`, `open`, `executions`, `generationAt`, `endedAt`
   * @param {number} now epoch milliseconds; where the now-line stands
   * @param {boolean} final the run is over: the past fills the track
   */
  update(state, now, final) {
    const queuedAt = state.generationAt ?? now;
    const end = Math.max(final ? (state.endedAt ?? now) : now, queuedAt + 1);
    const all = state.quiet
      .map(([from, to]) => ({ from: Math.max(from, queuedAt), to: Math.min(to ?? end, end), open: to === null && !final, queued: forWorker(state, from, to) }))
      .filter((spell) => spell.to > spell.from);
    const [first] = all;
    const zero = first?.queued && !first.open && first.from === queuedAt && first.to < end ? first.to : queuedAt;
    const unseen = zero > queuedAt && zero - queuedAt < QUEUED_MS;
    const spells = unseen ? all.slice(1) : all;
    const start = unseen ? zero - (spells[0]?.from === zero ? 1 : 0) : queuedAt; // a run that only waited has something beside its strip
    const deadline = final ? null : nearest(state, now);
    const total = end - start;
    const longest = Math.max(LONG_MS, LONG_SHARE * spells.reduce((rest, { from, to }) => rest - (to - from > LONG_MS ? to - from : 0), total));
    const long = spells.filter((spell) => {
      spell.least = spell.queued ? Math.min(QUEUED_MS, longest) : longest;
      spell.known = spell.open && deadline !== null && deadline - spell.from > longest;
      return spell.to - spell.from > (spell.open || spell.queued ? spell.least : longest + FOLD_MS / 2) || spell.known;
    });
    const busy = Math.max(long.reduce((rest, { from, to }) => rest - (to - from), total), 1);
    const bare = !state.rows.some((step) => step.attempts.length) && !long.every((spell) => spell.queued && !spell.open);
    const many = long.reduce((sum, { queued }) => sum + (queued ? NAMED : 1), 0);
    const share = Math.min(bare ? BARE : STRIP, STRIPS / Math.max(1, many));
    const strip = (busy * share) / (1 - share * many);

    const knots = [[start, 0]];
    this.idles = [];
    let at = start;
    let units = 0;
    for (const spell of long) {
      units += spell.from - at;
      knots.push([spell.from, units]);
      const length = spell.to - spell.from;
      const narrow = spell.queued ? Math.min(length, strip * NAMED) : Math.min(spell.known ? length : spell.least, strip);
      const width = spell.open && !spell.known ? shrunk(length, spell.least, narrow) : narrow;
      const a = units;
      units += width;
      knots.push([spell.to, units]);
      this.idles.push({ from: spell.from, to: spell.to, a, b: units, length, queued: spell.queued });
      at = spell.to;
    }
    units += end - at;
    knots.push([end, units]);
    const near = deadline !== null && deadline - end <= longest && !long.some((spell) => spell.open) ? deadline - end : 0;
    const foreseen = final ? null : lastForeseen(state);
    const ahead = foreseen === null ? near : Math.max(near, Math.min(foreseen - end, units * FORESEEN));
    this.fit(units, ahead, final, long.some((spell) => spell.open), deadline === null ? TIGHT : counted(state) ? COUNTED : ROOMY);
    if (deadline !== null && deadline > end) {
      const room = this.span - units;
      const away = deadline - end;
      const place = units + (away <= room ? away : room * DEADLINE);
      knots.push([deadline, place]);
      if (away > room && away > LONG_MS) this.idles.push({ from: end, to: deadline, a: units, b: place, length: away, ahead: true });
    }
    const [lastAt, lastUnits] = knots[knots.length - 1];
    knots.push([lastAt + Math.max(1, this.span - lastUnits), Math.max(this.span, lastUnits)]);
    this.knots = knots;
    this.start = zero;
    this.now = end;
    if (this.view) this.look(this.view.a, this.view.b);
    for (const idle of this.idles) {
      idle.a = this.place(idle.a);
      idle.b = this.place(idle.b);
    }
  }

  /** Chooses the span; `near` is how far ahead a deadline is that is to be drawn to the common scale. */
  fit(units, near, final, strips, tight) {
    if (final) {
      this.span = units * 1.012;
      return;
    }
    const fits = units <= this.span * tight && units + near <= this.span && (units >= this.span * LOOSE || this.span <= LEAST_MS);
    if (!fits || (strips && units < this.span * LOOSE)) this.span = Math.max(nice(Math.max(units * Math.max(AHEAD, 1.03 / tight), (units + near) * MARGIN)), strips ? 1 : LEAST_MS);
  }

  /** Puts the part from `a` to `b` in view, as far as there is such a part. */
  look(a, b) {
    const width = Math.min(b - a, this.span);
    const from = Math.max(0, Math.min(a, this.span - width));
    this.view = width >= this.span * 0.9999 ? null : { a: from, b: from + width };
  }

  /** Tells whether what has passed stands where it stood. */
  get looks() {
    const past = this.idles.filter(({ ahead }) => !ahead).map(({ a, b }) => `${a},${b}`);
    return `${this.start}:${this.span}:${this.view?.a},${this.view?.b}:${past}`;
  }

  /** Where `moment` stands, in percent of the track; never outside it but by BEYOND while zoomed. */
  at(moment) {
    return this.place(this.units(moment));
  }

  place(units) {
    if (!this.view) return Math.max(0, Math.min(100, (units / this.span) * 100));
    return Math.max(-BEYOND, Math.min(100 + BEYOND, ((units - this.view.a) / (this.view.b - this.view.a)) * 100));
  }

  /** The moment that stands at a place of the track, in percent. */
  moment(percent) {
    const { a, b } = this.view ?? { a: 0, b: this.span };
    const units = a + ((b - a) * percent) / 100;
    const found = this.knots.findIndex(([, at]) => at >= units);
    const after = found < 0 ? this.knots.length - 1 : Math.max(1, found);
    const [fromAt, fromUnits] = this.knots[after - 1];
    const [toAt, toUnits] = this.knots[after] ?? this.knots[after - 1];
    return fromAt + ((toAt - fromAt) * (units - fromUnits)) / (toUnits - fromUnits || 1);
  }

  units(moment) {
    const { knots } = this;
    let low = 0;
    let high = knots.length - 1;
    if (moment <= knots[0][0]) return 0;
    if (moment >= knots[high][0]) return Math.max(this.span, knots[high][1]);
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (knots[middle][0] <= moment) low = middle;
      else high = middle;
    }
    const [fromAt, fromUnits] = knots[low];
    const [toAt, toUnits] = knots[high];
    return fromUnits + ((toUnits - fromUnits) * (moment - fromAt)) / (toAt - fromAt || 1);
  }

  /** Spans of the track drawn to the common scale: [from, to] in epoch milliseconds, in order, future last. */
  spans() {
    const spans = [];
    let from = this.start;
    for (const idle of this.idles) {
      if (idle.from > from) spans.push([from, idle.from]);
      from = idle.to;
    }
    const last = this.knots[this.knots.length - 1][0];
    if (last > from) spans.push([from, last]);
    return spans;
  }
}

/** Whether nothing ran because no worker was free: none had come yet, or the one before had gone in the middle. */
function forWorker(state, from, to) {
  const before = state.executions.findLast((one) => one.startedAt <= from);
  if (to === null) return state.status === "queued" && (!before || before.cut);
  return state.executions.some((one) => one.startedAt === to) && (!before || before.generation !== state.generation || before.cut);
}

function shrunk(length, longest, narrow) {
  if (length <= longest) return length;
  const share = smooth(Math.min(1, (length - longest) / FOLD_MS));
  return longest + (narrow - longest) * share;
}

/** Whether a step waits for its next attempt. */
function counted(state) {
  for (const step of state.open) if (step.status === "retrying") return true;
  return false;
}

/** The next moment at which something that waits will go on by itself, or null. */
function nearest(state, now) {
  let next = null;
  if (state.status === "paused") return null;
  for (const step of state.open) {
    if (step.until !== null && step.status !== "running" && step.until > now && (next === null || step.until < next)) next = step.until;
  }
  return next;
}
