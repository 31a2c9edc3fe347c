// Values as they were stored: whether two are alike, and how one is shown, as JSON with colours. Tags such as {"$datetime": …} are said in words.

import { el } from "../dom.js";

const DEPTH_INLINE = 84; // characters a list or object may take and still stand on one line
const MOST = 20_000; // characters shown of one value; the rest is said to be there

export function same(a, b) {
  if (a === b) return true;
  if (a === null || b === null || typeof a !== "object" || typeof b !== "object" || Array.isArray(a) !== Array.isArray(b)) return false;
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => name in b && same(a[name], b[name]));
}

/** A fragment of spans for `value`; at most MOST characters of it. */
export function valueNodes(value) {
  const out = document.createDocumentFragment();
  const budget = { left: MOST };
  write(value, "", out, budget);
  if (budget.left <= 0) out.append(el("span.dim", {}, `\n… ${JSON.stringify(value).length.toLocaleString("en")} characters in all; Copy gives the whole`));
  return out;
}

/** The text of a value, for the clipboard and for one-line summaries. */
export const valueText = (value, indent = 2) => JSON.stringify(value, null, indent);

/** At most `most` characters of a value on one line. */
export function brief(value, most = 120) {
  const text = value === undefined ? "" : JSON.stringify(value);
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function put(out, budget, name, text) {
  if (budget.left <= 0) return;
  const shown = text.length > budget.left ? `${text.slice(0, budget.left)}…` : text;
  budget.left -= text.length;
  if (name) out.append(el(`span.${name}`, {}, shown));
  else out.append(shown);
}

const TAGS = { __proto__: null, $datetime: "datetime", $bytes: "bytes, base64", $set: "set", $int: "int" };

/** The tag that an object is, or null. */
export function tagOf(value) {
  const keys = Object.keys(value);
  return keys.length === 1 && keys[0] in TAGS ? keys[0] : null;
}

function write(value, indent, out, budget) {
  if (budget.left <= 0) return;
  if (value === null || typeof value === "boolean" || typeof value === "number") put(out, budget, "v-num", String(value));
  else if (typeof value === "string") put(out, budget, "v-str", JSON.stringify(value));
  else if (Array.isArray(value)) writeMany(value.map((one) => [null, one]), "[", "]", indent, out, budget);
  else {
    const tag = tagOf(value);
    if (tag) {
      write(value[tag], indent, out, budget);
      put(out, budget, "dim", ` ${TAGS[tag]}`);
    } else {
      const inner = Object.keys(value).length === 1 && value.$dict ? value.$dict : value;
      writeMany(Object.entries(inner), "{", "}", indent, out, budget);
    }
  }
}

function writeMany(entries, open, close, indent, out, budget) {
  if (!entries.length) return put(out, budget, "", open + close);
  const flat = entries.every(([, one]) => one === null || typeof one !== "object" || !Object.keys(one).length);
  const short = flat && entries.reduce((sum, [key, one]) => sum + (key?.length ?? 0) + String(one).length + 6, 0) <= DEPTH_INLINE;
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
