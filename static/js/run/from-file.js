// A run that was opened from a file: its events come from there, and a line says so, beside controls that do nothing to it.

import { el, icon } from "../dom.js";
import { toast } from "../toast.js";
import { compareFile } from "./compare-file.js";
import { culprit } from "./fold-state.js";
import { setResults } from "./pending.js";
import { short } from "./words.js";

const NAME = 40; // characters of the file's name

const AT_ONCE = 1_000; // events; the page gets a turn between

/** Gives the events of a file as stream.js gives those of a server. */
export class FileSource {
  constructor({ events, onEvents, onEnd }) {
    this.ended = false;
    let from = 0;
    const next = () => {
      onEvents(events.slice(from, (from += AT_ONCE)));
      if (from < events.length) this.timer = setTimeout(next);
      else {
        this.ended = true;
        onEnd();
      }
    };
    this.timer = setTimeout(next);
  }

  close() {
    clearTimeout(this.timer);
  }

  retryNow() {}
}

export class FromFile {
  /**
   * @param {HTMLElement} home where banners of the run stand
   * @param {{state: () => object}} of `state` is the fold of all the file's events
   */
  constructor(home, { state }) {
    Object.assign(this, { home, state });
    this.bar = null;
  }

  /** A run is looked at; `file` is {name, head} where it is one from a file, else null. */
  open(file) {
    this.bar?.remove();
    this.bar = null;
    if (!file) return;
    const run = document.querySelector("[data-run]");
    const { name, head } = file;
    const again = run && el("button.btn.line.small", { type: "button", onclick: () => run.click() }, icon("i-play"), "Run this code");
    const forks = run && el("button.btn.line.small", { type: "button", onclick: () => void this.fork(run) }, icon("i-fork"), "Fork with results");
    const beside = el("button.btn.line.small", { type: "button", "aria-haspopup": "dialog", onclick: () => compareFile(file) }, "Compare…");
    this.bar = el("div.notice.calm.from-file", { role: "status" }, icon("i-file"), el("p", {}, el("b", {}, "From a file. "), el("span.file-name", { title: name }, short(name, NAME)), `, written ${new Date(head.written_at).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" })}. Nothing can be sent to it.`), el("span.file-acts", {}, beside, forks, again));
    this.home.append(this.bar);
  }

  /** Starts a run that begins with the steps that this one had finished. */
  async fork(run) {
    const { resultsOf } = await import("./file-results.js");
    const { results, left } = resultsOf(this.state(), culprit(this.state()));
    if (left) toast(`Steps from ${short(left, NAME)} on run again: the file does not hold what ${short(left, NAME)} gave.`);
    setResults(results);
    run.click();
  }
}
