// The command palette: everything that has a key or a button, in the words of the buttons, found by typing. What cannot be done now stays,
// dimmed, with its reason. It presses the very controls that a pointer would, after it has closed: so focus goes on from where it was.
// Loaded when it is first asked for; the dialog itself stands in the page, so that what is typed meanwhile is not typed into the code.

import { el, icon, isDisabled, tell } from "./dom.js";
import { TABLE, doAct, keysText } from "./keys.js";
import { ranked } from "./palette-match.js";
import { toast } from "./toast.js";
import { remembered } from "./tokens-store.js";
import { moment } from "./when.js";

const RUNS = 30; // of the recent ones
const SHOWN = 200; // entries drawn; more are found by typing
const NO_RUN = "There is no run yet: press Run.";
const OVER = "The run is over.";
const NOT_NOW = "Not at this moment.";
const ELSEWHERE = ".only-wide, .only-narrow, .only-low"; // what screens of another size have
const SHAPES = { Code: "i-journal", Run: "i-play", Page: "i-screen" };

let made = null;

/** Fills the palette, which is open. `steps` are those of the run shown, as `playground:steps` tells them. */
export function fillPalette({ steps }) {
  made ??= new Palette();
  made.fill(steps);
}

class Palette {
  constructor() {
    this.dialog = document.getElementById("palette");
    this.field = this.dialog.querySelector("input");
    this.list = document.getElementById("palette-list");
    this.count = document.getElementById("palette-count");
    this.field.addEventListener("input", () => this.draw());
    this.field.addEventListener("keydown", (event) => this.pressed(event));
    this.list.addEventListener("click", ({ target }) => this.do(this.found[Number(target.closest("[role=option]")?.dataset.place ?? -1)]));
    this.list.addEventListener("pointermove", ({ target }) => {
      const place = target.closest("[role=option]")?.dataset.place;
      if (place !== undefined && Number(place) !== this.at) this.choose(Number(place), { scroll: false });
    });
  }

  fill(steps) {
    this.entries = [...commands(), ...places(steps)];
    this.draw();
  }

  draw() {
    const hits = ranked(this.entries, this.field.value);
    const shown = hits.slice(0, SHOWN);
    const groups = new Map();
    for (const hit of shown) groups.set(hit.entry.group, [...(groups.get(hit.entry.group) ?? []), hit]);
    this.found = [...groups.values()].flat().map(({ entry }) => entry);
    let place = 0;
    const drawn = [...groups].map(([name, list]) => el("div", { role: "group", "aria-label": name }, el("h3", { "aria-hidden": "true" }, name), list.map((hit) => option(hit, place++))));
    this.list.replaceChildren(...(drawn.length ? drawn : [el("p.nothing", { role: "option", "aria-disabled": "true" }, `Nothing here is called “${this.field.value.trim()}”.`)]));
    this.options = [...this.list.querySelectorAll("[role=option]")];
    this.count.textContent = `${hits.length} of ${this.entries.length}`;
    this.choose(0);
    this.list.scrollTop = 0;
  }

  choose(place, { scroll = true } = {}) {
    this.options[this.at]?.setAttribute("aria-selected", "false");
    this.at = place;
    const option = this.options[place];
    option?.setAttribute("aria-selected", "true");
    if (option) this.field.setAttribute("aria-activedescendant", option.id);
    else this.field.removeAttribute("aria-activedescendant");
    if (scroll) option?.scrollIntoView({ block: "nearest" });
  }

  pressed(event) {
    const many = this.options.length;
    const to = { ArrowDown: this.at + 1, ArrowUp: this.at - 1, PageDown: Math.min(this.at + 8, many - 1), PageUp: Math.max(this.at - 8, 0) }[event.key];
    if (to !== undefined && many) {
      event.preventDefault();
      this.choose((to + many) % many);
    } else if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      this.do(this.found[this.at]);
    }
  }

  do(entry) {
    if (!entry) return;
    if (entry.reason) return toast(entry.reason, "i-info");
    this.dialog.close(); // what had the focus has it again
    entry.act();
  }
}

function option({ entry, marks }, place) {
  const { words, detail, reason, keys, shape } = entry;
  const said = reason || detail;
  return el(
    "div.palette-option",
    { role: "option", id: `palette-${place}`, "aria-selected": "false", "aria-disabled": reason ? "true" : null, dataset: { place } },
    shape(),
    el("span.palette-words", {}, el("span", {}, marked(words, marks)), said && el("small", {}, said)),
    keys && el("kbd.key", {}, keysText(keys)),
  );
}

function marked(words, marks) {
  let at = 0;
  const parts = marks.flatMap(([from, to]) => {
    const before = words.slice(at, from);
    at = to;
    return [before, el("mark", {}, words.slice(from, to))];
  });
  return [...parts, words.slice(at)].filter(Boolean);
}

/** What the table of commands has, as it stands at this moment: a run that is there comes first. */
function commands() {
  const sections = Object.entries(TABLE).sort(([a], [b]) => (isRun() ? (b === "Run") - (a === "Run") : 0));
  return sections.flatMap(([section, rows]) => rows.flatMap((row) => entriesOf(section, row)));
}

function entriesOf(section, [words, keys, does, control, none]) {
  if (control === false) return [];
  const many = Array.isArray(does) && does.length > 1;
  const selectors = many ? control : [control];
  return selectors.flatMap((selector, index) => {
    const node = selector ? found(section, selector) : null;
    const act = Array.isArray(does) ? does[index] : does;
    if (!act && node?.matches(ELSEWHERE) && !node.checkVisibility()) return [];
    return [
      {
        group: "Do",
        words: node && !node.matches(".row-name, textarea, [role=menuitem]") ? wordsOf(node, words) : words,
        more: [words, node?.title].filter(Boolean).join(" "),
        keys: many ? keys.split(" ")[index] : keys,
        reason: reasonOf(section, selector, node, none),
        shape: () => shapeOf(node, section),
        act: () => perform(section, { act, node, keys, words }),
      },
    ];
  });
}

const found = (section, selector) => document.querySelector(section === "Run" ? `#run ${selector}` : selector);

function wordsOf(node, otherwise) {
  const named = node.getAttribute("aria-label");
  if (named) return named;
  const copy = node.cloneNode(true);
  for (const part of copy.querySelectorAll("kbd, .count, [hidden], small")) part.remove();
  return copy.textContent.replace(/\s+/g, " ").trim() || otherwise;
}

function shapeOf(node, section) {
  const use = node?.querySelector?.(".i use")?.getAttribute("href");
  return icon(use ? use.slice(1) : SHAPES[section]);
}

/** Why a command cannot be done now, or "". */
function reasonOf(section, selector, node, none) {
  if (section === "Run" && !isRun()) return NO_RUN;
  if (!selector) return "";
  if (!node) return none ?? NOT_NOW;
  const off = node.matches("[role=menuitem]") ? document.querySelector('#run [data-part="kill"]') : node;
  if (isDisabled(off)) return off.title || NOT_NOW;
  const menu = off.closest("[role=menu]");
  if (off.hidden || (off.parentElement.closest("[hidden]") && !menu && !off.matches("#runs *"))) return none ?? (section === "Run" && isOver() ? OVER : NOT_NOW);
  return "";
}

const isRun = () => !document.querySelector('#run [data-part="live"]').hidden;
const isOver = () => !document.querySelector('#run [data-part="fork"]').hidden;

function perform(section, { act, node, keys, words }) {
  const bar = document.querySelector(`[data-half-set="${section === "Run" ? "run" : "code"}"]`);
  if (section !== "Page" && bar?.checkVisibility()) bar.click();
  if (act) return doAct(act) || toast(`${words}: there is nothing to do now`, "i-info");
  if (node) return node.click();
  press(keys);
}

/** A key that the editor knows by itself. */
function press(keys) {
  const editor = document.querySelector(".cm-content");
  if (!editor) return;
  editor.focus();
  const parts = keys.split(" ");
  const mac = /Mac|iPhone|iPad/.test(navigator.platform);
  const held = { ctrlKey: parts.includes("ctrl") || (parts.includes("mod") && !mac), metaKey: parts.includes("mod") && mac, shiftKey: parts.includes("shift"), altKey: parts.includes("alt") };
  const key = parts.at(-1) === "space" ? " " : parts.at(-1);
  editor.dispatchEvent(new KeyboardEvent("keydown", { key: key.length === 1 ? key.toLowerCase() : key, ...held, bubbles: true, cancelable: true }));
}

/** Where one can go: the steps of the run, the examples, the recent runs. */
function places(steps) {
  return [
    ...steps.map(({ key, name, count, label, status, line }) => ({
      group: "Steps",
      words: count > 1 ? `${name}-${count}` : name,
      detail: label || (line ? `line ${line}` : ""),
      more: `step ${status}`,
      shape: () => icon("i-right"),
      act: () => tell("select", { key, line }),
    })),
    ...[...document.querySelectorAll("#examples .card")].map((card) => ({
      group: "Examples",
      words: card.querySelector("b").textContent,
      more: "example",
      shape: () => icon("i-grid"),
      act: () => location.assign(card.href),
    })),
    ...remembered().slice(0, RUNS).map(({ id, title, at }) => ({
      group: "Runs of this browser",
      words: title || "Untitled",
      detail: `${moment(at)} · ${id.slice(0, 8)}`,
      more: `run ${id}`,
      shape: () => icon("i-clock"),
      act: () => location.assign(`/instances/${encodeURIComponent(id)}`),
    })),
  ];
}
