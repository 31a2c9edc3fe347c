// The run's header: status, facts, and what may be done to the run. A control that cannot act stays and says why.

import { isDisabled, setDisabled, setFlag, setIcon, setText } from "../dom.js";
import { STATUS, pictureOf } from "../statuses.js";
import { alive, lives } from "./fold.js";
import { lasting, left, ticking } from "./words.js";

/** Why nothing at all can be done to a run. */
export const NOTHING = {
  watching: "You are watching. Only the browser that started this run can change it. Run a copy.",
  stale: "No connection: nothing can be sent.",
  file: "This run is from a file: nothing can be sent to it. Press Run to start its code with its params.",
  past: "This is the past. Go back to live to control the run.",
};

const WHY = {
  hibernating: "No worker to kill: the instance is hibernating.",
  queued: "No worker to kill: the instance waits for one.",
  paused: "No worker to kill: the instance is paused.",
  busy: "Being sent.",
};

const TAGS_SHOWN = 3;
const LONG_MS = 3_000; // a shorter wait is over before somebody has pressed

/** Whether a run has slept long, or waits long before a retry: then there is something to skip. */
const sleeps = (state) => state.rows.some(({ kind, status, until, startedAt, attempts }) => (kind === "sleep" ? until - startedAt : status === "retrying" ? (attempts.at(-1)?.retryDelayMs ?? 0) : 0) > LONG_MS);

export class Header {
  /** @param {{root: HTMLElement, act: (what: string, when?: string) => Promise<void>}} how `what`: pause resume terminate restart skip fork chaos kill now */
  constructor({ root, act }) {
    this.root = root;
    this.act = act;
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    this.status = part("status");
    this.icon = this.status.querySelector("svg");
    this.word = part("word");
    this.facts = { elapsed: part("elapsed"), of: part("elapsed-of"), executions: part("executions"), seq: part("seq"), id: part("id"), mode: part("mode"), tags: part("tags") };
    this.buttons = Object.fromEntries(["pause", "terminate", "restart", "skip", "fork", "chaos", "kill", "moment"].map((name) => [name, part(name)]));
    for (const button of Object.values(this.buttons)) button.dataset.title = button.title;
    this.split = part("split");
    this.then = { node: part("then"), seq: part("then-seq"), now: part("now") };
    this.menu = part("menu");
    this.busy = null;
    this.more = { button: part("more-acts"), box: root.querySelector(".more-acts") }; // on a telephone
    root.addEventListener("click", (event) => this.clicked(event));
    root.addEventListener("keydown", (event) => event.key === "Escape" && this.unfold(false) && this.more.button.focus());
    document.addEventListener("click", ({ target }) => !this.more.button.contains(target) && this.unfold(false), true);
    this.menu.addEventListener("keydown", (event) => this.inMenu(event));
    document.addEventListener("click", (event) => !this.menu.hidden && !this.split.contains(event.target) && this.toggle(false));
  }

  /** Shows or hides what a telephone has under More; whether that changed anything. */
  unfold(open) {
    const { button, box } = this.more;
    if (box.classList.contains("is-open") === open) return false;
    setFlag(box, "is-open", open);
    button.setAttribute("aria-expanded", String(open));
    if (open) box.querySelector("button:not([hidden])").focus();
    return true;
  }

  async clicked(event) {
    const button = event.target.closest("button");
    if (!button || isDisabled(button)) return;
    if (button === this.more.button) this.unfold(button.getAttribute("aria-expanded") !== "true");
    else if (button === this.buttons.moment) this.toggle(this.menu.hidden);
    else if (button === this.buttons.chaos || "chaos" in button.dataset) {
      if (!this.menu.hidden) this.toggle(false);
      this.act("chaos");
    }
    else if (button.dataset.when) {
      this.toggle(false);
      await this.send("kill", button.dataset.when);
    } else if (button === this.buttons.kill) await this.send("kill", "now");
    else if (button === this.buttons.pause) await this.send(button.dataset.act);
    else if (button === this.buttons.terminate) await this.send("terminate");
    else if (button === this.buttons.restart) await this.send("restart");
    else if (button === this.buttons.skip) await this.send("skip");
    else if (button === this.buttons.fork) this.act("fork");
    else if (button === this.then.now) this.act("now");
  }

  async send(what, when) {
    this.busy = what;
    this.refresh();
    await this.act(what, when);
    this.busy = null;
    this.refresh();
  }

  toggle(open) {
    this.menu.hidden = !open;
    this.buttons.moment.setAttribute("aria-expanded", String(open));
    if (open) this.menu.querySelector("button").focus();
  }

  inMenu(event) {
    const items = [...this.menu.querySelectorAll("button")];
    const at = items.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      items[(to + items.length) % items.length].focus();
    } else if (event.key === "Escape") {
      event.stopPropagation();
      this.toggle(false);
      this.buttons.moment.focus();
    } else if (event.key === "Tab") this.toggle(false);
  }

  update(state, context) {
    this.state = state;
    this.context = context;
    this.refresh();
  }

  refresh() {
    const { state, context } = this;
    if (!state) return;
    const { final, stale, watching, past, file = false } = context;
    const status = STATUS[state.status];
    setText(this.word, state.rollback === "running" && !final ? "Rolling back" : status.word);
    setIcon(this.icon, pictureOf(state.status, [...state.open]), state.status === "running" && !stale && !file ? "spin" : "");
    this.status.className = `status ${past ? "past" : stale ? "" : status.tone}`;
    this.then.node.hidden = !past;
    setFlag(this.root, "is-past", Boolean(past));
    if (past) setText(this.then.seq, past.seq.toLocaleString("en"));
    const executions = lives(state).length;
    setText(this.facts.executions, String(executions));
    setText(this.facts.seq, past ? `${past.seq.toLocaleString("en")} of ${past.last.toLocaleString("en")}` : state.lastSeq.toLocaleString("en"));
    setText(this.facts.mode, file ? "from a file" : watching ? "watching" : "");
    this.facts.mode.hidden = !watching;
    this.tags(state.tags);
    this.tick(context);
    this.controls(state, final, context.why);
  }

  /** What the run is found by: the first few, and all of them in the title. */
  tags(tags) {
    const rest = tags.length - TAGS_SHOWN;
    this.facts.tags.hidden = tags.length === 0;
    this.facts.tags.title = rest > 0 ? tags.join(", ") : "";
    setText(this.facts.tags.querySelector("b"), tags.slice(0, TAGS_SHOWN).join(", ") + (rest > 0 ? ` and ${rest} more` : ""));
  }

  controls(state, final, why) {
    const { pause, terminate, restart, skip, fork, chaos, kill, moment } = this.buttons;
    fork.hidden = !final || Boolean(this.context.file);
    setDisabled(chaos, this.context.file ? why : "");
    setDisabled(fork, this.context.past ? NOTHING.past : ""); // whoever has the link may fork
    const paused = state.status === "paused" || state.status === "waitingForPause";
    pause.hidden = terminate.hidden = this.split.hidden = final;
    const word = paused ? "Resume" : "Pause";
    pause.dataset.act = word.toLowerCase();
    setText(pause.querySelector("span"), word);
    pause.setAttribute("aria-label", word);
    pause.dataset.title = word;
    setIcon(pause.querySelector("svg"), paused ? "i-play" : "i-pause");
    setDisabled(pause, why || (this.busy === "pause" || this.busy === "resume" ? WHY.busy : ""));
    setDisabled(terminate, why || (this.busy === "terminate" ? WHY.busy : ""));
    setDisabled(restart, why || (this.busy === "restart" ? WHY.busy : ""));
    skip.hidden = final || !(state.skipsSleeps || sleeps(state));
    skip.setAttribute("aria-pressed", String(state.skipsSleeps));
    setDisabled(skip, why || (this.busy === "skip" ? WHY.busy : ""));
    const living = alive(state);
    chaos.classList.toggle("live", !final && living); // a telephone offers it among the moments of a kill, where there is a worker
    const none = living ? "" : (WHY[{ waiting: "hibernating", paused: "paused" }[state.status] ?? "queued"]);
    const killing = why || none || (this.busy === "kill" ? WHY.busy : "");
    setDisabled(kill, killing);
    setDisabled(moment, killing);
    if (killing && !this.menu.hidden) this.toggle(false);
  }

  /** Facts that move by themselves. */
  tick({ now, final, stale, heardAt, past }) {
    const { state } = this;
    if (!state) return;
    const unheard = stale && !past;
    setText(this.facts.of, unheard ? "last heard" : "elapsed");
    if (unheard) {
      setText(this.facts.elapsed, `${left(Math.max(0, Date.now() - heardAt))} ago`);
      return;
    }
    const from = state.startedAt ?? state.generationAt;
    const text = from === null ? "0.0 s" : final ? lasting((state.endedAt ?? from) - from) : ticking(now - from);
    setText(this.facts.elapsed, text);
  }

  reset(id) {
    this.state = null;
    this.then.node.hidden = true;
    setFlag(this.root, "is-past", false);
    setText(this.facts.id, id);
    setText(this.word, "Starting");
    setIcon(this.icon, "i-running", "spin");
    this.status.className = "status now";
    for (const fact of ["elapsed", "executions", "seq"]) setText(this.facts[fact], fact === "elapsed" ? "0.0 s" : "0");
  }
}
