// The journal itself: a row per event, there when it is committed and not before. JSON on demand; filtered as you type.

import { el, setFlag, setText } from "../dom.js";
import { stringify } from "../exact.js";
import { INJECTED, says } from "./breaks.js";
import { notReached } from "./diverged.js";
import { fetchBrief } from "./fetches.js";
import { Rows } from "./rows.js";
import { aiBrief, mcpBrief } from "./services.js";
import { ValueTree } from "./value-tree.js";
import { brief } from "./value.js";
import { CUT, clock, errorBrief, innerLabel, lasting, pathLabel, senderText, stepLabel } from "./words.js";

/** The steps that a breakpoint stands before. */
const stopped = ({ name, count = 1 }) => (name ? stepLabel({ name, count }) : "the next step");

const ROW_PX = 24;
const TALL_PX = 40; // on a telephone
const WHO = 4; // the cell of a row that names the step
const PHONE = window.matchMedia("(max-width: 559px)");

const GROUPS = {
  steps: /^(step|attempt|sleep|wait|rollback|break)_/,
  run: /^(workflow|execution|kill|event|code|replay|sleeps)_/,
  logs: /^log/,
};
const BAD = new Set(["attempt_errored", "step_errored", "wait_timed_out", "child_errored", "workflow_errored", "rollback_attempt_errored", "rollback_step_errored", "rollback_errored"]);

export class Journal {
  constructor({ root, copy }) {
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    Object.assign(this, { root, copy, find: part("journal-find"), empty: part("journal-empty"), list: part("journal-rows") });
    this.chips = [...root.querySelectorAll("[data-group]")];
    this.rows = new Rows({ viewport: root, list: this.list, height: () => (PHONE.matches ? TALL_PX : ROW_PX), draw: (index, old) => this.draw(index, old), measured: (item) => item.open, reuse: true });
    this.find.addEventListener("input", () => this.refilter());
    for (const chip of this.chips) {
      chip.addEventListener("click", () => {
        chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
        this.refilter();
      });
    }
    this.list.addEventListener("click", (event) => this.clicked(event));
    this.reset([]);
  }

  /** Follows `events`, an array that grows. */
  reset(events) {
    this.events = events;
    this.opened = new Map(); // seq -> its data as a tree
    this.until = 0;
    this.current = null;
    this.refilter();
  }

  refilter() {
    const wanted = this.find.value.trim().toLowerCase();
    const groups = this.chips.filter((chip) => chip.getAttribute("aria-pressed") === "true").map((chip) => GROUPS[chip.dataset.group]);
    this.wants = (event) => (!groups.length || groups.some((group) => group.test(event.type))) && (!wanted || textOf(event).includes(wanted));
    this.filtered = Boolean(wanted || groups.length);
    this.shown = [];
    this.taken = 0;
    this.rows.setCount(0, 0);
    this.show(this.until, this.current !== null);
  }

  /** Shows the events up to seq `until`; `past` says that there are later ones, and that one is looked at. */
  show(until, past) {
    this.until = until;
    while (this.shown.length && this.shown[this.shown.length - 1].seq > until) this.shown.pop();
    this.taken = Math.min(this.taken, until);
    for (; this.taken < until; this.taken += 1) {
      if (!this.filtered || this.wants(this.events[this.taken])) this.shown.push(this.events[this.taken]);
    }
    const none = this.shown.length === 0;
    this.empty.hidden = !none;
    if (none) setText(this.empty, this.find.value.trim() ? `No event matches “${this.find.value.trim()}”.` : "Nothing is in the journal yet.");
    const current = past && !none ? this.shown[this.shown.length - 1].seq : null;
    const moved = current !== this.current;
    this.current = current;
    if (moved) for (const item of this.rows.shown.values()) setFlag(item, "at", item.seq === current);
    this.rows.setCount(this.shown.length, undefined, { end: moved && current !== null });
  }

  draw(index, old) {
    const event = this.shown[index];
    const open = this.opened.has(event.seq);
    const item = old ?? newRow();
    setFlag(item, "odd", index % 2 === 1);
    setFlag(item, "at", event.seq === this.current);
    if (item.seq === event.seq && item.open === open) return item;
    const of = event.step ?? (event.type.startsWith("break_") ? event.data.step : null);
    const step = of ? innerLabel(of) : "";
    const { button, cells } = item;
    [String(event.seq), clock(event.at), event.execution === null ? "" : String(event.execution), event.type, step, said(event)].forEach((text, at) => setText(cells[at], text));
    const whole = of ? pathLabel(of) : "";
    if (cells[WHO].title !== whole) cells[WHO].title = whole;
    button.setAttribute("aria-expanded", String(open));
    while (item.lastElementChild !== button) item.lastElementChild.remove();
    if (open) item.append(this.opened.get(event.seq).home);
    setFlag(item, "cut", event.type === "execution_ended" && event.data.reason in CUT);
    setFlag(item, "warned", event.type === "replay_diverged");
    setFlag(item, "bad", BAD.has(event.type) && event.data.error?.name !== "WorkerLost" && !event.data.injected);
    return Object.assign(item, { seq: event.seq, open, step: event.step });
  }

  clicked(event) {
    const item = event.target.closest("li.j");
    if (!item || !event.target.closest(".j-row")) return;
    if (!this.opened.delete(item.seq)) this.opened.set(item.seq, this.treeOf(this.events[item.seq - 1]));
    const index = this.shown.findIndex((one) => one.seq === item.seq);
    this.rows.touch(index);
    this.rows.paint();
    this.rows.shown.get(index)?.querySelector("button").focus({ preventScroll: true });
  }

  /** An event as a tree. It outlives its row, so that what was unfolded stays so when it is scrolled out of sight. */
  treeOf(event) {
    const resized = () => {
      this.rows.touch(this.shown.indexOf(event));
      this.rows.paint();
    };
    const tree = new ValueTree({ value: event, name: "event", label: `Event ${event.seq}`, copy: this.copy, resized });
    return { tree, home: el("div.j-json", {}, el("div.tree-head", {}, ...tree.tools), tree.node) };
  }
}

function newRow() {
  const cells = ["span.seq", "time.opt", "span.ex", "span.type", "span.who", "span.what.opt"].map((what) => el(what));
  const button = el("button.j-row", { type: "button" }, ...cells);
  return Object.assign(el("li.j", {}, button), { button, cells, seq: null });
}

function retriesOf(config) {
  const { limit, delay } = config?.retries ?? {};
  if (limit === undefined) return "";
  return limit ? `${limit.toLocaleString("en")} ${limit === 1 ? "retry" : "retries"}, ${typeof delay === "number" ? `first after ${lasting(delay)}` : "delay computed"}` : "no retries";
}

const textOf = (event) => `${event.seq} ${event.type} ${event.step?.name ?? ""} ${stringify(event.data)}`.toLowerCase();

/** What an event says, in one line. */
export function said(event) {
  const data = event.data ?? {};
  switch (event.type) {
    case "execution_started":
      return `worker ${data.worker ?? ""}${data.replayed ? `, ${data.replayed} read from the journal` : ""}`;
    case "execution_ended":
      return data.reason === "not_loaded" ? "its code could not be loaded" : CUT[data.reason] ?? data.reason;
    case "attempt_started":
    case "attempt_completed":
      if (data.injected) return `attempt ${data.attempt}, ${INJECTED[data.injected]}${data.virtual ? ", begun early by hand" : ""}`;
    // falls through
    case "rollback_attempt_started":
    case "rollback_attempt_completed":
      return `attempt ${data.attempt}${data.virtual ? ", begun early by hand" : ""}${data.took_us === undefined ? "" : `, ${lasting(data.took_us / 1000)}`}`;
    case "attempt_errored":
    case "rollback_attempt_errored":
      if (data.injected) return `attempt ${data.attempt} ${INJECTED[data.injected]}: ${data.error?.name}${data.retry_delay_ms === undefined ? "" : `; next in ${lasting(data.retry_delay_ms)}`}`;
      if (data.error?.name === "WorkerLost") return `attempt ${data.attempt} lost with its worker`;
      return `attempt ${data.attempt}: ${errorBrief(data.error)}${data.retry_delay_ms === undefined ? "" : `; next in ${lasting(data.retry_delay_ms)}`}`;
    case "step_started":
      return [data.line ? `line ${data.line}` : "", retriesOf(data.config)].filter(Boolean).join(", ");
    case "break_set":
      return says(data);
    case "break_cleared":
      return "is not broken any more";
    case "breakpoint_set":
      return data.once ? `stops once before ${stopped(data.step)}` : `stops before ${stopped(data.step)}`;
    case "breakpoint_cleared":
      return `does not stop before ${stopped(data.step)} any more`;
    case "breakpoint_hit":
      return `stopped before ${stepLabel(data.step)}${data.line ? `, line ${data.line}` : ""}`;
    case "step_given":
      return ["given by hand, not run", data.error ? errorBrief(data.error) : "output" in data ? brief(data.output) : ""].filter(Boolean).join(": ");
    case "kill_armed":
      return data.when === "during-step" ? "the worker will be killed during its next step" : "the worker will be killed after its next effect, before the commit";
    case "kill_disarmed":
      return "the worker will not be killed";
    case "workflow_tagged":
      return data.tags.join(", ");
    case "sleeps_skipped":
      return "from here on each sleep, and each wait before a retry, is over at once";
    case "sleeps_kept":
      return "from here on sleeps last as long as they say again";
    case "retry_woken":
      return "the wait before the next attempt was ended by hand";
    case "sleep_started":
      return `until ${clock(data.until)}`;
    case "wait_started":
      return `for ${data.event_type.replaceAll(",", " or ")}, until ${clock(data.until)}`;
    case "event_replied":
      return data.error ? `refused: ${errorBrief(data.error)}` : brief(data.output);
    case "child_started":
      return `runs ${data.child}${data.cascade === false ? ", which goes on if nobody waits for it" : ""}`;
    case "child_completed":
      return brief(data.output);
    case "wait_completed":
      return `${data.event?.type}: ${brief(data.event?.payload)}`;
    case "event_received":
      return `${data.type}: ${brief(data.payload)}${data.by ? `, from ${senderText(data.by)}` : ""}`;
    case "log":
      return `${data.replay ? "replay: " : ""}${data.text}`;
    case "step_completed":
    case "workflow_completed":
      return brief(data.output);
    case "workflow_queued":
      if (data.trigger?.kind === "queue") return `a batch of the queue ${data.trigger.queue}${data.trigger.of ? ` of ${data.trigger.of}` : ""}: ${brief(data.params?.messages?.map((message) => message.body))}`;
      return `${["fork", "chaos", "child"].includes(data.trigger?.kind) ? `${data.trigger.kind} ${data.trigger.kind === "chaos" ? "run " : ""}of ${data.trigger.of}, ` : ""}${brief(data.params)}`;
    case "workflow_admitted":
      return "it may start now, and waits for a worker";
    case "workflow_debounced":
      return `asked for again: ${brief(data.params)}, not before ${clock(data.until)}`;
    case "step_errored":
    case "workflow_errored":
    case "wait_timed_out":
    case "child_errored":
    case "rollback_step_errored":
    case "rollback_errored":
      return errorBrief(data.error);
    case "kv_put":
      return `${data.key} = ${brief(data.value)}`;
    case "message_sent":
      return `into the queue ${data.queue}${data.delay_ms ? `, delivered after ${lasting(data.delay_ms)}` : ""}: ${brief(data.body)}`;
    case "ai_called":
      return aiBrief(data);
    case "mcp_called":
      return mcpBrief(data);
    case "fetch_called":
      return fetchBrief(data);
    case "batch_marked":
      return [data.acked.length ? `${data.acked.length} acknowledged` : "", data.retried.length ? `${data.retried.length} to be delivered again` : ""].filter(Boolean).join(", ");
    case "kv_deleted":
      return data.key;
    case "step_copied":
      if (data.status !== "completed") return `${data.status === "errored" ? "failed" : "timed out"}: ${errorBrief(data.error)}`;
      return [data.edited ? "edited" : "", "output" in data ? brief(data.output) : ""].filter(Boolean).join(": ");
    case "code_changed":
      return `the next execution runs ${data.snippet.slice(0, 8)}${data.from ? ` in place of ${data.from.slice(0, 8)}` : ""}`;
    case "workflow_migrated":
      return `from version ${data.from.slice(0, 8)} to ${data.to.slice(0, 8)}`;
    case "stream_appended":
      return `${data.stream}: ${data.values.map((value) => brief(value, 60)).slice(0, 12).join(" ")}`;
    case "stream_truncated":
      return `${data.stream}: ${data.dropped.toLocaleString("en")} ${data.dropped === 1 ? "value" : "values"} not kept`;
    case "log_truncated":
      return `${data.dropped.toLocaleString("en")} bytes not kept`;
    case "sleep_completed":
      return data.virtual ? "ended early by hand" : "";
    case "sleep_cancelled":
      return "the code gave it up";
    case "child_cancelled":
      return "the code waits for it no more";
    case "wait_cancelled":
      return `the code gave it up${data.returned ? "; its event went back to those that are kept" : ""}`;
    case "step_released":
      return "the code learned of its end";
    case "patch_decided":
      return `${data.patched ? "this run takes the new way" : "this run stays on the old way, on which it came here"}${data.copied ? ", as the run that it was forked from" : ""}`;
    case "replay_diverged":
      return `replay took another way: ${notReached(data.steps)}`;
    default:
      return Object.keys(data).length ? brief(data) : "";
  }
}
