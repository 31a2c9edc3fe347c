// How fast the narrator's sentence changes: no faster than it can be read, and never so slowly that it says what is no longer true. Pure:
// the time is given.

import { groundsOf, narrate } from "./narrator.js";
import { clock } from "./words.js";

const CHANGE_MS = 1_000; // a sentence that is still true stands this long …
const BURST = 2; // … and where so many have had to be taken back in that time, one is said that is true of all that comes
const STEADY_MS = 400; // until nothing has changed for this long

export class Pace {
  constructor() {
    this.reset();
  }

  reset() {
    this.said = this.grounds = this.seen = "";
    this.seenAt = -Infinity;
    this.changes = []; // when the latest sentences were said
    this.hurried = false;
  }

  /** What to say of a state at `moved`, in milliseconds: what `narrate` gives, with its `words`; null for what stands already. */
  next(state, context, moved) {
    const told = context.past ? recalled(state, context) : narrate(state, context);
    const grounds = groundsOf(state, { ...context, press: told.press });
    if (grounds !== this.seen) Object.assign(this, { seen: grounds, seenAt: moved });
    this.changes = this.changes.filter((at) => moved - at < CHANGE_MS);
    const passing = state.status === "running" && !context.past && !context.final && !context.stale && !told.press && !told.lens;
    const news = wordsOf(told) !== this.said;
    this.hurried = passing && (this.hurried ? moved - this.seenAt < STEADY_MS : news && grounds !== this.grounds && this.changes.length >= BURST);
    const shown = this.hurried ? narrate(state, { ...context, hurried: true }) : told;
    const words = wordsOf(shown);
    const last = context.past || context.final || context.stale || state.status === "paused"; // nothing comes after it that would be told later
    if (words !== this.said && !this.hurried && !last && this.changes.length && grounds === this.grounds) return null;
    if (words !== this.said) {
      if (state.executions.length) this.changes.push(moved); // before that, what comes next is news at once
      this.said = words;
    }
    this.grounds = grounds;
    return { ...shown, words };
  }
}

/** The text of a sentence without what ticks in it. */
const wordsOf = ({ parts }) => parts.map((one) => (typeof one === "string" ? one : (one.code ?? one.b ?? (one.line ? `line ${one.line}` : "")))).join("");

/** What is said of a moment that is over. */
function recalled(state, context) {
  const { seq, last } = context.past;
  const said = narrate(state, { ...context, stale: false, watching: true });
  return { ...said, icon: "i-clock", tone: "", parts: [{ b: `Seq ${seq.toLocaleString("en")}` }, ` of ${last.toLocaleString("en")}, ${clock(state.lastAt)}: `, ...said.parts] };
}
