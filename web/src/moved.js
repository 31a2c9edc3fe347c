// Where a line of the code that ran is now: the same, edited since, or gone. What is said of a line belongs to the text that it was said of.

import { lineAt } from "./places.js";

/** A function of a line's number in `base`: {from, state: "same" | "edited"}, or null once the line is gone. `since` are the edits made after. */
export function moved(base, since, doc) {
  const known = new Map();
  let texts = null;
  const find = (line) => {
    const { from, to, text } = lineAt(base, line);
    if (!since) return { from: doc.lineAt(Math.min(from, doc.length)).from, state: "same" };
    if (from < to && since.touchesRange(from, to) === "cover") return elsewhere(text);
    const indent = text.length - text.trimStart().length;
    const now = doc.lineAt(Math.min(since.mapPos(from + indent, 1), doc.length));
    return { from: now.from, state: now.text.trim() === text.trim() ? "same" : "edited" };
  };
  // A whole text that was put in the place of another, as by a paste, may have the same line.
  const elsewhere = (text) => {
    texts ??= linesByText(doc);
    const from = texts.get(text.trim());
    return from === undefined || from === null ? null : { from, state: "same" };
  };
  return (line) => {
    if (!known.has(line)) known.set(line, find(line));
    return known.get(line);
  };
}

/** Where each line begins, by its text; null for texts that there are several of, and for blank ones. */
function linesByText(doc) {
  const found = new Map([["", null]]);
  for (let number = 1; number <= doc.lines; number++) {
    const { from, text } = doc.line(number);
    const key = text.trim();
    found.set(key, found.has(key) ? null : from);
  }
  return found;
}
