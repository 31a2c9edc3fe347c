// How many streams one browser holds: over HTTP/1.1 it has six connections for a site, and if streams took them all, every other request of
// every tab and frame would wait without a word. A slot is a lock of the browser's. Pages that came over plain HTTP from another machine
// have no locks; they ask one another over a channel, which may give one too many for a moment. Without a channel nobody holds any.

const CHANNEL = "playground-streams";
const MOST = 4; // streams of one browser; two connections stay for all else
const ANSWER_MS = 50; // for others to let go of one, or to say that they hold one; who says so later is heard, too
const AGAIN_MS = 5_000; // after which it is worth asking again, though nobody has said that one is free

export class Slot {
  /** @param {() => void} giveWay is called when the slot is taken away: the page is hidden and another asks, or too many were given at once */
  constructor(giveWay) {
    Object.assign(this, { giveWay, id: crypto.getRandomValues(new Uint32Array(2)).join("-"), asked: null, since: null, held: false, letGo: null, refusedAt: -Infinity });
    this.others = new Map(); // id -> since when, of those that hold one or ask for one
    try {
      this.channel = new BroadcastChannel(CHANNEL);
      this.channel.addEventListener("message", ({ data }) => this.heard(data));
    } catch {
      this.channel = null;
    }
  }

  /** Asks for a slot; true if it is held then. */
  async take() {
    if (this.held || !this.channel) return this.held;
    const asked = (this.asked = {});
    this.since ??= Date.now();
    this.others.clear();
    this.say("want");
    const found = await (navigator.locks ? this.lock() : this.ask());
    if (this.asked !== asked) return found.letGo?.(), false; // let go meanwhile
    Object.assign(this, found);
    this.refusedAt = this.held ? -Infinity : performance.now();
    if (this.held) this.say("hold");
    return this.held;
  }

  async lock() {
    const letGo = (await lockAny()) ?? (await pause(ANSWER_MS), await lockAny());
    return { held: Boolean(letGo), letGo };
  }

  /** Without locks: whoever has waited longest comes first. */
  async ask() {
    await pause(ANSWER_MS);
    return { held: this.rank() < MOST, letGo: null };
  }

  /** Whether it makes sense to ask again after a refusal. */
  get isWorthAsking() {
    return Boolean(this.channel) && performance.now() - this.refusedAt >= AGAIN_MS;
  }

  free() {
    if (this.since === null) return;
    this.letGo?.();
    this.say("free");
    Object.assign(this, { asked: null, since: null, held: false, letGo: null });
  }

  close() {
    this.free();
    this.channel?.close();
    this.channel = null;
  }

  say(what) {
    this.channel?.postMessage({ what, id: this.id, since: this.since });
  }

  heard({ what, id, since }) {
    if (what === "free") {
      this.others.delete(id);
      this.refusedAt = -Infinity;
      return;
    }
    this.others.set(id, since);
    if (what === "want" && this.held && document.hidden) this.giveWay();
    else if (navigator.locks) return;
    else if (this.held && this.rank() >= MOST) this.giveWay();
    else if (what === "want" && this.since !== null && !document.hidden) this.say(this.held ? "hold" : "claim");
  }

  /** How many come before this one. */
  rank() {
    let before = 0;
    for (const [id, since] of this.others) if (since < this.since || (since === this.since && id < this.id)) before += 1;
    return before;
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Takes the first lock that nobody holds; what lets go of it, or null. */
async function lockAny() {
  for (let place = 1; place <= MOST; place += 1) {
    const letGo = await new Promise((resolve) => {
      const hold = (lock) => (lock ? new Promise((release) => resolve(release)) : resolve(null));
      navigator.locks.request(`${CHANNEL}-${place}`, { ifAvailable: true }, hold).catch(() => resolve(null)); // refused to a frame
    });
    if (letGo) return letGo;
  }
  return null;
}
