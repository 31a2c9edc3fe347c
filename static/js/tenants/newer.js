// A living run that is not on the live version may be moved to it, where its history fits; whether it does is tried by the server.

import { request } from "../http.js";
import { close, notice } from "../notices.js";
import { FINAL } from "../run/fold.js";
import { instancePath, tenantPath } from "../run/paths.js";

const SUBJECT = "version";

/** @param {{tenant: string, key: string, run: {id: string, status: string, snippet: string, workflow: string}}} how */
export async function offerNewer({ tenant, key, run }) {
  if (FINAL.has(run.status)) return;
  const ask = (path) => request(`/api${tenantPath(tenant)}/workflow${path}`, { token: key });
  try {
    const [live] = (await ask(`s/${encodeURIComponent(run.workflow)}?limit=1`)).versions;
    if (!live || live.version === run.snippet) return;
    const own = await ask(`/${run.snippet}`).catch(() => null); // a run may have code of its own
    const text = `${own ? `This run is on version ${own.number}` : "This run has code of its own"}; version ${live.number} is live.`;
    notice(SUBJECT, { icon: "i-restart", tone: "calm", text, actions: [{ name: `Move it to version ${live.number}`, act: () => move({ tenant, key, run, live }) }] });
  } catch {
    // An offer only: without an answer there is none.
  }
}

export const withdraw = () => close(SUBJECT);

async function move({ tenant, key, run, live }) {
  try {
    await request(`${instancePath({ tenant, id: run.id })}/migrate`, { method: "POST", body: { version: live.version }, token: key });
    location.reload(); // other code, other lines
  } catch (error) {
    notice(SUBJECT, { icon: "i-warn", strong: "It stays on its version.", text: error.message });
  }
}

document.addEventListener("playground:status", ({ detail }) => FINAL.has(detail.status) && withdraw());
