// Deploying the code as a tenant's, with the tenant's key, and starting a run of it to see that it does. The key is kept in this browser if
// that is wanted: then the tenant's pages open by themselves.

import { announce, el } from "./dom.js";
import { JsonText } from "./exact.js";
import { post, request } from "./http.js";
import { pagePath, tenantPath } from "./run/paths.js";
import { brief } from "./run/value.js";
import { FINAL } from "./statuses.js";
import { forget, keep, kept, keyOf } from "./tenants/kept.js";

const MAIN = "main"; // the workflow that is meant where none is named
const LOOK_MS = 500;
const LOOKS = 60; // then it is left to itself

/** @param {{source: () => string, params: () => string | null}} how  `params` gives their JSON, null for none */
export function makeDeploy({ source, params }) {
  const form = document.getElementById("deploy-form");
  const start = document.getElementById("deploy-start");
  const said = document.getElementById("deploy-said");
  const { tenant, workflow, "deploy-key": key, keep: keeping } = form.elements;

  const name = () => tenant.value.trim();
  const called = () => workflow.value.trim() || MAIN;
  const of = (path) => `/api${tenantPath(name())}${path}`;
  const token = () => key.value.trim();
  const link = (href, words) => el("a", { href }, words);

  document.getElementById("deploy-known").replaceChildren(...kept().map((one) => new Option(one)));
  const fill = () => keyOf(name()) && (key.value = keyOf(name()));
  tenant.addEventListener("change", fill);
  tenant.value ||= kept()[0] ?? ""; // who is quick has written a name before this file came
  if (!key.value) fill();

  async function trying(what) {
    start.disabled = true;
    try {
      await what();
      start.disabled = false;
    } catch (error) {
      announce(said, "bad", error.message);
      start.disabled = error.code === "key.wrong" || error.code === "source.refused";
    }
  }

  document.getElementById("deploy-send").disabled = false;

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    trying(async () => {
      const made = await request(of(`/workflows/${encodeURIComponent(called())}`), { method: "PUT", body: { source: source() }, token: token() });
      if (keeping.checked) keep(name(), token());
      else forget(name());
      const version = `Version ${made.number} (${made.version.slice(0, 8)})${made.workflow === MAIN ? "" : ` of ${made.workflow}`}`;
      announce(said, "calm", made.created ? `${version} is deployed: new runs of ` : `${version} is this code already; see `, link(tenantPath(name()), name()), made.created ? " get it." : ".");
    });
  });

  start.addEventListener("click", () =>
    trying(async () => {
      const json = params();
      const made = await post(of("/instances"), { workflow: called(), ...(json === null ? {} : { params: new JsonText(json) }) }, { token: token() });
      const run = link(pagePath({ tenant: name(), id: made.id }), made.id);
      for (let look = 0; look < LOOKS; look += 1) {
        const found = await request(of(`/instances/${made.id}`), { token: token() });
        announce(said, "calm", "Run ", run, `: ${found.status}${ending(found)}`);
        if (FINAL.has(found.status)) return;
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      }
    }),
  );
}

function ending({ status, output, error }) {
  if (status === "complete") return `, ${brief(output)}`;
  return error ? `, ${error.name}: ${error.message}` : "";
}
