// A stored value as the rows of a tree that folds: which rows there are, and where a search finds something. Only what is open is ever
// walked through, and of a long list or text only a piece, so that a value of a megabyte opens as fast as one of a kilobyte. Pure.

import { bytesOf, hex, inline, kindOf, shapeOf, sizeText, whole } from "./value-shape.js";

export const MEMBERS = 500; // of a list or dict that are shown before somebody asks for more
export const PIECE = 64 * 1024; // … and characters of a text, or bytes
const OPEN_ROWS = 24; // what opens by itself takes at most so many rows
const LINE = 400; // characters of a text in one row
const BYTES = 8; // bytes in one row
export const FOUND = 1_000; // places that a search tells apart

/**
 * A row is {type, depth, parent, …}: a `value` with `key`, `value`, `shape`, `open`, `shown`; a `line` of a text with `text` and `from`;
 * a `cut`, after which there is more of its parent.
 */
export class TreeModel {
  /** `name` is what paths begin with. */
  constructor(value, name) {
    this.name = name;
    this.root = new Member(null, null, value, -1, 0);
    this.isTree = this.root.shape.members > 0;
    this.rows = [];
    if (!this.isTree) {
      this.rows = [Object.assign(this.root, { depth: 0 })];
      return;
    }
    this.root.open = true;
    this.rows = [...childrenOf(this.root)];
    this.unfold();
  }

  /** Opens what there is room for, level by level; what stands on one line as it is stays closed. */
  unfold() {
    let left = OPEN_ROWS - this.rows.length;
    const next = [...this.rows];
    while (next.length) {
      const row = next.shift();
      if (row.type !== "value" || !row.shape.members || row.shape.type === "bytes" || row.shape.type === "str" || inline(row.shape)) continue;
      if (row.shape.members > left) continue;
      left -= row.shape.members;
      this.set(this.rows.indexOf(row), true);
      next.push(...childrenOf(row));
    }
  }

  /** Opens or closes row `index`; whether that changed anything. */
  set(index, open) {
    const row = this.rows[index];
    if (row?.type !== "value" || !row.shape.members || row.open === open) return false;
    const end = this.endOf(index);
    row.open = open;
    this.rows.splice(index + 1, end - index - 1, ...(open ? visible(row) : []));
    return true;
  }

  /** Shows more of what the cut in row `index` ends, or all of it; the row from which on they are others. */
  more(index, all = false) {
    const { parent } = this.rows[index];
    return this.show(index, all ? Infinity : parent.shown + pieceOf(parent.shape));
  }

  show(index, most) {
    const { parent } = this.rows[index];
    const last = parent.children.length - 1;
    parent.shown = most;
    parent.children = null;
    const before = this.rows.slice(0, index);
    const old = before.filter((row) => row.parent === parent);
    const fresh = childrenOf(parent);
    const text = parent.shape.type === "str"; // its last line may go on
    old.forEach((row, at) => (fresh[at] = text && at === last - 1 ? fresh[at] : row));
    parent.children = fresh;
    const from = text ? index - 1 : index;
    this.rows.splice(from, index + 1 - from, ...fresh.slice(text ? last - 1 : last).flatMap(visibleWith));
    return from;
  }

  /** The row after everything that row `index` holds. */
  endOf(index) {
    const { depth } = this.rows[index];
    let end = index + 1;
    while (end < this.rows.length && this.rows[end].depth > depth) end += 1;
    return end;
  }

  /** Where the row stands that row `index` is in, or -1. */
  parentOf(index) {
    return this.rows.indexOf(this.rows[index].parent);
  }

  /** How Python gets at a row's value: `output["items"][0]`. A member of a set has no way of its own. */
  path(row) {
    let text = "";
    for (let at = row; at && at !== this.root; at = at.parent) {
      if (at.type !== "value" || at.parent.shape.type === "set") continue;
      text = `[${at.parent.shape.type === "dict" ? JSON.stringify(at.key) : at.key}]${text}`;
    }
    return this.name + text;
  }

  /** The value of a row: of a line, the text that it is in. */
  valueOf(row) {
    return row.type === "value" ? row.value : row.parent.value;
  }

  /** Where `wanted` stands in keys and values, letters in either case: [{path, at}], at most FOUND of them. */
  find(wanted) {
    const found = [];
    const sought = wanted.toLowerCase();
    if (sought) search(this.root.value, sought, [], found);
    return found;
  }

  /** Opens all that a place is in; the index of its row. */
  reveal({ path, at }) {
    let row = this.root;
    for (const place of path) {
      this.unlock(row, place);
      row = childrenOf(row)[place];
    }
    if (row.shape.type !== "str" || !row.shape.members || at === null) return this.rows.indexOf(row);
    this.unlock(row, at);
    return this.rows.indexOf(childrenOf(row).findLast((line) => line.type === "line" && line.from <= at));
  }

  /** Opens a row as far as its member `place`. */
  unlock(row, place) {
    if (row !== this.root) this.set(this.rows.indexOf(row), true);
    const piece = pieceOf(row.shape);
    if (place >= row.shown) this.show(this.rows.findIndex((one) => one.type === "cut" && one.parent === row), Math.ceil((place + 1) / piece) * piece);
  }
}

/** A row of a value. What it is, is looked at when somebody looks: most rows of a long list are never in sight. */
class Member {
  #shape = null;
  #shown = null;

  constructor(parent, key, value, depth, place) {
    Object.assign(this, { type: "value", parent, key, value, depth, place, open: false, children: null });
  }

  get shape() {
    return (this.#shape ??= shapeOf(this.value));
  }

  /** How many of its members are shown while it is open. */
  get shown() {
    return this.#shown ?? pieceOf(this.shape);
  }

  set shown(most) {
    this.#shown = most;
  }
}

const pieceOf = ({ type }) => (type === "str" || type === "bytes" ? PIECE : MEMBERS);

/** The rows right under an open one; made once. */
function childrenOf(row) {
  return (row.children ??= makeChildren(row));
}

function makeChildren(row) {
  const { shape, shown, depth } = row;
  const { type, of, members } = shape;
  const at = depth + 1;
  let made;
  if (type === "str") made = linesOf(of.slice(0, shown === Infinity ? undefined : whole(of, shown)), row, at);
  else if (type === "bytes") made = dump(of, Math.min(members, shown), row, at);
  else {
    const keys = type === "dict" ? Object.keys(of) : null;
    made = [];
    for (let place = 0; place < members && place < shown; place += 1) {
      const key = keys ? keys[place] : place;
      made.push(new Member(row, type === "set" ? null : key, of[key], at, place));
    }
  }
  if (shown < members) made.push({ type: "cut", parent: row, depth: at, place: made.length, words: cutWords(shape, shown) });
  return made;
}

/** `64 KB of 900 KB`, `500 of 18,204`. */
function cutWords({ type, members }, shown) {
  if (type === "str" || type === "bytes") return [`${sizeText(shown)} of `, sizeText(members)];
  return [`${shown.toLocaleString("en")} of `, members.toLocaleString("en")];
}

function linesOf(text, parent, depth) {
  const made = [];
  let from = 0;
  for (const line of text.split("\n")) {
    for (let begin = 0; begin === 0 || begin < line.length; ) {
      const end = line.length - begin > LINE ? whole(line, begin + LINE) : line.length;
      made.push({ type: "line", parent, depth, text: line.slice(begin, end), from: from + begin, place: made.length });
      begin = Math.max(end, begin + 1);
    }
    from += line.length + 1;
  }
  return made;
}

function dump(text, most, parent, depth) {
  const made = [];
  const bytes = bytesOf(text, 0, most);
  for (let from = 0; from < bytes.length; from += BYTES) {
    const some = bytes.subarray(from, from + BYTES);
    const printed = [...some].map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    made.push({ type: "line", parent, depth, text: `${hex(some).padEnd(BYTES * 3 - 1)}  ${printed}`, from, place: made.length });
  }
  return made;
}

/** What is seen under an open row, with all that is open there. */
const visible = (row) => childrenOf(row).flatMap(visibleWith);

const visibleWith = (row) => (row.open ? [row, ...visible(row)] : [row]);

function search(value, wanted, path, found) {
  const { type, text, of } = kindOf(value);
  if (type === "bytes") return;
  if (text !== undefined || type === "str") {
    const at = (text ?? of).toLowerCase().indexOf(wanted);
    if (at >= 0) found.push({ path: [...path], at });
    return;
  }
  const keys = type === "dict" ? Object.keys(of) : null;
  for (let place = 0; place < (keys ?? of).length && found.length < FOUND; place += 1) {
    const key = keys ? keys[place] : place;
    path.push(place);
    const before = found.length;
    const named = keys !== null && key.toLowerCase().includes(wanted);
    if (named) found.push({ path: [...path], at: null });
    search(of[key], wanted, path, found);
    if (named && found[before + 1]?.path.length === path.length) found.splice(before + 1, 1); // one row has both
    path.pop();
  }
}
