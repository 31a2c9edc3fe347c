// The hosts that a tenant's code may ask with fetch: its own list, of which each entry may name a secret that is sent along.

import { confirm } from "../dialogs.js";
import { announce, el, icon, once } from "../dom.js";
import { request } from "../http.js";
import { tenantPath } from "../run/paths.js";

/** @param {{tenant: string, key: () => string}} how */
export function makeFetch({ tenant, key }) {
  const list = document.getElementById("hosts");
  const form = document.getElementById("host-form");
  const said = document.getElementById("hosts-said");
  const allowed = document.getElementById("hosts-possible");
  const api = `/api${tenantPath(tenant)}/fetch`;
  let entries = [];

  async function put(next, words) {
    try {
      draw(await request(api, { method: "PUT", body: { allow: next }, token: key() }));
      announce(said, "calm", words);
      return true;
    } catch (error) {
      announce(said, "bad", error.message);
      return false;
    }
  }

  function draw({ allow, everybody, possible }) {
    entries = allow;
    const own = possible.filter((rule) => !everybody.includes(rule));
    allowed.textContent = own.length ? `You may add: ${own.join(", ")}.` : "The operator lets tenants add no others.";
    form.hidden = !own.length && !allow.length;
    list.replaceChildren(...everybody.map((rule) => el("li", {}, el("code", {}, rule), el("span.dim", {}, "for everybody"))), ...allow.map(row));
  }

  function row(entry, place) {
    const { host, methods } = entry;
    const name = `${methods ? `${methods.join(",")} ` : ""}${host}`;
    const button = el("button.btn.icon.small", { type: "button", title: "Remove" }, icon("i-close", { label: `Remove ${name}` }));
    button.addEventListener("click", async () => {
      const sure = await confirm({ title: `Remove ${host}?`, words: "Code that asks it fails from its next execution on.", yes: "Remove" });
      if (sure && (await put(entries.filter((_, other) => other !== place), `${host} is removed.`))) form.elements.host.focus();
    });
    return el("li", {}, el("code", {}, name), el("span.dim", {}, sentWith(entry)), button);
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const { host, secret } = form.elements;
    const entry = { host: host.value.trim(), ...(secret.value.trim() ? { secret: secret.value.trim() } : {}) };
    once(form.querySelector("[type=submit]"), async () => {
      if (await put([...entries, entry], `${entry.host} may be asked from the next execution on.`)) form.reset();
    });
  });
  request(api, { token: key() }).then(draw, (error) => announce(said, "bad", error.message));
}

/** What goes along with each request to a host, in words. */
export function sentWith({ secret, header, idempotency }) {
  const parts = [];
  if (secret) parts.push(`with ${secret}${header ? ` as ${header.split(":")[0]}` : ""}`);
  if (idempotency) parts.push("with a key of the step");
  return parts.join(", ");
}
