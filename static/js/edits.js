// The edits that lead from one text to another: few and small, so that the cursor, the dots of a run and the way back keep their places.

const MOST_CELLS = 4_000_000; // lines of one text times lines of the other; past this the middle is one edit

/** `[{from, to, insert}]`, in places of `before`. */
export function edits(before, after) {
  if (before === after) return [];
  const one = lines(before);
  const two = lines(after);
  let start = 0;
  while (start < one.length && start < two.length && one[start] === two[start]) start++;
  let tail = 0;
  while (tail < one.length - start && tail < two.length - start && one.at(-1 - tail) === two.at(-1 - tail)) tail++;
  const found = [];
  let at = one.slice(0, start).join("").length;
  for (const [old, made] of hunks(one.slice(start, one.length - tail), two.slice(start, two.length - tail))) {
    if (old.length === made.length) {
      for (let index = 0; index < old.length; index++) {
        add(found, at, old[index], made[index]);
        at += old[index].length;
      }
    } else {
      add(found, at, old.join(""), made.join(""));
      at += old.join("").length;
    }
  }
  return found;
}

const lines = (text) => text.split(/(?<=\n)/);

function add(found, at, old, made) {
  if (old === made) return;
  let head = 0;
  while (head < old.length && old[head] === made[head]) head++;
  let tail = 0;
  while (tail < old.length - head && tail < made.length - head && old.at(-1 - tail) === made.at(-1 - tail)) tail++;
  found.push({ from: at + head, to: at + old.length - tail, insert: made.slice(head, made.length - tail) });
}

/** Pairs of lines, [old, made], in order: equal ones apart from those that differ. */
function* hunks(one, two) {
  if (one.length * two.length > MOST_CELLS) {
    yield [one, two];
    return;
  }
  const width = two.length + 1;
  const common = new Uint16Array((one.length + 1) * width); // the longest common subsequence of what begins at i and j
  for (let i = one.length - 1; i >= 0; i--) {
    for (let j = two.length - 1; j >= 0; j--) {
      common[i * width + j] = one[i] === two[j] ? common[(i + 1) * width + j + 1] + 1 : Math.max(common[(i + 1) * width + j], common[i * width + j + 1]);
    }
  }
  let [i, j] = [0, 0];
  while (i < one.length || j < two.length) {
    const [oldFrom, madeFrom] = [i, j];
    while ((i < one.length || j < two.length) && !(i < one.length && j < two.length && one[i] === two[j])) {
      if (j >= two.length || (i < one.length && common[(i + 1) * width + j] >= common[i * width + j + 1])) i++;
      else j++;
    }
    if (i > oldFrom || j > madeFrom) yield [one.slice(oldFrom, i), two.slice(madeFrom, j)];
    if (i < one.length && j < two.length) yield [[one[i++]], [two[j++]]];
  }
}
