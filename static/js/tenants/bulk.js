// One operation on all of a tenant's runs that are listed: asked with how many these are, followed while it goes on, stopped half way. The
// server carries it out, so that one that is under way when the page is opened is shown, too.

import { confirm } from "../dialogs.js";
import { el } from "../dom.js";
import { Refused, request } from "../http.js";
import { tenantPath } from "../run/paths.js";
import { question, standing } from "./find.js";

const AGAIN_MS = 400;
const OPERATIONS = { terminate: ["Terminate", "over"], pause: ["Pause", "paused or over"], resume: ["Resume", "going on or over"], restart: ["Restart", ""], fork: ["Fork", ""], delete: ["Delete", ""] };
const SHOWN = 5; // failures

/** @param {{tenant: string, key: () => string, filter: () => object, changed: () => void}} how */
export function makeBulk({ tenant, key, filter, changed }) {
  const node = (id) => document.getElementById(id);
  const form = node("bulk");
  const now = node("bulk-now");
  const bar = now.querySelector("progress");
  const base = `/api${tenantPath(tenant)}/bulk`;
  const ask = (path, how = {}) => request(`${base}${path}`, { token: key(), ...how });
  const say = (words) => {
    node("bulk-trouble").textContent = words;
    node("bulk-trouble").hidden = !words;
  };
  let followed = null;

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const operation = form.elements.operation.value;
    const [verb, already] = OPERATIONS[operation];
    const body = { operation, filter: filter() };
    try {
      say("");
      const found = await ask("", { method: "POST", body: { ...body, dry_run: true } });
      if (!found.matched) return say("No run fits.");
      if (!(await confirm({ ...question(verb, found, already), yes: verb }))) return;
      follow(await ask("", { method: "POST", body }));
    } catch (error) {
      say(error.message);
    }
  });
  node("bulk-stop").addEventListener("click", async () => {
    try {
      draw(await ask(`/${followed}/stop`, { method: "POST" }));
    } catch (error) {
      say(error.message);
    }
  });

  async function follow(bulk) {
    followed = bulk.id;
    draw(bulk);
    while (bulk.state === "running" && followed === bulk.id) {
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
      try {
        bulk = await ask(`/${bulk.id}`);
      } catch (error) {
        if (error instanceof Refused) return say(error.message);
        continue; // the server is away; the operation goes on with it
      }
      draw(bulk);
    }
    changed();
  }

  function draw(bulk) {
    const over = bulk.state !== "running";
    now.hidden = false;
    bar.max = Math.max(bulk.matched, 1);
    bar.value = bulk.done + bulk.unchanged + bulk.failed;
    bar.hidden = over;
    node("bulk-word").textContent = `${OPERATIONS[bulk.operation][0]}:`;
    node("bulk-said").textContent = standing(bulk);
    node("bulk-stop").hidden = over;
    const rest = bulk.failed - SHOWN;
    node("bulk-failures").replaceChildren(
      ...bulk.failures.slice(0, SHOWN).map(({ id, message }) => el("li", {}, el("code", {}, id), " ", message)),
      ...(rest > 0 ? [el("li", {}, `and ${rest.toLocaleString("en")} more`)] : []),
    );
  }

  ask("").then(({ bulks }) => {
    const going = bulks.find(({ state }) => state === "running");
    if (going) follow(going);
  }, () => {}); // the list of runs says what is wrong
}
