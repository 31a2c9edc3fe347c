// Recent runs of this browser: a small menu in the header. Which runs there were is kept here, with their control tokens; how they stand
// is asked when the menu opens, all in one question.

import { confirm } from "./dialogs.js";
import { el, icon } from "./dom.js";
import { request } from "./http.js";
import { FINAL, STATUS, statusIcon } from "./statuses.js";
import { forget, onRemembered, remembered } from "./tokens-store.js";
import { moment } from "./when.js";

const MOST = 30; // shown; more are remembered, and found by their address
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
    this.known = new Map(); // id -> status, or "gone"
    this.trouble = false;
    this.timer = null;
    this.box.addEventListener("toggle", ({ newState }) => (newState === "open" ? this.opened() : clearTimeout(this.timer)));
    this.all.addEventListener("click", () => this.forgetAll());
    onRemembered(() => this.open && (this.draw(), this.ask()));
    document.addEventListener("playground:status", ({ detail }) => {
      if (!this.now()) return;
      this.known.set(this.now(), detail.status);
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

  runs() {
    return remembered().slice(0, MOST);
  }

  /** Asks how the runs stand that may have moved on. */
  async ask() {
    clearTimeout(this.timer);
    const ids = this.runs().map(({ id }) => id);
    if (ids.length) {
      try {
        const { statuses } = await request(`/api/statuses?ids=${ids.join(",")}`);
        for (const id of ids) this.known.set(id, statuses.find((one) => one.id === id)?.status ?? "gone");
        this.trouble = false;
      } catch {
        this.trouble = true;
      }
    }
    if (!this.open) return;
    this.draw();
    if (this.trouble || ids.some((id) => !FINAL.has(this.known.get(id)) && this.known.get(id) !== "gone")) this.timer = setTimeout(() => this.ask(), AGAIN_MS);
  }

  draw() {
    const runs = this.runs();
    const held = document.activeElement?.closest?.("#runs-list li")?.dataset.id;
    const onForget = document.activeElement?.matches?.(".forget");
    this.list.replaceChildren(...(runs.length ? runs.map((run) => this.row(run)) : [el("li.none", {}, "No run of this browser yet. Press Run, and it stands here.")]));
    this.list.setAttribute("aria-busy", "false");
    this.all.hidden = !runs.length;
    if (held) this.list.querySelector(`[data-id="${CSS.escape(held)}"] ${onForget ? "button" : "a, button"}`)?.focus();
  }

  row({ id, title, at }) {
    const status = this.known.get(id);
    const gone = status === "gone";
    const [mark, words] = gone
      ? [icon("i-not", { tone: "not" }), "No longer kept"]
      : status
        ? [statusIcon(status), STATUS[status].word]
        : [icon("i-clock", { tone: "not" }), this.trouble ? "Not known: no connection" : "Asking"];
    const current = id === this.now();
    const link = el(gone ? "span.run-link" : "a.run-link", {}, mark, el("b", {}, title || "Untitled"), el("small", {}, `${words} · ${moment(at)}${current ? " · this one" : ""}`), el("code", {}, id.slice(0, 8)));
    if (!gone) link.href = `/instances/${encodeURIComponent(id)}`;
    if (current) link.setAttribute("aria-current", "page");
    const forget = el(
      "button.btn.icon.small.forget",
      { type: "button", title: gone ? "Forget it" : "Forget it: it can then be watched, not changed", onclick: () => this.forget(id) },
      icon("i-close", { label: `Forget ${title || "this run"}, ${moment(at)}` }),
    );
    return el("li", { dataset: { id } }, link, forget);
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
