// The run of a file beside another one: of this server, by its address, or of a second file.

import { rowsOf, verdictOf } from "../compare-rows.js";
import { dialogHead, el, icon, once } from "../dom.js";
import { STATUS } from "../statuses.js";
import { remembered } from "../tokens-store.js";
import { call } from "./api.js";
import { compare } from "./compare-fold.js";
import { fold } from "./fold.js";
import { view } from "./view.js";

const PAGE = 1_000; // events asked for at a time
const EVENTS = 20_000; // of the other run: more are seconds of work for who asks and who answers
const RUNS = 30; // offered
const ADDRESS = /(?:^|\/instances\/)([A-Za-z0-9_][A-Za-z0-9_-]{0,99})(?:[/?#].*)?$/;

let made = null;

/** @param {{name: string, head: object, events: object[]}} file */
export function compareFile(file) {
  made ??= new CompareDialog();
  made.show(file);
}

class CompareDialog {
  constructor() {
    this.field = el("input.field", { id: "compare-other", list: "compare-known", autocomplete: "off", spellcheck: "false", autocapitalize: "none", "aria-describedby": "compare-wrong" });
    this.files = el("input", { type: "file", accept: ".jsonl,application/x-ndjson", hidden: true, "aria-label": "The file of the other run", onchange: () => this.take(this.files.files[0]) });
    this.wrong = el("p.notice.bad", { id: "compare-wrong", role: "alert", hidden: true });
    this.go = el("button.btn.main", { type: "submit" }, "Compare");
    this.shown = el("div.comparing", { "aria-live": "polite" });
    const form = el("form.pick", {}, el("label", {}, "Address or id of the other run", this.field), this.files, el("button.btn.line", { type: "button", onclick: () => this.files.click() }, icon("i-folder"), "Or a file…"), this.go);
    form.addEventListener("submit", (event) => (event.preventDefault(), once(this.go, () => this.ask())));
    this.known = el("datalist", { id: "compare-known" });
    this.dialog = el("dialog.dialog.wide", { id: "compare-file", "aria-labelledby": "compare-file-title" }, dialogHead("compare-file-title", "Compare with another run"), el("div", {}, form, this.known, this.wrong, this.shown));
    document.body.append(this.dialog);
  }

  show(file) {
    this.file = file;
    this.shown.replaceChildren();
    this.say("");
    this.known.replaceChildren(...remembered().slice(0, RUNS).map(({ id, title }) => el("option", { value: id }, title || "Untitled")));
    this.dialog.showModal();
    this.field.focus();
  }

  say(words) {
    this.wrong.textContent = words;
    this.wrong.hidden = !words;
  }

  async take(file) {
    this.files.value = "";
    if (!file) return;
    const { BadRunFile, readRunFile } = await import("../run-file.js");
    try {
      const { head, events } = await readRunFile(file);
      this.draw({ name: file.name, snippet: head.code.version, events });
    } catch (error) {
      if (!(error instanceof BadRunFile)) throw error;
      this.say(error.message);
    }
  }

  async ask() {
    const id = ADDRESS.exec(this.field.value.trim())?.[1];
    if (!id) return this.say("That is no address of a run, and no id.");
    const path = `/api/instances/${encodeURIComponent(id)}`;
    const events = [];
    const about = await call("GET", `${path}?at=1`);
    if (!about.ok) return this.say(about.words);
    for (let more = true; more; ) {
      const answer = await call("GET", `${path}/events?after=${events.length}&limit=${PAGE}`);
      if (!answer.ok) return this.say(answer.words);
      events.push(...answer.data.events);
      more = answer.data.more && answer.data.events.length > 0;
      if (events.length > EVENTS) return this.say(`That run has more than ${EVENTS.toLocaleString("en")} events, which is the most of one that is compared here.`);
    }
    this.draw({ name: id, snippet: about.data.snippet, events });
  }

  draw(other) {
    this.say("");
    const mine = { name: this.file.name, snippet: this.file.head.code.version, events: this.file.events };
    const [a, b] = [mine, other].map(({ events, snippet }) => {
      const state = fold(events);
      return { ...view(state), snippet: state.codeChanges.at(-1)?.snippet ?? snippet };
    });
    const found = compare(a, b);
    const side = (letter, { name }, { status }) => el("th", { scope: "col" }, el("b.letter", {}, letter), ` ${name}, ${STATUS[status].word.toLowerCase()}`);
    const head = el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Step"), side("A", mine, a), side("B", other, b)));
    const said = verdictOf(found);
    said.className = "lead";
    this.shown.replaceChildren(said, el("table.compare", {}, el("caption.sr", {}, "Steps of both runs"), head, el("tbody", {}, ...rowsOf(found, a, b))));
  }
}
