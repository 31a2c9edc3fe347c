// Somebody else's run: said once, beside the controls that do nothing, with the way to one's own.

import { el, icon } from "../dom.js";

export class Watching {
  /** @param {HTMLElement} home where banners of the run stand */
  constructor(home) {
    this.home = home;
    this.bar = null;
  }

  /** A run is looked at. `token` is null when another browser started it. */
  open({ token }) {
    this.bar?.remove();
    this.bar = null;
    const run = document.querySelector("[data-run]");
    if (token || !run) return;
    const copy = el("button.btn.line.small", { type: "button", onclick: () => run.click() }, icon("i-play"), "Run a copy");
    this.bar = el("div.notice.calm.watching", { role: "status" }, icon("i-eye"), el("p", {}, "You are watching. Only the browser that started this run can change it."), copy);
    this.home.append(this.bar);
  }
}
