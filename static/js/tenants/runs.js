// A tenant's runs: newest first, those that fit a filter (find.js), a page at a time. Looked at again every few seconds while the page is in sight.

import { el } from "../dom.js";
import { request } from "../http.js";
import { pagePath, tenantPath } from "../run/paths.js";
import { errorBrief, lasting, moment } from "../run/words.js";
import { STATUS, statusIcon } from "../statuses.js";
import { moment as begun } from "../when.js";
import { asBody, filterOf, filterOfAddress, intoAddress, textOf } from "./find.js";

const PAGE = 25;
const MOST = 200; // in one answer; further pages are not looked at again
const AGAIN_MS = 3_000;
const NONE = "No run yet. Start one, with the form or over HTTP.";
const NOTHING = "No run yet. First deploy what is to run: write it in the editor, press Share, then Deploy as tenant.";

export class Runs {
  /** @param {{tenant: string, key: () => string, versionOf: (hash: string) => string, workflowOf: (name: string) => string, deployed: () => boolean, trouble: (error: Error | null) => void, counted: (counts: object) => void}} how */
  constructor(how) {
    Object.assign(this, how);
    this.list = document.getElementById("runs-rows");
    this.none = document.getElementById("runs-none");
    this.more = document.getElementById("runs-more");
    this.chips = [...document.querySelectorAll("#runs-filter [data-status]")];
    const query = new URL(location.href).searchParams;
    const asked = query.get("status") ?? "";
    this.filter = filterOfAddress(query);
    this.text = document.getElementById("runs-text");
    this.text.value = textOf(this.filter);
    this.bulk = document.getElementById("bulk");
    document.getElementById("runs-find").addEventListener("submit", (event) => {
      event.preventDefault();
      this.find(this.text.value);
    });
    this.text.addEventListener("search", () => this.text.value || this.find("")); // its cross was pressed
    this.status = this.chips.some((chip) => chip.dataset.status === asked) ? asked : "";
    this.shown = [];
    for (const chip of this.chips) chip.addEventListener("click", () => this.choose(chip.dataset.status));
    this.more.addEventListener("click", () => this.next());
    document.addEventListener("visibilitychange", () => !document.hidden && this.look());
    this.mark();
  }

  /** What is listed, as the API takes it. */
  get chosen() {
    return asBody(this.filter, this.status);
  }

  find(text) {
    this.filter = filterOf(text);
    this.choose(this.status);
  }

  choose(status) {
    this.status = status;
    this.shown = [];
    const url = new URL(location.href);
    if (status) url.searchParams.set("status", status);
    else url.searchParams.delete("status");
    intoAddress(url.searchParams, this.filter);
    history.replaceState(null, "", url);
    this.mark();
    this.list.setAttribute("aria-busy", "true");
    this.look();
  }

  mark() {
    for (const chip of this.chips) chip.setAttribute("aria-pressed", String(chip.dataset.status === this.status));
    this.bulk.hidden = !this.status && !this.filter.length; // never all by accident
  }

  /** The newest runs, as many as are shown. */
  async look() {
    clearTimeout(this.timer);
    const { status, filter } = this;
    const limit = Math.min(MOST, Math.max(PAGE, this.shown.length));
    const answer = await this.ask({ limit });
    if (status !== this.status || filter !== this.filter) return;
    if (answer) {
      const rest = this.shown.length > MOST ? this.shown.slice(MOST) : [];
      this.shown = [...answer.instances, ...rest];
      if (!rest.length) this.before = answer.before;
      this.draw(answer.counts);
    }
    if (!document.hidden) this.timer = setTimeout(() => this.look(), AGAIN_MS);
  }

  async next() {
    const { status, before, filter } = this;
    if (!before) return;
    const answer = await this.ask({ limit: PAGE, before });
    if (!answer || status !== this.status || filter !== this.filter) return;
    const at = this.shown.length;
    this.shown = [...this.shown, ...answer.instances];
    this.before = answer.before;
    this.draw(answer.counts);
    this.list.children[at]?.querySelector("a").focus();
  }

  async ask(query) {
    const asked = new URLSearchParams({ ...query, ...(this.status ? { status: this.status } : {}) });
    intoAddress(asked, this.filter);
    try {
      const answer = await request(`/api${tenantPath(this.tenant)}/instances?${asked}`, { token: this.key() });
      this.trouble(null);
      return answer;
    } catch (error) {
      this.trouble(error);
      return null;
    }
  }

  draw(counts) {
    this.counted(counts);
    const all = Object.values(counts).reduce((sum, one) => sum + one, 0);
    for (const chip of this.chips) {
      const many = chip.dataset.status ? counts[chip.dataset.status] : all;
      chip.querySelector(".num").textContent = many.toLocaleString("en");
      chip.hidden = Boolean(chip.dataset.status) && !many && chip.dataset.status !== this.status;
    }
    this.list.setAttribute("aria-busy", "false");
    const drawn = JSON.stringify(this.shown.map((run) => [run, this.versionOf(run.version), this.workflowOf(run.workflow)]));
    this.more.hidden = !this.before;
    this.none.hidden = this.shown.length > 0;
    this.none.textContent = this.filter.length ? (this.before ? "None among the newest. More looks further back." : "No run fits.") : all ? `No run is ${this.chips.find((chip) => chip.dataset.status === this.status).firstChild.textContent.trim()} now.` : this.deployed() ? NONE : NOTHING;
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    const held = document.activeElement?.closest?.("#runs-rows li")?.dataset.id;
    this.list.replaceChildren(...this.shown.map((run) => this.row(run)));
    if (held) [...this.list.children].find((row) => row.dataset.id === held)?.querySelector("a").focus();
  }

  row(run) {
    const error = run.status === "errored" && run.error ? errorBrief(run.error) : "";
    const workflow = this.workflowOf(run.workflow);
    return el(
      "li",
      { dataset: { id: run.id } },
      el("span.state", {}, statusIcon(run.status), el("span", {}, STATUS[run.status].word)),
      el("a.mono", { href: pagePath({ tenant: this.tenant, id: run.id }), title: run.id }, run.id),
      el("span.of-version", {}, el("span.sr", {}, "version "), this.versionOf(run.version)),
      el("time.num", { datetime: new Date(run.created_at).toISOString(), title: new Date(run.created_at).toLocaleString("en-GB") }, begun(run.created_at)),
      el("span.num.took", {}, lastly(run)),
      workflow ? el("span.of-workflow", { title: workflow }, el("span.sr", {}, "workflow "), workflow) : null,
      error ? el("span.said", { title: error }, error) : null,
      run.tags.length ? el("span.of-tags", { title: run.tags.join(", ") }, el("span.sr", {}, "tags "), run.tags.join(", ")) : null,
      run.queue ? el("span.said.held", { title: run.queue.text }, run.queue.text) : null,
    );
  }
}

/** How long it took, or until when it waits. */
function lastly({ status, started_at: from, ended_at: to, waiting_until: until, queue }) {
  if (from !== null && to !== null) return lasting(to - from);
  if (queue?.until) return `from ${moment(queue.until, Date.now())}`;
  return status === "waiting" && until !== null ? `until ${moment(until, Date.now())}` : "";
}
