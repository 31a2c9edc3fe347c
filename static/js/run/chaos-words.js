// What is said of a chaos run. Pure.

import { count, pathLabel } from "./words.js";

const NAMED = 2; // steps named in one row

/** What ran twice in a rerun; of those whose effect the ledger knows, that it happened twice. */
export function twiceWords({ ran_twice: ran, effects_twice: effects }) {
  if (!ran.length) return "";
  const names = ran.slice(0, NAMED).map((step) => pathLabel(step)).join(", ");
  const more = ran.length > NAMED ? ` and ${ran.length - NAMED} more` : "";
  const times = ran.every((step) => step.times === 2) ? "twice" : "again";
  return `${names}${more} ran ${times}${effects.length ? `, and so did its effect` : ""}`;
}

export const after = (executions) => count(executions, "execution");

/** The sentence that a chaos run comes down to: {icon, tone, words}. */
export function summary({ rows, summary: sum, steady, control }) {
  const kills = rows.filter((row) => row.killed).length;
  const last = rows.length ? rows[rows.length - 1].number : 0;
  const of = last > rows.length ? `, ${rows.length} of its ${last} commits` : "";
  if (!kills) return { icon: "i-info", tone: "", words: "No kill fell: this run came to no commit." };
  const twice = sum.ran_twice ? ` ${sum.ran_twice === 1 ? "Once" : `${sum.ran_twice} times`} a step ran twice${sum.effects_twice ? `, and ${sum.effects_twice === 1 ? "once" : `${sum.effects_twice} times`} its effect happened twice: an idempotency key cures that` : ""}.` : "";
  if (steady === false) {
    const why = "The output differs without a kill too, so it depends on time, chance, a break or the run's own id. What a step returns is stored and stays as it is.";
    return { icon: "i-info", tone: "", words: `${why}${twice}` };
  }
  const begun = `${count(kills, "kill")}${of}: `;
  if (sum.diverged) return { icon: "i-failed", tone: "bad", words: `${begun}${sum.diverged === 1 ? "once" : `${sum.diverged} times`} it took another way when it was replayed. What its code does outside of steps must follow from the params and the results of steps alone; put what depends on chance, the time or anything else into a step.${twice}` };
  if (sum.differs) return { icon: "i-failed", tone: "bad", words: `${begun}${sum.differs === 1 ? "once" : `${sum.differs} times`} it came to another output. Look at ${sum.differs === 1 ? "that run" : "those runs"}: what is in no step's result was gone with the worker.${twice}` };
  const ended = control && control.error ? "ended as it does without one" : "came to the same output";
  return { icon: "i-done", tone: "", words: `${begun}each time it ${ended}.${twice}` };
}
