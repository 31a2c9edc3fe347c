// The runs that a step has started, by what it returned: the journal names none, but a handle can't be stored, so that a step that wants to
// know its child returns its id. Only what leads to a run of the same tenant is shown; others start none.

import { el } from "../dom.js";
import { call } from "./api.js";
import { instancePath, pagePath } from "./paths.js";

const MOST = 5; // ids of one step that are looked up, and shown
const LOOKED_AT = 1_000; // values of a result
const ID = /^\w[\w-]{0,99}$/; // playground/workflows/names.py
const SHOWN = 12; // characters of an id in a link

/** What may be ids in a value: its texts, in order, each once. Pure. */
export function idsIn(value) {
  const found = new Set();
  const waiting = [value];
  for (let seen = 0; waiting.length && seen < LOOKED_AT && found.size < MOST; seen += 1) {
    const one = waiting.shift();
    if (typeof one === "string") {
      if (ID.test(one)) found.add(one);
    } else if (one && typeof one === "object") waiting.push(...(Array.isArray(one) ? one : Object.values(one)).slice(0, LOOKED_AT));
  }
  return [...found];
}

const known = new WeakMap(); // run -> Map of ids to whether they are runs

async function isRun(run, id) {
  if (!known.has(run)) known.set(run, new Map());
  const mine = known.get(run);
  if (!mine.has(id)) mine.set(id, call("GET", instancePath({ ...run, id }), { token: run.token }).then(({ ok }) => ok));
  return mine.get(id);
}

/** Links to the runs that steps have started: [] where they have none, or nobody can know. */
export async function childLinks(run, steps) {
  if (!run?.tenant) return [];
  const ids = [...new Set(steps.filter((step) => step.hasOutput).flatMap((step) => idsIn(step.output)))].filter((id) => id !== run.id).slice(0, MOST);
  const are = await Promise.all(ids.map((id) => isRun(run, id)));
  return ids.filter((_, index) => are[index]).map((id) => el("a.mono", { href: pagePath({ ...run, id }), title: `The run ${id}` }, id.length > 2 * SHOWN ? `${id.slice(0, SHOWN)}…` : id));
}
