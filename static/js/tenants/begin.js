// Starting runs of a tenant: one, or many with the same params in one request; now, or when they may start (docs/flow.md).

import { announce, el, isDisabled, once, setInvalid, setText } from "../dom.js";
import { post } from "../http.js";
import { pagePath, tenantPath } from "../run/paths.js";
import { typed } from "../run/typed.js";

/** What a start asks of its time, for the request. Pure. */
export function askedOf({ key, delay, priority }) {
  const found = { key: key.trim(), delay: delay.trim(), priority: priority.trim() && Number(priority) };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== ""));
}

/** The same in a few words. Pure. */
export function askedWords({ key, delay, priority }) {
  const parts = [key && `key ${key}`, delay && `delay ${delay}`, priority !== undefined && `priority ${priority}`];
  return parts.filter(Boolean).join(", ") || "at once";
}

/** Which of these fields the server's refusal names; undefined: none. Pure. */
export const refusedField = (words) => words.match(/\b(key|delay|priority)`/)?.[1];

/** @param {{tenant: string, key: () => string, workflow: () => string, started: () => void}} how */
export function makeBegin({ tenant, key, workflow, started }) {
  const form = document.getElementById("begin");
  const said = document.getElementById("begin-said");
  const when = document.getElementById("begin-when");
  const summary = document.getElementById("begin-asked");
  const { params, version, many, id, key: group, delay, priority } = form.elements;
  const button = form.querySelector("[type=submit]");
  const asked = () => askedOf({ key: group.value, delay: delay.value, priority: priority.value });

  const summarize = () => setText(summary, askedWords(asked()));
  when.addEventListener("input", summarize);
  summarize();

  function wrong(field, words) {
    setInvalid(field, true);
    if (when.contains(field)) when.open = true;
    field.focus();
    announce(said, "bad", words);
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (isDisabled(button)) return;
    for (const field of [params, many, id, group, delay, priority]) setInvalid(field, false);
    const { json, wrong: why } = typed(params.value, "The params are");
    if (why) return wrong(params, why);
    const count = many.valueAsNumber;
    if (!many.checkValidity()) return wrong(many, "1 to 100 runs can be started at once.");
    if (count > 1 && id.value.trim()) return wrong(id, "Several runs can't have one id: leave it empty, or start one.");
    if (!priority.checkValidity()) return wrong(priority, "The priority is a whole number from 0 to 100.");
    const held = asked();
    const entry = { params: json, ...held, ...(id.value.trim() ? { id: id.value.trim() } : {}) };
    const which = { workflow: workflow(), ...(version.value ? { version: version.value } : {}) };
    const api = `/api${tenantPath(tenant)}/instances`;
    once(button, async () => {
      try {
        if (count === 1) {
          const made = await post(api, { ...entry, ...which }, { token: key() });
          announce(said, "calm", held.delay ? "It starts later: " : "Started ", el("a.mono", { href: pagePath({ tenant, id: made.id }) }, made.id));
          id.value = "";
        } else {
          const { created } = await post(`${api}/batch`, { instances: Array(count).fill(entry), ...which }, { token: key() });
          announce(said, "calm", held.delay ? `${created.length} runs start later.` : `Started ${created.length} runs.`);
        }
        started();
      } catch (error) {
        const field = error.code === "flow.invalid" && refusedField(error.message);
        if (field) wrong(form.elements[field], error.message);
        else announce(said, "bad", error.message);
      }
    });
  });
}
