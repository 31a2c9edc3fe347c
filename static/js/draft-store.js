// Where drafts are kept: one entry of the browser's storage for each, so that no tab writes over what another one keeps. A tab remembers its
// own in its session, which a reload and a reopened tab have again, and holds a lock on each, so that others see whose tab is still open.

import { keysOf, read, remove, write } from "./stored.js";

const MOST = 50; // drafts of this browser; the oldest that no open tab has gives way to a new one
const OWN = "playground.drafts"; // in the session of a tab: base -> id, and at LATEST the id last written at the bare address
const LATEST = "";
const ENTRY = "draft.";
const LOCK = "playground-draft-";

const isDraft = (kept) => typeof kept?.source === "string" && typeof kept.params === "string" && typeof kept.base === "string";
const newId = () => crypto.getRandomValues(new Uint32Array(3)).join("-");

/** What was kept one for all tabs, before each had its own. */
function takeOver() {
  const old = read("drafts");
  const latest = read("draft");
  const all = { ...(old !== null && typeof old === "object" ? old : {}), ...(isDraft(latest) ? { [latest.base]: latest } : {}) };
  for (const [base, entry] of Object.entries(all)) {
    if (isDraft({ base, ...entry })) write(`${ENTRY}${encodeURIComponent(base)}`, { base, ...entry });
  }
  remove("drafts");
  remove("draft");
}

export class DraftStore {
  constructor() {
    takeOver();
    this.own = session();
    this.known = new Map(); // id -> what it was when this page read or wrote it last
    this.held = new Map(); // id -> lets go of its lock
  }

  /** The tab's own draft under a base, or at LATEST the last one; null when there is none. */
  async mine(base = LATEST) {
    const id = this.own[base];
    const draft = id && this.read(id);
    if (!draft) return null;
    const copy = !(await this.hold(id)) && Boolean(navigator.locks); // a tab that was made from another one has its session, too
    if (copy) delete this.own[base];
    return copy ? { ...draft, id: null } : draft;
  }

  /** Drafts that no open tab has, newest first; where that is not known, all that are not this tab's. What this page writes is held a moment later. */
  async orphans() {
    const open = new Set(((await navigator.locks?.query().catch(() => null))?.held ?? []).map(({ name }) => name));
    return this.all().filter(({ id }) => !open.has(LOCK + id) && !this.held.has(id) && !this.known.has(id));
  }

  /** All drafts, newest first. */
  all() {
    const found = keysOf(ENTRY).map((name) => this.read(name.slice(ENTRY.length)));
    return found.filter(Boolean).sort((a, b) => (b.at ?? 0) - (a.at ?? 0));
  }

  read(id) {
    const kept = read(ENTRY + id);
    return isDraft(kept) ? { ...kept, id } : null;
  }

  /** From now on a draft is this tab's. */
  adopt({ id, base }, latest) {
    if (!id) return;
    this.known.set(id, JSON.stringify(read(ENTRY + id)));
    this.belongs(base, id, latest);
    this.hold(id);
  }

  belongs(base, id, latest) {
    if (this.own[base] !== id) this.own = Object.fromEntries(Object.entries(this.own).filter(([, one]) => read(ENTRY + one) !== null));
    this.own[base] = id;
    if (latest) this.own[LATEST] = id;
    session(this.own);
  }

  /**
   * Keeps this tab's draft under its base, never over one that another tab has written. `latest`: it comes back at the bare address.
   * @returns {Promise<{kept: boolean, gone: object | null}>} `gone` is the draft that had to give way
   */
  async put(draft, latest) {
    let id = this.own[draft.base];
    const there = id ? read(ENTRY + id) : null;
    if (!id || (there && this.known.get(id) !== JSON.stringify(there))) id = newId();
    else if (there?.source === draft.source && there.params === draft.params && JSON.stringify(there.stops ?? []) === JSON.stringify(draft.stops ?? [])) return { kept: true, gone: null };
    this.belongs(draft.base, id, latest);
    this.hold(id);
    const entry = { ...draft, at: Date.now() };
    const fresh = read(ENTRY + id) === null;
    let gone = null;
    if (fresh && keysOf(ENTRY).length >= MOST) gone = await this.giveUpOldest();
    let kept = (!fresh || keysOf(ENTRY).length < MOST) && write(ENTRY + id, entry);
    while (!kept && (gone = await this.giveUpOldest())) kept = write(ENTRY + id, entry);
    if (kept) this.known.set(id, JSON.stringify(entry));
    return { kept, gone };
  }

  async giveUpOldest() {
    const oldest = (await this.orphans()).filter(({ id }) => !Object.values(this.own).includes(id)).at(-1) ?? null;
    if (oldest) remove(ENTRY + oldest.id);
    return oldest;
  }

  /** Forgets a draft, which may be another's that was offered. */
  drop(id) {
    if (!id) return;
    remove(ENTRY + id);
    this.known.delete(id);
    this.held.get(id)?.();
    this.held.delete(id);
    for (const base of Object.keys(this.own)) if (this.own[base] === id) delete this.own[base];
    session(this.own);
  }

  /** Forgets this tab's draft under a base. */
  dropMine(base) {
    this.drop(this.own[base]);
  }

  /** Shows others that a draft is open here; false when it is open elsewhere, or cannot be known. */
  async hold(id) {
    if (this.held.has(id)) return true;
    return new Promise((resolve) => {
      const keep = (lock) => {
        if (!lock) return resolve(false);
        return new Promise((letGo) => (this.held.set(id, letGo), resolve(true)));
      };
      if (!navigator.locks) resolve(false);
      else navigator.locks.request(LOCK + id, { ifAvailable: true }, keep).catch(() => resolve(false));
    });
  }
}

/** What this tab remembers; with `own` it remembers that. */
function session(own = null) {
  try {
    if (own) sessionStorage.setItem(OWN, JSON.stringify(own));
    const found = JSON.parse(sessionStorage.getItem(OWN) ?? "{}");
    return Object.fromEntries(Object.entries(found).filter(([, id]) => typeof id === "string"));
  } catch {
    return own ?? {};
  }
}
