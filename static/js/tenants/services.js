// A tenant's own model and its servers of tools: where they are, what they are called with, and forms that set them.

import { confirm } from "../dialogs.js";
import { announce, el, icon } from "../dom.js";
import { request } from "../http.js";
import { tenantPath } from "../run/paths.js";

const number = (n) => n.toLocaleString("en");
const names = (text) => text.split(/[\s,]+/).filter(Boolean);

/** What a service is, in one line under its name. */
export function aboutModel({ models, tokens_per_day: day, tokens_per_run: run, secret }) {
  const budget = [day === undefined ? "" : `${number(day)} tokens a day`, run === undefined ? "" : `${number(run)} a run`].filter(Boolean).join(", ");
  return [models.includes("*") ? "any model" : models.join(", "), budget, secret ? `key: ${secret}` : "no key"].filter(Boolean).join(" · ");
}

export const aboutServer = ({ url, tools, secret }) => [url, tools ? tools.join(", ") || "no tools" : "all tools", secret ? `token: ${secret}` : "no token"].join(" · ");

/** What a form sends: fields that are left empty are left out. */
export const modelBody = ({ url, models, day, run, secret }) => ({ base_url: url.trim(), models: names(models), ...(day ? { tokens_per_day: Number(day) } : {}), ...(run ? { tokens_per_run: Number(run) } : {}), ...(secret.trim() ? { secret: secret.trim() } : {}) });

export const serverBody = ({ url, tools, secret }) => ({ url: url.trim(), ...(tools.trim() ? { tools: names(tools) } : {}), ...(secret.trim() ? { secret: secret.trim() } : {}) });

const valuesOf = (form) => Object.fromEntries([...form.elements].filter((field) => field.name).map((field) => [field.name, field.value]));

/** @param {{tenant: string, key: () => string, model: object | null, servers: object[]}} how */
export function makeServices({ tenant, key, model, servers }) {
  const api = `/api${tenantPath(tenant)}`;
  const part = (id) => ({ list: document.getElementById(id), form: document.getElementById(`${id}-form`), said: document.getElementById(`${id}-said`) });
  const models = part("model");
  const tools = part("tools");

  async function change(said, path, method, body, words) {
    try {
      const answer = await request(`${api}${path}`, { method, body, token: key() });
      announce(said, "calm", words);
      return answer ?? {};
    } catch (error) {
      announce(said, "bad", error.message);
      return null;
    }
  }

  function row(name, about, title, words, remove) {
    const button = el("button.btn.icon.small", { type: "button", title: "Remove" }, icon("i-close", { label: `Remove ${name}` }));
    button.addEventListener("click", async () => (await confirm({ title, words, yes: "Remove" })) && remove());
    return el("li", {}, el("span.service", {}, el("code", {}, name), el("small.dim", {}, about)), button);
  }

  function drawModel() {
    const shown = model && row(model.base_url, aboutModel(model), "Remove the model?", "Code that calls it gets an error from its next call on, unless the operator has a model of this name.", async () => {
      if (!(await change(models.said, "/ai", "DELETE", undefined, "The model is removed."))) return;
      model = null;
      drawModel();
      models.form.elements.url.focus();
    });
    models.list.replaceChildren(shown || el("li.nothing", {}, "No model of its own."));
  }

  function drawServers() {
    const path = (name) => `/mcp-servers/${encodeURIComponent(name)}`;
    const shown = servers.map((one) =>
      row(one.name, aboutServer(one), `Remove ${one.name}?`, "Code that calls its tools gets an error from its next call on.", async () => {
        if (!(await change(tools.said, path(one.name), "DELETE", undefined, `${one.name} is removed.`))) return;
        servers = servers.filter((other) => other !== one);
        drawServers();
        tools.form.elements.name.focus();
      }),
    );
    tools.list.replaceChildren(...(shown.length ? shown : [el("li.nothing", {}, "No servers of tools.")]));
  }

  models.form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = await change(models.said, "/ai", "PUT", modelBody(valuesOf(models.form)), "The model is set; the code has it from its next call on.");
    if (!answer) return;
    model = answer;
    drawModel();
    models.form.reset();
  });
  tools.form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const given = valuesOf(tools.form);
    const answer = await change(tools.said, `/mcp-servers/${encodeURIComponent(given.name)}`, "PUT", serverBody(given), `${given.name} is set; the code has it from its next call on.`);
    if (!answer) return;
    servers = [...servers.filter(({ name }) => name !== answer.name), answer].sort((a, b) => (a.name < b.name ? -1 : 1));
    drawServers();
    tools.form.reset();
  });
  drawModel();
  drawServers();
}
