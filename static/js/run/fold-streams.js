// The fold of what steps append to streams: how many values stand, and what a row shows of them. Which values stand is
// decided as in playground/workflows/streams.py: an attempt makes void what the earlier ones of its step appended. A part,
// what one step has in one stream, is never changed in place: an earlier moment may hold it (moments.js).

import { isNumber } from "../exact.js";
import { keyOf, refOf } from "./fold-state.js";

export const TEXT_MOST = 16_000; // characters of a text that are kept, from its end

const placeOf = (stream, key) => `${stream}\n${key}`; // no name of a stream has a newline

/** Whether a value says how far a step is: `{percent, text}`. */
const isProgress = (value) => value !== null && typeof value === "object" && isNumber(value.percent) && value.percent >= 0 && value.percent <= 100;

/** A part with more values. `text` joins those that are text; `progress` is the last that says how far the step is, and when that was. */
function longer(part, values, at) {
  const more = { ...part, values: part.values + values.length };
  for (const value of values) {
    more.last = value;
    if (typeof value === "string") more.text += value;
    else if (isProgress(value)) more.progress = { percent: Number(value.percent), text: typeof value.text === "string" ? value.text : "", at };
  }
  if (more.text.length > TEXT_MOST) Object.assign(more, { text: more.text.slice(-TEXT_MOST), isCut: true });
  return more;
}

/** A restart keeps what the steps have appended that it keeps. */
export function restartStreams(state) {
  for (const name of state.streams.keys()) state.streams.set(name, 0);
  for (const [place, { key }] of state.parts) if (!state.steps.has(key)) state.parts.delete(place);
}

/** An attempt of a step begins: what the earlier ones appended is void. */
export function attemptBegins(state, { key }, attempt) {
  for (const name of state.streams.keys()) {
    const part = state.parts.get(placeOf(name, key));
    if (part && part.attempt !== attempt) state.parts.delete(placeOf(name, key));
  }
}

/** What a step has in streams, a part for each. */
export function partsOf(state, { key }) {
  const found = [];
  for (const name of state.streams.keys()) if (state.parts.has(placeOf(name, key))) found.push(state.parts.get(placeOf(name, key)));
  return found;
}

export function streamsView({ streams, parts }) {
  return [...streams].map(([name, dropped]) => {
    const its = [...parts.values()].filter(({ stream }) => stream === name);
    return { name, values: its.reduce((sum, { values }) => sum + values, 0), dropped, steps: its.map(({ step, attempt, values }) => ({ step, attempt, values })) };
  });
}

export const STREAMS = {
  stream_appended(state, event, data) {
    const key = keyOf(event.step);
    const place = placeOf(data.stream, key);
    if (!state.streams.has(data.stream)) state.streams.set(data.stream, 0);
    const before = state.parts.get(place);
    const part = before?.attempt === data.attempt ? before : { stream: data.stream, key, step: refOf(event.step), attempt: data.attempt, values: 0, text: "", isCut: false, progress: null, last: null };
    state.parts.set(place, longer(part, data.values, event.at));
    const step = state.steps.get(key);
    if (step) step.version = event.seq;
  },
  stream_truncated(state, event, data) {
    state.streams.set(data.stream, (state.streams.get(data.stream) ?? 0) + data.dropped);
  },
};
