// One run's events, in order and each once, for as long as the page is looked at. It closes when the page is hidden for long and
// goes on from where it was; a blip is left to the browser, longer trouble is said and retried with a countdown. One browser holds a few
// streams only (slots.js): a page that gets none asks for what is new every second, until it gets one.

import { parse } from "../exact.js";
import { call, probe } from "./api.js";
import { KeyedSource } from "./keyed-source.js";
import { instancePath } from "./paths.js";
import { Slot } from "./slots.js";

const HIDDEN_MS = 30_000; // hidden this long, the page gives its connection back
const SILENT_MS = 40_000; // the server pings every 15 s: this much silence is a dead connection
const BLIP_MS = 1_500; // trouble shorter than this is not worth a word
const DELAYS_MS = [1_000, 2_000, 3_000, 5_000, 8_000, 10_000];
const SPREAD = 0.5; // of a delay at most comes on top, by chance: pages that lost the same server do not all come back in one moment
const PAGE = 1_000; // events asked for at a time when some are missing
const STAYED_MS = 2_000; // a page that was to be left and is still there after this goes on listening
const POLL_MS = 1_000; // between two questions of a page that has no stream
const FINAL = new Set(["workflow_completed", "workflow_errored", "workflow_terminated"]);

export class Stream {
  /**
   * @param {{id: string, tenant?: string | null, token?: string | null, after?: number, onEvents: (events: object[]) => void, onHello?: (hello: {server_time?: number, last_seq: number}) => void,
   *   onReset: () => void, onEnd: () => void, onTrouble: (trouble: object | null) => void, onPace?: (polling: boolean) => void}} how
   *   `token` is sent for a tenant's run only: others are read without
   *   `onTrouble` gets {kind: "network" | "server" | "restart" | "gone", words, attempt, at} or null when all is well;
   *   `at` is the performance.now() of the next attempt, or null while one is under way; `onPace` is told whether it asks instead of listening
   */
  constructor({ id, tenant = null, token = null, after = 0, onEvents, onHello, onReset, onEnd, onTrouble, onPace = () => {} }) {
    const told = { onEvents, onHello, onReset, onEnd, onTrouble, onPace };
    Object.assign(this, { path: instancePath({ id, tenant }), key: tenant && token, last: after, lastType: null, ...told });
    this.closed = false;
    this.ended = false;
    this.attempt = 0;
    this.queue = Promise.resolve();
    this.timers = {};
    this.listeners = [
      [document, "visibilitychange", () => this.seen()],
      [window, "beforeunload", () => this.leave()],
      [window, "pagehide", () => this.drop()],
      [window, "pageshow", (event) => event.persisted && this.open()],
      [window, "online", () => this.trouble && this.retryNow()],
    ];
    this.turn = null; // what goes on between `open` and `drop`; another one means that this has been given up
    this.slot = new Slot(() => (document.hidden ? this.drop() : this.open()));
    for (const [target, name, listener] of this.listeners) target.addEventListener(name, listener);
    this.open();
  }

  close() {
    this.closed = true;
    this.drop();
    for (const [target, name, listener] of this.listeners) target.removeEventListener(name, listener);
    this.slot.close();
  }

  drop() {
    this.source?.close();
    this.source = this.turn = null;
    this.slot.free();
    for (const timer of Object.values(this.timers)) clearTimeout(timer);
    this.timers = {};
  }

  /** Firefox puts an error on the console for a stream that is open when its page is left. Where the page stays, as it does for a download, it listens again. */
  leave() {
    if (!this.turn) return;
    this.drop();
    this.timers.stayed = setTimeout(() => this.open(), STAYED_MS);
  }

  get address() {
    return `${this.path}/stream?after=${this.last}`;
  }

  async open() {
    if (this.closed || this.ended) return;
    this.drop();
    const turn = (this.turn = {});
    const held = await this.slot.take();
    if (this.turn !== turn) return;
    if (held) this.listen();
    else this.poll(turn);
  }

  listen() {
    this.onPace(false);
    const source = this.key ? new KeyedSource(this.address, this.key) : new EventSource(this.address);
    this.source = source;
    const listen = (name, take) => source.addEventListener(name, (event) => this.source === source && take(event));
    listen("open", () => this.well());
    listen("hello", (event) => this.onHello?.(JSON.parse(event.data)));
    listen("journal", (event) => this.take(event));
    listen("ping", () => this.watch());
    listen("end", () => this.finish());
    listen("reset", () => this.anew());
    listen("restart", () => this.restarting());
    listen("error", () => this.failed(source));
    this.watch();
  }

  /** Asks for what is new, again and again, until there is a slot for a stream. */
  async poll(turn) {
    this.onPace(true);
    while (this.turn === turn) {
      if (!document.hidden) await this.ask(turn);
      if (this.turn !== turn) return;
      await new Promise((resolve) => (this.timers.poll = setTimeout(resolve, POLL_MS)));
      if (this.turn !== turn || document.hidden || !this.slot.isWorthAsking) continue;
      const held = await this.slot.take();
      if (this.turn === turn && held) return this.listen();
    }
  }

  async ask(turn) {
    const answer = await call("GET", `${this.path}/events?after=${this.last}&limit=${PAGE}`, { token: this.key });
    if (this.turn !== turn) return;
    if (!answer.ok) return this.unanswered(answer);
    this.calmed();
    const { events, last_seq: newest, more } = answer.data;
    this.onHello?.({ last_seq: newest });
    if (newest < this.last) return this.anew();
    await (this.queue = this.queue.then(() => this.accept(events)).catch((error) => this.lost({ kind: "server", words: String(error.message) })));
    if (this.turn !== turn) return;
    if (more) await this.ask(turn);
    else if (FINAL.has(this.lastType)) this.finish();
  }

  unanswered({ status, network, words, retryAfter }) {
    if (network) this.lost({ kind: "network", words: "" });
    else if (status === 404) this.gone(words);
    else this.lost({ kind: "server", words, least: retryAfter * 1000 });
  }

  gone(words) {
    this.drop();
    this.ended = true;
    this.say({ kind: "gone", words, attempt: 0, at: null });
  }

  seen() {
    clearTimeout(this.timers.hidden);
    if (document.hidden) this.timers.hidden = setTimeout(() => this.drop(), HIDDEN_MS);
    else if (!this.turn && !this.timers.retry) this.open();
  }

  watch() {
    clearTimeout(this.timers.silent);
    this.timers.silent = setTimeout(() => this.lost({ kind: "network", words: "" }), SILENT_MS);
  }

  well() {
    this.calmed();
    this.watch();
  }

  calmed() {
    this.attempt = 0;
    this.blip = false;
    clearTimeout(this.timers.blip);
    this.say(null);
  }

  say(trouble) {
    if (!trouble && !this.trouble) return;
    this.trouble = trouble;
    this.onTrouble(trouble);
  }

  take(message) {
    this.watch();
    const events = parse(message.data);
    this.queue = this.queue.then(() => this.accept(events)).catch((error) => this.lost({ kind: "server", words: String(error.message) }));
  }

  async accept(events) {
    if (this.closed) return;
    const fresh = events.filter((event) => event.seq > this.last);
    if (!fresh.length) return;
    if (fresh[0].seq !== this.last + 1) await this.fill(fresh[0].seq - 1);
    if (this.closed) return;
    const next = fresh.filter((event) => event.seq > this.last);
    if (!next.length) return;
    this.last = next[next.length - 1].seq;
    this.lastType = next[next.length - 1].type;
    this.onEvents(next);
  }

  /** Asks for the events that are missing, up to `until`. */
  async fill(until) {
    while (this.last < until && !this.closed) {
      const answer = await call("GET", `${this.path}/events?after=${this.last}&limit=${PAGE}`, { token: this.key });
      if (!answer.ok) throw new Error(answer.words);
      const events = answer.data.events.filter((event) => event.seq > this.last);
      if (!events.length || this.closed) return;
      this.last = events[events.length - 1].seq;
      this.lastType = events[events.length - 1].type;
      this.onEvents(events);
    }
  }

  /** The page is ahead of the journal, which was restored from an earlier time: what is shown here never happened. */
  anew() {
    this.queue = this.queue.then(() => {
      if (this.closed) return;
      this.last = 0;
      this.onReset();
      this.open();
    });
  }

  finish() {
    this.drop();
    this.queue = this.queue.then(() => {
      if (this.closed) return;
      this.ended = true;
      this.say(null);
      this.onEnd();
    });
  }

  restarting() {
    this.drop();
    this.attempt = 1;
    this.retryIn(DELAYS_MS[0], { kind: "restart", words: "The server is restarting." }, { quiet: true });
  }

  failed(source) {
    if (source.readyState === EventSource.CONNECTING && !this.blip) {
      // The browser tries again by itself, with Last-Event-ID; only if that fails too it becomes ours.
      this.blip = true;
      this.timers.blip = setTimeout(() => this.source === source && source.readyState !== EventSource.OPEN && this.lost({ kind: "network", words: "" }), BLIP_MS);
      return;
    }
    if (source.readyState === EventSource.CONNECTING) this.lost({ kind: "network", words: "" });
    else this.refused();
  }

  /** The server answered, but not with a stream: ask it why. */
  async refused() {
    this.drop();
    const answer = await probe(this.address, this.key);
    if (this.closed || this.turn) return;
    if (answer.status === 204) this.finish();
    else if (answer.status === 404) this.gone(answer.words);
    else if (answer.network || answer.ok) this.lost({ kind: "network", words: "" });
    else this.lost({ kind: "server", words: answer.words, least: answer.retryAfter * 1000 });
  }

  lost({ kind, words, least = 0 }) {
    if (this.closed || this.ended) return;
    this.drop();
    this.attempt += 1;
    const delay = Math.max(least, DELAYS_MS[Math.min(this.attempt - 1, DELAYS_MS.length - 1)]);
    this.retryIn(delay, { kind, words });
  }

  retryIn(least, trouble, { quiet = false } = {}) {
    const delay = least * (1 + Math.random() * SPREAD);
    const told = { ...trouble, attempt: this.attempt, at: performance.now() + delay };
    if (quiet) this.timers.blip = setTimeout(() => this.say({ ...told, at: null }), BLIP_MS + delay);
    else this.say(told);
    this.timers.retry = setTimeout(() => this.retryNow(quiet), delay);
  }

  retryNow(quiet = false) {
    if (this.closed || this.ended) return;
    clearTimeout(this.timers.retry);
    if (!quiet && this.trouble) this.say({ ...this.trouble, at: null });
    const { blip } = this.timers;
    this.timers.blip = undefined;
    this.open();
    this.timers.blip = blip;
    this.blip = true;
  }
}
