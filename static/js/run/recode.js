// Other code under a living run: a quiet offer while the editor differs, and what to do when the code does not fit the run's history.

import { dialogHead, el, icon, isDisabled, once, setDisabled, tell } from "../dom.js";
import { call } from "./api.js";
import { keyOf } from "./fold.js";
import { fork } from "./fork.js";
import { instancePath, pagePath } from "./paths.js";
import { pathLabel } from "./words.js";

const KIND = { do: "step", sleep: "sleep", wait: "wait", child: "child run" };

export class Recode {
  /** `home` takes the offer; `refused(title, words)` says why something did not happen. */
  constructor({ home, refused }) {
    this.refused = refused;
    this.button = el("button.btn.line", { type: "button", onclick: () => this.resume() }, "Resume this run on the edited code");
    const shut = el("button.btn.icon", { type: "button", "aria-label": "Not now", onclick: () => this.dismiss() }, icon("i-close"));
    this.offer = el("div.notice.calm.recode", { role: "status", hidden: true }, icon("i-restart"), el("p", {}, "The editor has other code than this run."), this.button, shut);
    home.append(this.offer);
    document.addEventListener("playground:edited", () => {
      if (!this.run) return;
      this.text = this.run.code();
      this.look();
    });
  }

  open(run) {
    this.run = run;
    this.text = run.code();
    this.seen = 0;
    this.dismissed = null;
    this.offer.hidden = true;
    this.context = null;
  }

  update(state, context) {
    Object.assign(this, { state, context });
    const last = state.codeChanges.at(-1);
    if (last && last.seq > this.seen) {
      this.seen = last.seq;
      if (last.snippet !== this.run.snippet) this.follow(last.snippet);
    }
    this.look();
  }

  /** Somebody else has changed the code: an editor that still has the run's gets the new one. */
  async follow(snippet) {
    const { run } = this;
    const where = run.tenant ? pagePath(run) : `/api/snippets/${encodeURIComponent(snippet)}`;
    const answer = await call("GET", where, { token: run.tenant && run.token });
    if (!answer.ok || this.run !== run) return;
    const { source } = answer.data;
    if (run.code() === run.source && run.source !== source) tell("code", { source });
    this.taken(snippet, source);
  }

  taken(snippet, source) {
    Object.assign(this.run, { snippet, source });
    this.offer.hidden = true;
    tell("recoded", { source });
  }

  look() {
    if (!this.run || !this.context) return;
    const { final, watching, stale, past } = this.context;
    const { text } = this;
    const wanted = !final && !watching && !past && text !== this.run.source && text !== this.dismissed && this.state.lastSeq > 0 && this.state.rollback !== "running";
    if (this.offer.hidden === wanted) this.offer.hidden = !wanted;
    setDisabled(this.button, stale ? "No connection: nothing can be sent." : this.busy ? "Being tried." : "");
  }

  dismiss() {
    this.dismissed = this.text;
    this.look();
  }

  async resume() {
    if (isDisabled(this.button)) return;
    const { run } = this;
    const source = run.code();
    this.busy = true;
    this.look();
    const held = this.state.status === "paused";
    const ask = (what, body) => call("POST", `${instancePath(run)}/${what}`, { token: run.token, body });
    let answer = await ask("code", { source });
    if (answer.ok && held) {
      const resumed = await ask("resume", {});
      if (!resumed.ok) answer = resumed;
    }
    this.busy = false;
    if (this.run !== run) return;
    if (answer.ok) {
      this.refused();
      this.taken(answer.data.snippet, source);
    } else if (answer.code === "version.does_not_fit" && answer.details.recorded.length) this.differ(answer, source);
    else this.refused("The run goes on with its own code.", answer.words);
    this.look();
  }

  /** Recorded and requested steps side by side. */
  differ({ details }, source) {
    const { recorded, requested } = details;
    const first = recorded.findIndex((step, index) => !requested[index] || keyOf(step) !== keyOf(requested[index]));
    const lost = recorded[first] ?? recorded[0];
    const rows = Array.from({ length: Math.max(recorded.length, requested.length) }, (_, index) => pair(recorded[index], requested[index], index, first));
    const dialog = el("dialog.dialog.fit", { id: "fit", "aria-labelledby": "fit-title" });
    const on = el("button.btn.main", { type: "button" }, icon("i-fork"), el("span", {}, "Fork before ", el("code", {}, pathLabel(lost))));
    const said = el("p.notice.bad", { role: "alert", hidden: true });
    on.addEventListener("click", () =>
      once(on, async () => {
        const words = await fork(this.run, { step: lost, source });
        said.textContent = words;
        said.hidden = !words;
        if (!words) dialog.close();
      }),
    );
    dialog.append(
      dialogHead("fit-title", "The edited code does not fit this run"),
      el(
        "div",
        {},
        el("p.lead", {}, "Replay finds each step by its name. The journal has ", el("code", {}, pathLabel(lost)), ", and the edited code does not come to it. The run has not been touched."),
        el(
          "div.fit-scroll",
          { tabindex: "0", role: "region", "aria-label": "Recorded and requested steps" },
          el("table.fit-table", {}, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "In the journal"), el("th", { scope: "col" }, "Asked for by the edited code"))), el("tbody", {}, ...rows)),
        ),
        el("p.dim", {}, "A fork begins with what finished before that step and runs the edited code from there. This run can go on with the code that it has."),
        said,
        el("p.row-end", {}, el("button.btn.line", { type: "button", "data-close": "" }, "Keep the old code"), on),
      ),
    );
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }
}

function pair(recorded, requested, index, first) {
  const same = recorded && requested && keyOf(recorded) === keyOf(requested);
  const mark = index === first ? el("span.tag", {}, "first difference") : null;
  return el(`tr${same ? "" : ".differs"}${index === first ? ".first" : ""}`, {}, cell(recorded, same, mark), cell(requested, same, null));
}

function cell(step, same, mark) {
  if (!step) return el("td.none", {}, el("span.dim", {}, "not asked for"));
  return el("td", {}, icon(same ? "i-done" : "i-not"), el("code", { title: step.name }, pathLabel(step)), el("span.dim", {}, KIND[step.kind]), mark);
}

/** Steps that began under other code than the run has now stand where that code has a step of their name, or nowhere. `plan` is that code's. */
export function relocate(state, plan, newest) {
  const since = newest.codeChanges.at(-1)?.seq ?? 0;
  const copied = Boolean(state.trigger?.source);
  if (!plan.length || (!since && !copied)) return;
  const lines = new Map(plan.map((entry) => [`${entry.kind}:${entry.name}`, entry.line]));
  for (const step of state.rows) {
    if (step.startedSeq >= since && !(copied && step.copied)) continue;
    const line = lines.get(`${step.kind}:${step.name}`) ?? null;
    if (step.line === line) continue;
    step.line = line;
    step.version = state.version;
  }
}
