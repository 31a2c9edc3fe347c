// Keys of the whole page: one table, from which they act, are written on this machine, and are listed under `?`.
// Single letters act only outside fields and can be turned off. For the run they press or focus the very controls that a pointer would.

import { el } from "./dom.js";
import { read, write } from "./stored.js";

// What it does, how it is written, and the act it calls: one for a combination, a list for keys side by side.
// Where no act stands, whatever has the focus does it by itself.
const TABLE = {
  Code: [
    ["Run", "mod enter", "run"],
    ["Run, from the editor", "shift enter"],
    ["Make a link and copy it", "mod S", "share"],
    ["Format", "shift alt F", "format"],
    ["Next problem", "F8", "problem"],
    ["Make its fix", "mod ."],
    ["To the step of the line", "alt enter", "step"],
    ["Pause before the step of the line", "F9", "stop-line"],
    ["Complete", "ctrl space"],
    ["Comment out, or in", "mod /"],
    ["Find", "mod F"],
    ["Leave the editor", "Esc Tab"],
  ],
  Run: [
    ["Next, previous step", "J K", ["next", "previous"]],
    ["Open the step", "enter"],
    ["Open, fold a group", "→ ←"],
    ["Go to its line", "L", ["line"]],
    ["Kill worker", "X", ["kill"]],
    ["Fork", "F", ["fork"]],
    ["Restart a run that has ended", "R", ["restart"]],
    ["Pause before the step, or not", "B", ["stop"]],
    ["Next commit", "N", ["next-commit"]],
    ["Run to here", "T", ["run-to"]],
    ["Continue", "C", ["continue"]],
    ["Break the step on purpose", "I", ["break"]],
    ["Skip sleeps, or not", "S", ["skip"]],
    ["To the event form, or to Edit result of a stop", "E", ["form"]],
    ["Timeline, replay, journal, logs, effects", "1 2 3 4 5", ["timeline", "lens", "journal", "logs", "effects"]],
    ["Graph", "G", ["graph"]],
    ["Scrub back, forward", "[ ]", ["back", "forward"]],
    ["Back to live", "End", ["live"]],
    ["Zoom in, out, to all of it", "+ - 0", ["zoom-in", "zoom-out", "zoom-fit"]],
    ["This list", "?", ["list"]],
  ],
};

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);
const WRITTEN = { mod: MAC ? "⌘" : "Ctrl", ctrl: MAC ? "⌃" : "Ctrl", shift: MAC ? "⇧" : "Shift", alt: MAC ? "⌥" : "Alt", enter: "↵", space: "Space" };
const NO_TEXT = new Set(["range", "checkbox", "radio", "button", "submit"]); // inputs in which a letter writes nothing

const inRun = (selector) => document.querySelector(`#run ${selector}`);
const acts = new Map();

/** Sets what an act of the table does; `act` returns false when there was nothing to do, so that the key keeps its usual meaning. */
export function onKey(name, act) {
  acts.set(name, act);
}

onKey("next", () => move("ArrowDown"));
onKey("previous", () => move("ArrowUp"));
for (const name of ["line", "stop", "break"]) onKey(name, () => (nodeNow() ?? rowNow())?.dispatchEvent(new CustomEvent(`playground:${name}`, { bubbles: true })) ?? false);
onKey("skip", () => press(inRun("[data-part=skip]")));
onKey("kill", () => press(inRun("[data-part=kill]")));
onKey("fork", () => press(inRun("[data-part=step] [data-fork]")) !== false || press(inRun("[data-part=fork]")));
onKey("form", () => press(inRun(".stop-acts .edit")) !== false || focus(inRun(".ask textarea")));
onKey("timeline", () => (tab("timeline"), move("")));
for (const view of ["lens", "graph", "journal", "logs", "effects"]) onKey(view, () => tab(view));

const [COMBINATIONS, SINGLES] = bindings();

/** Begins to listen. */
export function makeKeys() {
  nameKeys();
  list();
  const letters = document.getElementById("single-keys");
  letters.checked = read("single-keys", true) !== false;
  letters.addEventListener("change", () => write("single-keys", letters.checked));

  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    const inDialog = document.querySelector("dialog[open]");
    const held = [MAC ? event.metaKey && "mod" : event.ctrlKey && "mod", event.shiftKey && "shift", event.altKey && "alt"].filter(Boolean);
    const key = held.includes("alt") && event.code.startsWith("Key") ? event.code.slice(3).toLowerCase() : event.key.toLowerCase();
    const name = COMBINATIONS.get([...held, key].join(" "));
    if (name) {
      if (name === "share" || (!inDialog && !event.target.closest?.(".ask"))) act(event, name);
    } else if (letters.checked && !inDialog && (event.getModifierState("AltGraph") || !(event.altKey || event.ctrlKey || event.metaKey)) && !inText(event.target)) {
      if (SINGLES.has(key) && !(key === "end" && event.target.matches?.("input, select"))) act(event, SINGLES.get(key));
    }
  });
}

function bindings() {
  const combinations = new Map();
  const singles = new Map();
  for (const [, keys, does] of Object.values(TABLE).flat()) {
    const parts = keys.toLowerCase().split(" ");
    if (Array.isArray(does)) parts.forEach((part, index) => singles.set(part, does[index]));
    else if (does) combinations.set(parts.join(" "), does);
  }
  return [combinations, singles];
}

function act(event, name) {
  if (acts.has(name) && acts.get(name)() !== false) event.preventDefault();
}

/** Writes the keys that stand on controls as this machine's keyboard has them. */
function nameKeys() {
  for (const node of document.querySelectorAll("[data-keys]")) {
    node.textContent = node.dataset.keys
      .split(" ")
      .map((key) => WRITTEN[key] ?? key)
      .join(MAC ? "" : " ");
  }
}

function list() {
  document.getElementById("keys-list").replaceChildren(
    ...Object.entries(TABLE).map(([title, rows]) => el("section", {}, el("h3", {}, title), el("dl", {}, rows.map(([words, keys]) => el("div", {}, el("dt", {}, words), el("dd", {}, written(keys))))))),
  );
}

function written(keys) {
  const shown = keys.split(" ").map((key) => el("kbd.key", {}, WRITTEN[key] ?? key));
  if (keys === "Esc Tab") shown.splice(1, 0, "then");
  return shown;
}

const rowNow = () => (document.activeElement?.matches?.("#run .row-name") ? document.activeElement : inRun("[data-part=rows] .row-name[tabindex='0']"));

const nodeNow = () => document.activeElement?.closest?.("[role=treeitem]") ?? null; // of the graph

/** To the next or previous step; to the one last looked at when none has the focus. */
function move(key) {
  const node = nodeNow();
  if (node) return void node.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  if (!rowNow()) return false;
  if (document.activeElement === rowNow()) rowNow().dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  else rowNow().focus();
}

function tab(view) {
  const node = view === "graph" ? inRun("#view-graph[role=region] [role=treeitem][tabindex='0']") : null; // a column has no tab
  return node ? focus(node) : press(inRun(`[role=tab][data-tab=${view}]`));
}

function press(control) {
  if (!control?.checkVisibility()) return false;
  control.click();
}

function focus(field) {
  if (!field) return false;
  field.focus();
}

function inText(target) {
  const field = target.closest?.("input, textarea, select, [contenteditable='true'], .cm-editor");
  return Boolean(field) && !NO_TEXT.has(field.type);
}
