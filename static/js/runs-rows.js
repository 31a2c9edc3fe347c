// The list of recent runs, pure: what a row says, which rows a search and a filter leave, how old a run is in words.

import { FINAL, STATUS } from "./statuses.js";

const UNITS = [
  [86_400_000, "day"],
  [3_600_000, "h"],
  [60_000, "min"],
  [1_000, "s"],
];

export const FILTERS = {
  all: { word: "All", fits: () => true },
  open: { word: "Open", fits: (known) => Boolean(known) && known !== "gone" && !FINAL.has(known.status) },
  failed: { word: "Failed", fits: (known) => known?.status === "errored" },
};

/** How long ago, in its largest unit: `12 s`, `4 min`, `3 days`. */
export function age(at, now) {
  const { ms, unit, word } = aged(at, now);
  const many = Math.floor(ms / unit);
  return `${many} ${word}${word === "day" && many !== 1 ? "s" : ""}`;
}

/** In how many milliseconds an age is another one in words; that of a run that begins later, once it has begun. */
export function untilOlder(at, now) {
  const { ms, unit } = aged(at, now);
  return unit - (ms % unit) + Math.max(0, at - now);
}

function aged(at, now) {
  const ms = Math.max(0, now - at);
  const [unit, word] = UNITS.find(([length]) => ms >= length) ?? UNITS.at(-1);
  return { ms, unit, word };
}

/**
 * What a row says of a run.
 * @param {{id: string, title: string, at: number, own: boolean}} run as this browser knows it
 * @param {{status: string, execution: number, error: {name: string, message: string, line: number | null} | null, started_at: number | null,
 *   ended_at: number | null} | "gone" | null} known what the server said; null: nothing yet
 * @param {{now: number, trouble: boolean, current: boolean, lasting: (ms: number) => string}} how `trouble`: it cannot be asked
 */
export function rowOf({ id, title, at, own }, known, { now, trouble, current, lasting }) {
  const facts = [id.slice(0, 6)];
  if (current) facts.push("this one");
  if (!own) facts.push("somebody’s, opened here");
  if (known && known !== "gone") {
    const detail = detailOf(known, lasting);
    if (detail) facts.push(detail);
  }
  const word = known === "gone" ? "No longer kept" : known ? STATUS[known.status].word : trouble ? "Not known" : "Asking";
  return { name: title || "Untitled", detail: facts.join(" · "), word, tone: known && known !== "gone" ? STATUS[known.status].tone : "not", age: Number.isFinite(at) ? age(at, now) : "" };
}

/** The one thing that is worth knowing of a run in a list. */
function detailOf({ status, error, execution, started_at: from, ended_at: to }, lasting) {
  if (error) return `${error.name}${error.line ? `, line ${error.line}` : ""}${error.message ? `: ${error.message}` : ""}`;
  if (FINAL.has(status) && from !== null && to !== null) return lasting(to - from);
  return execution > 1 ? `${execution} executions` : "";
}

/** The runs that a search leaves: every word of it is in the name, the id or what is known. */
export function searched(runs, query, knownOf) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return runs;
  return runs.filter((run) => {
    const known = knownOf(run.id);
    const error = known && known !== "gone" ? known.error : null;
    const status = known && known !== "gone" ? STATUS[known.status].word : "";
    const text = [run.title, run.id, status, error?.name, error?.message].filter(Boolean).join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  });
}
