// Values as they were stored: whether two are alike, and their text. Pure.

import { JsonText, isNumber, parse, sameNumber, stringify } from "../exact.js";

export function same(a, b) {
  if (a === b) return true;
  if (isNumber(a) || isNumber(b)) return isNumber(a) && isNumber(b) && sameNumber(a, b);
  if (a === null || b === null || typeof a !== "object" || typeof b !== "object" || Array.isArray(a) !== Array.isArray(b)) return false;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => name in b && same(a[name], b[name]));
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

const TAGS = new Set(["$datetime", "$bytes", "$set", "$int"]);

/** The tag that an object is, or null. */
export function tagOf(value) {
  const keys = Object.keys(value);
  return keys.length === 1 && TAGS.has(keys[0]) ? keys[0] : null;
}
