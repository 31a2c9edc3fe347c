// The graph of a workflow as a tree, from its outline: what follows, what is one of several, what runs side by side. Pure.
//
// A node is {id, kind, name, line, endLine, children, ...}. Kinds that are drawn and can be chosen:
//   step      `entry` is its part of the outline; `children` are the steps that its callback calls
//   loop      its children repeat
//   fan       its children run once for each of many, side by side
//   parallel  its children are lanes
//   arm       a branch: `ends` leaves the run
// and those that only hold others: lane (one way of a parallel), decision (arms; `open`: it may take none of them), try (children, `arms`).

import { STEP_KINDS, isComputed } from "./plan.js";

const ELSE = /^(else$|case _$)/;

/** The kinds that a person sees as one thing. */
export const SHOWN = new Set(["step", "loop", "fan", "parallel", "arm"]);

/** @param {object[]} outline what `/api/check` gives */
export function modelOf(outline) {
  const root = { id: "", kind: "root", name: "", line: null, children: sequence(withoutNested(outline ?? [])) };
  number(root, "");
  return root;
}

/** The outline ends with steps that it knows no call of; those that a callback calls stand there. */
function withoutNested(outline) {
  const nested = new Set();
  const note = (entries, inside) => {
    for (const entry of entries ?? []) {
      if (inside && entry.kind === "do") nested.add(keyOf(entry));
      note(entry.children, inside);
      note(entry.inside, true);
    }
  };
  note(outline, false);
  let end = outline.length;
  while (end && outline[end - 1].kind === "do" && nested.has(keyOf(outline[end - 1]))) end -= 1;
  return outline.slice(0, end);
}

const keyOf = ({ kind, name, line }) => `${kind}:${name}:${line}`;

function sequence(entries) {
  const made = []; // [place of its first entry, node]
  for (let at = 0; at < entries.length; at += 1) {
    const entry = entries[at];
    if (entry.kind !== "branch") {
      const node = single(entry);
      if (node) made.push([at, node]);
      continue;
    }
    let next = at + 1;
    while (entry.decision !== undefined && entries[next]?.decision === entry.decision) next += 1;
    const arms = entries.slice(at, next).map(arm);
    if (entry.covers === undefined) {
      made.push([at, { kind: "decision", name: "", line: entry.line, children: arms, open: !arms.some(({ name }) => ELSE.test(name)) }]);
    } else {
      const from = at - entry.covers;
      const tried = [];
      while (made.length && made[made.length - 1][0] >= from) tried.unshift(made.pop()[1]);
      made.push([from, { kind: "try", name: "", line: tried[0]?.line ?? entry.line, children: tried, arms }]);
    }
    at = next - 1;
  }
  return made.map(([, node]) => node);
}

function single(entry) {
  const { kind, name, line, end_line: endLine = line } = entry;
  if (STEP_KINDS.has(kind)) return step(entry);
  const children = sequence(entry.children ?? []);
  if (kind === "loop") return { kind: "loop", name, line, endLine, children };
  if (kind !== "parallel") return null;
  if (entry.each) return { kind: "fan", name, line, endLine, children };
  const lanes = new Map();
  for (const each of entry.children ?? []) {
    const lane = each.lane ?? lanes.size;
    lanes.set(lane, [...(lanes.get(lane) ?? []), each]);
  }
  const ways = [...lanes.values()].map((each) => ({ kind: "lane", name: "", line: each[0].line, children: sequence(each) }));
  return { kind: "parallel", name, line, endLine, children: ways };
}

const arm = (entry) => ({ kind: "arm", name: entry.name, line: entry.line, endLine: entry.end_line ?? entry.line, ends: Boolean(entry.ends), children: sequence(entry.children ?? []) });

function step(entry) {
  const { kind, name, line, end_line: endLine = line } = entry;
  return { kind: "step", name: name ?? "named at run time", line, endLine, entry: { kind, name: name ?? null, computed: isComputed(entry) }, child: Boolean(entry.child), detail: entry.duration ?? entry.event_type ?? "", children: sequence(entry.inside ?? []) };
}

/** A node for steps that the outline does not show. */
export const extraNode = ({ kind, name, line }) => ({ kind: "step", name, line, endLine: line, entry: { kind, name, computed: true }, child: false, detail: "", extra: true, children: [] });

/** What stands right below a node. */
export const below = (node) => (node.arms ? [...node.children, ...node.arms] : node.children);

/** Gives ids to all below a node: where each stands. */
export function number(node, id) {
  node.id = id;
  below(node).forEach((child, index) => number(child, id ? `${id}.${index}` : String(index)));
}

/** The step that each node stands for, as a row of the plan is one: {kind, name, computed, line, parent}; what holds steps has none. */
export function entriesOf(root) {
  const found = new Map();
  for (const [node, above] of walk(root)) {
    if (!node.entry) continue;
    const outer = above.findLast((one) => one.kind === "step");
    const entry = { ...node.entry, line: node.line, parent: outer ? { kind: outer.entry.kind, name: outer.name, count: 1 } : null };
    found.set(node, entry);
    const around = above.at(-1);
    if (isStack(around)) found.set(around, entry);
  }
  return found;
}

/** All nodes below one, in the order of the code, each with the nodes that it stands in. */
export function* walk(node, above = []) {
  const inside = [...above, node];
  for (const child of below(node)) {
    yield [child, inside];
    yield* walk(child, inside);
  }
}

/** Whether a node can be folded: it holds what is drawn inside it. */
export const isFoldable = (node) => SHOWN.has(node.kind) && node.children.length > 0 && !isStack(node);

/** A step for each of many is one thing: its runs are drawn as cells. */
export const isStack = (node) => node.kind === "fan" && node.children.length === 1 && node.children[0].kind === "step" && !node.children[0].children.length;

/** The step that a node is drawn for: itself, or that of a stack; null for what holds steps. */
export const stepIn = (node) => (node.kind === "step" ? node : isStack(node) ? node.children[0] : null);

/** All nodes that can be folded, each with how deep it is drawn. */
export function foldable(root) {
  return [...walk(root)].filter(([node]) => isFoldable(node)).map(([node, above]) => [node, above.filter(({ kind }) => SHOWN.has(kind)).length]);
}
