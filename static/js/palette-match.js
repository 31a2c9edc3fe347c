// How what is typed into a list finds its entries, pure: every word of it has to be in the entry's words, wherever; the beginnings of words
// count most. The letters that were found are given back, to be marked.

const START = 4; // the first word of the entry begins with it
const WORD = 3; // another word does
const INSIDE = 1;

const isLetter = (letter) => letter !== undefined && /[\p{L}\p{N}]/u.test(letter);

/** Lower case, without accents, as long as the text: places in it are places in the text. */
function folded(text) {
  return [...text].map((letter) => {
    const bare = letter.normalize("NFD")[0].toLowerCase();
    return bare.length === letter.length ? bare : letter;
  }).join("");
}

/**
 * @param {string} query what was typed
 * @param {string} words of the entry, which are shown
 * @param {string} [more] of the entry, which may be found in but count least and are not marked
 * @returns {{score: number, marks: [number, number][]} | null} `marks` in order, apart; null where a word was not found
 */
export function match(query, words, more = "") {
  const text = folded(words);
  const rest = folded(more);
  const wanted = folded(query).split(/\s+/).filter(Boolean);
  let score = 0;
  const marks = [];
  for (const word of wanted) {
    const at = best(text, word);
    if (at >= 0) {
      score += at === 0 ? START : isLetter(text[at - 1]) ? INSIDE : WORD;
      marks.push([at, at + word.length]);
    } else if (rest.includes(word)) score += INSIDE / 2;
    else return null;
  }
  return { score: wanted.length ? score / wanted.length : 0, marks: joined(marks) };
}

/** Where a word stands in a text, rather at a word's beginning than within one; -1 where it does not. */
function best(text, word) {
  let first = -1;
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
    if (!isLetter(text[at - 1])) return at;
    if (first < 0) first = at;
  }
  return first;
}

function joined(marks) {
  const found = [];
  for (const [from, to] of marks.sort(([a], [b]) => a - b)) {
    const last = found.at(-1);
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else found.push([from, to]);
  }
  return found;
}

/**
 * The entries that are found, the best first and else as they stood; those that cannot be done after those that can.
 * @template T
 * @param {(T & {words: string, more?: string, reason?: string})[]} entries
 */
export function ranked(entries, query) {
  const found = entries.flatMap((entry, place) => {
    const hit = match(query, entry.words, entry.more);
    return hit ? [{ entry, place, marks: hit.marks, score: hit.score }] : [];
  });
  return found.sort((a, b) => Boolean(a.entry.reason) - Boolean(b.entry.reason) || b.score - a.score || a.place - b.place);
}
