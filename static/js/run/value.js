// Values as they were stored: whether two are alike, and how one is shown, as JSON with colours. Tags such as {"$datetime": …} are said in words.

import { el } from "../dom.js";
import { JsonText, isNumber, parse, sameNumber, stringify } from "../exact.js";
import { count } from "./words.js";

const DEPTH_INLINE = 84; // characters a list or object may take and still stand on one line
const BYTES_SHOWN = 160; // characters of base64
const MOST = 20_000; // characters shown of one value; the rest is said to be there

export function same(a, b) {
  if (a === b) return true;
  if (isNumber(a) || isNumber(b)) return isNumber(a) && isNumber(b) && sameNumber(a, b);
  if (a === null || b === null || typeof a !== "object" || typeof b !== "object" || Array.isArray(a) !== Array.isArray(b)) return false;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => name in b && same(a[name], b[name]));
}

/** A fragment of spans for `value`; at most MOST characters of it. */
export function valueNodes(value) {
  const out = document.createDocumentFragment();
  const budget = { left: MOST };
  write(value, "", out, budget);
  if (budget.left <= 0) out.append(el("span.dim", {}, `\n… ${stringify(value).length.toLocaleString("en")} characters in all; Copy gives the whole`));
  return out;
}

/**
 * A stored value with the digits of its large ints in the place of their tags; with `dicts`, those of dicts go, too. What comes after `left`
 * values stays as it is. It is `untagged` of playground/web/indented_json.py.
 */
function untagged(value, { dicts = false, left = { values: Infinity } } = {}) {
  left.values -= 1;
  if (value === null || typeof value !== "object" || isNumber(value) || left.values < 0) return value;
  const inner = (one) => untagged(one, { dicts, left });
  if (Array.isArray(value)) return value.map(inner);
  if (isInt(value)) return new JsonText(value.$int);
  const members = (one) => Object.fromEntries(Object.entries(one).map(([name, member]) => [name, inner(member)]));
  if (!isDict(value)) return members(value);
  return dicts ? members(value.$dict) : { $dict: members(value.$dict) };
}

/** Whether an object is the tag of a dict whose only key looks like a tag. */
export const isDict = (value) => Object.keys(value).length === 1 && value.$dict !== null && typeof value.$dict === "object";

const isInt = (value) => tagOf(value) === "$int" && /^-?\d+$/.test(value.$int);

/** The text of a value as the API shows it, for the clipboard and for a field that takes such a value. */
export const valueText = (value, indent = 2) => stringify(untagged(value), { indent });

/** The text of a value for a field that takes any JSON: there a dict needs no tag to tell that it is none. */
export const inputText = (value) => stringify(value instanceof JsonText ? value : untagged(value, { dicts: true }), { indent: 1 });

/** At most `most` characters of a value on one line. */
export function brief(value, most = 120) {
  const shown = value instanceof JsonText ? parse(value.text) : value;
  const text = shown === undefined ? "" : stringify(untagged(shown, { left: { values: most } }), { most });
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function put(out, budget, name, text) {
  if (budget.left <= 0) return;
  const shown = text.length > budget.left ? `${text.slice(0, budget.left)}…` : text;
  budget.left -= text.length;
  if (name) out.append(el(`span.${name}`, {}, shown));
  else out.append(shown);
}

const TAGS = { __proto__: null, $datetime: "datetime", $bytes: "bytes", $set: "set", $int: "int" };

/** The tag that an object is, or null. */
export function tagOf(value) {
  const keys = Object.keys(value);
  return keys.length === 1 && keys[0] in TAGS ? keys[0] : null;
}

function write(value, indent, out, budget) {
  if (budget.left <= 0) return;
  if (value === null || typeof value === "boolean" || isNumber(value)) put(out, budget, "v-num", String(value));
  else if (typeof value === "string") put(out, budget, "v-str", JSON.stringify(value));
  else if (Array.isArray(value)) writeMany(value.map((one) => [null, one]), "[", "]", indent, out, budget);
  else {
    const tag = tagOf(value);
    if (isInt(value)) put(out, budget, "v-num", value.$int);
    else if (tag) {
      put(out, budget, "dim", `${TAGS[tag]}${tag === "$bytes" && typeof value.$bytes === "string" ? `, ${count(bytesIn(value.$bytes), "byte")}` : ""} `);
      if (tag === "$bytes" && typeof value.$bytes === "string") writeBytes(value.$bytes, out, budget);
      else write(value[tag], indent, out, budget);
    } else {
      const inner = isDict(value) ? value.$dict : value;
      writeMany(Object.entries(inner), "{", "}", indent, out, budget);
    }
  }
}

/** How many bytes a base64 text stands for. */
const bytesIn = (text) => Math.floor((text.replace(/=+$/, "").length * 3) / 4);

/** Base64, of which more than a few lines help nobody; it has no spaces, and wraps where it is shown. */
function writeBytes(text, out, budget) {
  put(out, budget, "v-str", JSON.stringify(text.slice(0, BYTES_SHOWN)));
  if (text.length > BYTES_SHOWN) put(out, budget, "dim", ` … ${count(text.length, "character")} of base64 in all; Copy gives the whole`);
}

function writeMany(entries, open, close, indent, out, budget) {
  if (!entries.length) return put(out, budget, "", open + close);
  const flat = entries.every(([, one]) => one === null || typeof one !== "object" || !Object.keys(one).length || isInt(one));
  const short = flat && entries.reduce((sum, [key, one]) => sum + (key?.length ?? 0) + String(one?.$int ?? one).length + 6, 0) <= DEPTH_INLINE;
  const inner = short ? "" : `${indent}  `;
  put(out, budget, "", short ? open : `${open}\n${inner}`);
  entries.forEach(([key, one], index) => {
    if (budget.left <= 0) return;
    if (index) put(out, budget, "", short ? ", " : `,\n${inner}`);
    if (key !== null) {
      put(out, budget, "v-key", JSON.stringify(key));
      put(out, budget, "", ": ");
    }
    write(one, inner, out, budget);
  });
  put(out, budget, "", short ? close : `\n${indent}${close}`);
}
