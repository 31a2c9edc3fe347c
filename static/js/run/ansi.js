// Terminal colours in printed text: SGR codes become spans, every other escape sequence is dropped. Pure but for the spans.

import { el } from "../dom.js";

const ESCAPE = /\x1b\[([0-9;:]*)([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[ -/]+[0-~]|\x1b[@-Z\\-_]|[\x00-\x08\x0b-\x1f\x7f]/g;

/** What a terminal shows of a line in which `\r` goes back to its beginning: what was written last. */
const uncovered = (line) => line.replace(/\r+$/, "").replace(/^.*\r/s, "");

/** The text as it is seen, without its escape sequences, for search and the clipboard. */
export const plain = (text) => uncovered(text).replace(ESCAPE, "");

/** Text nodes and spans for what is seen of a line. Colours: eight names and their bright forms; no richer ones. */
export function ansiNodes(line) {
  const text = uncovered(line);
  if (!/[\x00-\x1f\x7f]/.test(text)) return [text];
  const nodes = [];
  let style = new Set();
  let from = 0;
  const flush = (to) => {
    if (to <= from) return;
    const piece = text.slice(from, to);
    if (!style.size) nodes.push(piece);
    else nodes.push(el(`span.${[...style].join(".")}`, {}, piece));
  };
  for (const found of text.matchAll(ESCAPE)) {
    flush(found.index);
    from = found.index + found[0].length;
    if (found[2] === "m") style = turned(style, found[1]);
  }
  flush(text.length);
  return nodes;
}

function turned(style, codes) {
  const next = new Set(style);
  const dropColour = () => next.forEach((one) => one.startsWith("a-3") && next.delete(one));
  const numbers = codes.split(/[;:]/).map(Number);
  for (let index = 0; index < numbers.length; index += 1) {
    const code = numbers[index];
    if (code === 0) next.clear();
    else if (code === 38 || code === 48) index += numbers[index + 1] === 5 ? 2 : 4;
    else if (code === 1) next.add("a-bold");
    else if (code === 2) next.add("a-dim");
    else if (code === 3) next.add("a-italic");
    else if (code === 4) next.add("a-under");
    else if (code === 22) ["a-bold", "a-dim"].forEach((one) => next.delete(one));
    else if (code === 23) next.delete("a-italic");
    else if (code === 24) next.delete("a-under");
    else if (code === 39) dropColour();
    else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) {
      dropColour();
      next.add(`a-3${code % 10}`);
    }
  }
  return next;
}
