// A tenant's schedules: what starts its runs by the clock, with the next time of each, and a form that adds one.

import { confirm } from "../dialogs.js";
import { announce, el, icon, isDisabled, once, setInvalid } from "../dom.js";
import { post, request } from "../http.js";
import { pagePath, tenantPath } from "../run/paths.js";
import { typed } from "../run/typed.js";

const AGAIN_MS = 30_000;
const AT = { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };

/** @param {{tenant: string, key: () => string, workflow: () => string, started: () => void}} how */
export function makeSchedules({ tenant, key, workflow, started }) {
  const list = document.getElementById("schedules");
  const form = document.getElementById("schedule-form");
  const said = document.getElementById("schedules-said");
  const { name, cron, zone, params } = form.elements;
  const button = form.querySelector("[type=submit]");
  const api = `/api${tenantPath(tenant)}/schedules`;
  let drawn = "";
  let timer = 0;
  zone.value = Intl.DateTimeFormat("en-GB").resolvedOptions().timeZone ?? "UTC";

  async function look() {
    clearTimeout(timer);
    try {
      draw((await request(api, { token: key() })).schedules);
    } catch (error) {
      announce(said, "bad", error.message);
    }
    if (!document.hidden) timer = setTimeout(look, AGAIN_MS);
  }

  /** Asks for a change; whether it was made. */
  async function change(ask, ...words) {
    try {
      const answer = await ask();
      announce(said, "calm", ...words.flatMap((one) => (typeof one === "function" ? one(answer) : [one])));
    } catch (error) {
      announce(said, "bad", error.message);
      return false;
    }
    await look();
    return true;
  }

  function draw(all) {
    const shown = JSON.stringify(all);
    if (shown === drawn) return;
    drawn = shown;
    const held = document.activeElement?.closest?.("#schedules [data-act]");
    list.replaceChildren(...(all.length ? all.map(row) : [el("li.nothing", {}, "No schedules.")]));
    if (held) list.querySelector(`[data-name="${CSS.escape(held.dataset.name)}"][data-act="${held.dataset.act}"]`)?.focus();
  }

  function row(one) {
    const path = `${api}/${encodeURIComponent(one.name)}`;
    const act = (what, mark, label, press) => {
      const made = el("button.btn.icon.small", { type: "button", title: label, dataset: { act: what, name: one.name } }, icon(mark, { label: `${label}: ${one.name}` }));
      made.addEventListener("click", press);
      return made;
    };
    const run = () => change(() => post(`${path}/run`, undefined, { token: key() }), ({ id }) => (started(), ["Started ", el("a.mono", { href: pagePath({ tenant, id }) }, id)]));
    const pause = () => change(() => post(`${path}/${one.paused ? "resume" : "pause"}`, undefined, { token: key() }), one.paused ? `${one.name} goes on.` : `${one.name} is paused.`);
    const remove = async () => {
      const sure = await confirm({ title: `Delete ${one.name}?`, words: "It starts no more runs. Those that it has started stay.", yes: "Delete it" });
      if (sure && (await change(() => request(path, { method: "DELETE", token: key() }), `${one.name} is deleted.`))) name.focus();
    };
    return el(
      "li",
      {},
      el("span.schedule-name", {}, el("code", { title: one.name }, one.name), one.paused ? el("span.tag", {}, "paused") : null),
      el("span.row-acts", {}, act("run", "i-play", "Run now", run), act("pause", one.paused ? "i-retry" : "i-pause", one.paused ? "Resume" : "Pause", pause), act("delete", "i-close", "Delete", remove)),
      el("span.dim", {}, el("code", {}, one.cron), ` ${one.timezone}${one.workflow === "main" ? "" : `, starts ${one.workflow}`}`),
      one.next.length ? el("time.dim", { datetime: new Date(one.next[0]).toISOString(), title: one.next.map((at) => moment(at, one.timezone)).join("\n") }, `Next ${moment(one.next[0], one.timezone)}`) : null,
      one.last_error ? el("span.said", { title: one.last_error }, `Did not start: ${one.last_error}`) : null,
    );
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (isDisabled(button)) return;
    setInvalid(params, false);
    const { json, wrong } = typed(params.value, "The params are");
    if (wrong) {
      setInvalid(params, true);
      params.focus();
      announce(said, "bad", wrong);
      return;
    }
    const body = { workflow: workflow() || "main", cron: cron.value.trim(), timezone: zone.value.trim(), params: json };
    const put = () => request(`${api}/${encodeURIComponent(name.value.trim())}`, { method: "PUT", body, token: key() });
    once(button, async () => {
      if (await change(put, ({ name: made, next, timezone }) => [`${made} is set; it starts next ${moment(next[0], timezone)}.`])) for (const field of [name, cron]) field.value = "";
    });
  });
  document.addEventListener("visibilitychange", () => !document.hidden && look());
  look();
}

/** A time as the schedule's own clock shows it. */
function moment(at, timeZone) {
  try {
    return new Date(at).toLocaleString("en-GB", { ...AT, timeZone });
  } catch {
    return new Date(at).toLocaleString("en-GB", AT); // a zone that this browser does not know
  }
}
