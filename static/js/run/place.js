// Where a run stands that waits for a worker, or is held back by the limits of its key: asked for while it does, since the journal does not say
// who else waits. Most wait for a worker for less than PATIENCE_MS, and of nobody is it asked then.

import { call } from "./api.js";
import { instancePath } from "./paths.js";

const AGAIN_MS = 3_000;
const PATIENCE_MS = 800;
const MOST_EVENTS = 1_000; // the answer has all steps: of a long run that woke it is not worth them
const LONGEST_MS = 2 ** 31 - 1; // of a timer

export class Place {
  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    this.open(null);
  }

  open(run) {
    clearTimeout(this.timer);
    Object.assign(this, { run, found: null, timer: 0, wanted: false });
  }

  /** Takes how the run stands, and the server's time. */
  update({ heldUntil, status, lastSeq }, now) {
    const inLine = status === "queued" && heldUntil === null && lastSeq > 0 && lastSeq <= MOST_EVENTS;
    const held = status === "queued" && heldUntil !== null && heldUntil <= now;
    this.wanted = inLine || held;
    if (held && !this.timer) this.ask();
    else if (inLine && !this.timer) this.timer = setTimeout(() => this.again(), PATIENCE_MS);
    if (this.wanted) return;
    this.found = null;
    if (heldUntil === null) {
      clearTimeout(this.timer);
      this.timer = 0;
    }
    const left = heldUntil === null || status !== "queued" ? 0 : heldUntil - now; // its time comes without an event
    if (left > 0 && left < LONGEST_MS && !this.timer) this.timer = setTimeout(() => this.due({ heldUntil, status }), left);
  }

  due(state) {
    this.timer = 0;
    this.update(state, state.heldUntil);
  }

  again() {
    this.timer = 0;
    if (this.wanted && document.hidden) this.timer = setTimeout(() => this.again(), AGAIN_MS);
    else if (this.wanted) this.ask();
  }

  async ask() {
    const { run } = this;
    this.timer = setTimeout(() => this.again(), AGAIN_MS);
    const answer = await call("GET", instancePath(run), { token: run.token });
    const text = answer.data?.queue?.text;
    if (run !== this.run || !this.wanted || text === this.found?.text) return;
    this.found = text ? { text } : null;
    this.changed();
  }
}
