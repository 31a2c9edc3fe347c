// What a stored value is: its type as Python names it, its words on one line, and what it holds. Tags such as {"$datetime": …} are read
// here (playground/workflows/values.py writes them), and no digit of a number is lost. Pure.

import { isNumber } from "../exact.js";
import { isDict, tagOf } from "./value.js";
import { count } from "./words.js";

export const LONG = 200; // characters of a text on one line; a longer one opens
const HEX = 8; // bytes that are shown on one line
const INLINE = 84; // characters that a short list or dict may take on one line
const KEYS = 60; // characters of the keys that stand for a dict
const EXACT = 15; // digits that any reader keeps; longer ints say how many they have

const WHOLE = /^-?\d+$/;

const KB = 1024;
const UNITS = ["B", "KB", "MB"];

/** `212 B`, `64 KB`, `1.2 MB`. */
export function sizeText(bytes) {
  let unit = 0;
  let size = bytes;
  while (size >= KB && unit < UNITS.length - 1) {
    size /= KB;
    unit += 1;
  }
  return `${unit && size < 10 ? size.toFixed(1).replace(/\.0$/, "") : Math.round(size)}\u00a0${UNITS[unit]}`;
}

/** The bytes of a base64 text from byte `from` on, at most `most` of them. */
export function bytesOf(text, from = 0, most = Infinity) {
  const begin = Math.floor(from / 3) * 4;
  const end = most === Infinity ? text.length : Math.ceil((from + most) / 3) * 4;
  return Uint8Array.from(atob(text.slice(begin, end)), (one) => one.charCodeAt(0)).subarray(from % 3, (from % 3) + most);
}

export const bytesIn = (text) => Math.floor((text.replace(/=+$/, "").length * 3) / 4);

export const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");

const ROOM = { list: ["[", "]"], dict: ["{", "}"], set: ["{", "}"] };
const MEMBER = { str: "text", dict: "dict", list: "list", int: "int", float: "float", bool: "bool", set: "set", datetime: "datetime", bytes: "bytes value" };

/**
 * What a value is, without the words for it: {type, text} of what stands on one line, {type, of} of what holds something. `of` is an array,
 * an object, the whole of a text, or the base64 of bytes.
 */
export function kindOf(value) {
  if (value === null || value === undefined) return { type: "None", text: "None" };
  if (typeof value === "boolean") return { type: "bool", text: value ? "True" : "False" };
  if (isNumber(value)) return number(String(value));
  if (typeof value === "string") return { type: "str", of: value };
  if (Array.isArray(value)) return { type: "list", of: value };
  const tag = tagOf(value);
  const inner = tag && value[tag];
  if (tag === "$int" && /^-?\d+$/.test(inner)) return number(inner);
  if (tag === "$datetime" && typeof inner === "string") return { type: "datetime", text: inner };
  if (tag === "$bytes" && typeof inner === "string") return { type: "bytes", of: inner };
  if (tag === "$set" && Array.isArray(inner)) return { type: "set", of: inner };
  return { type: "dict", of: isDict(value) ? value.$dict : value };
}

const number = (text) => ({ type: WHOLE.test(text) ? "int" : "float", text });

/**
 * @returns {{type: string, tone: string, text: string, note: string, members: number, of: any}} `text` is the value on one line, shortened
 *   with `…` where it is long; `note` is what else there is to say of it; `members` is how many it holds, or 0 for what does not open
 */
export function shapeOf(value) {
  const { type, text, of } = kindOf(value);
  if (type === "str") return textShape(of);
  if (type === "bytes") return bytesShape(of);
  if (type === "datetime") return datetime(text);
  if (type in ROOM) return many(type, of);
  const digits = type === "int" ? text.replace("-", "").length : 0;
  return scalar(type, "num", text, digits > EXACT ? `${digits} digits` : "");
}

const scalar = (type, tone, text, note = "") => ({ type, tone, text, note, members: 0, of: null });

function textShape(value) {
  const long = value.length > LONG || value.includes("\n");
  if (!long) return scalar("str", "str", JSON.stringify(value));
  const text = value.length > LONG ? `${JSON.stringify(value.slice(0, whole(value, LONG))).slice(0, -1)}…` : JSON.stringify(value);
  return { type: "str", tone: "str", text, note: "", members: value.length, of: value };
}

/** Where a text may be cut near `at`: not within a character. */
export const whole = (text, at) => (/[\uDC00-\uDFFF]/.test(text[at] ?? "") ? at - 1 : at);

function datetime(text) {
  const [, when, zone] = /^([^[]*)(?:\[(.*)\])?$/.exec(text) ?? [null, text, null];
  return scalar("datetime", "num", when.replace("T", " "), zone ?? "");
}

function bytesShape(text) {
  const all = bytesIn(text);
  let head;
  try {
    head = hex(bytesOf(text, 0, HEX));
  } catch {
    return scalar("bytes", "str", JSON.stringify(text)); // no base64: it stands as it is
  }
  return { type: "bytes", tone: "num", text: all > HEX ? `${head} …` : head || "no bytes", note: all > HEX ? "" : count(all, "byte"), members: all > HEX ? all : 0, of: text };
}

function many(type, of) {
  const keys = type === "dict" ? Object.keys(of) : null;
  const members = (keys ?? of).length;
  if (!members) return { type, tone: "", text: type === "set" ? "set()" : ROOM[type].join(""), note: "", members, of };
  return { type, tone: "dim", text: keys ? named(keys) : alike(of), note: "", members, of };
}

/** A dict in the names of its first keys. */
function named(keys) {
  let text = "";
  for (const key of keys) {
    if (text.length > KEYS) return `${text}, …`;
    text += `${text ? ", " : ""}${key.slice(0, KEYS)}`;
  }
  return text;
}

/** `18,204 dicts`, or items where the first of them are of several types. */
function alike(list) {
  const types = new Set(list.slice(0, 20).map((one) => kindOf(one).type));
  const [only] = types;
  return count(list.length, (types.size === 1 && MEMBER[only]) || "item");
}

/** What a short list, set or dict of plain values is on one line, token by token [[tone, text]], or null where it takes more. */
export function inline({ type, of, members }) {
  if (!(type in ROOM) || !members || members > INLINE / 2) return null;
  const [open, close] = ROOM[type];
  const tokens = [["", open]];
  let left = INLINE;
  for (const [key, member] of type === "dict" ? Object.entries(of) : of.map((one) => [null, one])) {
    const shape = shapeOf(member);
    if (shape.members || shape.tone === "dim") return null;
    if (tokens.length > 1) tokens.push(["", ", "]);
    if (key !== null) tokens.push(["key", JSON.stringify(key)], ["", ": "]);
    tokens.push([shape.tone, shape.text]);
    left -= (key?.length ?? 0) + shape.text.length + 4;
    if (left < 0) return null;
  }
  tokens.push(["", close]);
  return tokens;
}
