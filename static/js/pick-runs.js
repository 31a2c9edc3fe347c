// Offers the runs that this browser started in the fields that ask for two of them.

import { el } from "./dom.js";
import { remembered } from "./tokens-store.js";
import { moment } from "./when.js";

const MOST = 30;

const runs = remembered().slice(0, MOST);
const form = document.querySelector(".pick");
if (runs.length) {
  form.append(el("datalist", { id: "runs-known" }, ...runs.map(({ id, title, at }) => el("option", { value: id }, `${title || "Untitled"} · ${moment(at)}`))));
  for (const field of form.querySelectorAll("input")) field.setAttribute("list", "runs-known");
  document.getElementById("runs-offered")?.removeAttribute("hidden");
}

// Values that are opened become trees. A toggle does not bubble.
document.getElementById("compare")?.addEventListener(
  "toggle",
  async ({ target }) => {
    const pre = target.open && target.querySelector(":scope > pre");
    if (pre) (await import("./compare-values.js")).asTree(pre);
  },
  true,
);
