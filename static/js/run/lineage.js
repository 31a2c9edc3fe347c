// Where a run comes from, what was forked from it, and what handles the messages of its own queue: one line, each run a link, with the way to
// compare the two. A batch of messages gets its run a moment after they were sent, so that is asked for a few times.

import { el, icon } from "../dom.js";
import { call } from "./api.js";
import { childLink } from "./child-runs.js";
import { forksOf, rememberForks } from "./fork.js";
import { instancePath, pagePath } from "./paths.js";
import { count, short, pathLabel } from "./words.js";

const SHOWN = 3; // forks named; the others are counted
const ID = 12; // characters of an id

const NAME = 40; // … and of a step's name
const AGAIN_MS = 1_200; // after messages were sent
const TRIES = 6;

export class Lineage {
  /** `home` is where the line is put, last. */
  constructor(home) {
    this.line = el("div.lineage", { hidden: true });
    home.append(this.line);
  }

  /** `asks`: the run was not begun here and now, so others may have forked it meanwhile. */
  open(run, asks) {
    this.run = run;
    this.forks = forksOf(run);
    this.state = null;
    this.drawn = "";
    clearTimeout(this.timer);
    Object.assign(this, { timer: null, deliveries: [], sent: 0, tries: 0 });
    this.line.hidden = true;
    if (asks && run.token) this.ask(run);
  }

  async ask(run) {
    const answer = await call("GET", `${instancePath(run)}?at=1`, { token: run.token }); // forks are those of now; all its steps would be megabytes
    if (!answer.ok || !answer.data.forks?.length) return;
    rememberForks(run, answer.data.forks.filter((id) => !forksOf(run).some((one) => one.id === id)).map((id) => ({ id, step: null })));
    if (this.run !== run) return;
    this.forks = forksOf(run);
    if (this.state) this.update(this.state);
  }

  update(state) {
    this.state = state;
    const { run, forks } = this;
    const from = state.trigger?.kind === "fork" ? state.trigger : null;
    const chaos = state.trigger?.kind === "chaos" ? state.trigger : null;
    const parent = ["child", "queue"].includes(state.trigger?.kind) && state.trigger.of ? state.trigger : null;
    this.follow(state.sent);
    const { deliveries } = this;
    const drawn = parent || from || chaos || forks.length || deliveries.length ? JSON.stringify([from && state.rows.filter((step) => step.copied).length, from, chaos, parent, forks, deliveries]) : "";
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    this.line.hidden = !drawn;
    this.line.replaceChildren(...(parent ? [startedBy(parent, run)] : []), ...(chaos ? [rerun(chaos, run)] : []), ...(from ? [origin(from, state, run)] : []), ...(forks.length ? [children(forks, run)] : []), ...(deliveries.length ? [handledBy(deliveries, run)] : []));
  }

  /** Of a run that has sent so many messages into its own queue. */
  follow(sent) {
    if (this.run.tenant || sent <= this.sent) return;
    Object.assign(this, { sent, tries: TRIES });
    this.timer ??= setTimeout(() => this.askDeliveries(this.run), AGAIN_MS);
  }

  async askDeliveries(run) {
    const { ok, data } = await call("GET", `${instancePath(run)}/children`, { token: run.token });
    if (this.run !== run) return;
    const found = ok ? data.children.filter(({ kind }) => kind === "queue").map(({ id }) => id) : [];
    this.tries = found.length > this.deliveries.length ? 0 : this.tries - 1;
    if (found.length) this.deliveries = found;
    this.timer = this.tries > 0 ? setTimeout(() => this.askDeliveries(run), AGAIN_MS) : null;
    if (this.state) this.update(this.state);
  }
}

function origin(from, state, run) {
  const copied = state.rows.filter((step) => step.copied);
  const edited = copied.some((step) => step.copied.edited);
  const changes = [from.source ? "edited code" : "", edited ? "an edited result" : ""].filter(Boolean).join(" and ");
  const at = from.step ? [" at ", el("code", { title: from.step.name }, short(pathLabel(from.step), NAME))] : [" at its end"];
  const told = `${copied.length ? `, ${count(copied.length, "step")} copied` : ""}${changes ? `, with ${changes}` : ""}. `;
  return el("p", {}, icon("i-fork"), el("span", {}, "Fork of ", runLink(run, from.of), ...at, told, ...compareLink(run, from.of, run.id, "Compare with its parent")));
}

/** A child says who waits for it. */
function startedBy({ of, step }, run) {
  if (!step) return el("p", {}, icon("i-play"), el("span", {}, "Child of ", runLink(run, of), ": it handles messages of its queue."));
  return el("p", {}, icon("i-play"), el("span", {}, "Child of ", runLink(run, of), ": its step ", el("code", { title: step.name }, short(pathLabel(step), NAME)), " started it."));
}

/** A run of a chaos run says which, and what is done to it. */
function rerun({ of, kill_before_commit: number }, run) {
  const how = number === null ? "without a kill" : `with its worker killed before commit ${number}`;
  return el("p", {}, icon("i-chaos"), el("span", {}, "Chaos run of ", runLink(run, of), `, ${how}; no wait takes any time. `, ...compareLink(run, of, run.id, "Compare the two")));
}

function children(forks, run) {
  const named = forks.slice(0, SHOWN).flatMap(({ id, step }, index) => [index ? "; " : "", runLink(run, id), ...(step ? [" at ", el("code", {}, short(step, NAME))] : []), ...(run.tenant ? [] : [", "]), ...compareLink(run, run.id, id, "compare")]);
  const more = forks.length > SHOWN ? ` and ${forks.length - SHOWN} more` : "";
  return el("p", {}, icon("i-fork"), el("span", {}, forks.length > 1 ? `${forks.length} forks of this run: ` : "A fork of this run: ", ...named, more, "."));
}

/** The runs that handle the messages that a run has sent, newest first. */
function handledBy(deliveries, run) {
  const named = deliveries.slice(0, SHOWN).flatMap((id, index) => [index ? ", " : "", childLink(run, { child: id, name: "that handles messages" }, el("span.mono", {}, id.slice(0, 2 * ID)))]);
  const more = deliveries.length > SHOWN ? ` and ${deliveries.length - SHOWN} more` : "";
  return el("p", {}, icon("i-play"), el("span", {}, "Its messages are handled by ", ...named, more, "."));
}

const runLink = (run, id) => el("a.mono", { href: pagePath({ ...run, id }), title: id }, id.length > 24 ? id.slice(0, ID) : id);

/** Two runs are compared by a page that takes no key. */
const compareLink = (run, a, b, words) => (run.tenant ? [] : [el("a", { href: `/compare?a=${encodeURIComponent(a)}&b=${encodeURIComponent(b)}` }, words)]);
