// A tenant's versions, newest first; the newest is the live one, which new runs get. The code of each is asked for when it is looked at.

import { el } from "../dom.js";
import { request } from "../http.js";
import { tenantPath } from "../run/paths.js";
import { moment } from "../when.js";

const PAGE = 10;

export class Versions {
  /** @param {{tenant: string, key: () => string, changed: () => void}} how `changed` is called when there are others */
  constructor(how) {
    Object.assign(this, how);
    this.list = document.getElementById("versions");
    this.more = document.getElementById("versions-more");
    this.count = document.getElementById("versions-count");
    this.choice = document.getElementById("begin-version");
    this.shown = [];
    this.numbers = new Map(); // by hash
    this.more.addEventListener("click", () => this.next());
  }

  get path() {
    return `/api${tenantPath(this.tenant)}/workflow`;
  }

  /** The number of a version, or the beginning of its hash where it is not known: code of its own, or an older version. */
  of(hash) {
    const number = this.numbers.get(hash);
    return number ? String(number) : hash.slice(0, 8);
  }

  async look() {
    this.shown = [];
    await this.next(false);
  }

  async next(focus = true) {
    const at = this.shown.length;
    const before = this.before && at ? `&before=${this.before}` : "";
    const answer = await request(`${this.path}?limit=${PAGE}${before}`, { token: this.key() });
    this.shown = [...this.shown, ...answer.versions];
    this.before = answer.before;
    for (const one of answer.versions) this.numbers.set(one.version, one.number);
    this.draw();
    if (focus) this.list.children[at]?.querySelector("summary").focus();
    this.changed();
  }

  draw() {
    const open = new Map([...this.list.querySelectorAll("details[open]")].map((one) => [one.dataset.version, one]));
    const [live] = this.shown;
    this.count.textContent = live ? live.number.toLocaleString("en") : "";
    this.more.hidden = !this.before;
    this.list.replaceChildren(...(this.shown.length ? this.shown.map((one) => el("li", {}, open.get(one.version) ?? this.row(one, one === live))) : [el("li.nothing", {}, "Nothing is deployed yet.")]));
    const chosen = this.choice.value;
    this.choice.replaceChildren(...(this.shown.length ? this.shown.map((one) => el("option", { value: one === live ? "" : one.version }, one === live ? `${one.number}, live` : `${one.number}`)) : [el("option", { value: "" }, "none yet")]));
    if ([...this.choice.options].some((one) => one.value === chosen)) this.choice.value = chosen;
  }

  row(one, live) {
    const code = el("pre.code", { tabindex: "0" }, "Loading");
    const details = el(
      "details",
      { dataset: { version: one.version } },
      el("summary", {}, el("b.num", {}, String(one.number)), live ? el("span.tag.live", {}, "live") : null, el("code", { title: one.version }, one.version.slice(0, 8)), one.class_name === "TenantWorkflow" ? null : el("code", {}, one.class_name), el("time.dim", { datetime: new Date(one.created_at).toISOString() }, moment(one.created_at))),
      code,
    );
    details.addEventListener("toggle", async () => {
      if (!details.open || details.dataset.read) return;
      try {
        code.textContent = (await request(`${this.path}/${one.version}`, { token: this.key() })).source;
        details.dataset.read = "yes";
      } catch (error) {
        code.textContent = error.message;
      }
    });
    return details;
  }
}
