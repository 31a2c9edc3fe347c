// The outline: steps, sleeps and waits found in the source, as a checklist that the run fills. Steps that only appear at run time are
// added at its end; loops, branches and what runs side by side are drawn as such.

import { el, icon, setText } from "./dom.js";
import { label } from "./lines.js";
import { STEP_KINDS, fitting, isComputed } from "./run/plan.js";
import { STEP, worst } from "./statuses.js";

const FRAMES = { loop: ["i-loop", "repeats"], branch: ["i-branch", "one of these"], parallel: ["i-parallel", "side by side"] };
const MOST_ADDED = 100; // entries added at run time; the timeline shows every step
const NONE = "No steps found. A step is declared with @step.do, or is a sleep or a wait.";
const UNREAD = "Not read: the code has an error. Its steps stand here once that is mended.";

/** @param {{onPick: (line: number, ofRun: boolean) => void, onHover: (line: number | null) => void}} how */
export function makeOutline({ onPick, onHover }) {
  const list = document.getElementById("outline");
  const counter = document.getElementById("outline-count");
  let entries = []; // {item, node, row, steps, status, at}
  let named = new Map(); // "kind:name" -> entry
  let placed = new Map(); // key of a step -> entry
  let left = 0; // steps at run time for which there was no room
  let plan = [];
  let steps = [];
  let drawn = null;
  let old = false; // the outline is that of before an error
  const none = el("li.none", {}, NONE);

  function show(outline) {
    plan = outline;
    redraw();
  }

  /** Says whether the outline is that of the code before the error that is in it now. */
  function behind(is) {
    if (old === is) return;
    old = is;
    redraw();
  }

  function fill(found) {
    steps = found;
    redraw();
  }

  function redraw() {
    const shape = JSON.stringify(plan);
    if (shape !== drawn) {
      drawn = shape;
      build();
    }
    place();
    for (const entry of entries) mark(entry);
    const done = entries.filter((entry) => entry.steps.length && entry.steps.every((step) => step.status === "completed")).length;
    counter.textContent = old && entries.length ? "as before the error" : entries.length ? `${done} of ${entries.length}${left ? ` and ${left} more` : ""}` : "";
    none.hidden = entries.length > 0;
    setText(none, old ? UNREAD : NONE);
  }

  function build() {
    entries = [];
    named = new Map();
    placed = new Map();
    list.replaceChildren(none);
    branch(plan, list, 0);
  }

  /** Gives each step to its entry; one that the source did not show gets an entry of its own, and loses it when its step is gone. */
  function place() {
    for (const entry of entries) entry.steps = [];
    let room = MOST_ADDED;
    left = 0;
    for (const step of steps) {
      let entry = placed.get(step.key);
      if (!entry?.node.isConnected) {
        entry = named.get(nameOf(step)) ?? named.get(`${step.kind}:${step.name}`) ?? entries.find(({ item, fits }) => fits && item.kind === step.kind && covers(item, step.line) && fits(step.name));
      }
      if (entry?.item.extra && !entry.steps.length) room--;
      if (!entry && room-- > 0) entry = added(step);
      if (entry) {
        entry.steps.push(step);
        placed.set(step.key, entry);
      } else left++;
    }
    entries = entries.filter((entry) => {
      const gone = entry.item.extra && !entry.steps.length;
      if (gone) {
        entry.node.remove();
        named.delete(nameOf(entry.item));
      }
      return !gone;
    });
  }

  /** An entry for what the source did not show: under that of the step that called it, or at the end. */
  function added({ kind, name, line, parent }) {
    const caller = parent && placed.get(parent);
    const item = { kind, name, line, parent, extra: true };
    if (!caller?.node.isConnected) return leaf(item, list, 0);
    caller.inside ??= caller.node.appendChild(el("ol.inside"));
    caller.inside.style.setProperty("--depth", caller.depth);
    return leaf(item, caller.inside, caller.depth + 1);
  }

  function branch(items, parent, depth) {
    for (const item of items) {
      if (STEP_KINDS.has(item.kind)) leaf(item, parent, depth);
      else if (FRAMES[item.kind]) frame(item, parent, depth);
    }
  }

  function frame(item, parent, depth) {
    const [shape, words] = FRAMES[item.kind];
    const row = button(item, depth);
    row.append(icon(shape), el("span.nm", {}, item.name || words), el("span.at", {}, `line ${item.line}`));
    const inside = el("ol.inside");
    inside.style.setProperty("--depth", depth);
    parent.append(el(`li.frame.${item.kind}`, {}, row, inside));
    branch(item.children ?? [], inside, depth + 1);
  }

  function leaf(item, parent, depth) {
    const row = button(item, depth);
    row.append(icon("i-not"), el("span.nm", {}, item.name ?? "named at run time"), el("span.at"));
    const node = el("li", {}, row);
    parent.append(node);
    const fits = !item.extra && isComputed(item) ? fitting(item.name) : null;
    const entry = { item, node, row, fits, depth, steps: [], status: null, at: null };
    entries.push(entry);
    if (!named.has(nameOf(item))) named.set(nameOf(item), entry);
    return entry;
  }

  function button(item, depth) {
    const row = el("button.entry", { type: "button", onclick: () => onPick(item.line, Boolean(item.extra)), onpointerenter: () => onHover(item.line), onpointerleave: () => onHover(null) });
    row.style.setProperty("--depth", depth);
    return row;
  }

  function mark(entry) {
    const status = worst(entry.steps);
    if (status !== entry.status) {
      entry.status = status;
      const { icon: shape, tone, word } = STEP[status];
      entry.row.querySelector(".i").replaceWith(icon(shape, { tone, label: word }));
    }
    const at = aside(entry);
    if (at !== entry.at) entry.row.querySelector(".at").textContent = entry.at = at;
    if (entry.item.extra) labelled(entry);
  }

  /** What only the run has shown stands at a line of the code that ran. */
  function labelled({ item, row }) {
    const at = row.querySelector(".at");
    if (!item.line || !at.firstChild || !/^line /.test(at.textContent)) return;
    at.dataset.line = item.line;
    label(at);
  }

  function relabel() {
    for (const entry of entries) if (entry.item.extra) labelled(entry);
  }

  function aside({ item, steps: mine }) {
    if (mine.length > 1) return `${mine.filter((step) => step.status === "completed").length} of ${mine.length}`;
    if (item.extra) return item.line ? `line ${item.line}, at run time` : "at run time";
    if (item.kind === "sleep") return item.duration ? `sleep ${item.duration}` : `sleep, line ${item.line}`;
    if (item.kind === "wait") return `event, line ${item.line}`;
    if (item.kind === "child") return `child run, line ${item.line}`;
    return `line ${item.line}`;
  }

  function link(line) {
    for (const { item, node, steps: mine } of entries) {
      node.classList.toggle("is-linked", line !== null && (item.line === line || mine.some((step) => step.line === line)));
    }
  }

  return { show, fill, behind, link, relabel, lines: () => entries.filter(({ item }) => !item.extra).map(({ item }) => item.line) };
}

/** What an entry is found by: a step that another one calls is another than one of its name elsewhere. */
const nameOf = ({ kind, name, parent = null }) => `${parent ? `${parent}\n` : ""}${kind}:${name}`;

const covers = (item, line) => line !== null && line >= item.line && line <= (item.end_line ?? item.line);
