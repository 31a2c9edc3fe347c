// A run as a file, read in the page: docs/run-files.md, as playground/runfiles/format.py writes it. Loaded when somebody opens one. The file
// is anybody's: whatever is wrong with it is said with its line, before anything of it is shown.

import { Digits, parse } from "./exact.js";
import { STATUS } from "./statuses.js";

export const FILE_BYTES = 64 * 1024 * 1024;
const LINE_BYTES = 16 * 1024 * 1024;
const EVENTS = 250_000; // what a server lets one run have
const DEPTH = 200; // levels of lists and objects in a line
const SOURCE = 1024 * 1024; // characters of code
const VERSION = 1;
const FORMAT = "playground-run";
const AT_ONCE = 2_000; // lines read before the page gets a turn
const LAST_TIME = 253_402_300_799_999; // that a calendar has
const NONE = "is no run’s file: Save the run, in Share on a run’s page, writes one";
const KINDS = new Set(["do", "sleep", "wait", "child", "reply", "patch"]);
const STEP_DEPTH = 9;
const ERROR_DEPTH = 8;
const TYPE = /^[a-z][a-z_]{2,40}$/;
const RUNS_FILE = /^\s*\{\s*"format"\s*:\s*"playground-run"/;

/** Why a file can't be opened; its message is for people. */
export class BadRunFile extends Error {}

/** Whether a file is meant to be a run's: by its name, or by how it begins. */
export const isRunFile = async (file) => /\.(jsonl|ndjson)$/i.test(file.name) || RUNS_FILE.test(await file.slice(0, 100).text());

/**
 * The run of a file.
 * @param {Blob & {name: string}} file
 * @returns {Promise<{head: object, events: object[]}>}
 */
export async function readRunFile(file) {
  if (file.size > FILE_BYTES) throw new BadRunFile(`${file.name} has ${file.size.toLocaleString("en")} bytes; the most is ${FILE_BYTES.toLocaleString("en")}. A terminal reads twice as much: playground runs show.`);
  const bytes = new Uint8Array(await file.arrayBuffer());
  try {
    return await read(bytes);
  } catch (error) {
    if (error instanceof BadRunFile) throw new BadRunFile(`${file.name}: ${error.message}`);
    throw error;
  }
}

async function read(bytes) {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const events = [];
  let head = null;
  let end = null;
  let number = 0;
  for (let from = 0; from < bytes.length; ) {
    const found = bytes.indexOf(10, from);
    const to = found < 0 ? bytes.length : found;
    number += 1;
    const bad = (why) => new BadRunFile(`line ${number}: ${why}`);
    if (to - from > LINE_BYTES) throw bad(`it has more than ${LINE_BYTES.toLocaleString("en")} bytes`);
    const text = decoded(decoder, bytes.subarray(from, to), head === null ? null : bad);
    const place = from;
    from = to + 1;
    if (!text.trim()) continue;
    const line = json(text, head === null ? null : found < 0 ? () => new BadRunFile(`it is cut off in line ${number}. Save the run again.`) : bad);
    if (head === null) head = headOf(line, bad);
    else if (end) throw bad("more follows the line that ends the file");
    else if (line.end === true) end = { ...ending(line, events, bad), at: place };
    else events.push(eventOf(line, events.length + 1, bad));
    if (number % AT_ONCE === 0) await turn();
  }
  if (!head) throw new BadRunFile(`it is empty, and so ${NONE}.`);
  if (!end) throw new BadRunFile(`it is cut off after line ${number}. Save the run again.`);
  if (!(await isWhole(bytes.subarray(0, end.at), end.sha256))) throw new BadRunFile("it was changed after it was written: its hash is another one.");
  return { head, events };
}

const turn = () => new Promise((resolve) => setTimeout(resolve));

/** Text of bytes. Of the first line `bad` is null: a file of another kind is no mistake in a run's. */
function decoded(decoder, bytes, bad) {
  try {
    return decoder.decode(bytes);
  } catch {
    throw bad ? bad("it is not UTF-8 text") : new BadRunFile(`it ${NONE}.`);
  }
}

function json(text, bad) {
  if (depthOf(text) > DEPTH) throw bad ? bad(`it is nested more than ${DEPTH} levels deep`) : new BadRunFile(`it ${NONE}.`);
  try {
    const line = parse(text);
    if (isObject(line)) return line;
  } catch {
    // said below
  }
  throw bad ? bad("it is not a JSON object") : new BadRunFile(`it ${NONE}.`);
}

/** Levels of JSON text, without parsing it. */
function depthOf(text) {
  let [level, deepest, inside] = [0, 0, false];
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (inside) {
      if (code === 0x5c) at += 1;
      else if (code === 0x22) inside = false;
    } else if (code === 0x22) inside = true;
    else if (code === 0x5b || code === 0x7b) deepest = Math.max(deepest, (level += 1));
    else if (code === 0x5d || code === 0x7d) level -= 1;
  }
  return deepest;
}

function headOf(line, bad) {
  if (own(line, "format") !== FORMAT) throw new BadRunFile(`it ${NONE}.`);
  const { version, status, code } = line;
  if (version !== VERSION) throw new BadRunFile(`it is of version ${typeof version === "number" ? version : "?"} of the format, and this page reads ${VERSION}${version > VERSION ? "; a newer playground opens it" : ""}.`);
  if (!isText(status) || !Object.hasOwn(STATUS, status)) throw bad("there is no such status");
  const texts = ["product", "id", "title", "workflow", "class_name"];
  const whole = texts.every((name) => isText(line[name])) && isTime(line.written_at) && Number.isInteger(line.last_seq) && isObject(code) && isText(code.version) && (code.source === null || isText(code.source)) && "params" in line;
  if (!whole) throw bad("it is not the head of a run’s file");
  if ((code.source ?? "").length > SOURCE) throw bad(`the code has more than ${SOURCE.toLocaleString("en")} characters`);
  return line;
}

function ending(line, events, bad) {
  if (line.events !== events.length) throw bad(`the file has ${events.length} events, and another number at its end`);
  return { sha256: line.sha256 };
}

async function isWhole(bytes, expected) {
  if (!globalThis.crypto?.subtle) return true; // a page over plain http has none
  const found = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...found].map((byte) => byte.toString(16).padStart(2, "0")).join("") === expected;
}

// One event: what the fold and the views take for granted. Fields by their names, which mean the same in every type.

const NUMBERS = ["attempt", "clock_us", "took_us", "took_ms", "retry_delay_ms", "first", "count", "dropped", "execution", "replayed", "bytes", "redirects", "tokens_in", "tokens_out", "received", "ended"];
const TEXTS = ["text", "stream", "level", "reason", "type", "event_type", "how", "when", "key", "method", "host", "model", "server", "tool", "worker", "code_version", "snippet", "child"];
const OBJECTS = ["config", "event", "flow"];
const LISTS = ["values", "steps", "tags"];
const SENTENCE = new Set(["fetch_called", "ai_called", "mcp_called"]); // their error is a text
const NEEDS = {
  attempt_started: ["attempt"],
  attempt_completed: ["attempt"],
  attempt_errored: ["attempt", "error"],
  rollback_attempt_started: ["attempt"],
  rollback_attempt_completed: ["attempt"],
  rollback_attempt_errored: ["attempt", "error"],
  wait_completed: ["event"],
  wait_started: ["event_type"],
  log: ["text"],
  execution_started: ["execution"],
  step_errored: ["error"],
  workflow_errored: ["error"],
  stream_appended: ["stream", "attempt", "first", "count", "values"],
  breakpoint_hit: ["step"],
  break_set: ["step", "how", "times"],
};

function eventOf(line, seq, bad) {
  const { type, at, data = {}, step, execution = null } = line;
  if (line.seq !== seq) throw bad(`event ${seq} comes next`);
  if (seq > EVENTS) throw bad(`the file has more than ${EVENTS.toLocaleString("en")} events`);
  if (!isText(type) || !TYPE.test(type)) throw bad("it is not an event");
  if (seq === 1 && type !== "workflow_queued") throw bad("a journal begins with workflow_queued");
  if (!isTime(at) || !isObject(data) || !(execution === null || Number.isInteger(execution))) throw bad("it is not an event");
  if (step !== undefined && !isStep(step, STEP_DEPTH)) throw bad("there is no such step");
  const wrong = wrongField(type, data);
  if (wrong) throw bad(`the field ${wrong} of ${type} is missing, or is none`);
  return line;
}

function wrongField(type, data) {
  const has = (name) => Object.hasOwn(data, name) && data[name] !== null;
  const missing = (Object.hasOwn(NEEDS, type) ? NEEDS[type] : []).find((name) => !has(name));
  if (missing) return missing;
  const not = (names, is) => names.find((name) => has(name) && !is(data[name]));
  const error = has("error") && !(SENTENCE.has(type) ? isText(data.error) : isError(data.error, ERROR_DEPTH)) ? "error" : null;
  const step = has("step") && !isObject(data.step) ? "step" : null;
  const line = has("line") && !Number.isInteger(data.line) ? "line" : null;
  const until = has("until") && !isTime(data.until) ? "until" : null;
  return not(NUMBERS, isCount) ?? not(TEXTS, isText) ?? not(OBJECTS, isObject) ?? not(LISTS, Array.isArray) ?? error ?? step ?? line ?? until;
}

const own = (object, name) => (Object.hasOwn(object, name) ? object[name] : undefined);
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Digits);
const isText = (value) => typeof value === "string";
const isCount = (value) => typeof value === "number" && Number.isFinite(value);
const isTime = (value) => Number.isInteger(value) && value >= 0 && value <= LAST_TIME;
const isStep = (step, left) => left > 0 && isObject(step) && KINDS.has(step.kind) && isText(step.name) && Number.isInteger(step.count) && (!("parent" in step) || isStep(step.parent, left - 1));
const isFrame = (frame) => isObject(frame) && (frame.line === null || Number.isInteger(frame.line)) && isText(frame.function ?? "") && isText(frame.code ?? "");
const isError = (error, left) =>
  left > 0 &&
  isObject(error) &&
  isText(error.name) &&
  isText(error.message) &&
  (error.traceback ?? []) instanceof Array &&
  (error.traceback ?? []).every(isFrame) &&
  (error.notes ?? []) instanceof Array &&
  (error.errors ?? []) instanceof Array &&
  [...(error.errors ?? []), error.cause, error.context].every((inner) => inner === undefined || inner === null || isError(inner, left - 1));
