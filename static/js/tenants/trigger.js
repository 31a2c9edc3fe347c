// A tenant's trigger: its address is told once, when it is made.

import { confirm } from "../dialogs.js";
import { announce, el } from "../dom.js";
import { request } from "../http.js";
import { tenantPath } from "../run/paths.js";

/** @param {{tenant: string, key: () => string}} how */
export function makeTrigger({ tenant, key }) {
  const said = document.getElementById("trigger-said");
  const api = `/api${tenantPath(tenant)}/trigger`;

  async function ask(method, words) {
    try {
      const answer = await request(api, { method, token: key() });
      announce(said, "calm", ...words(answer));
    } catch (error) {
      announce(said, "bad", error.message);
    }
  }

  document.getElementById("trigger-make").addEventListener("click", async () => {
    const sure = await confirm({ title: "Make an address?", words: "If there is one already, it stops working. Whoever has the new one can start runs.", yes: "Make it" });
    if (sure) await ask("POST", ({ url }) => ["POST JSON to ", el("code", {}, new URL(url, location.origin).href), ". It is not shown again."]);
  });
  document.getElementById("trigger-remove").addEventListener("click", () => ask("DELETE", () => ["There is no trigger now."]));
}
