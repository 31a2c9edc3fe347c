// A tenant's secrets: their names, and a form that sets one. No answer of the server has a value.

import { confirm } from "../dialogs.js";
import { announce, el, icon } from "../dom.js";
import { request } from "../http.js";
import { tenantPath } from "../run/paths.js";

/** @param {{tenant: string, key: () => string, names: string[]}} how */
export function makeSecrets({ tenant, key, names }) {
  const list = document.getElementById("secrets");
  const form = document.getElementById("secret-form");
  const said = document.getElementById("secrets-said");
  const api = `/api${tenantPath(tenant)}/secrets`;

  async function change(method, name, body, words) {
    try {
      await request(`${api}/${encodeURIComponent(name)}`, { method, body, token: key() });
      draw((await request(api, { token: key() })).secrets);
      announce(said, "calm", words);
      return true;
    } catch (error) {
      announce(said, "bad", error.message);
      return false;
    }
  }

  function draw(all) {
    list.replaceChildren(...(all.length ? all.map(row) : [el("li.nothing", {}, "No secrets.")]));
  }

  function row(name) {
    const button = el("button.btn.icon.small", { type: "button", title: "Remove" }, icon("i-close", { label: `Remove ${name}` }));
    button.addEventListener("click", async () => {
      const sure = await confirm({ title: `Remove ${name}?`, words: "Code that asks for it fails from its next execution on. The value can't be had back.", yes: "Remove" });
      if (sure && (await change("DELETE", name, undefined, `${name} is removed.`))) form.elements.name.focus();
    });
    return el("li", {}, el("code", {}, name), button);
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { name, "secret-value": value } = form.elements;
    if (await change("PUT", name.value, { value: value.value }, `${name.value} is set; the code has it from its next execution on.`)) form.reset();
  });
  draw(names);
}
