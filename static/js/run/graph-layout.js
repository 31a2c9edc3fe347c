// Where the nodes of a graph stand and what joins them: one column along a spine at the left, in the order of the code; a second column for
// the other branch where there is room for one. Laid out for its width, never scaled: where columns would be too narrow, branches stand under
// each other along a rail. No two nodes cross, and no edge crosses a node. Pure.

import { isFoldable, isStack } from "./graph-model.js";

export const SPINE = 15; // from a node's left edge: where edges come in and go out, under its icon
const GAP = 16; // between two nodes
const LEAST = 148; // width of a column that can be read
const BETWEEN = 14; // two columns
const PAD = 8; // inside a frame
const RAIL = 24; // by which what stands along a rail is moved in
const BAR = 4; // where parallel ways part and meet
const ROW = 24; // a line of words: the condition of a branch
const STACK = 6; // what a stack shows of those behind
export const CELL = 13; // of a stack, with what is between two
export const CELLS = 60; // more are drawn as one bar
const LETTER = 6.7; // width of one in a condition …
const SIGN = 20; // … and of what folds it

const KNEE = 5; // radius of an edge that turns

/**
 * @param {object} root of graph-model.js
 * @param {{width: number, tall: number, folded: (node: object) => boolean}} how `tall`: height of a node
 * @returns {{items: object[], edges: object[], width: number, height: number}}
 *   an item is {node, level, up, x, y, w, h, frame, foldable, folded}: `h` is the height of what can be pressed, `frame` of all that it holds;
 *   `up` the item it stands in; an edge is {path, to, by, over, thick}: solid once something of `to` has begun, or, for a way that passes
 *   a decision by, once `to` has and nothing of `by`; with `over` once nothing of `to` goes on any more
 */
export function layout(root, { width, tall, folded }) {
  const items = [];
  const edges = [];
  const edge = (path, to, more = {}) => edges.push({ path, to, by: null, over: false, thick: false, ...more });
  const down = (x, from, until, to, more) => until > from && edge(`M${x} ${from}V${until}`, to, more);

  /** Nodes under each other from `y` on; gives where the way goes on, or null where it ends. */
  function sequence(nodes, x, y, w, up, after) {
    let [at, out] = [y, null];
    nodes.forEach((node, index) => {
      const next = nodes[index + 1] ?? after;
      if (index) {
        if (out !== null) down(x + SPINE, out, at + GAP, node);
        at += GAP;
      }
      ({ at, out } = place(node, x, at, w, up, next));
    });
    return { at, out };
  }

  function place(node, x, y, w, up, after) {
    if (node.kind === "decision") return decision(node, x, y, w, up, after);
    if (node.kind === "try") return attempt(node, x, y, w, up, after);
    if (node.kind === "lane") return sequence(node.children, x, y, w, up, after);
    if (node.kind === "parallel") return parallel(node, x, y, w, up);
    if (isStack(node)) return stack(node, x, y, w, up);
    const item = add(node, x, y, w, tall, up);
    if (!item.foldable || item.folded) return { at: y + item.frame, out: y + item.frame };
    const behind = node.kind === "fan" ? STACK : 0;
    const inner = sequence(node.children, x + PAD, y + tall + (node.kind === "step" ? 2 : 0), w - 2 * PAD - behind, item, null);
    item.frame = inner.at + PAD - y;
    return { at: y + item.frame + behind, out: y + item.frame + behind };
  }

  function add(node, x, y, w, h, up) {
    const foldable = isFoldable(node);
    const item = { node, level: up ? up.level + 1 : 1, up, x, y, w, h, frame: h, foldable, folded: foldable && folded(node) };
    items.push(item);
    return item;
  }

  /** A step for each of many: room for all cells is kept from the beginning, so that nothing moves when they come. */
  function stack(node, x, y, w, up) {
    const item = add(node, x, y, w - STACK, tall, up);
    const perRow = Math.max(1, Math.floor((item.w - 2 * PAD) / CELL));
    item.perRow = perRow;
    item.frame = tall + Math.ceil(CELLS / perRow) * CELL + ROW;
    return { at: y + item.frame + STACK, out: y + item.frame + STACK };
  }

  function parallel(node, x, y, w, up) {
    const item = add(node, x, y, w, ROW, up);
    if (item.folded) return { at: y + ROW, out: y + ROW };
    const lanes = node.children;
    const column = (w - BETWEEN * (lanes.length - 1)) / lanes.length;
    const top = y + ROW;
    item.bars = [top];
    let end = top;
    if (column >= LEAST) {
      const outs = lanes.map((lane, index) => {
        const left = x + index * (column + BETWEEN);
        down(left + SPINE, top + BAR, top + BAR + GAP, lane);
        const { at, out } = sequence(lane.children, left, top + BAR + GAP, column, item, null);
        end = Math.max(end, at);
        return [left + SPINE, out, lane];
      });
      end += GAP;
      for (const [left, out, lane] of outs) if (out !== null) down(left, out, end, lane, { over: true });
    } else {
      let at = top + BAR;
      lanes.forEach((lane) => {
        at += GAP / 2 + 2;
        edge(`M${x + SPINE} ${at + tall / 2}H${x + RAIL + 4}`, lane, { thick: true });
        ({ at } = sequence(lane.children, x + RAIL + 4, at, w - RAIL - 4, item, null));
      });
      end = at + GAP / 2 + 2;
      edge(`M${x + SPINE} ${top + BAR}V${end}`, node, { thick: true });
    }
    item.bars.push(end);
    item.frame = end + BAR - y;
    return { at: end + BAR, out: end + BAR };
  }

  /** Arms beside each other where they have room and one of them is taken; else under each other along a rail. */
  function decision(node, x, y, w, up, after) {
    const arms = node.children;
    const column = (w - BETWEEN * (arms.length - 1)) / arms.length;
    if (node.open || arms.length < 2 || column < LEAST) return rail(node, arms, x, y, w, up, after, node.open);
    const lefts = arms.map((_, index) => x + index * (column + BETWEEN));
    const heads = arms.map((arm, index) => add(arm, lefts[index], y, column, tall, up));
    heads.forEach((head, index) => Object.assign(head, { label: true, diamond: index === 0 }));
    // A way to each further arm: past the words of those before it, then down.
    for (let index = 1; index < arms.length; index += 1) {
      const from = Math.min(lefts[index - 1] + 34 + SIGN + words(arms[index - 1]), lefts[index] - 4);
      const rest = { kind: "group", ids: arms.slice(index) };
      edge(`M${from} ${y + tall / 2}H${lefts[index] + SPINE - KNEE}`, rest);
      edge(`M${lefts[index] + SPINE - KNEE} ${y + tall / 2}q${KNEE} 0 ${KNEE} ${KNEE}V${y + tall}`, arms[index]);
    }
    down(x + SPINE, y + tall / 2 + 9, y + tall, arms[0]);
    const ends = heads.map((head, index) => body(head, lefts[index], y + tall, column));
    return join(ends, x, Math.max(...ends.map(({ at }) => at)));
  }

  /** What is under the words of an arm. */
  function body(head, x, y, w) {
    if (head.folded) return { x, at: y, out: head.node.ends ? null : y, arm: head.node, folded: true };
    down(x + SPINE, y, y + 8, head.node);
    const { at, out } = sequence(head.node.children, x, y + 8, w, head, null);
    head.frame = at - head.y;
    return { x, at, out: stop(head.node, x, at, out), arm: head.node };
  }

  /** An arm that leaves the run ends in a bar. */
  function stop(arm, x, at, out) {
    if (!arm.ends || out === null) return out;
    edge(`M${x + SPINE} ${out}v8m-6 0h12`, arm);
    return null;
  }

  /** Brings the ways of arms that stand beside each other together. */
  function join(ends, x, lowest) {
    const open = ends.filter(({ out }) => out !== null);
    const stopped = ends.some(({ out, folded: closed }) => out === null && !closed) ? 10 : 0;
    if (!open.length) return { at: lowest + stopped, out: null };
    const at = lowest + Math.max(stopped, ends.length > 1 ? GAP - 4 : 0);
    for (const { x: left, out, arm } of open) {
      if (left === x) down(x + SPINE, out, at, arm, { over: true });
      else edge(`M${left + SPINE} ${out}V${at - KNEE}q0 ${KNEE} ${-KNEE} ${KNEE}H${x + SPINE}`, arm, { over: true });
    }
    return { at, out: at };
  }

  /** Arms under each other; the rail at the left is the way to the next one, and past all of them. */
  function rail(node, arms, x, y, w, up, after, open) {
    const x0 = x + SPINE;
    let at = y;
    let joined = false;
    arms.forEach((arm, index) => {
      const head = add(arm, x, at, w, ROW, up);
      Object.assign(head, { label: true, diamond: node.kind === "decision" && index === 0, mark: true });
      const top = at + ROW / 2 + (head.diamond ? 9 : 5);
      const end = under(head, x, at, w);
      at = end.at;
      if (end.out !== null) {
        joined = true;
        if (!head.folded) {
          at += 6;
          edge(`M${x0 + RAIL} ${end.out}v1q0 ${KNEE} ${-KNEE} ${KNEE}H${x0}`, arm, { over: true });
        }
      }
      const last = index === arms.length - 1;
      const reach = last ? at : at + 6;
      if (!last) down(x0, top, reach + (ROW / 2 - 5), { kind: "group", ids: arms.slice(index + 1) });
      else if (open) down(x0, top, reach, after, { by: arms });
      else if (joined) down(x0, Math.min(top, reach), reach, { kind: "group", ids: arms });
      at = reach;
    });
    return { at, out: open || joined ? at : null };
  }

  /** What is under the words of an arm on a rail: moved in. */
  function under(head, x, y, w) {
    if (head.folded) return { at: y + ROW, out: head.node.ends ? null : y + ROW };
    down(x + SPINE + RAIL, y + ROW - 4, y + ROW + 4, head.node);
    const { at, out } = sequence(head.node.children, x + RAIL, y + ROW + 4, w - RAIL, head, null);
    head.frame = at - y;
    const left = stop(head.node, x + RAIL, at, out);
    return { at: at + (left === null ? 10 : 0), out: left };
  }

  /** What is tried, and beside it or under it what handles its errors. */
  function attempt(node, x, y, w, up, after) {
    const column = (w - BETWEEN) / 2;
    if (column < LEAST) {
      const tried = sequence(node.children, x, y, w, up, after);
      const to = { kind: "group", ids: node.arms };
      if (tried.out !== null) down(x + SPINE, tried.out, tried.at + GAP / 2 + (ROW / 2 - 5), { kind: "group", ids: [...node.arms, after].filter(Boolean) });
      else edge(`M${x + SPINE} ${tried.at}V${tried.at + GAP}`, to);
      return rail(node, node.arms, x, tried.at + GAP / 2, w, up, after, true);
    }
    const tried = sequence(node.children, x, y, column, up, after);
    const right = x + column + BETWEEN;
    let at = y;
    const ends = [{ x, at: tried.at, out: tried.out, arm: node.children[node.children.length - 1] ?? node }];
    node.arms.forEach((arm, index) => {
      const head = Object.assign(add(arm, right, at, column, ROW, up), { label: true });
      const middle = at + ROW / 2;
      if (index) edge(`M${right - BETWEEN / 2} ${y + tall / 2}V${middle}H${right + SPINE - KNEE}`, arm);
      else edge(`M${x + column} ${y + tall / 2}H${right - BETWEEN / 2}V${middle}H${right + SPINE - KNEE}`, { kind: "group", ids: node.arms });
      edge(`M${right + SPINE - KNEE} ${middle}q${KNEE} 0 ${KNEE} ${KNEE}V${at + ROW}`, arm);
      const end = body(head, right, at + ROW, column);
      ends.push(end);
      at = end.at + GAP;
    });
    // Of handlers under each other only the last can be led out below them; those above it say themselves that they are over.
    const led = ends.map((end, index) => (index > 0 && index < ends.length - 1 ? { ...end, out: null, folded: true } : end));
    return join(led, x, Math.max(...ends.map((end) => end.at)));
  }

  const whole = sequence(root.children, 0, 0, width, null, null);
  items.sort((one, other) => inOrder(one.node.id, other.node.id));
  return { items, edges, width, height: whole.at + STACK };
}

/** The order of the code: what holds something comes before that. */
function inOrder(one, other) {
  const [a, b] = [one.split("."), other.split(".")];
  for (let at = 0; at < a.length && at < b.length; at += 1) if (a[at] !== b[at]) return a[at] - b[at];
  return a.length - b.length;
}

const words = ({ name }) => name.length * LETTER;

/** Whether an edge is drawn as a way that was gone. */
export function isTaken({ to, by, over }, stands) {
  const stand = (node) => stands.get(node.id);
  const begun = (node) => Boolean(node) && (node.kind === "group" ? node.ids.some(begun) : (stand(node)?.begun ?? false));
  if (over && stand(to)?.open) return false;
  return by ? begun(to) && !by.some(begun) : begun(to);
}

