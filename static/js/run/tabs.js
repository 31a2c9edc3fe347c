// The tabs under the timeline; under 900 px the timeline is the first of them. From 1600 px on the graph is no tab but a column of its own
// beside them, unless the reader has put it back.

import { setFlag, setText } from "../dom.js";
import { read, write } from "../stored.js";

const COLUMN = "graph-column"; // what is kept of that

export class Tabs {
  /** @param {{root: HTMLElement, onShow: (view: string) => void}} how `root` holds the tab list and the panels */
  constructor({ root, onShow }) {
    this.root = root;
    this.onShow = onShow;
    this.list = root.querySelector('[role="tablist"]');
    this.tabs = Object.fromEntries([...this.list.querySelectorAll('[role="tab"]')].map((tab) => [tab.dataset.tab, tab]));
    this.narrow = window.matchMedia("(max-width: 899px)");
    this.list.addEventListener("click", (event) => {
      const tab = event.target.closest("[data-tab]");
      if (tab) this.show(tab.dataset.tab);
    });
    this.list.addEventListener("keydown", (event) => this.pressed(event));
    this.narrow.addEventListener("change", () => this.show(this.view));
    this.wide = window.matchMedia("(min-width: 1600px) and (min-height: 640px)");
    this.wide.addEventListener("change", () => this.show(this.view));
    this.view = this.narrow.matches ? "timeline" : "lens";
    this.show(this.view);
  }

  /** Whether the graph is a column. */
  get hasColumn() {
    return this.wide.matches && !this.root.closest(".embed") && read(COLUMN, true) !== false;
  }

  /** Makes the graph a column, or a tab again. */
  setColumn(on) {
    write(COLUMN, on);
    this.show(on ? (this.before ?? "lens") : "graph", { focus: true });
  }

  show(view, { focus = false } = {}) {
    if (view === "timeline" && !this.narrow.matches) view = this.before ?? "lens";
    const column = this.hasColumn;
    const graph = this.root.querySelector("#view-graph");
    setFlag(this.root, "has-graph", column);
    this.tabs.graph.hidden = column;
    graph.setAttribute("role", column ? "region" : "tabpanel");
    if (column && this.before === "graph") this.before = null;
    if (this.tabs[view].hidden) view = this.before ?? "lens";
    if (view !== "step" && view !== "timeline") this.before = view;
    this.view = view;
    this.root.dataset.view = view;
    for (const [name, tab] of Object.entries(this.tabs)) {
      const on = name === view;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
      const panel = name === "timeline" ? null : this.root.querySelector(`#${tab.getAttribute("aria-controls")}`);
      if (panel) panel.hidden = !on && !(column && name === "graph");
    }
    if (focus) this.tabs[view].focus();
    this.tabs[view].scrollIntoView({ block: "nearest", inline: "nearest" });
    this.onShow(view);
  }

  pressed(event) {
    const shown = Object.values(this.tabs).filter((tab) => tab.offsetParent !== null);
    const at = shown.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: shown.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    this.show(shown[(to + shown.length) % shown.length].dataset.tab, { focus: true });
  }

  count(view, number) {
    setText(this.tabs[view].querySelector(".count"), number ? number.toLocaleString("en") : "");
  }

  /** Shows or takes away the tab of one step. */
  step(label) {
    const tab = this.tabs.step;
    tab.hidden = label === null;
    if (label !== null) setText(tab, label);
    else if (this.view === "step") this.show(this.before ?? "lens");
  }
}
