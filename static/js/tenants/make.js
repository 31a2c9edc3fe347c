// For the operator: a tenant with its key, and its first code, in two presses. The server knows the operator by the cookie
// or the password that the browser sends; the key is kept in this browser.

import { announce, once } from "../dom.js";
import { request } from "../http.js";
import { tenantPath } from "../run/paths.js";
import { read } from "../stored.js";
import { toast } from "../toast.js";
import { keep } from "./kept.js";

const DRAFT = "draft"; // what the editor keeps of unfinished code, and its value among the choices

const node = (id) => document.getElementById(id);
const form = node("make-form");
const first = node("first");
const code = node("first-code");
const draft = read(DRAFT);
let made = null; // {tenant, key}

if (typeof draft?.source === "string") code.prepend(new Option(`Your draft: ${draft.title}`, DRAFT));
node("make-send").disabled = false;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const name = form.elements.name.value.trim();
  trying(node("make-send"), node("make-said"), async () => {
    made = await request(`/api${tenantPath(name)}/keys`, { method: "POST", body: { name: "made on the page" } });
    keep(made.tenant, made.key);
    node("first-name").textContent = made.tenant;
    node("first-key").value = made.key;
    node("first-open").href = tenantPath(made.tenant);
    form.hidden = true;
    first.hidden = false;
    first.querySelector("h2").focus();
    document.dispatchEvent(new CustomEvent("playground:kept"));
    const none = node("all-none");
    if (none) none.textContent = `${made.tenant}, with nothing deployed yet.`;
  });
});

node("first-copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(made.key);
    toast("Key copied");
  } catch {
    node("first-key").select();
    toast("Copy the selected key");
  }
});

first.addEventListener("submit", (event) => {
  event.preventDefault();
  trying(first.querySelector("[type=submit]"), node("first-said"), async () => {
    const source = code.value === DRAFT ? draft.source : (await request(`/api/examples/${code.value}`)).source;
    await request(`/api${tenantPath(made.tenant)}/workflow`, { method: "PUT", body: { source }, token: made.key });
    location.assign(tenantPath(made.tenant));
  });
});

function trying(button, said, act) {
  said.hidden = true;
  return once(button, async () => {
    try {
      await act();
    } catch (error) {
      announce(said, "bad", error.message);
    }
  });
}
