// The versions of a tenant's workflow, newest first; the newest is the live one, which new runs get. The code of each is asked for when it is looked at.

import { el, setDisabled } from "../dom.js";
import { request } from "../http.js";
import { tenantPath } from "../run/paths.js";
import { moment } from "../when.js";

const PAGE = 10;
const NONE = "Nothing is deployed yet: a run needs a version.";

export class Versions {
  /** @param {{tenant: string, workflow: () => string, named: () => string, key: () => string, changed: () => void, trouble: (error: Error) => void}} how `named` is what says whose versions these are; `changed` is called when there are others */
  constructor(how) {
    Object.assign(this, how);
    this.list = document.getElementById("versions");
    this.more = document.getElementById("versions-more");
    this.count = document.getElementById("versions-count");
    this.choice = document.getElementById("begin-version");
    this.live = document.getElementById("tenant-live");
    this.start = document.querySelector("#begin [type=submit]");
    this.shown = [];
    this.any = true; // as far as is known
    this.numbers = new Map(); // by hash; the newest, where the same code was deployed again
    this.rows = new Map(); // by hash, each made once, so that one that is open stays so
    this.more.addEventListener("click", () => this.next());
  }

  get path() {
    return `/api${tenantPath(this.tenant)}/workflows/${encodeURIComponent(this.workflow())}`;
  }

  /** The number of a version, or the beginning of its hash where it is not known: code of its own, or an older version. */
  of(hash) {
    const number = this.numbers.get(hash);
    return number ? String(number) : hash.slice(0, 8);
  }

  /** The newest. */
  look() {
    return this.read([], "");
  }

  async next() {
    const at = this.shown.length;
    await this.read(this.shown, `&before=${this.before}`);
    this.list.children[at]?.querySelector("summary").focus();
  }

  /** What is known of newest versions, so that the number of a run of another workflow is known too. */
  know(newest) {
    for (const { version, number } of newest) this.numbers.set(version, Math.max(number, this.numbers.get(version) ?? 0));
  }

  async read(shown, before) {
    const { path } = this;
    try {
      const answer = await request(`${path}?limit=${PAGE}${before}`, { token: this.key() });
      if (path !== this.path) return; // another workflow has been chosen meanwhile
      this.shown = [...shown, ...answer.versions];
      this.before = answer.before;
      this.know(answer.versions);
    } catch (error) {
      if (error.code !== "tenant.not_found") return this.trouble(error);
      this.shown = []; // nothing is deployed yet
      this.before = null;
    }
    this.draw();
    this.changed();
  }

  draw() {
    const [live] = this.shown;
    this.live.textContent = live ? `version ${live.number}${this.named()} is live` : "nothing is deployed yet";
    if (Boolean(live) !== this.any) setDisabled(this.start, (this.any = Boolean(live)) ? "" : NONE);
    this.count.textContent = live ? live.number.toLocaleString("en") : "";
    this.more.hidden = !this.before;
    this.list.replaceChildren(...(live ? this.shown.map((one) => this.row(one, one === live)) : [el("li.nothing", {}, "Nothing is deployed yet.")]));
    const chosen = this.choice.value;
    this.choice.replaceChildren(...(this.shown.length ? this.shown.map((one) => el("option", { value: one === live ? "" : one.version }, one === live ? `${one.number}, live` : `${one.number}`)) : [el("option", { value: "" }, "none yet")]));
    if ([...this.choice.options].some((one) => one.value === chosen)) this.choice.value = chosen;
  }

  row(one, live) {
    if (!this.rows.has(one.version)) this.rows.set(one.version, el("li", {}, this.details(one)));
    const row = this.rows.get(one.version);
    row.querySelector(".live").hidden = !live;
    return row;
  }

  details(one) {
    const code = el("pre.code", { tabindex: "0" }, "Loading");
    const details = el(
      "details",
      {},
      el("summary", {}, el("b.num", {}, String(one.number)), el("span.tag.live", {}, "live"), el("code", { title: one.version }, one.version.slice(0, 8)), one.class_name === "TenantWorkflow" ? null : el("code", {}, one.class_name), el("time.dim", { datetime: new Date(one.created_at).toISOString() }, moment(one.created_at))),
      code,
    );
    details.addEventListener("toggle", async () => {
      if (!details.open || details.dataset.read) return;
      try {
        code.textContent = (await request(`/api${tenantPath(this.tenant)}/workflow/${one.version}`, { token: this.key() })).source;
        details.dataset.read = "yes";
      } catch (error) {
        code.textContent = error.message;
      }
    });
    return details;
  }
}
