// Chaos: this run again with its worker killed before each commit in turn. A dialog in which a row arrives for each, with what came of it.

import { dialogHead, el, icon, isDisabled, setDisabled, setText } from "../dom.js";
import { call } from "./api.js";
import { after, summary, twiceWords } from "./chaos-words.js";
import { instancePath } from "./paths.js";
import { notReached } from "./diverged.js";
import { pathLabel } from "./words.js";

const ASK_MS = 400; // between two looks at reruns that go on
const TROUBLE_MS = 2_000; // … and after one that failed

const RESULT = {
  same: ["i-done", "", "same output"],
  differs: ["i-failed", "bad", "another output"],
  varies: ["i-info", "", "differs, as without a kill"],
  diverged: ["i-branch", "bad", "took another way"],
};

export class ChaosDialog {
  constructor() {
    this.lead = el("p.lead");
    this.sentence = el("p.chaos-said", { "aria-live": "polite" });
    this.progress = el("p.dim.num");
    this.trouble = el("p.notice", { role: "alert", hidden: true });
    this.rows = el("ol.chaos-rows", { "aria-label": "Reruns" });
    this.button = el("button.btn.main", { type: "button" });
    this.button.dataset.title = "";
    this.button.addEventListener("click", () => !isDisabled(this.button) && this.start());
    this.dialog = el(
      "dialog.dialog.chaos",
      { "aria-labelledby": "chaos-title" },
      dialogHead("chaos-title", "Chaos"),
      el("div", {}, this.lead, this.trouble, this.sentence, this.rows, el("div.row-end.chaos-end", {}, this.progress, this.button)),
    );
    this.dialog.addEventListener("close", () => this.stop());
    document.body.append(this.dialog);
  }

  /** `why` says why this browser may not start one, or is "". */
  show({ run, state, why }) {
    Object.assign(this, { run, why, told: null, busy: false });
    this.began = state.startedAt !== null;
    this.shown = new Map();
    this.rows.replaceChildren();
    this.say("");
    setText(this.sentence, "");
    setText(this.lead, "This code again, with the same params and events, once for each commit. Each time the worker is killed just before that commit. Sleeps and retries take no time. Every one should come to the same output.");
    this.draw();
    if (!this.dialog.open) this.dialog.showModal();
    this.button.focus();
    this.look();
  }

  stop() {
    clearTimeout(this.timer);
    this.run = null;
  }

  async start() {
    const { run } = this;
    this.busy = true;
    this.draw();
    const answer = await call("POST", `${instancePath(run)}/chaos`, { token: run.token, body: {} });
    if (this.run !== run) return;
    this.busy = false;
    this.say(answer.words);
    if (answer.ok) {
      this.shown.clear();
      this.rows.replaceChildren();
      setText(this.sentence, "");
      this.told = { status: "running", rows: [], control: null };
    }
    this.draw();
    this.look();
  }

  /** Asks how the reruns stand, again and again while some go on. */
  async look() {
    clearTimeout(this.timer);
    const { run } = this;
    const answer = await call("GET", `${instancePath(run)}/chaos`, { token: run.token });
    if (this.run !== run || this.busy) return;
    if (!answer.ok) this.say(`${answer.words} Looking again.`);
    else {
      if (this.told) this.say("");
      this.told = answer.data;
      this.draw();
    }
    if (!answer.ok || answer.data.status === "running") this.timer = setTimeout(() => this.look(), answer.ok ? ASK_MS : TROUBLE_MS);
  }

  say(words) {
    this.trouble.hidden = !words;
    setText(this.trouble, words);
  }

  draw() {
    const { told, busy } = this;
    const running = told?.status === "running";
    const none = !told || told.status === "none";
    setText(this.button, none ? "Start" : running || busy ? "Running" : "Run chaos again");
    setDisabled(this.button, this.why || (running || busy ? "The last one goes on." : this.began ? "" : "This run has not begun, so there is nothing to repeat yet."));
    this.rows.hidden = none;
    this.lead.hidden = !none;
    this.rows.setAttribute("aria-busy", String(running));
    if (!told || none) return setText(this.progress, "");
    for (const row of [told.control, ...told.rows].filter(Boolean)) this.row(row);
    const total = told.rows.length;
    const over = told.rows.filter((row) => row.result !== null).length;
    setText(this.progress, running ? (total ? `${over} of ${total} are over` : "first without a kill, to count its commits") : `Kept ${told.kept_hours} h, and not among your recent runs.`);
    const { icon: mark, tone, words } = summary(told);
    if (told.status === "complete" && this.sentence.textContent !== words) this.sentence.replaceChildren(icon(mark, { tone }), el("span", {}, words));
  }

  row(row) {
    const drawn = JSON.stringify([row.status, row.result, row.killed, row.ran_twice, row.effects_twice, row.not_reached]);
    const old = this.shown.get(row.id);
    if (old?.drawn === drawn) return;
    const node = rowOf(row);
    node.drawn = drawn;
    const focused = old?.contains(document.activeElement);
    if (old) old.replaceWith(node);
    else this.rows.append(node);
    this.shown.set(row.id, node);
    if (focused) node.querySelector("a").focus();
  }
}

function rowOf(row) {
  const live = row.result === null;
  const [mark, tone, words] = !live ? RESULT[row.result] : row.status === "queued" && !row.killed ? ["i-clock", "", "waits for a worker"] : ["i-running", "now spin", "running"];
  const failed = row.error && row.result !== "same" ? `, ${row.error.name}` : "";
  const twice = twiceWords(row);
  const left = row.not_reached?.length ? notReached(row.not_reached) : "";
  const name = row.number === null ? ["without a kill"] : row.killed ? (row.killed.before ? ["before the commit of ", el("code", { title: row.killed.before.name }, pathLabel(row.killed.before))] : ["before the end of the run"]) : [live ? `before commit ${row.number}` : `commit ${row.number} never came`];
  return el(
    "li",
    {},
    icon(mark, { tone }),
    el("a", { href: row.url }, ...name),
    el(`span.result${tone === "bad" ? ".bad" : ""}`, {}, [`${words}${failed}`, left].filter(Boolean).join(": ")),
    el("span.ran-twice", {}, ...(twice ? [el(row.effects_twice.length ? "b.twice" : "span", {}, twice)] : [])),
    el("span.num.counted", { title: "executions" }, live ? "" : after(row.executions)),
  );
}
