// The runs that steps have started and wait for: a link in the row of each, with how the run stands, asked for while one of them goes on.

import { el, icon, setIcon } from "../dom.js";
import { STATUS } from "../statuses.js";
import { remember } from "../tokens-store.js";
import { call } from "./api.js";
import { instancePath, pagePath } from "./paths.js";

const ASKED = 100; // at once, the newest; what a page of the timeline shows is fewer
const AGAIN_MS = 2_000;

/** A link to the run that a step has started. What one run's token may change, its children's may, too. */
export function childLink(run, step, ...content) {
  const { child } = step;
  if (run.file) return el("span", { title: `The run ${child}, which is not in this file` }, ...(content.length ? content : [el("span.mono", {}, child)]));
  const keep = () => run.tenant || !run.token || remember(child, run.token, `Child ${step.name}`);
  return el("a", { href: pagePath({ ...run, id: child }), title: `The run ${child}`, onclick: keep, onauxclick: keep }, ...(content.length ? content : [el("span.mono", {}, child)]));
}

/** Whether the row of a step leads to its run from its end: one that is over, since a run that goes on is linked on the track. A copy's run is the run's that it was copied from. Pure. */
export const isPast = (step) => Boolean(step.child) && step.endedAt !== null && !step.edited && !step.copied;

/** Puts the link to its run at the end of the row of a step, or takes it away. `link(step)` makes one; null: this row has none. */
export function runTool(item, step, link, tabIndex) {
  const wanted = step && link && isPast(step) ? step.child : null;
  if ((item.runs?.dataset.run ?? null) !== wanted) {
    item.runs?.remove();
    item.runs = wanted && item.parts.row.appendChild(Object.assign(link(step), { className: "row-run" }));
    if (wanted) item.runs.dataset.run = wanted;
  }
  if (!wanted) return;
  item.runs.tabIndex = tabIndex;
  item.runs.setAttribute("aria-label", `Open the run of ${step.name}`);
}

/** The steps whose runs are to be asked about, those that began last first. Pure. */
export const askedAbout = (state) => [...state.open].filter((step) => step.child && step.endedAt === null).reverse().slice(0, ASKED);

export class ChildRuns {
  constructor() {
    this.reset(null);
    document.addEventListener("visibilitychange", () => this.ask());
  }

  reset(run) {
    clearTimeout(this.timer);
    Object.assign(this, { run, state: null, timer: null, asking: false });
    this.known = new Map(); // id -> status
    this.links = new Map(); // key of a step -> {link, mark, word}
  }

  update(state, isLive) {
    this.state = isLive ? state : null;
    for (const key of this.links.keys()) if (state.steps.get(key)?.endedAt !== null) this.links.delete(key);
    if (this.state && !this.timer && !this.asking) this.ask();
  }

  /** What stands on the track of a step that waits for its run. */
  toolOf(step) {
    if (!this.links.has(step.key)) {
      const mark = icon("i-running", { tone: "now" });
      const word = el("span.how", { hidden: true });
      this.links.set(step.key, { mark, word, tool: el("span.wake.of-run", {}, childLink(this.run, step, mark, el("span", {}, "Open run"), word)) });
      const { firstElementChild: link } = this.links.get(step.key).tool;
      link.hidden = Boolean(this.run.file);
      link.className = "btn line";
      this.draw(step);
    }
    return this.links.get(step.key).tool;
  }

  draw(step) {
    const { mark, word } = this.links.get(step.key) ?? {};
    const status = this.known.get(step.child);
    if (!mark || !status) return;
    setIcon(mark, STATUS[status].icon, STATUS[status].tone);
    word.textContent = STATUS[status].word.toLowerCase();
    word.hidden = false;
  }

  async ask() {
    clearTimeout(this.timer);
    this.timer = null;
    const { run, state } = this;
    const steps = state && !document.hidden ? askedAbout(state) : [];
    if (!steps.length) return;
    this.asking = true;
    const { ok, data } = await call("GET", `${instancePath(run)}/children?limit=${ASKED}`, { token: run.token });
    this.asking = false;
    if (this.run !== run) return;
    for (const { id, status } of ok ? data.children : []) this.known.set(id, status);
    for (const step of steps) this.draw(step);
    if (this.state) this.timer = setTimeout(() => this.ask(), AGAIN_MS);
  }
}
