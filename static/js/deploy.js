// Deploying the code as a tenant's, with the tenant's key, and starting a run of it to see that it does. The key is kept nowhere.

import { Already, post, request } from "./http.js";

const LOOK_MS = 500;
const LOOKS = 60; // then it is left to itself
const FINAL = new Set(["complete", "errored", "terminated"]);

/** @param {{source: () => string, params: () => string | null}} how  `params` gives their JSON, null for none */
export function makeDeploy({ source, params }) {
  const form = document.getElementById("deploy-form");
  const start = document.getElementById("deploy-start");
  const said = document.getElementById("deploy-said");

  const say = (words, bad = false) => {
    said.textContent = words;
    said.hidden = false;
    said.classList.toggle("bad", bad);
  };
  const of = (path) => `/api/tenants/${encodeURIComponent(form.elements.tenant.value.trim())}${path}`;
  const token = () => form.elements.key.value.trim();

  async function trying(what) {
    start.disabled = true;
    try {
      await what();
      start.disabled = false;
    } catch (error) {
      say(error.message, true);
      start.disabled = error.code === "key.wrong" || error.code === "source.refused";
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    trying(async () => {
      const made = await request(of("/workflow"), { method: "PUT", body: { source: source() }, token: token() });
      const version = `Version ${made.number} (${made.version.slice(0, 8)})`;
      say(made.created ? `${version} is deployed: new runs of this tenant get it.` : `${version} is this code already.`);
    });
  });

  start.addEventListener("click", () =>
    trying(async () => {
      const json = params();
      const made = await post(of("/instances"), new Already(json === null ? "{}" : `{"params":${json}}`), { token: token() });
      for (let look = 0; look < LOOKS; look += 1) {
        const run = await request(of(`/instances/${made.id}`), { token: token() });
        say(`Run ${made.id}: ${run.status}${ending(run)}`);
        if (FINAL.has(run.status)) return;
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      }
    }),
  );
}

function ending({ status, output, error }) {
  if (status === "complete") return `, ${JSON.stringify(output)}`;
  return error ? `, ${error.name}: ${error.message}` : "";
}
