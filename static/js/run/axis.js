// The labels above the timeline: flags for cuts and now, true lengths of idle strips, ticks. What would touch is left out. Pure.

import { CUT, lasting, moment, two } from "./words.js";

const CHAR = 6.1; // width of a character at 11 px, in CSS pixels
const GAP = 8; // least distance of two labels
const MARGIN = 12; // beside a track that is as wide as the panel
const BESIDE = 14; // free to the right of a track that is not, before the buttons
const TICK = 66; // least distance of two ticks
const FOR_WORKER = "in line for a worker";
const ROUND = [1, 2, 5, 10];

/**
 * @param {number} width of the track, in CSS pixels
 * @param {string} held what the flag says where time stands still
 * @returns {{kind: string, a: number, text: string, title?: string}[]} `a` is the middle, in percent
 */
export function labels({ scale, cuts, stale, final, width, narrow, held }) {
  const placed = [];
  const taken = [];
  const put = (label, size, must) => {
    if (label.a < 0 || label.a > 100) return true; // out of view
    const middle = (label.a / 100) * width;
    const half = size / 2;
    const from = label.kind === "start" ? middle : middle - half;
    const box = [from - GAP / 2, from + size + GAP / 2];
    if (taken.some(([a, b]) => a < box[1] && b > box[0])) {
      if (!must) return false;
    }
    taken.push(box);
    placed.push(label);
    return true;
  };
  const now = stale ? held : "now";
  if (!final) put({ kind: stale ? "stale" : "now", a: scale.at(scale.now), text: now }, now.length * CHAR + 14, true);
  const flags = merged(cuts, scale, width);
  for (let index = flags.length - 1; index >= 0; index -= 1) {
    const { kind, a, text, title } = flags[index];
    const size = text.length * CHAR + 34;
    const room = ((width + (narrow ? MARGIN : BESIDE) - size / 2) / width) * 100; // at the end it is not in the middle over its cut, but whole
    const cutOff = narrow && (a / 100) * width < size / 2 - MARGIN; // a track as wide as the panel has nothing beside it to lie over
    if (cutOff || !put({ kind, a: a > 100 ? a : Math.min(a, room), text, title }, size)) put({ kind, a, text: "", title }, 22);
  }
  const begins = scale.view ? stamp(Math.max(0, scale.moment(0) - scale.start), tickOf(scale, width)) : "0 s";
  put({ kind: "start", a: scale.view ? 0 : scale.at(scale.start), text: begins }, begins.length * CHAR);
  if (!narrow) {
    for (const idle of scale.idles) {
      const text = idle.ahead ? `until ${moment(idle.to, scale.now)}` : `${lasting(idle.length)} ${idle.queued ? FOR_WORKER : "idle"}`;
      if (!put({ kind: "skipped", a: (idle.a + idle.b) / 2, text }, text.length * CHAR)) {
        const short = idle.ahead ? moment(idle.to, scale.now) : lasting(idle.length).split(" ")[0];
        put({ kind: "skipped", a: (idle.a + idle.b) / 2, text: short, title: text }, short.length * CHAR);
      }
    }
  }
  for (const tick of ticks(scale, width)) put(tick, tick.text.length * CHAR);
  return placed;
}

/** Cuts too near each other to have a flag each share one. */
function merged(cuts, scale, width) {
  const flags = [];
  for (const cut of cuts) {
    const a = scale.at(cut.at);
    const last = flags[flags.length - 1];
    const kind = cut.soft ? "soft" : "cut";
    if (last && last.kind === kind && ((a - last.a) / 100) * width < 22) {
      last.times += 1;
      last.text = `${last.word} × ${last.times}`;
      last.a = a;
    } else flags.push({ kind, a, word: CUT[cut.reason] ?? cut.reason, text: CUT[cut.reason] ?? cut.reason, times: 1, title: cut.soft ? "from here on it runs edited code" : `execution ${cut.execution} ended here` });
  }
  return flags;
}

/** Milliseconds between two ticks. */
function tickOf(scale, width) {
  const shown = scale.view ? scale.view.b - scale.view.a : scale.span;
  return rounded((shown / width) * TICK);
}

function ticks(scale, width) {
  const step = tickOf(scale, width);
  const [first, last] = scale.view ? [scale.moment(0) - scale.start, scale.moment(100) - scale.start] : [0, Infinity];
  const found = [];
  scale.spans().forEach(([from, to], index) => {
    const begins = from - scale.start;
    if (index > 0 && step < 1000 && !scale.view) {
      if (from < scale.now) found.push({ kind: "tick", a: scale.at(from), text: stamp(begins, 1000) });
      return;
    }
    for (let at = Math.ceil((Math.max(begins, first) + 1) / step) * step; at < Math.min(to - scale.start, last); at += step) {
      const a = scale.at(scale.start + at);
      if (a < 99.5) found.push({ kind: "tick", a, text: stamp(at, step) });
      if (found.length > 60) break;
    }
  });
  return found;
}

/** A moment counted from the start, as exact as the ticks are dense. */
function stamp(ms, step) {
  if (ms < 1000 && step < 1000) return `${round(ms, step)} ms`;
  if (ms < 60_000) return `${round(ms / 1000, step / 1000)} s`;
  const total = Math.round(ms / 1000);
  if (step < 1000) return `${Math.floor(ms / 60_000)}:${(ms / 1000) % 60 < 10 ? "0" : ""}${((ms / 1000) % 60).toFixed(Math.min(3, Math.max(0, Math.ceil(-Math.log10(step / 1000) - 1e-9))))}`;
  if (total < 3600) return `${Math.floor(total / 60)}:${two(total % 60)}`;
  const hours = Math.floor(total / 3600);
  return hours < 48 ? `${hours}:${two(Math.floor((total % 3600) / 60))} h` : `${Math.floor(hours / 24)} d`;
}

function round(value, step) {
  const digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
  return value.toFixed(Math.min(3, digits)).replace(/\.0+$/, "");
}

/** The least of 1, 2, 5 times a power of ten that is at least `value`. */
function rounded(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return ROUND.find((one) => one * power >= value * 0.9999) * power;
}
