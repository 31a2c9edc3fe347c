// Banners of the run: trouble with the connection, and operations that were refused. Beside what they concern, never over it.

import { el, icon, setText } from "../dom.js";

const TITLES = { network: "Connection lost.", server: "The server is in trouble.", restart: "The server is restarting.", gone: "This run is not there any more." };
const ASKING = "Other pages of this browser follow their runs live, as many as may. This one asks for what is new every second.";

export class Notices {
  constructor({ root, retryNow }) {
    this.root = root;
    this.when = el("span.num");
    this.title = el("b");
    this.words = el("span");
    const button = el("button.btn.line", { type: "button", onclick: retryNow }, "Try now");
    this.button = button;
    this.trouble = el("div.notice", { role: "status", hidden: true }, icon("i-off"), el("p", {}, this.title, " ", this.words, this.when), button);
    this.refusal = null;
    this.asking = el("div.notice.calm", { role: "status", hidden: true }, icon("i-clock"), el("p", {}, ASKING));
    root.replaceChildren(this.trouble, this.asking);
  }

  /** `trouble` as stream.js tells it, or null. */
  connection(trouble) {
    this.told = trouble;
    this.trouble.hidden = !trouble;
    if (!trouble) return;
    setText(this.title, TITLES[trouble.kind]);
    setText(this.words, trouble.kind === "server" || trouble.kind === "gone" ? `${trouble.words} ` : "");
    this.button.hidden = trouble.kind === "gone";
    this.tick();
  }

  /** `polling`: other pages of this browser have all the streams that it may have. */
  pace(polling) {
    this.asking.hidden = !polling;
  }

  tick() {
    const { told } = this;
    if (!told) return;
    if (told.kind === "gone") return setText(this.when, "Finished runs are kept for some days, then deleted.");
    const seconds = told.at === null ? 0 : Math.ceil((told.at - performance.now()) / 1000);
    setText(this.when, seconds > 0 ? `Trying again in ${seconds}\u00a0s, attempt\u00a0${told.attempt}.` : `Trying again, attempt ${told.attempt}.`);
  }

  /** How the run stands now: what was refused while it stood otherwise is no news any more. */
  stands(status) {
    if (this.refusal && this.status !== status) this.refused();
    this.status = status;
  }

  /** Says why something the person asked for did not happen; empty words take it back. */
  refused(title, words) {
    this.refusal?.remove();
    this.refusal = null;
    if (!words) return;
    const close = el("button.btn.icon", { type: "button", "aria-label": "Dismiss", onclick: () => this.refused() }, icon("i-close"));
    this.refusal = el("div.notice", { role: "alert" }, icon("i-warn"), el("p", {}, el("b", {}, title), " ", words), close);
    this.root.append(this.refusal);
  }
}
