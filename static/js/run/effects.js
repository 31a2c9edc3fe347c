// The effects ledger. Effects are no part of the journal, as no payment or mail is, so they are asked for: when the journal grows, once a
// second while a step runs, and once at the end. Code that never names EFFECTS is not asked about, unless somebody looks.

import { el, icon, setText } from "../dom.js";
import { parse, stringify } from "../exact.js";
import { doubled, ledger } from "./ledger.js";
import { instancePath } from "./paths.js";
import { Rows } from "./rows.js";

const SOON_MS = 120; // after the journal has grown
const POLL_MS = 1_000; // while a step runs
const ROW_PX = 34;
const NAMES = /\bEFFECTS\b/;

export class Effects {
  /** @param {{root: HTMLElement, tab: HTMLElement, onStep: (step: object) => void, onChange: () => void}} how `root` is the panel */
  constructor({ root, tab, onStep, onChange }) {
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    Object.assign(this, { root, tab, onStep, onChange, list: part("effects-rows"), empty: part("effects-empty"), table: part("effects-table") });
    this.badge = tab.querySelector(".twice-badge");
    this.count = tab.querySelector(".count");
    this.rows = new Rows({ viewport: root, list: this.list, height: () => ROW_PX, draw: (index) => this.draw(index) });
    this.list.addEventListener("click", (event) => {
      const row = event.target.closest(".effect");
      const step = row && this.state.steps.get(row.of);
      if (step && !event.target.closest("a")) this.onStep(step);
    });
    document.addEventListener("visibilitychange", () => !document.hidden && this.missed && this.soon(SOON_MS));
    this.reset();
  }

  /** Another run, or other code of this one. */
  open(run) {
    this.reset();
    Object.assign(this, { path: instancePath(run), key: run.tenant && run.token });
    this.calls = NAMES.test(run.source);
    if (this.calls) this.ask();
  }

  reset() {
    clearTimeout(this.timer);
    Object.assign(this, { path: null, timer: 0, etag: null, effects: [], shown: [], known: null, calls: false, state: null, over: null, asking: false, again: false, missed: false, failed: false });
    this.rows.setCount(0, 0);
    this.drawTab();
  }

  /** Tells the ledger how the run stands. `past`: an earlier moment is looked at. */
  update(state, { final, past = false }) {
    this.state = state;
    this.past = past;
    if (!past && (this.calls || this.effects.length)) {
      const over = final ? state.lastSeq : null;
      if (state.lastSeq !== this.seq || over !== this.over) this.soon(SOON_MS);
      this.seq = state.lastSeq;
      this.over = over;
      this.live = !final && [...state.open].some((step) => step.kind === "do" && step.status === "running");
      if (this.live && !this.timer) this.soon(POLL_MS);
    }
    this.redraw();
  }

  /** The tab is looked at. */
  look() {
    if (this.failed || (!this.calls && !this.effects.length)) this.ask();
    this.rows.paint();
  }

  soon(ms) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = 0;
      this.missed = document.hidden; // asked once the page is looked at again
      if (this.missed) return;
      this.ask();
      if (this.live) this.soon(POLL_MS);
    }, ms);
  }

  async ask() {
    const { path } = this;
    if (!path) return;
    this.again = this.asking; // what is under way may be older than what is asked for
    if (this.asking) return;
    this.asking = true;
    let effects = null;
    try {
      const answer = await fetch(`${path}/effects`, { headers: { Accept: "application/json", ...(this.key ? { Authorization: `Bearer ${this.key}` } : {}), ...(this.etag ? { "If-None-Match": this.etag } : {}) }, cache: "no-store" });
      if (answer.status === 200) ({ effects } = parse(await answer.text()));
      if (this.path !== path) return;
      this.failed = !effects && answer.status !== 304;
      if (effects) Object.assign(this, { effects, etag: answer.headers.get("ETag") });
    } catch {
      if (this.path !== path) return;
      this.failed = true;
    }
    this.asking = false;
    this.redraw();
    if (effects) this.onChange();
    if (this.again) this.ask();
  }

  redraw() {
    const { state } = this;
    if (!state) return;
    const rows = ledger(this.effects, state, this.past);
    const told = stringify(rows);
    if (told !== this.told) {
      this.told = told;
      const twice = new Set(doubled(rows).map((row) => row.id));
      this.fresh = this.known ? new Set([...twice].filter((id) => !this.known.has(id))) : new Set();
      if (this.etag) this.known = twice;
      this.shown = rows;
      this.rows.setCount(rows.length, 0);
      this.drawTab();
    }
    this.table.hidden = !rows.length;
    this.empty.hidden = rows.length > 0;
    const final = this.over !== null;
    setText(this.empty, this.failed ? "The effects could not be read. Open this tab again to ask again." : !this.calls ? "No effects: this code calls none." : final ? "No effects: this run had none." : "No effects yet.");
  }

  /** The doubles as they are now, for the sentence about the run. */
  get doubles() {
    return doubled(this.shown);
  }

  drawTab() {
    const twice = doubled(this.shown).length;
    setText(this.count, this.shown.length ? this.shown.length.toLocaleString("en") : "");
    this.badge.hidden = !twice;
    setText(this.badge, twice ? "twice" : "");
    if (this.fresh?.size) glow(this.badge);
  }

  draw(index) {
    const row = this.shown[index];
    const twice = row.times > 1;
    const attempts = row.attempts.filter((one) => one !== null);
    const where = row.step === null ? ["outside steps"] : [row.of ? el("button.step-link", { type: "button", title: "Open this step" }, row.step) : el("b", {}, row.step), attempts.length ? `, attempt${attempts.length > 1 ? "s" : ""} ${attempts.join(" and ")}` : ""];
    const why = row.why.length ? [el("p.why", { role: "cell" }, ...row.why.map((part) => (part.code ? el("code", {}, part.code) : part)))] : [];
    const item = el(
      `li.effect${twice ? ".twice" : row.why.length ? ".kept" : ""}`,
      { role: "row" },
      el("div.fx", { role: "cell" }, el("b", {}, row.kind), " ", el("span.mono", {}, row.what.main), row.what.rest ? el("span.dim", {}, `${row.what.main ? " " : ""}${row.what.rest}`) : null),
      el("div.fx-step", { role: "cell" }, ...where),
      el("div.fx-key", { role: "cell" }, row.key === null ? el("span.dim", {}, "none") : el("span.mono", { title: row.key }, row.key)),
      el("div.fx-times", { role: "cell" }, twice ? icon("i-twice") : null, el(twice ? "b" : "span", {}, row.word)),
      ...why,
    );
    Object.assign(item, { line: row.line, of: row.of });
    if (this.fresh?.has(row.id)) {
      this.fresh.delete(row.id);
      glow(item);
    }
    return item;
  }
}

/** Glows once; what it takes and whether is in the style sheet. */
function glow(node) {
  node.classList.remove("glow");
  requestAnimationFrame(() => node.classList.add("glow"));
}
