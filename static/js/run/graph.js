// The graph of a workflow: drawn from its source before a run, and with the run laid over it. A tree for the keyboard and for screen readers;
// the same selection as code and timeline. It is loaded when it is first looked at.

import { el, icon, setText, svg, tell } from "../dom.js";
import { drawNode, markNode, wordsOf } from "./graph-draw.js";
import { isTaken, layout } from "./graph-layout.js";
import { entriesOf, foldable, isStack, modelOf, stepIn } from "./graph-model.js";
import { Placement, standing } from "./graph-overlay.js";
import { rowStop } from "./row-stop.js";

const WIDEST = 560; // CSS pixels; a wider graph is not easier to read
const NARROWEST = 250;
const MANY = 40; // nodes; with more, all frames but those that run, wait or failed begin folded
const TALL = 28;
const FINGER = 44;
const MARGIN = 12; // at each side: the mark of a selection goes over a node's edge

const EMPTY = { generation: 0, rows: [], executions: [] };

export class Graph {
  /**
   * @param {{root: HTMLElement, onOpen?: (step: object) => void, onPick?: (step: object | null) => void, onStop?: (entry: object) => void,
   *   onBreak?: (entry: object) => void, stops?: () => object[], column?: () => void,
   *   childLinks?: (steps: object[]) => Promise<Node[]>, ofRun?: boolean, asked?: object}} how
   *   `onOpen` shows a step in full, `onPick` elsewhere what was chosen, `onStop` sets or clears a breakpoint before a step of the plan,
   *   `onBreak` breaks one; `stops` are the breakpoints, `column` makes it a column or a tab, `childLinks` are links to the runs that steps have started; lines are of the run's source, or with `ofRun` false of the text as it is;
   *   `asked` is what graph-overlay.js asks of a run
   */
  constructor({ root, onOpen = () => {}, onPick = () => {}, onStop = () => {}, onBreak = () => {}, stops = () => [], column = null, childLinks = null, ofRun = true, asked = null }) {
    Object.assign(this, { root, onOpen, onPick, onStop, onBreak, stops, childLinks, ofRun, asked });
    const tool = (name, picture, act) => el("button.btn.icon", { type: "button", "aria-label": name, title: name, onclick: act }, icon(picture));
    this.said = el("p.graph-said", {});
    this.kids = el("span.graph-kids", { hidden: true });
    this.svg = svg("svg.g", { role: "tree", "aria-label": "Graph of the workflow", tabindex: "-1" });
    this.ways = svg("g", { "aria-hidden": "true" });
    this.svg.append(this.ways);
    this.none = el("p.nothing", { hidden: true }, "No steps found in the code yet.");
    this.tools = el("div.graph-tools", {}, this.said, this.kids, el("span.grow"), tool("Fold all", "i-minus", () => this.foldAll(true)), tool("Unfold all", "i-plus", () => this.foldAll(false)), tool("Fold until it fits", "i-fit", () => this.fit()), column && this.columnTool(column));
    root.replaceChildren(this.tools, this.none, el("div.graph-in", {}, this.svg));
    this.coarse = window.matchMedia("(pointer: coarse)");
    this.coarse.addEventListener("change", () => this.relay());
    this.drawn = new Map(); // id -> {g, looks}
    this.folds = new Map(); // id -> whether the reader has folded it
    this.opened = new Set(); // ids of frames that opened by themselves
    this.active = this.picked = this.linked = null;
    this.svg.addEventListener("click", (event) => this.clicked(event));
    this.svg.addEventListener("keydown", (event) => this.pressed(event));
    this.svg.addEventListener("playground:stop", (event) => this.asks(event, this.onStop));
    this.svg.addEventListener("playground:break", (event) => this.asks(event, this.onBreak));
    document.addEventListener("playground:pending", () => this.items && this.draw());
    this.svg.addEventListener("pointerover", (event) => this.pointed(event));
    this.svg.addEventListener("pointerleave", () => tell("hover", { line: null }));
    this.svg.addEventListener("focusin", (event) => this.focused(event));
    document.addEventListener("playground:hover", ({ detail: { line } }) => this.link(line));
    new ResizeObserver(() => this.resized()).observe(root);
    this.plan([]);
  }

  /** From 1600 px on: beside the timeline, or among the tabs. */
  columnTool(column) {
    const button = el("button.btn.icon.as-column", { type: "button", "aria-label": "Beside the timeline", title: "Beside the timeline", onclick: column }, icon("i-column"));
    const tell = () => button.setAttribute("aria-pressed", String(this.root.getAttribute("role") === "region"));
    new MutationObserver(tell).observe(this.root, { attributeFilter: ["role"] });
    tell();
    return button;
  }

  /** Shows another source. What the reader folded stays, where the place is the same. */
  plan(outline) {
    if (outline === this.outline) return; // at every drawing of a run
    this.outline = outline;
    const shape = JSON.stringify(outline);
    if (shape === this.shape) return;
    this.shape = shape;
    this.anew();
  }

  /** A run from its first event again, or another one. */
  reset() {
    this.folds.clear();
    this.picked = this.active = null;
    this.anew();
  }

  anew() {
    this.model = modelOf(this.outline);
    this.placement = new Placement(this.model, this.asked);
    this.opened.clear();
    this.dense = this.entries = null;
    this.items = null;
    this.update(EMPTY, { final: false });
  }

  /** Takes a run as it now is. */
  update(state, { final }) {
    Object.assign(this, { state, final });
    if (this.root.hidden) return;
    const { steps, grown } = this.placement.place(state);
    if (grown || !this.entries) this.entries = entriesOf(this.model);
    this.steps = steps;
    this.stands = standing(this.model, steps, state, final, this.asked);
    const opened = this.open();
    if (grown || opened || !this.items) this.relay();
    else this.draw();
  }

  /** Begins with what is to be folded, and opens what fails, runs or waits. */
  open() {
    this.dense ??= this.stands.size > MANY;
    if (!this.dense) return false;
    const before = this.opened.size;
    for (const [node] of foldable(this.model)) {
      const { open, failed } = this.stands.get(node.id);
      if (open || failed) this.opened.add(node.id);
    }
    return this.opened.size > before;
  }

  isFolded(node) {
    return this.folds.get(node.id) ?? (this.dense && !this.opened.has(node.id));
  }

  resized() {
    const width = this.room;
    if (width !== this.width) this.relay();
  }

  get room() {
    return Math.max(NARROWEST, Math.min(WIDEST, this.root.clientWidth - 2 * MARGIN));
  }

  lay(folded = (node) => this.isFolded(node)) {
    return layout(this.model, { width: this.room, tall: this.coarse.matches ? FINGER : TALL, folded });
  }

  /** Says where everything stands. */
  relay() {
    if (!this.stands || !this.root.clientWidth) return;
    this.width = this.room;
    const { items, edges, width, height } = this.lay();
    this.items = items;
    this.edges = edges;
    this.byId = new Map(items.map((item) => [item.node.id, item]));
    this.svg.setAttribute("width", width + 2 * MARGIN);
    this.svg.setAttribute("height", height + 2 * MARGIN);
    this.svg.setAttribute("viewBox", `${-MARGIN} ${-MARGIN} ${width + 2 * MARGIN} ${height + 2 * MARGIN}`);
    this.none.hidden = items.length > 0;
    this.svg.toggleAttribute("hidden", !items.length);
    for (const [id, { g }] of this.drawn) {
      if (this.byId.has(id)) continue;
      g.remove();
      this.drawn.delete(id);
    }
    if (!this.byId.has(this.active)) this.active = items[0]?.node.id ?? null;
    const groups = new Map();
    for (const item of items) groups.set(item.up, [...(groups.get(item.up) ?? []), item]);
    for (const [, mine] of groups) mine.forEach((item, index) => Object.assign(item, { place: index + 1, of: mine.length }));
    this.draw();
  }

  draw() {
    if (!this.items) return;
    let before = this.ways;
    const stops = this.stops();
    for (const item of this.items) {
      const { node } = item;
      const stand = this.standOf(node);
      item.stop = this.stopOf(node, stops);
      const turns = item.up?.node.kind === "loop" || item.up?.node.kind === "fan";
      const looks = `${item.level}:${item.place}:${item.of}:${item.x}:${item.y}:${item.w}:${item.h}:${item.frame}:${item.folded}:${item.bars}:${item.diamond}:${node.name}:${stand.status}:${stand.done}:${stand.failed}:${stand.open}:${stand.count}:${stand.turns}:${stand.ms}:${stand.middle}:${stand.attempts}:${stand.read}:${stand.percent}:${item.stop}`;
      let { g, looks: old } = this.drawn.get(node.id) ?? {};
      if (!g) g = svg("g.n", { role: "treeitem", "data-id": node.id });
      if (looks !== old) {
        g.setAttribute("class", `n ${node.kind}`);
        g.setAttribute("transform", `translate(${item.x} ${item.y})`);
        g.setAttribute("aria-level", item.level);
        g.setAttribute("aria-posinset", item.place);
        g.setAttribute("aria-setsize", item.of);
        g.setAttribute("aria-label", wordsOf(node, stand, item.stop));
        if (item.foldable) g.setAttribute("aria-expanded", String(!item.folded));
        else g.removeAttribute("aria-expanded");
        g.replaceChildren(...drawNode(item, stand, turns).filter(Boolean));
        this.drawn.set(node.id, { g, looks });
      }
      g.setAttribute("tabindex", node.id === this.active ? "0" : "-1");
      markNode(g, { linked: this.isLinked(node), selected: node.id === this.picked });
      if (before.nextSibling !== g) before.after(g);
      before = g;
    }
    this.ways.replaceChildren(...this.edges.map((edge) => svg(`path.e${isTaken(edge, this.stands) ? "" : ".no"}${edge.thick ? ".thick" : ""}`, { d: edge.path })));
    this.say();
  }

  /** Whether the run stops before a node's step: "here" where it stands, "set", or "". */
  stopOf(node, stops) {
    const held = this.state.stoppedBefore;
    if (!held && !stops.length) return "";
    const entry = this.entries.get(node);
    if (!entry || entry.parent) return "";
    if (held && held.kind === entry.kind && (entry.computed ? held.line === node.line : held.name === entry.name)) return "here";
    return rowStop(stops, entry) ? "set" : "";
  }

  /** What a key asks for a step. */
  asks(event, act) {
    const node = this.nodeAt(event.target);
    const entry = node && this.entries.get(node);
    if (entry) act(entry);
  }

  /** How a node stands; a stack stands as its one step does. */
  standOf(node) {
    const own = this.stands.get(node.id);
    return isStack(node) ? { ...this.stands.get(node.children[0].id), read: false } : own;
  }

  isLinked(node) {
    const line = stepIn(node)?.line ?? null;
    if (this.linked === null || line === null) return false;
    return line === this.linked || (this.steps.get(node) ?? []).some((step) => step.line === this.linked);
  }

  link(line) {
    if (line === this.linked) return;
    this.linked = line;
    if (!this.items || this.root.hidden) return;
    for (const { node } of this.items) markNode(this.drawn.get(node.id).g, { linked: this.isLinked(node), selected: node.id === this.picked });
  }

  /** Says the whole of what is chosen, which may be cut where it is drawn. */
  say() {
    const { node, stop } = this.byId?.get(this.picked) ?? {};
    setText(this.said, node ? wordsOf(node, this.standOf(node), stop) : "");
    this.said.title = this.said.textContent;
    this.sayKids(node);
  }

  /** Links to the runs that the chosen step has started. */
  async sayKids(node) {
    const steps = node && this.childLinks && stepIn(node)?.child ? this.standOf(node).steps : [];
    const asked = `${node?.id}:${steps.filter((step) => step.hasOutput).length}`;
    if (asked === this.askedKids) return;
    this.askedKids = asked;
    this.kids.hidden = true;
    const links = steps.length ? await this.childLinks(steps) : [];
    if (asked !== this.askedKids || !links.length) return;
    this.kids.replaceChildren(links.length > 1 ? "its runs " : "its run ", ...links.flatMap((link, index) => (index ? [", ", link] : [link])));
    this.kids.hidden = false;
  }

  /** Chooses the node of a step, from elsewhere. */
  select(step) {
    const node = step ? (this.placement.byKey?.get(step.key) ?? null) : null;
    this.choose(node && this.shownOf(node), { reveal: true });
  }

  /** A node, or what is drawn of it where it stands in something folded. */
  shownOf(node) {
    const parts = node.id.split(".");
    while (parts.length && !this.byId?.has(parts.join("."))) parts.pop();
    return this.byId?.get(parts.join("."))?.node ?? null;
  }

  choose(node, { reveal = false } = {}) {
    this.picked = node?.id ?? null;
    if (node) this.active = node.id;
    if (!this.items || this.root.hidden) return;
    this.draw();
    if (reveal && node) this.drawn.get(node.id)?.g.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  nodeAt(target) {
    const g = target.closest?.("[data-id]");
    return g ? (this.byId.get(g.dataset.id)?.node ?? null) : null;
  }

  clicked(event) {
    const node = this.nodeAt(event.target);
    if (!node) return;
    if (event.target.closest(".fold")) return this.fold(node, !this.isFolded(node));
    if (this.picked === node.id) this.act(node);
    else this.pick(node);
    this.drawn.get(node.id)?.g.focus({ preventScroll: true });
  }

  /** Chooses a node here, in the code and in the timeline. */
  pick(node) {
    this.choose(node);
    this.onPick(this.stepOf(node));
    if (node.line) tell("hover", { line: node.line, reveal: true, ofRun: this.ofRun });
  }

  /** Opens what is chosen already: its step, else its line. */
  act(node) {
    const step = this.stepOf(node);
    if (step) this.onOpen(step);
    else if (node.line) tell("goto", { line: node.line, ofRun: this.ofRun });
  }

  stepOf(node) {
    return stepIn(node) ? this.standOf(node).latest : null;
  }

  pointed(event) {
    const node = this.nodeAt(event.target);
    const line = (node && stepIn(node)?.line) ?? null;
    if (line !== this.linked) tell("hover", { line, ofRun: this.ofRun });
  }

  focused(event) {
    const node = this.nodeAt(event.target);
    if (!node || node.id === this.active) return;
    this.drawn.get(this.active)?.g.setAttribute("tabindex", "-1");
    this.active = node.id;
    this.drawn.get(node.id).g.setAttribute("tabindex", "0");
  }

  pressed(event) {
    const item = this.byId.get(event.target.closest?.("[data-id]")?.dataset.id);
    if (!item || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.items.indexOf(item);
    const go = (index) => this.focus(this.items[Math.max(0, Math.min(this.items.length - 1, index))]);
    const acts = {
      ArrowDown: () => go(at + 1),
      ArrowUp: () => go(at - 1),
      Home: () => go(0),
      End: () => go(this.items.length - 1),
      PageDown: () => go(at + 10),
      PageUp: () => go(at - 10),
      ArrowRight: () => (item.folded ? this.fold(item.node, false) : this.items[at + 1]?.up === item && go(at + 1)),
      ArrowLeft: () => (item.foldable && !item.folded ? this.fold(item.node, true) : item.up && this.focus(item.up)),
      Enter: () => (this.picked === item.node.id ? this.act(item.node) : this.pick(item.node)),
      " ": () => this.pick(item.node),
      l: () => item.node.line && tell("goto", { line: item.node.line, ofRun: this.ofRun }),
    };
    if (!acts[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    acts[event.key]();
  }

  focus(item) {
    if (!item) return;
    const { g } = this.drawn.get(item.node.id);
    g.focus({ preventScroll: true });
    g.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  fold(node, is) {
    this.folds.set(node.id, is);
    const held = this.svg.contains(document.activeElement);
    this.relay();
    if (held) this.focus(this.byId.get(node.id));
  }

  foldAll(is) {
    for (const [node] of foldable(this.model)) this.folds.set(node.id, is);
    this.relay();
  }

  /** Folds from the inside out until all of it is in sight, and what runs, waits or failed last. */
  fit() {
    const room = this.root.clientHeight - this.tools.offsetHeight - 2 * MARGIN;
    const all = foldable(this.model);
    const closed = new Set();
    const busy = ({ id }) => Boolean(this.stands.get(id).open || this.stands.get(id).failed);
    const order = all.sort(([a, deep], [b, deeper]) => busy(a) - busy(b) || deeper - deep);
    for (const [node] of order) {
      if (this.lay((one) => closed.has(one)).height <= room) break;
      closed.add(node);
    }
    for (const [node] of all) this.folds.set(node.id, closed.has(node));
    this.relay();
    this.root.scrollTop = 0;
  }
}

