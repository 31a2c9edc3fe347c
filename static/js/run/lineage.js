// Where a run comes from and what was forked from it: one line, each run a link, with the way to compare the two.

import { el, icon } from "../dom.js";
import { call } from "./api.js";
import { forksOf, rememberForks } from "./fork.js";
import { instancePath, pagePath } from "./paths.js";
import { count, short, pathLabel } from "./words.js";

const SHOWN = 3; // forks named; the others are counted
const ID = 12; // characters of an id

const NAME = 40; // … and of a step's name

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
    this.line.hidden = true;
    if (asks && run.token) this.ask(run);
  }

  async ask(run) {
    const answer = await call("GET", instancePath(run), { token: run.token });
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
    const parent = state.trigger?.kind === "child" ? state.trigger : null;
    const drawn = parent || from || chaos || forks.length ? JSON.stringify([from && state.rows.filter((step) => step.copied).length, from, chaos, parent, forks]) : "";
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    this.line.hidden = !from && !chaos && !parent && !forks.length;
    this.line.replaceChildren(...(parent ? [startedBy(parent, run)] : []), ...(chaos ? [rerun(chaos, run)] : []), ...(from ? [origin(from, state, run)] : []), ...(forks.length ? [children(forks, run)] : []));
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

const runLink = (run, id) => el("a.mono", { href: pagePath({ ...run, id }), title: id }, id.length > 24 ? id.slice(0, ID) : id);

/** Two runs are compared by a page that takes no key. */
const compareLink = (run, a, b, words) => (run.tenant ? [] : [el("a", { href: `/compare?a=${encodeURIComponent(a)}&b=${encodeURIComponent(b)}` }, words)]);
