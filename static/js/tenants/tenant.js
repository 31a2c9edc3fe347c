// The page of a tenant, put together.

import { confirm } from "../dialogs.js";
import { Refused, request } from "../http.js";
import { makeBegin } from "./begin.js";
import { makeBulk } from "./bulk.js";
import { makeFetch } from "./fetch.js";
import { passGate } from "./gate.js";
import { forget } from "./kept.js";
import { makeQueues } from "./queues.js";
import { Runs } from "./runs.js";
import { makeSchedules } from "./schedules.js";
import { makeSecrets } from "./secrets.js";
import { makeServices } from "./services.js";
import { makeTrigger } from "./trigger.js";
import { Versions } from "./versions.js";
import { Workflows } from "./workflows.js";

const node = (id) => document.getElementById(id);
const shown = node("tenant");
const { tenant } = shown.dataset;

const { key: held, found } = await passGate({ box: node("key"), tenant, load: (token) => request(location.pathname, { token }) });
const key = () => held;
shown.hidden = false;

const workflows = new Workflows({ tenant, key, chosen: () => versions.look(), changed: () => versions.know(workflows.all), trouble });
const versions = new Versions({ tenant, key, workflow: () => workflows.name, named: () => (workflows.many ? ` of ${workflows.name}` : ""), changed: () => runs.look(), trouble });
const runs = new Runs({
  tenant,
  key,
  versionOf: (hash) => versions.of(hash),
  workflowOf: (name) => (workflows.many ? name : ""),
  deployed: () => versions.any,
  counted(counts) {
    const going = counts.running + counts.queued + counts.waiting + counts.paused + counts.waitingForPause;
    queues?.lookAgain();
    document.title = `${going ? `${going} going on · ` : ""}${tenant} · Dynamic Workflows Playground`;
  },
  trouble,
});
makeBulk({ tenant, key, filter: () => runs.chosen, changed: () => runs.look() });
makeBegin({ tenant, key, workflow: () => workflows.name, started: () => runs.look() });
makeSchedules({ tenant, key, workflow: () => workflows.name, started: () => runs.look() });
makeSecrets({ tenant, key, names: found.secrets });
makeFetch({ tenant, key });
makeServices({ tenant, key, model: found.model, servers: found.tool_servers });
const queues = makeQueues({ tenant, key });
makeTrigger({ tenant, key });
workflows.look();
document.addEventListener("visibilitychange", () => !document.hidden && workflows.look()); // one may have been deployed elsewhere

node("key-forget").addEventListener("click", async () => {
  const sure = await confirm({ title: `Forget the key of ${tenant}?`, words: "It goes on being valid; this browser has it no more, and its pages ask for it.", yes: "Forget it" });
  if (!sure) return;
  forget(tenant);
  location.assign("/tenants");
});

/** What keeps the list from being up to date; null when nothing does. */
function trouble(error) {
  const box = node("tenant-trouble");
  const words = !error ? "" : error instanceof Refused ? error.message : `${error.message} The list stands as it was; trying again.`;
  if (box.textContent !== words) box.textContent = words;
  box.hidden = !error;
  if (error?.code === "key.revoked" || error?.code === "key.wrong") location.reload(); // the way in says so, and asks for another
}
