// Where a run stands that is held back by the limits of its key: asked for while it is, since the journal does not say who else waits.

import { call } from "./api.js";
import { instancePath } from "./paths.js";

const AGAIN_MS = 3_000;
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
  update({ heldUntil, status }, now) {
    this.wanted = heldUntil !== null && status === "queued" && heldUntil <= now;
    if (this.wanted && !this.timer) this.ask();
    if (this.wanted) return;
    this.found = null;
    const left = heldUntil === null || status !== "queued" ? 0 : heldUntil - now; // its time comes without an event
    if (left > 0 && left < LONGEST_MS && !this.timer) this.timer = setTimeout(() => this.due({ heldUntil, status }), left);
  }

  due(state) {
    this.timer = 0;
    this.update(state, state.heldUntil);
  }

  async ask() {
    const { run } = this;
    this.timer = setTimeout(() => {
      this.timer = 0;
      if (this.wanted && !document.hidden) this.ask();
    }, AGAIN_MS);
    const answer = await call("GET", instancePath(run), { token: run.token });
    const text = answer.data?.queue?.text;
    if (run !== this.run || !this.wanted || text === this.found?.text) return;
    this.found = text ? { text } : null;
    this.changed();
  }
}
