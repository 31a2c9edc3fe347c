// The name of a workflow: the first line of its module's docstring, read and written without running or parsing Python. Pure.
// playground/workflows/titles.py reads it in the same way for links, cards and frames.

export const NAME_CHARACTERS = 60; // of a name; a longer line is cut
export const UNTITLED = "Untitled workflow";

/** Where the code begins: after the byte order mark, blank lines and comments. */
const opening = /^\ufeff?(?:[ \t]*(?:#[^\n]*)?\r?\n)*/;
const quote = /^[rRuU]?("""|'''|"|')/;

/** The docstring of a module: where its text stands in the source; null where there is none. */
function docstring(source) {
  const start = opening.exec(source)[0].length;
  const open = quote.exec(source.slice(start, start + 4));
  if (!open) return { start, from: null };
  const from = start + open[0].length;
  const mark = open[1];
  for (let at = from; at < source.length; at += source[at] === "\\" ? 2 : 1) {
    if (mark.length === 1 && source[at] === "\n") break;
    if (source.startsWith(mark, at)) {
      const end = source.indexOf("\n", at);
      const rest = source.slice(at + mark.length, end < 0 ? undefined : end).trim();
      if (rest && !/^[#;]/.test(rest)) break; // part of an expression
      return { start, from, to: at, mark };
    }
  }
  return { start, from: null };
}

/** The line of a docstring that is the name: [from, to) in the source. */
function nameLine(source, { from, to }) {
  for (let at = from; at < to; ) {
    const end = source.indexOf("\n", at);
    const stop = end < 0 || end > to ? to : end;
    const line = source.slice(at, stop);
    if (line.trim()) return [at + line.length - line.trimStart().length, at + line.trimEnd().length];
    at = stop + 1;
  }
  return null;
}

/** The name that a source gives itself, or null. */
export function nameIn(source) {
  const found = docstring(source);
  const line = found.from === null ? null : nameLine(source, found);
  return line ? shortened(source.slice(...line)) || null : null;
}

/** A name as it is shown: one line, without a full stop at its end, cut. */
export function shortened(text) {
  const name = [...text.replace(/[\p{Cc}\p{Cf}\s]+/gu, " ").trim().replace(/(?<![.])\.$/, "")];
  return name.length > NAME_CHARACTERS ? `${name.slice(0, NAME_CHARACTERS - 1).join("").trimEnd()}…` : name.join("");
}

/**
 * What has to be edited so that the source has this name: [{from, to, insert}], none where it has it already. A docstring that is there
 * keeps its other lines.
 */
export function renaming(source, name) {
  const wanted = shortened(name.replace(/["'\\]{3,}|\\/g, " ").replace(/"+$/, ""));
  if (!wanted || wanted === nameIn(source)) return [];
  const found = docstring(source);
  if (found.from === null) return [{ from: found.start, to: found.start, insert: `"""${wanted}"""\n\n` }];
  const { from, to, mark } = found;
  if (mark.length === 1 && wanted.includes(mark)) return [{ from: found.start, to: to + 1, insert: `"""${wanted}"""` }];
  const [a, b] = nameLine(source, found) ?? [from, from];
  return [{ from: a, to: b, insert: wanted }];
}

/** The source with these edits made. */
export function edited(source, edits) {
  return edits.reduceRight((text, { from, to, insert }) => text.slice(0, from) + insert + text.slice(to), source);
}
