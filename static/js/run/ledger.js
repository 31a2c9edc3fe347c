// The ledger of effects, pure: what the API lists, and what the fold knows of the attempts, as rows that say what happened how often and why.

import { isLost, keyOf } from "./fold.js";
import { brief } from "./value.js";
import { pathLabel } from "./words.js";

const VERBS = { __proto__: null, charge: "Charged", email: "Sent", fetch: "Asked" };
const TIMES = ["", "once", "twice"];

/**
 * @param {object[]} effects as `GET …/effects` lists them
 * @param {object} state the fold
 * @param {boolean} past the state is of an earlier moment: what happened after it is left out
 * @returns {{id, kind, what: {main, rest}, step, attempts: number[], key, times, word, why: (string | {code})[], line, of}[]}
 *   `why` is empty when there is nothing to say; `line` and `of`, the key in the fold, are the step's, or null
 */
export function ledger(effects, state, past = false) {
  const rows = new Map();
  for (const effect of effects) {
    if (past && effect.at > (state.lastAt ?? 0)) continue;
    const first = rows.get(effect.double_of);
    if (first) first.happened.push(effect);
    else rows.set(effect.id, { happened: [effect] });
  }
  return [...rows].map(([id, { happened }]) => {
    const [first] = happened;
    const step = stepOf(first, state);
    const times = happened.length;
    return {
      id,
      kind: first.kind,
      what: what(first),
      step: step?.parent ? pathLabel(step) : (first.step?.replace(/-1$/, "") ?? null),
      attempts: happened.map((one) => one.attempt),
      key: first.key,
      times,
      word: TIMES[times] ?? `${times} times`,
      why: times > 1 ? why(happened, step) : first.asked > 1 ? recognised(first) : [],
      line: step?.line ?? null,
      of: step?.key ?? null,
    };
  });
}

/** The rows that happened more than once. */
export const doubled = (rows) => rows.filter((row) => row.times > 1);

/** What a double is called in a sentence about its step: "charged", "sent a mail". */
export const verb = (kind) => ({ __proto__: null, charge: "charged", email: "sent its mail", fetch: "asked" })[kind] ?? `did its ${kind}`;

function stepOf(effect, state) {
  if (!effect.step) return null;
  const at = effect.step.lastIndexOf("-");
  const own = state.steps.get(keyOf({ kind: "do", name: effect.step.slice(0, at), count: Number(effect.step.slice(at + 1)) }));
  return own ?? state.rows.find((step) => step.parent && step.kind === "do" && textOf(step) === effect.step) ?? null;
}

/** A step as the ledger names it. */
const textOf = ({ name, count, parent }) => `${parent ? `${textOf(parent)}/` : ""}${name}-${count}`;

function what({ kind, data }) {
  if (kind === "fetch") return { main: `${data.method} ${data.host}`, rest: data.path ?? "" };
  const { amount, to, ...rest } = data ?? {};
  const main = kind === "charge" && amount !== undefined ? String(amount) : kind === "email" && to !== undefined ? String(to) : "";
  const others = main ? rest : (data ?? {});
  const shown = Object.entries(others).filter(([, value]) => value !== "" && value !== null);
  return { main, rest: shown.map(([name, value]) => (name === "subject" ? String(value) : `${name} ${typeof value === "string" ? value : brief(value)}`)).join(", ") };
}

function why(happened, step) {
  const done = VERBS[happened[0].kind] ?? "Done";
  const [first] = happened;
  const again = happened.slice(1).map((one) => one.attempt);
  const attempt = step?.attempts.find((one) => one.attempt === first.attempt && one.execution === first.execution);
  const how = !attempt ? ", before the run was restarted," : isLost(attempt) ? ", which lost its worker before its commit," : attempt.error ? ", which failed after it," : "";
  const then = attempt || !step ? ` and again by attempt ${again.join(" and ")}.` : " and again after it.";
  const keys = new Set(happened.map((one) => one.key));
  const cure =
    first.kind === "fetch" && first.key === null
      ? [" Send an ", { code: "Idempotency-Key" }, " and who is asked can recognise the second one."]
      : first.key === null
        ? [" Pass ", { code: "key=" }, " and the second one is recognised."]
        : keys.size > 1
          ? [" Each attempt named another key: one that is the same for all of them is recognised."]
          : [];
  return [`${done} by attempt ${first.attempt}${how}${then}`, ...cure];
}

function recognised({ asked, kind }) {
  const more = asked === 2 ? "once more" : `${asked - 1} times more`;
  if (kind === "fetch") return [`Asked ${more} with the same key, by which the second request can be recognised there.`];
  return [`Asked for ${more} with the same key: the first was given back, and nothing happened again.`];
}
