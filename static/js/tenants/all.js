// The tenants whose keys this browser keeps, each with how its runs stand, and a form that adds one.

import { el, icon } from "../dom.js";
import { Refused, request } from "../http.js";
import { tenantPath } from "../run/paths.js";
import { STATUS } from "../statuses.js";
import { forget, keep, kept, keyOf, onKept } from "./kept.js";

const TOLD = ["running", "waiting", "queued", "paused", "errored", "complete"]; // statuses that are counted on a card

const list = document.getElementById("mine");
const form = document.getElementById("add");
const said = document.getElementById("add-said");

function draw() {
  const names = kept().sort((a, b) => a.localeCompare(b));
  list.replaceChildren(...names.map(card));
  list.hidden = !names.length;
  list.setAttribute("aria-busy", "false");
  document.getElementById("mine-none").hidden = names.length > 0;
}

function card(name) {
  const facts = el("p.facts", {}, "Asking.");
  const button = el("button.btn.icon.small", { type: "button", title: "Forget its key" }, icon("i-close", { label: `Forget the key of ${name}` }));
  button.addEventListener("click", () => {
    forget(name);
    draw();
    (list.querySelector("a") ?? form.elements.name).focus();
  });
  tell(name, facts);
  return el("li.tenant-card", {}, el("a.mono", { href: tenantPath(name) }, name), button, facts);
}

async function tell(name, facts) {
  try {
    const { workflows, instances } = await request(tenantPath(name), { token: keyOf(name) });
    const counted = TOLD.filter((status) => instances[status]);
    facts.replaceChildren(
      el("span", {}, workflows.length > 1 ? `${workflows.length} workflows` : workflows.length ? `version ${workflows[0].number} is live` : "nothing is deployed yet"),
      ...counted.map((status) => {
        const { icon: shape, tone, word } = STATUS[status];
        return el("span.with-icon", {}, icon(shape, { tone }), `${instances[status].toLocaleString("en")} ${word.toLowerCase()}`);
      }),
      ...(counted.length ? [] : [el("span", {}, "no runs yet")]),
    );
  } catch (error) {
    facts.textContent = error instanceof Refused ? `${error.message} Open it to enter another key.` : error.message;
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = form.elements.name.value.trim();
  const key = form.elements["add-key"].value.trim();
  said.hidden = true;
  try {
    await request(tenantPath(name), { token: key });
  } catch (error) {
    said.textContent = error.message;
    said.hidden = false;
    form.elements["add-key"].focus();
    return;
  }
  keep(name, key);
  location.assign(tenantPath(name));
});
document.getElementById("add-send").disabled = false;
onKept(draw);
document.addEventListener("playground:kept", draw); // in this very tab
draw();
