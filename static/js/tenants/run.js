// A page of a tenant's run: what it is made of, and how such runs are started.

import { confirm } from "../dialogs.js";
import { JsonText } from "../exact.js";
import { post, request } from "../http.js";
import { pagePath, tenantPath } from "../run/paths.js";
import { passGate } from "./gate.js";
import { offerNewer, withdraw } from "./newer.js";

/**
 * What a page of a tenant's run is made of, once its key is there. The page came without anything of the tenant's.
 * @param {object} page  as it came
 * @returns {Promise<{page: object, whose: import("../whose.js").Whose}>}
 */
export async function openTenant(page) {
  const { tenant } = page;
  const load = (token) => request(location.pathname + location.search, { token });
  const { key, found } = await passGate({ box: document.getElementById("key"), tenant, load });
  document.getElementById("title").textContent = found.title;
  document.getElementById("source").value = found.source;
  document.getElementById("params").value = found.params;
  document.querySelector("#listing code").textContent = found.source;
  document.getElementById("play").hidden = false;
  offerNewer({ tenant, key, run: found.instance });
  return { page: found, whose: of(tenant, key, found) };
}

/** @returns {import("../whose.js").Whose} */
function of(tenant, key, found) {
  const version = { source: found.source, id: found.instance.snippet };
  const api = `/api${tenantPath(tenant)}`;
  return {
    tenant,
    tokenOf: () => key,
    version: () => version.id,
    titleOf: () => null,
    rename: null,
    made({ id, version: snippet }) {
      withdraw(); // it was about the run before
      return { id, token: key, path: pagePath({ tenant, id }), snippet };
    },
    async create({ source, params }, options) {
      const start = () => post(`${api}/instances`, { version: version.id, ...(params === null ? {} : { params: new JsonText(params) }) }, { ...options, token: key });
      try {
        if (source === version.source) return await start();
      } catch (error) {
        if (error.code !== "version.not_found") throw error; // a run may have code of its own, which was never deployed
      }
      const sure = await confirm({ title: "Deploy the edited code?", words: `A run of ${tenant} runs a version of its code. The edited code becomes the newest one, which new runs get; runs that there are stay on theirs.`, yes: "Deploy and run" });
      if (!sure) return null;
      const made = await request(`${api}/workflows/${encodeURIComponent(found.instance.workflow)}`, { method: "PUT", body: { source }, token: key });
      Object.assign(version, { source, id: made.version });
      return start();
    },
  };
}
