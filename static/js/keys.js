// Commands of the whole page: one table, from which keys act, are written on this machine and are listed under `?`, and which the palette
// (palette.js) offers with what has a button only. Single letters act only outside fields and can be turned off. For the run they press
// or focus the very controls that a pointer would.

import { el } from "./dom.js";
import { read, write } from "./stored.js";

const ROW = "[data-part=rows] .row-name";
const NO_RUN = "There is no run yet: press Run.";
const NO_STEP = "The run has no step yet.";
const STANDS = "The run is not paused before a step.";

// What it does, how its key is written ("" for a button that has none), the act it calls (one for a combination, a list for keys side by
// side; where no act stands, whatever has the focus does it by itself), and for the palette the control that it is: its words there, and
// why it cannot act. Where nothing stands the palette has the words of the table; `false` is nothing for a palette. Last, why there is
// no such control at times.
export const TABLE = {
  Code: [
    ["Run", "mod enter", "run", "[data-run]"],
    ["Run, from the editor", "shift enter", null, false],
    ["Make a link and copy it", "mod S", "share"],
    ["Format", "shift alt F", "format", "#format"],
    ["Next problem", "F8", "problem"],
    ["Make its fix", "mod ."],
    ["To the step of the line", "alt enter", "step"],
    ["Pause before the step of the line", "F9", "stop-line"],
    ["All breakpoints", "shift B", "all-stops"],
    ["Complete", "ctrl space"],
    ["Comment out, or in", "mod /"],
    ["Find", "mod F"],
    ["Format the params", "", null, "#params-format", "The params are laid out already, or are no JSON."],
    ["Rename", "", null, "#rename"],
    ["Params, outline", "", null, "#under-button"],
    ["Leave the editor", "Esc Tab", null, false],
  ],
  Run: [
    ["Kill worker", "X", ["kill"], "[data-part=kill]"],
    ["Kill worker: during the next step", "", null, "[data-when=during-step]"],
    ["Kill worker: after the effect, before the commit", "", null, "[data-when=before-commit]"],
    ["Chaos: kill the worker before every commit", "", null, "[data-part=chaos]"],
    ["Pause", "", null, "[data-part=pause]"],
    ["Terminate", "", null, "[data-part=terminate]"],
    ["Restart", "", null, "[data-part=restart]"],
    ["Fork", "F", ["fork"], "[data-part=fork]", "Once the run is over, or from a finished step."],
    ["Restart a run that has ended", "R", ["restart"], false],
    ["Next, previous step", "J K", ["next", "previous"], false],
    ["Open the step", "enter", null, false],
    ["Open, fold a group", "→ ←", null, false],
    ["Go to its line", "L", ["line"], ROW, NO_STEP],
    ["Pause before the step, or not", "B", ["stop"], ROW, NO_STEP],
    ["Next commit", "N", ["next-commit"], ".stop-acts [aria-keyshortcuts=n]", STANDS],
    ["Run to here", "T", ["run-to"], ".stop-acts [aria-keyshortcuts=t]", STANDS],
    ["Continue", "C", ["continue"], ".stop-acts [aria-keyshortcuts=c]", STANDS],
    ["Break the step on purpose", "I", ["break"], ROW, NO_STEP],
    ["Skip sleeps, or not", "S", ["skip"], "[data-part=skip]"],
    ["Skip the sleeps of the run that is to come", "", null, "[data-part=plan-skip]", "The code has no sleep, or there is a run."],
    ["To the event form, or to Edit result of a stop", "E", ["form"], ".ask textarea, #run .stop-acts [aria-keyshortcuts=e]", "Nothing waits for an event."],
    ["Timeline, replay, journal, logs, effects", "1 2 3 4 5", ["timeline", "lens", "journal", "logs", "effects"], ["[data-tab=timeline]", "#tab-lens", "#tab-journal", "#tab-logs", "#tab-effects"]],
    ["Graph", "G", ["graph"], "#tab-graph"],
    ["Scrub back, forward", "[ ]", ["back", "forward"], ["[data-part=scrub-back]", "[data-part=scrub-forth]"]],
    ["Back to live", "End", ["live"], "[data-part=scrub-live]"],
    ["Zoom in, out, to all of it", "+ - 0", ["zoom-in", "zoom-out", "zoom-fit"], ["[data-part=zoom-in]", "[data-part=zoom-out]", "[data-part=zoom-fit]"]],
    ["Steps as a table", "", null, "[data-part=as-table]"],
  ],
  Page: [
    ["Find anything", "mod K", "palette", false],
    ["New", "", "new", ".top [data-does=new]"],
    ["New: blank", "", null, "[data-new=blank]"],
    ["New: skeleton", "", null, "[data-new=skeleton]"],
    ["New: paste", "", null, "[data-new=paste]"],
    ["Open a file", "mod O", "open-file"],
    ["Examples", "", null, "a[data-open=examples]"],
    ["Share", "", null, ".top [data-open=share]"],
    ["Copy as curl", "", null, "[data-copy-as=curl]"],
    ["Copy as Python", "", null, "[data-copy-as=python]"],
    ["Copy for an agent", "", null, "[data-copy-as=agent]"],
    ["Save the run", "", null, "[data-take=export]", NO_RUN],
    ["Test from this run", "", null, "[data-take=\"test.py\"]", NO_RUN],
    ["Recent runs", "", null, "#runs-button"],
    ["Theme of the system", "", null, "[data-theme-set=system]"],
    ["Light theme", "", null, "[data-theme-set=light]"],
    ["Dark theme", "", null, "[data-theme-set=dark]"],
    ["About", "", null, "a[data-open=about]"],
    ["Keys", "?", ["list"], ".foot [data-open=keys]"],
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
onKey("skip", () => press(inRun("[data-part=skip]")) !== false || press(inRun("[data-part=plan-skip]")));
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
    const isCapital = key.length === 1 && held.join() === "shift"; // a single letter, too
    if (name && !isCapital) {
      if (name === "share" || (name === "palette" && (!inDialog || inDialog.id === "palette")) || (!inDialog && !event.target.closest?.(".ask"))) act(event, name);
    } else if (letters.checked && !inDialog && (event.getModifierState("AltGraph") || !(event.altKey || event.ctrlKey || event.metaKey)) && !inText(event.target)) {
      if (name) act(event, name);
      else if (SINGLES.has(key) && !(key === "end" && event.target.matches?.("input, select"))) act(event, SINGLES.get(key));
    }
  });
}

function bindings() {
  const combinations = new Map();
  const singles = new Map();
  for (const [, keys, does] of Object.values(TABLE).flat().filter(([, keys]) => keys)) {
    const parts = keys.toLowerCase().split(" ");
    if (Array.isArray(does)) parts.forEach((part, index) => singles.set(part, does[index]));
    else if (does) combinations.set(parts.join(" "), does);
  }
  return [combinations, singles];
}

function act(event, name) {
  if (doAct(name)) event.preventDefault();
}

/** Does an act of the table; false when there was nothing to do. */
export const doAct = (name) => acts.has(name) && acts.get(name)() !== false;

/** Writes the keys that stand on controls as this machine's keyboard has them. */
function nameKeys() {
  for (const node of document.querySelectorAll("[data-keys]")) {
    node.textContent = keysText(node.dataset.keys);
  }
}

/** Keys in one text, as this machine's keyboard has them. */
export const keysText = (keys) => keys.split(" ").map((key) => WRITTEN[key] ?? key).join(MAC ? "" : " ");

function list() {
  document.getElementById("keys-list").replaceChildren(
    ...Object.entries(TABLE).map(([title, rows]) => el("section", {}, el("h3", {}, title), el("dl", {}, rows.filter(([, keys]) => keys).map(([words, keys]) => el("div", {}, el("dt", {}, words), el("dd", {}, written(keys))))))),
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
