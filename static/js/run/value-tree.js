// A stored value as a tree that folds: a row for each member, its type at the right, and the way to the chosen one at the foot. Rows are
// drawn where they are in sight (rows.js); what there is to draw, tree-model.js knows.

import { el, icon, setFlag, setText, setVar } from "../dom.js";
import { read, write } from "../stored.js";
import { Rows } from "./rows.js";
import { FOUND, TreeModel } from "./tree-model.js";
import { inline, sizeText } from "./value-shape.js";
import { valueText } from "./value.js";

const ROW_PX = 22;
const FINGER_PX = 44;
const LINE_PX = 18; // of a text
const FINGERS = window.matchMedia("(max-width: 899px)"); // as --tap in tokens.css
const DEEPEST = 12; // rows within rows are moved in so many times at most
const SOUGHT_MS = 120; // after the last key
const FEW = 8; // members that are read at a glance: nothing to search
const TONES = { key: "v-key", str: "v-str", num: "v-num", dim: "dim" };
const PAGE = 10;
const WRAP = "wrap-values"; // what this browser remembers

let number = 0;

export class ValueTree {
  /**
   * `name` is what paths begin with, `label` what the tree is called; `copy(text)` puts text on the clipboard; `resized` hears that its
   * height has changed.
   */
  constructor({ value, name, label, copy, resized = () => {} }) {
    Object.assign(this, { value, name, copy, resized });
    this.id = `tree-${(number += 1)}`;
    this.model = new TreeModel(value, name);
    this.active = -1;
    this.found = [];
    this.list = el("ul.tree", { role: "tree", tabindex: "0", "aria-label": label });
    this.box = el("div.tree-box", { tabindex: "-1" }, this.list);
    this.foot = this.newFoot();
    this.seek = this.newSearch();
    this.node = el("div.tree-view", {}, this.seek.form, this.box, this.foot.node);
    this.tools = this.newTools();
    this.rows = new Rows({ viewport: this.box, list: this.list, height: (index) => this.guess(index), draw: (index, old) => this.draw(index, old), measured: (item) => this.wraps || item.row.type !== "value", reuse: true });
    this.wrap(read(WRAP, false) === true);
    this.list.addEventListener("click", (event) => this.clicked(event));
    this.list.addEventListener("keydown", (event) => this.pressed(event));
    this.list.addEventListener("focus", () => this.active < 0 && this.list.matches(":focus-visible") && this.choose(0));
  }

  guess(index) {
    return this.model.rows[index].type === "line" ? LINE_PX : FINGERS.matches ? FINGER_PX : ROW_PX;
  }

  /** Type, length and size of the whole, and what can be done with it. */
  newTools() {
    const { shape } = this.model.root;
    const { isTree } = this.model;
    const size = new TextEncoder().encode(JSON.stringify(this.value) ?? "null").length;
    const members = { dict: ["key", "keys"], list: ["item", "items"], set: ["member", "members"], str: ["character", "characters"], bytes: ["byte", "bytes"] }[shape.type];
    const length = isTree && `${shape.members.toLocaleString("en")} ${members[shape.members === 1 ? 0 : 1]}`;
    const tag = isTree && el("span.tag", {}, `${shape.type} · ${length} · ${sizeText(size)}`);
    const tool = (picture, name, act, props = {}) => el("button.btn.icon.small", { type: "button", "aria-label": name, title: name, onclick: act, ...props }, icon(picture));
    this.seekButton = tool("i-search", "Search this value", () => this.search(this.seek.form.hidden), { "aria-expanded": "false" });
    this.wrapButton = tool("i-wrap", "Wrap long lines", () => this.wrap(!this.wraps, true), { "aria-pressed": "false" });
    const many = isTree && (shape.members > FEW || size > ROW_PX * FEW);
    return [tag, el("span.grow"), many ? this.seekButton : null, isTree ? this.wrapButton : null, tool("i-copy", "Copy", () => this.copy(valueText(this.value)))].filter(Boolean);
  }

  newFoot() {
    const path = el("code");
    const button = (word, act) => el("button.btn.small", { type: "button", onclick: act }, icon("i-copy"), word);
    const row = () => this.model.rows[this.active];
    const node = el(
      "div.tree-foot",
      { hidden: true },
      path,
      button("Copy path", () => this.copy(this.model.path(row()))),
      button("Copy value", () => this.copy(bare(this.model.valueOf(row())))),
    );
    return { node, path };
  }

  newSearch() {
    const field = el("input.field", { type: "search", "aria-label": "Search keys and values", placeholder: "Search keys and values", autocomplete: "off", spellcheck: "false" });
    const said = el("span.dim.num", { role: "status" });
    const button = (word, by) => el(`button.btn.icon.small${by < 0 ? ".up" : ""}`, { type: "button", "aria-label": word, title: word, onclick: () => this.goTo(this.at + by) }, icon("i-down"));
    const form = el("form.tree-find", { hidden: true }, el("span.find", {}, icon("i-search"), field), said, button("Previous match", -1), button("Next match", 1));
    let timer;
    field.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.sought(), SOUGHT_MS);
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      clearTimeout(timer);
      if (this.wanted === field.value.trim()) this.goTo(this.at + 1);
      else this.sought();
    });
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.shiftKey) {
        event.preventDefault();
        this.goTo(this.at - 1);
      } else if (event.key === "Escape") {
        event.stopPropagation();
        this.search(false);
        this.list.focus();
      }
    });
    return { form, field, said };
  }

  search(open) {
    this.seek.form.hidden = !open;
    this.seekButton.setAttribute("aria-expanded", String(open));
    if (open) this.seek.field.focus();
    else this.seek.field.value = "";
    if (!open) this.sought();
    this.resized();
  }

  sought() {
    this.wanted = this.seek.field.value.trim();
    this.found = this.model.find(this.wanted);
    setText(this.seek.said, this.wanted && !this.found.length ? "nothing found" : "");
    if (this.found.length) this.goTo(0);
  }

  /** To the match `at`; after the last comes the first. */
  goTo(at) {
    const many = this.found.length;
    if (!many) return;
    this.at = (at + many) % many;
    const index = this.model.reveal(this.found[this.at]);
    this.redraw(0);
    this.choose(index);
    setText(this.seek.said, `${(this.at + 1).toLocaleString("en")} of ${many === FOUND ? "the first " : ""}${many.toLocaleString("en")}`);
  }

  wrap(on, keep = false) {
    this.wraps = on;
    this.wrapButton.setAttribute("aria-pressed", String(on));
    setFlag(this.box, "wraps", on);
    if (keep) write(WRAP, on);
    this.redraw(0);
  }

  /** Draws the rows from `from` on anew. */
  redraw(from) {
    this.rows.setCount(this.model.rows.length, from);
    this.fit();
  }

  /** Gives the box the height of its rows. */
  fit() {
    const height = this.rows.heights.offset(this.rows.count);
    if (height === this.height) return;
    this.height = height;
    setVar(this.box, "--h", `${height}px`);
    this.resized();
  }

  draw(index, old) {
    const row = this.model.rows[index];
    const item = old ?? el("li", { role: "treeitem" });
    item.row = row;
    item.className = `t-row ${row.type}`;
    item.id = `${this.id}-${index}`;
    setVar(item, "--d", Math.min(row.depth, DEEPEST));
    item.setAttribute("aria-level", row.depth + 1);
    item.setAttribute("aria-posinset", row.place + 1);
    item.setAttribute("aria-setsize", row.type === "value" ? (row.parent?.shape.members ?? 1) : -1); // how many lines there will be is not known
    const opens = row.type === "value" && row.shape.members > 0 && this.model.isTree;
    if (opens) item.setAttribute("aria-expanded", String(row.open));
    else item.removeAttribute("aria-expanded");
    item.setAttribute("aria-selected", String(index === this.active));
    item.replaceChildren(...(row.type === "line" ? [el("span.t-text", {}, row.text || "\u200b")] : row.type === "cut" ? this.cut(row) : value(row, opens)));
    this.settling ??= requestAnimationFrame(() => {
      this.settling = null;
      this.fit();
    });
    return item;
  }

  /** There is more: how much of what is here, and the ways to it. */
  cut(row) {
    const [shown, all] = row.words;
    const act = (word, act) => el("button.btn.small", { type: "button", tabindex: "-1", onclick: act }, word);
    const index = () => this.model.rows.indexOf(row);
    return [
      el("span.t-text", {}, shown, el("b", {}, all)),
      act("More", () => this.more(index())),
      act("All of it", () => this.more(index(), true)),
      act("Save as a file", () => this.save(row.parent)),
    ];
  }

  more(index, all = false) {
    this.redraw(this.model.more(index, all));
    this.choose(index);
  }

  save({ value: saved, shape }) {
    const text = shape.type === "str" ? saved : valueText(saved);
    const link = el("a", { href: URL.createObjectURL(new Blob([text])), download: `${this.name}.${shape.type === "str" ? "txt" : "json"}` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // a browser may ask where to, first
  }

  choose(index) {
    const before = this.rows.shown.get(this.active);
    before?.setAttribute("aria-selected", "false");
    this.active = index;
    const row = this.model.rows[index];
    if (!row) return;
    this.rows.reveal(index);
    if (row.type !== "value" || this.wraps) this.rows.reveal(index); // now that it is drawn, its height is known
    this.rows.shown.get(index)?.setAttribute("aria-selected", "true");
    this.list.setAttribute("aria-activedescendant", `${this.id}-${index}`);
    setText(this.foot.path, this.model.path(row));
    if (this.foot.node.hidden && this.model.isTree) {
      this.foot.node.hidden = false;
      this.resized();
    }
  }

  toggle(index, open = !this.model.rows[index].open) {
    if (!this.model.set(index, open)) return false;
    this.rows.touch(index);
    this.redraw(index + 1);
    return true;
  }

  clicked(event) {
    const item = event.target.closest(".t-row");
    if (!item || event.target.closest("button") || !getSelection().isCollapsed) return;
    const index = this.model.rows.indexOf(item.row);
    this.choose(index);
    if (item.row.type === "value") this.toggle(index);
  }

  pressed(event) {
    if (event.target !== this.list || event.ctrlKey || event.metaKey || event.altKey) return;
    const { rows } = this.model;
    const index = Math.max(0, this.active);
    const row = rows[index];
    const to = { ArrowDown: this.active + 1, ArrowUp: index - 1, Home: 0, End: rows.length - 1, PageDown: index + PAGE, PageUp: index - PAGE }[event.key];
    if (to !== undefined) this.choose(Math.max(0, Math.min(rows.length - 1, to)));
    else if (event.key === "ArrowRight") {
      if (!this.toggle(index, true) && row.open) this.choose(index + 1);
    } else if (event.key === "ArrowLeft") {
      if (!this.toggle(index, false)) this.choose(Math.max(0, this.model.parentOf(index)));
    } else if (event.key === "Enter" || event.key === " ") {
      if (row.type === "cut") this.more(index);
      else if (row.type === "value") this.toggle(index);
    } else if (event.key === "*") this.openAll(index);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Opens all rows beside row `index`. */
  openAll(index) {
    const { rows } = this.model;
    const active = rows[index];
    for (const row of rows.filter(({ parent, type }) => parent === active.parent && type === "value")) this.model.set(rows.indexOf(row), true);
    this.redraw(0);
    this.choose(rows.indexOf(active));
  }

  /** Takes the tree out of the page and puts it back where `move` puts it: as it was scrolled, and with the focus. */
  moved(move) {
    const { scrollTop } = this.box;
    const { activeElement } = document;
    const mine = this.node.contains(activeElement) || this.tools.includes(activeElement);
    move();
    this.box.scrollTop = scrollTop;
    if (mine) activeElement.focus({ preventScroll: true });
  }
}

/** A value on the clipboard: a text as it is, all else as JSON. */
const bare = (one) => (typeof one === "string" ? one : valueText(one));

function value(row, opens) {
  const { shape, key } = row;
  const name = key === null ? [] : [el("b.v-key", {}, String(key)), ": "];
  const flat = opens && !row.open ? inline(shape) : null;
  const tokens = flat ?? [[shape.tone, shape.text]];
  const words = tokens.map(([tone, text]) => (tone ? el(`span.${TONES[tone]}`, {}, text) : text));
  const type = [shape.type, shape.note || (opens ? shape.members.toLocaleString("en") : "")].filter(Boolean).join(" · ");
  return [opens ? icon(row.open ? "i-down" : "i-right") : null, el("span.t-text", {}, ...name, ...words), el("small.t-type", {}, " ", type)].filter(Boolean);
}
