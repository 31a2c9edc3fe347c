// Starting runs of a tenant: one, or many with the same params in one request.

import { announce, el, isDisabled, once, setInvalid } from "../dom.js";
import { post } from "../http.js";
import { pagePath, tenantPath } from "../run/paths.js";
import { typed } from "../run/typed.js";

/** @param {{tenant: string, key: () => string, workflow: () => string, started: () => void}} how */
export function makeBegin({ tenant, key, workflow, started }) {
  const form = document.getElementById("begin");
  const said = document.getElementById("begin-said");
  const { params, version, many, id } = form.elements;
  const button = form.querySelector("[type=submit]");

  function wrong(field, words) {
    setInvalid(field, true);
    field.focus();
    announce(said, "bad", words);
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (isDisabled(button)) return;
    for (const field of [params, many, id]) setInvalid(field, false);
    const { json, wrong: why } = typed(params.value, "The params are");
    if (why) return wrong(params, why);
    const count = many.valueAsNumber;
    if (!many.checkValidity()) return wrong(many, "1 to 100 runs can be started at once.");
    if (count > 1 && id.value.trim()) return wrong(id, "Several runs can't have one id: leave it empty, or start one.");
    const entry = { params: json, ...(id.value.trim() ? { id: id.value.trim() } : {}) };
    const which = { workflow: workflow(), ...(version.value ? { version: version.value } : {}) };
    const api = `/api${tenantPath(tenant)}/instances`;
    once(button, async () => {
      try {
        if (count === 1) {
          const made = await post(api, { ...entry, ...which }, { token: key() });
          announce(said, "calm", "Started ", el("a.mono", { href: pagePath({ tenant, id: made.id }) }, made.id));
          id.value = "";
        } else {
          const { created } = await post(`${api}/batch`, { instances: Array(count).fill(entry), ...which }, { token: key() });
          announce(said, "calm", `Started ${created.length} runs.`);
        }
        started();
      } catch (error) {
        announce(said, "bad", error.message);
      }
    });
  });
}
