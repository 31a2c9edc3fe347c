// What the run panel calls things: reasons, steps, times. How things stand is in statuses.js, sentences are in narrator.js.

/** What an execution's end is called where its worker is cut off. */
export const CUT = {
  killed: "worker killed",
  crashed: "worker crashed",
  evicted: "worker taken",
  lost: "server restarted",
  limit: "limit broken",
  restart: "restarted",
  code: "goes on with edited code",
  recoded: "edited code",
};

/** Where a fork has a step from, and how it went there. */
export function copiedWords({ copied }) {
  if (copied.edited) return "its result was edited when this run was forked";
  const tried = copied.attempts > 1 ? ` in ${copied.attempts} attempts` : "";
  return copied.took_ms === undefined ? "copied from an earlier run" : `copied from the run this was forked from, where it took ${lasting(copied.took_ms)}${tried}`;
}

/** Who sent an event, by what the journal has of it. */
export const senderText = ({ how, name }) => (how === "link" ? name ? `“${name}”, by a signed link` : "somebody with a signed link" : how === "key" ? `the key “${name}”` : "whoever started the run");

/** A step's name as people see it: its count is said from the second on. */
export const stepLabel = (step) => (step.count > 1 ? `${step.name}-${step.count}` : step.name);

/** The same where it stands alone: after the names of the steps that it was called in, of which so many characters are told. */
export function pathLabel(step, most = Infinity) {
  return step.parent ? `${short(pathLabel(step.parent, most), most)} › ${stepLabel(step)}` : stepLabel(step);
}

/** The same where there is room for little: that it was called in another one, not in which. */
export const innerLabel = (step) => (step.parent ? `› ${stepLabel(step)}` : stepLabel(step));

/** A length of time in milliseconds, as long as it needs to be: `320 µs`, `3 ms`, `3.27 s`, `6 min 46 s`, `1 h 53 min`, `4 d 2 h`. */
export function lasting(ms) {
  if (ms < 0) ms = 0;
  if (ms > 0 && ms < 0.9995) return `${Math.max(1, Math.round(ms * 1000))}\u00a0µs`;
  if (ms < 9.95) return `${trim(ms.toFixed(1))}\u00a0ms`;
  if (ms < 1000) return `${Math.round(ms)}\u00a0ms`;
  if (ms < 10_000) return `${trim((ms / 1000).toFixed(2))}\u00a0s`;
  if (ms < 59_950) return `${trim((ms / 1000).toFixed(1))}\u00a0s`;
  return pair(ms);
}

/** Like `lasting` for a number that moves: one digit after the point and always there, so that nothing jumps. */
export function ticking(ms) {
  if (ms < 0) ms = 0;
  return ms < 59_950 ? `${(ms / 1000).toFixed(1)}\u00a0s` : pair(ms);
}

/** What is left of a wait; whole seconds when there is no hurry. Never below zero. */
export function left(ms) {
  if (ms <= 0) return "0\u00a0s";
  if (ms < 10_000) return `${(Math.ceil(ms / 100) / 10).toFixed(1)}\u00a0s`;
  return ms < 59_500 ? `${Math.ceil(ms / 1000)}\u00a0s` : pair(Math.ceil(ms / 1000) * 1000);
}

const trim = (text) => text.replace(/\.?0+$/, "");

function pair(ms) {
  const total = Math.round(ms / 1000);
  const units = [
    [365 * 86_400, "y"],
    [86_400, "d"],
    [3_600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  for (let index = 0; index < units.length; index += 1) {
    const [size, unit] = units[index];
    if (total < size) continue;
    const whole = Math.floor(total / size);
    if (index === units.length - 1) return `${whole}\u00a0${unit}`;
    const [lower, lowerUnit] = units[index + 1];
    const rest = Math.floor((total % size) / lower);
    return rest ? `${whole}\u00a0${unit} ${rest}\u00a0${lowerUnit}` : `${whole}\u00a0${unit}`;
  }
  return "0\u00a0s";
}

export const two = (number) => String(number).padStart(2, "0");

/** Local time of day to the millisecond, the way logs and journals are read. */
export function clock(at) {
  const when = new Date(at);
  return `${hours(at)}.${String(when.getMilliseconds()).padStart(3, "0")}`;
}

export function hours(at) {
  const when = new Date(at);
  return `${two(when.getHours())}:${two(when.getMinutes())}:${two(when.getSeconds())}`;
}

/** A moment to come or gone by: the time if it is today's, else with its day. */
export function moment(at, now) {
  const when = new Date(at);
  if (new Date(now).toDateString() === when.toDateString()) return hours(at);
  const day = when.toLocaleDateString("en-GB", { day: "numeric", month: "long" });
  return `${day}, ${two(when.getHours())}:${two(when.getMinutes())}`;
}

export const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

/** The first line of a text, and at most `most` characters of it. */
export function short(text, most) {
  const [line] = text.split("\n");
  return line.length > most ? `${line.slice(0, most - 1)}…` : line === text ? text : `${line}…`;
}

/** A tenant's error in one line, as Python would print it. */
export function errorLine(error) {
  if (!error) return "";
  return error.message ? `${error.name}: ${error.message}` : error.name;
}

/** The same where there is room for one line only: of a group, its first member is what went wrong. */
export function errorBrief(error) {
  let first = error;
  while (first?.errors?.length) [first] = first.errors;
  return first === error ? errorLine(error) : `${errorLine(first)}, ${error.errors.length > 1 ? `one of ${error.errors.length} ` : ""}in ${error.name}`;
}

/** "62 %", with at most one digit after the point. */
export const percentText = (percent) => `${Math.floor(percent * 10) / 10}\u00a0%`;
