// Waits that were over before their time: how long each was to last, how long it did, and the words for both. Pure.

import { early } from "./marks.js";
import { lasting } from "./words.js";

const DAY_MS = 86_400_000;
const NEAR_MS = 60_000; // what is lost of a day until the sleep stands in the journal

/** A length that somebody wrote down: `1 day`, `30 days`, else as any other. */
export function planned(ms) {
  const days = Math.round(ms / DAY_MS);
  return days > 0 && Math.abs(ms - days * DAY_MS) < NEAR_MS ? `${days.toLocaleString("en")}\u00a0day${days === 1 ? "" : "s"}` : lasting(ms);
}

/** A sleep or a wait that a hand ended, as {planned, took} in milliseconds; else null. */
export function skippedWait({ virtual, startedAt, endedAt, until }) {
  if (!virtual || endedAt === null || until === null) return null;
  return { planned: Math.max(until, endedAt) - startedAt, took: endedAt - startedAt };
}

/** `1 day, woken after 1.4 s`; "" for what was not skipped. */
export function skippedWords(step) {
  const found = skippedWait(step);
  return found ? `${planned(found.planned)}, ${step.kind === "sleep" ? "woken" : "ended"} after ${lasting(found.took)}` : "";
}

/** Of a run: how many waits were skipped, how long they were to last, and how long they did. */
export function skippedWaits({ rows }) {
  const sum = { count: 0, planned: 0, took: 0 };
  const add = (wait) => {
    sum.count += 1;
    sum.planned += wait.planned;
    sum.took += wait.took;
  };
  for (const step of rows) {
    const wait = skippedWait(step);
    if (wait) add(wait);
    step.attempts.forEach((attempt, index) => {
      const next = step.attempts[index + 1];
      if (!next || attempt.endedAt === null || attempt.retryDelayMs === null || !early(attempt, next)) return;
      const took = next.startedAt - attempt.endedAt;
      add({ planned: Math.max(attempt.retryDelayMs, took), took });
    });
  }
  return sum;
}
