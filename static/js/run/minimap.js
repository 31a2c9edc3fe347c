// The rows of a group made small, as the paths of a picture of `width` by 24 pixels. Pure arithmetic.
// Side by side they are lanes: so many rows in each, all that ran in one is one line. A loop is one height per stretch of turns: the longest turn
// in it. What failed is a stroke of full height, which no other mark hides. A picture has as many marks as pixels, however many steps there are.

import { stepMs } from "./fold-state.js";

export const HIGH = 24; // pixels
const LANES = 8; // each of two pixels, with one between
const LINE = 2;
const STRETCH = 3; // pixels of one height of a loop
const LOWEST = 2; // … which is never lower
const STROKE = 3; // width of what failed

const FAILED = new Set(["errored", "timed_out"]);

const begun = new WeakMap(); // of the steps of a loop: {looks, ran, strokes, settled}, what is drawn of those that are over, as far as they are in a row

/**
 * What is over, and which steps are not: those are drawn by `sketchOpen`, again and again as time goes on.
 * @param {object[]} steps in the order in which they began
 * @param {(at: number) => number} place of a moment, in pixels; what is out of view lies below 0 or above `width`
 * @param {{width: number, isLoop: boolean, end: number, looks: string}} how `end` is when what is open is drawn to: now, or the end of the run;
 *   while `looks` is the same, what is over stays where it was
 * @returns {{ran: string, failed: string, open: [number, object][], many: number, longest: number}} paths, and for `sketchOpen`
 */
export function sketch(steps, place, { width, isLoop, end, looks }) {
  const key = `${looks}:${width}`;
  let before = isLoop ? begun.get(steps) : null;
  if (before?.looks !== key) before = { looks: key, ran: canvas(isLoop, width, steps.length), strokes: new Set(), settled: 0 };
  if (isLoop) begun.set(steps, before);
  const { ran, strokes } = before;
  const open = [];
  let longest = 0;
  for (let index = before.settled; index < steps.length; index += 1) {
    const step = steps[index];
    if (step.endedAt === null) {
      open.push([index, step]);
      longest = Math.max(longest, end - step.startedAt);
    } else if (isLoop && !open.length) before.settled = index + 1;
    if (isLoop || !step.attempts.length) {
      if (step.endedAt !== null) mark(ran, place(step.startedAt), place(step.endedAt), index, stepMs(step));
    } else for (const { startedAt, endedAt } of step.attempts) if (endedAt !== null) mark(ran, place(startedAt), place(endedAt), index, 0);
    if (FAILED.has(step.status)) strokes.add(Math.round(place(step.endedAt ?? end)));
  }
  longest = Math.max(longest, ran.longest);
  const seen = [...strokes].filter((x) => x >= 0 && x <= width).map((x) => `M${Math.max(0, x - STROKE)} 0h${STROKE}v${HIGH}h-${STROKE}z`);
  return { ran: ran.path(longest), failed: seen.join(""), open, many: steps.length, longest };
}

/** The path of what is not over, as of `end`. */
export function sketchOpen({ open, many, longest }, place, { width, isLoop, end }) {
  const drawn = canvas(isLoop, width, many);
  for (const [index, step] of open) {
    for (const { startedAt, endedAt } of spansOf(step, isLoop)) if (endedAt === null) mark(drawn, place(startedAt), place(end), index, end - startedAt);
  }
  return drawn.path(longest);
}

const spansOf = (step, isLoop) => (!isLoop && step.attempts.length ? step.attempts : [step]);

const canvas = (isLoop, width, many) => (isLoop ? new Heights(width) : new Lanes(width, many));

function mark(drawn, a, b, index, ms) {
  if (b < 0 || a > drawn.width) return;
  drawn.mark(Math.max(0, a), Math.max(a, Math.min(drawn.width, b)), index, ms);
}

/** Lines side by side: where anything ran in a lane, it is drawn. */
class Lanes {
  constructor(width, many) {
    this.lanes = Array.from({ length: Math.min(LANES, Math.max(1, many)) }, () => null);
    Object.assign(this, { width, many: Math.max(1, many), longest: 0 });
  }

  mark(a, b, index) {
    const lane = Math.floor((index * this.lanes.length) / this.many);
    const pixels = (this.lanes[lane] ??= new Uint8Array(Math.ceil(this.width) + 1));
    pixels.fill(1, Math.floor(a), Math.max(Math.floor(a) + 1, Math.round(b)));
  }

  path() {
    const pitch = HIGH / this.lanes.length;
    const line = Math.max(LINE, Math.min(6, pitch - 1));
    let path = "";
    this.lanes.forEach((pixels, lane) => {
      if (!pixels) return;
      const y = round(lane * pitch + (pitch - line) / 2);
      let x = pixels.indexOf(1);
      while (x >= 0) {
        const gap = pixels.indexOf(0, x);
        const end = gap < 0 ? pixels.length : gap;
        path += `M${x} ${y}h${end - x}v${round(line)}h-${end - x}z`;
        x = pixels.indexOf(1, end);
      }
    });
    return path;
  }
}

/** One height per stretch: the longest of what ran in it. */
class Heights {
  constructor(width) {
    this.tops = new Float64Array(Math.ceil(width / STRETCH) + 1).fill(-1);
    Object.assign(this, { width, longest: 0 });
  }

  mark(a, b, _, ms) {
    const last = Math.max(Math.floor(a / STRETCH), Math.ceil(b / STRETCH) - 1);
    for (let at = Math.floor(a / STRETCH); at <= last; at += 1) if (ms > this.tops[at]) this.tops[at] = ms;
    if (ms > this.longest) this.longest = ms;
  }

  path(longest) {
    let path = "";
    this.tops.forEach((ms, at) => {
      if (ms < 0) return;
      const high = round(Math.max(LOWEST, Math.min(1, ms / (longest || 1)) * HIGH));
      path += `M${at * STRETCH} ${HIGH}v-${high}h${STRETCH}v${high}z`;
    });
    return path;
  }
}

const round = (value) => Math.round(value * 10) / 10;
