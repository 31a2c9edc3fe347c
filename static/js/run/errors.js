// A stored error as Python prints it: what it came of first, then its own lines, message and notes, then the members of a group as a tree.
// Lines lead to the editor. What is long or lies deep is folded.

import { el, lineLink } from "../dom.js";
import { count, errorLine, short } from "./words.js";

const FRAMES = 12; // lines of a traceback that are shown at once
const FIRST = 2; // … of longer ones, the first and the last of them
const LAST = 8;
const MEMBERS = 4; // members of a group that are shown at once
const DEEP = 3; // groups within groups that are shown open
const CHAIN = 1; // errors before the last one that are shown open
const HEADLINE = 120; // characters of what stands for a folded error

const CAUSE = "The above exception was the direct cause of the following exception:";
const CONTEXT = "During handling of the above exception, another exception occurred:";

const keys = new WeakMap(); // of errors, which nothing changes

/** The same for errors that are alike in every line: name, message, traceback, notes, and what belongs to them. */
export function errorKey(error) {
  if (!keys.has(error)) keys.set(error, JSON.stringify(error));
  return keys.get(error);
}

/** Errors that are alike as one: [{error, places}], in the order in which they first came; `places` are those in the list, from 0. */
export function alikeErrors(errors) {
  const found = new Map();
  errors.forEach((error, place) => {
    const key = errorKey(error);
    if (found.has(key)) found.get(key).places.push(place);
    else found.set(key, { error, places: [place] });
  });
  return [...found.values()];
}

/** How often in a row the error of an attempt came again, at the first of them; 0 at the others; 1 for one that came once. Pure. */
export function alikeRuns(attempts) {
  const times = [];
  let first = -1;
  attempts.forEach(({ error }, index) => {
    const before = index ? attempts[index - 1].error : null;
    const again = error !== null && before !== null && errorKey(error) === errorKey(before);
    if (!again) first = index;
    times.push(again ? 0 : 1);
    if (again) times[first] += 1;
  });
  return times;
}

/** The same where those between the first attempt and `index` are left out, and the first of its own may be among them. */
export function timesAfterGap(times, index) {
  const first = times.findLastIndex((many, at) => at < index && many > 0);
  return first > 0 ? times[first] : 0;
}

/** Whether there is more to an error than its name and message. */
export const hasMore = (error) => Boolean(error?.traceback?.length || before(error) || error?.errors?.length || error?.notes?.length);

/** An error with all that belongs to it; `linked` says that there is an editor to go to. */
export function trace(error, { linked = true } = {}) {
  return el("div.trace", { tabindex: "0" }, ...parts(error, { linked, deep: 0, chain: 0 }));
}

/** The same as text, as Python prints it, for the clipboard. */
export const traceText = (error) => new Printed(error).lines.join("\n");

/** How many members of a group were not kept; its message ends with how many there were. */
function leftOut({ errors, message = "" }) {
  const [, all] = /\((\d+) sub-exceptions?\)$/.exec(message) ?? [];
  return Math.max(0, Number(all ?? 0) - errors.length);
}

const before = (error) => error?.cause ?? error?.context ?? null;
const isGroup = (error) => Boolean(error.errors?.length);
const heading = (error) => `${isGroup(error) ? "Exception Group Traceback" : "Traceback"} (most recent call last):`;

function parts(error, how) {
  const found = [];
  const earlier = before(error);
  if (earlier) {
    const its = parts(earlier, { ...how, chain: how.chain + 1 });
    if (how.chain < CHAIN) found.push(...its);
    else found.push(folded(`Earlier: ${short(errorLine(earlier), HEADLINE)}`, its));
    found.push(el("p.between", {}, error.cause ? CAUSE : CONTEXT));
  }
  found.push(...own(error, how), ...(isGroup(error) ? members(error, how) : []));
  return found;
}

/** Its own traceback, message and notes. */
function own(error, how) {
  const frames = error.traceback ?? [];
  const pre = (...children) => el("pre", {}, ...children);
  const shown = (some) => some.flatMap((frame) => frameNodes(frame, how));
  const head = frames.length ? [el("span.dim", {}, heading(error)), "\n"] : [];
  const end = [el("b", {}, errorLine(error)), ...(error.notes ?? []).map((note) => `\n${note}`)];
  if (frames.length <= FRAMES) return [pre(...head, ...shown(frames), ...end)];
  const rest = frames.slice(FIRST, -LAST);
  return [pre(...head, ...shown(frames.slice(0, FIRST))), folded(`${count(rest.length, "more call")}`, [pre(...shown(rest))]), pre(...shown(frames.slice(-LAST)), ...end)];
}

function frameNodes({ line, function: name, code }, { linked }) {
  const place = `"workflow.py", line ${line}`;
  return ["  File ", linked ? lineLink(line, place) : place, `, in ${name}\n`, code ? `    ${code.trim()}\n` : ""];
}

function members(error, how) {
  const { errors } = error;
  const all = errors.length + leftOut(error);
  const distinct = alikeErrors(errors);
  const items = distinct.map(({ error: one, places }) =>
    el("li", {}, el("span.nth-of", {}, places.length > 1 ? `${places.length} of ${all} are alike` : `${places[0] + 1} of ${all}`), ...memberParts(one, { ...how, deep: how.deep + 1, chain: 0 })),
  );
  const rest = items.slice(MEMBERS);
  const missing = leftOut(error) ? el("p.between", {}, `… and ${leftOut(error)} more, which were not kept`) : null;
  const more = rest.length ? folded(`${rest.length} more: ${short(errorLine(distinct[MEMBERS].error), HEADLINE)}${rest.length > 1 ? ", …" : ""}`, [el("ol.members", { start: MEMBERS + 1 }, ...rest)]) : null;
  return [el("ol.members", {}, ...items.slice(0, MEMBERS)), more, missing].filter(Boolean);
}

function memberParts(error, how) {
  const its = parts(error, how);
  return isGroup(error) && how.deep >= DEEP ? [folded(short(errorLine(error), HEADLINE), its)] : its;
}

const folded = (title, content) => el("details.folded-error", {}, el("summary", {}, title), ...content);

/** Python's own lay-out (`traceback.TracebackException.format`), in which the members of a group stand in boxes drawn with bars. */
class Printed {
  constructor(error) {
    this.lines = [];
    this.depth = 0;
    this.open = false; // a box whose lower edge is still to come
    this.chain(error);
  }

  get indent() {
    return "  ".repeat(this.depth);
  }

  put(text, margin = "|") {
    for (const line of text.split("\n")) this.lines.push(this.depth ? `${this.indent}${margin} ${line}` : line);
  }

  chain(error) {
    const earlier = before(error);
    if (earlier) {
      this.chain(earlier);
      this.put(`\n${error.cause ? CAUSE : CONTEXT}\n`);
    }
    if (isGroup(error)) this.group(error);
    else this.one(error);
  }

  one(error, margin) {
    if (error.traceback?.length) this.put(heading(error), margin);
    for (const { line, function: name, code } of error.traceback ?? []) {
      this.put(`  File "workflow.py", line ${line}, in ${name}`);
      if (code) this.put(`    ${code.trim()}`);
    }
    this.put(errorLine(error));
    for (const note of error.notes ?? []) this.put(note);
  }

  group(error) {
    const top = this.depth === 0;
    if (top) this.depth = 1;
    this.one(error, top ? "+" : "|");
    const missing = leftOut(error);
    const boxes = [...error.errors, ...(missing ? [null] : [])];
    boxes.forEach((one, index) => {
      const last = index === boxes.length - 1;
      this.open ||= last;
      this.lines.push(`${this.indent}${index ? "  " : "+-"}+---------------- ${one ? index + 1 : "..."} ----------------`);
      this.depth += 1;
      if (one) this.chain(one);
      else this.put(`and ${count(missing, "more exception")}`);
      if (last && this.open) {
        this.lines.push(`${this.indent}+------------------------------------`);
        this.open = false;
      }
      this.depth -= 1;
    });
    if (top) this.depth = 0;
  }
}
