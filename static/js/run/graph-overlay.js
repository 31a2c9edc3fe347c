// A run laid over the graph: which of its steps belong to which node, and how they stand together. Pure. What it asks of steps, {keyOf, stepMs,
// meanPercent} of fold.js, is passed in: a page that draws a plan has no fold, and an import of it here would make one file more of every run.

import { shownStatus, worst } from "../statuses.js";
import { below, extraNode, number, walk } from "./graph-model.js";
import { fitting } from "./plan.js";

const MOST_EXTRA = 60; // nodes for what the outline does not show; the timeline shows every step
const MOST_TIMED = 2_000; // steps of a node whose middle time is looked for

/** Which node each step of a run belongs to. Rows of a generation are only added to, so each is looked at once. */
export class Placement {
  constructor(root, asked) {
    this.root = root;
    this.asked = asked;
    this.generation = null;
    this.extras = 0;
    this.known = new Map(); // the step that they are called in, or null -> {named: Map of nodes by kind and name, computed: [{node, fits}]}
    for (const [node, above] of walk(root)) {
      if (!node.entry) continue;
      const inside = above.findLast((one) => one.kind === "step") ?? null;
      if (!this.known.has(inside)) this.known.set(inside, { named: new Map(), computed: [] });
      const { named, computed } = this.known.get(inside);
      const { kind, name } = node.entry;
      if (node.entry.computed) computed.push({ node, fits: fitting(name) });
      else named.set(`${kind}:${name}`, [...(named.get(`${kind}:${name}`) ?? []), node]);
    }
  }

  /** The steps of each node as a state has them: a Map of arrays. True in `grown` where nodes were added. */
  place(state) {
    if (state.generation !== this.generation) Object.assign(this, { generation: state.generation, nodes: [], byKey: new Map() });
    const before = this.extras;
    for (let at = this.nodes.length; at < state.rows.length; at += 1) {
      const step = state.rows[at];
      const node = this.find(step);
      this.nodes.push(node);
      this.byKey.set(step.key, node);
    }
    const steps = new Map();
    for (let at = 0; at < state.rows.length; at += 1) {
      const node = this.nodes[at];
      if (!node) continue;
      const mine = steps.get(node);
      if (mine) mine.push(state.rows[at]);
      else steps.set(node, [state.rows[at]]);
    }
    return { steps, grown: this.extras > before };
  }

  find(step) {
    const inside = step.parent ? (this.byKey.get(this.asked.keyOf(step.parent)) ?? null) : null;
    const known = inside || !step.parent ? this.known.get(inside) : null;
    const named = known?.named.get(`${step.kind}:${step.name}`) ?? [];
    const computed = known?.computed.find(({ node, fits }) => node.entry.kind === step.kind && covers(node, step.line) && fits(step.name));
    return named.find((node) => covers(node, step.line)) ?? computed?.node ?? named[0] ?? this.extra(step, inside);
  }

  extra(step, inside) {
    const home = inside ?? this.root;
    const there = home.children.find((node) => node.extra && node.entry.kind === step.kind && (node.line === step.line || node.name === step.name));
    if (there) {
      if (there.name !== step.name) there.name = together(there.name, step.name);
      return there;
    }
    if (this.extras >= MOST_EXTRA) return null;
    this.extras += 1;
    const node = extraNode(step);
    home.children.push(node);
    number(this.root, "");
    return node;
  }
}

const covers = (node, line) => line !== null && node.line !== null && line >= node.line && line <= (node.endLine ?? node.line);

/** What two names have in common at their beginnings. */
function together(one, other) {
  let end = 0;
  while (end < one.length && one[end] !== "…" && one[end] === other[end]) end += 1;
  return `${one.slice(0, end)}…`;
}

/**
 * How each node stands: a Map by id of {status, begun, count, done, failed, open, percent, ms, middle, attempts, read, turns, passes, latest}.
 * `latest` is the step that a press opens: the first that failed or is open, else the last.
 */
export function standing(root, steps, state, final, asked) {
  const found = new Map();
  const newest = state.executions[state.executions.length - 1];
  const sum = (node) => {
    const own = node.entry ? leaf(steps.get(node) ?? [], newest, state, final, asked) : null;
    const sums = below(node).map(sum);
    const all = own ?? group(node, sums);
    found.set(node.id, all);
    return all;
  };
  sum(root);
  return found;
}

function leaf(mine, newest, state, final, asked) {
  const count = mine.length;
  const counts = {};
  let [latest, read, attempts, open] = [null, count > 0 && state.executions.length > 1, 0, 0];
  for (const step of mine) {
    const status = shownStatus(step, final);
    counts[status] = (counts[status] ?? 0) + 1;
    open += step.endedAt === null && !final ? 1 : 0;
    attempts = Math.max(attempts, step.attempts.length);
    read &&= step.endedSeq !== null && step.endedSeq < newest.startedSeq;
    if (status !== "completed") latest ??= step;
  }
  const status = worst(Object.keys(counts).map((each) => ({ status: each })));
  const ended = mine.filter((step) => step.endedAt !== null);
  return {
    status,
    begun: count > 0,
    count,
    done: counts.completed ?? 0,
    failed: (counts.errored ?? 0) + (counts.timed_out ?? 0),
    open,
    percent: open ? asked.meanPercent(state, mine) : null,
    ms: count === 1 && ended.length ? asked.stepMs(mine[0]) : null,
    middle: count > 1 && ended.length && count <= MOST_TIMED ? median(ended.map(asked.stepMs)) : null,
    attempts,
    read,
    turns: count,
    passes: count,
    latest: latest ?? mine[count - 1] ?? null,
    steps: mine,
  };
}

function median(values) {
  values.sort((a, b) => a - b);
  return values[values.length >> 1];
}

function group(node, sums) {
  const add = (name) => sums.reduce((sum, one) => sum + one[name], 0);
  const begun = sums.filter((one) => one.begun);
  const status = worst(begun);
  const most = (name) => Math.max(0, ...sums.map((one) => one[name]));
  const repeats = node.kind === "loop" || node.kind === "fan";
  return {
    status,
    begun: begun.length > 0,
    count: add("count"),
    done: add("done"),
    failed: add("failed"),
    open: add("open"),
    percent: null,
    ms: null,
    middle: null,
    attempts: 0,
    read: begun.length > 0 && begun.every((one) => one.read),
    turns: repeats ? most("passes") || (node.kind === "fan" ? most("turns") : 0) : begun.length ? 1 : 0,
    // How often it was come to: each time through one of its arms. What repeats does not tell: its steps count its own turns.
    passes: repeats ? 0 : node.kind === "decision" ? add("passes") : most("passes"),
    latest: begun.find((one) => one.status === status)?.latest ?? null,
    steps: [],
  };
}
