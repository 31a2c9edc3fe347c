// A tenant's workflows, each with its live version. The chosen one is whose versions are listed and whose runs are started; where there is
// one only, there is nothing to choose, and the list is not shown.

import { el } from "../dom.js";
import { request } from "../http.js";
import { tenantPath } from "../run/paths.js";
import { moment } from "../when.js";

export const MAIN = "main";

export class Workflows {
  /** @param {{tenant: string, key: () => string, chosen: () => void, changed: () => void, trouble: (error: Error) => void}} how `changed` is called when there are others */
  constructor(how) {
    Object.assign(this, how);
    this.box = document.getElementById("workflows");
    this.list = document.getElementById("workflows-list");
    this.count = document.getElementById("workflows-count");
    this.all = [];
    this.name = new URL(location.href).searchParams.get("workflow") ?? "";
    this.list.addEventListener("change", ({ target }) => this.choose(target.value));
  }

  get many() {
    return this.all.length > 1;
  }

  choose(name) {
    if (name === this.name) return;
    this.name = name;
    const url = new URL(location.href);
    url.searchParams.set("workflow", name);
    history.replaceState(null, "", url);
    this.chosen();
  }

  async look() {
    let all;
    try {
      all = (await request(`/api${tenantPath(this.tenant)}/workflows`, { token: this.key() })).workflows;
    } catch (error) {
      this.trouble(error);
      return;
    }
    const drawn = JSON.stringify(all);
    if (drawn !== this.drawn) {
      this.drawn = drawn;
      this.all = all;
      this.name = shownOf(all, this.name);
      this.draw();
      this.changed();
    }
    this.chosen();
  }

  draw() {
    this.box.hidden = !this.many;
    this.count.textContent = this.all.length.toLocaleString("en");
    const held = this.list.contains(document.activeElement);
    this.list.replaceChildren(...this.all.map((one) => this.row(one)));
    if (held) this.list.querySelector(":checked")?.focus();
  }

  row({ workflow, number, created_at: at }) {
    return el(
      "label",
      {},
      el("input", { type: "radio", name: "workflow", value: workflow, checked: workflow === this.name }),
      el("span.mono", { title: workflow }, workflow),
      el("span.dim.num", {}, `version ${number}`),
      el("time.dim", { datetime: new Date(at).toISOString() }, moment(at)),
    );
  }
}

/** Which of the workflows is shown: the one that was asked for, else the main one, else the first. */
export function shownOf(all, asked) {
  const names = all.map((one) => one.workflow);
  return [asked, MAIN, names[0]].find((name) => names.includes(name)) ?? MAIN;
}
