// Recent runs of this browser: a menu in the header. Which runs there were is kept here (tokens-store.js); how they stand is asked when the
// menu opens, all in one question. What a row says is runs-rows.js.

import { confirm } from "./dialogs.js";
import { el, icon, setText } from "./dom.js";
import { request } from "./http.js";
import { FILTERS, age as ageOf, rowOf, searched, untilOlder } from "./runs-rows.js";
import { lasting } from "./run/words.js";
import { FINAL, statusIcon } from "./statuses.js";
import { forget, onRemembered, remembered } from "./tokens-store.js";

const MOST = 30; // shown and asked about; more are remembered, and found by searching
const AGAIN_MS = 5_000; // between questions while the menu is open and a run goes on

let made = null;

/** Makes the menu, once. `now` gives the id of the run shown, or null. */
export function makeRuns({ now }) {
  made ??= new Runs(now);
}

class Runs {
  constructor(now) {
    this.now = now;
    this.box = document.getElementById("runs");
    this.list = document.getElementById("runs-list");
    this.all = document.getElementById("runs-forget");
    this.field = document.getElementById("runs-find");
    this.chips = document.getElementById("runs-chips");
    this.filter = "all";
    this.known = new Map(); // id -> what the server said, or "gone"
    this.trouble = false;
    this.timer = this.older = null;
    this.ages = []; // when the runs of the rows began, with where it says how long ago
    this.box.addEventListener("toggle", ({ newState }) => (newState === "open" ? this.opened() : this.closed()));
    this.all.addEventListener("click", () => this.forgetAll());
    this.field.addEventListener("input", () => (this.draw(), this.ask()));
    this.chips.addEventListener("click", ({ target }) => {
      const chip = target.closest("[data-filter]");
      if (!chip) return;
      this.filter = chip.dataset.filter;
      this.draw();
    });
    onRemembered(() => this.open && (this.draw(), this.ask()));
    document.addEventListener("playground:status", ({ detail }) => {
      const id = this.now();
      if (!id) return;
      const known = this.known.get(id);
      this.known.set(id, { error: null, started_at: null, ended_at: null, ...(known !== "gone" && known), status: detail.status, execution: detail.executions });
      if (this.open) this.draw();
    });
    if (this.open) this.opened();
  }

  get open() {
    return this.box.matches(":popover-open");
  }

  opened() {
    const { left } = document.getElementById("runs-button").getBoundingClientRect();
    this.box.style.setProperty("--at", `${Math.round(left)}px`);
    this.draw();
    this.ask();
  }

  closed() {
    clearTimeout(this.timer);
    clearTimeout(this.older);
  }

  /** Writes the ages of the rows that are there, again whenever one of them is another in words. */
  tick() {
    clearTimeout(this.older);
    if (!this.open || !this.ages.length) return;
    const now = Date.now();
    for (const { at, node } of this.ages) setText(node, ageOf(at, now));
    this.older = setTimeout(() => this.tick(), Math.min(...this.ages.map(({ at }) => untilOlder(at, now))));
  }

  /** The runs that the search leaves, those shown at most. */
  runs() {
    return searched(remembered(), this.field.value, (id) => this.known.get(id)).slice(0, MOST);
  }

  /** Asks how the runs stand that may have moved on. */
  async ask() {
    clearTimeout(this.timer);
    const ids = this.runs().map(({ id }) => id).filter((id) => !this.isOver(id));
    if (ids.length) {
      try {
        const { statuses } = await request(`/api/statuses?ids=${ids.join(",")}`);
        for (const id of ids) this.known.set(id, statuses.find((one) => one.id === id) ?? "gone");
        this.trouble = false;
      } catch {
        this.trouble = true;
      }
    }
    if (!this.open) return;
    this.draw();
    if (this.trouble || this.runs().some(({ id }) => !this.isOver(id))) this.timer = setTimeout(() => this.ask(), AGAIN_MS);
  }

  /** Whether what is known of a run is the last there is to know. */
  isOver(id) {
    const known = this.known.get(id);
    return Boolean(known) && (known === "gone" || (FINAL.has(known.status) && known.ended_at !== null));
  }

  draw() {
    const any = remembered().length > 0;
    const found = this.runs();
    const fits = (filter) => found.filter(({ id }) => FILTERS[filter].fits(this.known.get(id) ?? null));
    const runs = fits(this.filter);
    const held = document.activeElement?.closest?.("#runs-list li")?.dataset.id;
    const onForget = document.activeElement?.matches?.(".forget");
    const none = any ? "No run is like that." : "No run of this browser yet. Press Run, and it stands here.";
    this.ages = [];
    this.list.replaceChildren(...(runs.length ? runs.map((run) => this.row(run)) : [el("li.none", {}, none)]));
    this.list.setAttribute("aria-busy", "false");
    this.tick();
    this.all.hidden = this.field.parentElement.hidden = this.chips.hidden = !any;
    for (const chip of this.chips.querySelectorAll("[data-filter]")) {
      const { filter } = chip.dataset;
      chip.setAttribute("aria-pressed", String(filter === this.filter));
      chip.textContent = `${FILTERS[filter].word} ${fits(filter).length}`;
    }
    if (held) this.list.querySelector(`[data-id="${CSS.escape(held)}"] ${onForget ? "button" : "a, button"}`)?.focus();
  }

  row(run) {
    const { id } = run;
    const known = this.known.get(id) ?? null;
    const gone = known === "gone";
    const current = id === this.now();
    const { name, detail, word, tone, age } = rowOf(run, known, { now: Date.now(), trouble: this.trouble, current, lasting });
    const mark = known && !gone ? statusIcon(known.status) : icon(gone ? "i-not" : "i-clock", { tone: "not" });
    const old = el("span.run-age", {}, age);
    if (age) this.ages.push({ at: run.at, node: old });
    const link = el(gone ? "span.run-link" : "a.run-link", {}, mark, el("b", { title: name }, name), el("small", { title: detail }, detail), el(`span.run-word.${tone || "not"}`, {}, word), old);
    if (!gone) link.href = `/instances/${encodeURIComponent(id)}`;
    if (current) link.setAttribute("aria-current", "page");
    const why = gone ? "Forget it" : run.own ? "Forget it: it can then be watched, not changed" : "Forget it: its link still leads to it";
    const forgets = el("button.btn.icon.small.forget", { type: "button", title: why, onclick: () => this.forget(id) }, icon("i-close", { label: `Forget ${name}, ${age} old` }));
    return el("li", { dataset: { id } }, link, forgets);
  }

  forget(id) {
    const rows = [...this.list.children];
    const index = rows.findIndex((row) => row.dataset.id === id);
    forget(id);
    this.draw();
    (this.list.children[Math.min(index, this.list.children.length - 1)]?.querySelector("button") ?? this.box).focus();
  }

  async forgetAll() {
    const sure = await confirm({
      title: "Forget all runs?",
      words: "They go on, and can be watched by their address. Nobody can pause, kill or end them any more.",
      yes: "Forget them",
    });
    if (sure) for (const { id } of remembered()) forget(id);
    this.box.showPopover(); // a dialog closes it
    (this.all.checkVisibility() ? this.all : this.box).focus();
  }
}
