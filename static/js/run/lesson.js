// The lesson that a run belongs to: which task is asked for, which this run has shown to be done, and where to go on. One line under the
// narrator's, which is read out; it says nothing to those who only watch.

import { el, icon, tell } from "../dom.js";
import { belongs, current, doneOf, lessonOf, nextAfter, note } from "../lessons.js";
import { lowered, spokenNodes } from "../spoken.js";
import { call } from "./api.js";
import { nameOf } from "./paths.js";
import { isDone } from "./tasks.js";
import { valueText } from "./value.js";

export class Lesson {
  /** @param {{root: HTMLElement}} how the line */
  constructor({ root }) {
    this.root = root;
    this.reset();
  }

  reset() {
    this.example = this.asked = this.last = null; // `asked` is the lesson that is on its way
    this.noticed = null; // the place of the task that this run has shown to be done last
    this.seen = new Set();
    this.root.hidden = true;
    this.root.replaceChildren();
    this.told = "";
  }

  /** Another run. `example` is the one its code comes from, if any; a run without a token is somebody else's. */
  open({ id, tenant, token, example }) {
    this.reset();
    if (!token) return;
    const name = nameOf({ id, tenant });
    if (example) belongs(name, example.slug);
    const slug = example?.slug ?? lessonOf(name);
    if (example?.tasks) this.example = example;
    else if (slug) this.fetch(slug);
  }

  async fetch(slug) {
    const asked = (this.asked = {});
    const answer = await call("GET", `/api/examples/${encodeURIComponent(slug)}`);
    if (!answer.ok || this.asked !== asked) return; // another run is looked at
    this.example = answer.data;
    tell("lesson", { example: answer.data });
    if (this.last) this.update(...this.last);
  }

  /** The task that is asked for now, or null. */
  get task() {
    const place = this.example ? current(this.example) : null;
    return place === null ? null : this.example.tasks[place];
  }

  /** The payload that is offered for an event of this type, or null. */
  payload(type) {
    const offers = (task) => task?.do === "send-event" && task.type === type;
    const task = offers(this.task) ? this.task : this.example?.tasks.find(offers);
    return task ? valueText(task.payload, 0) : null;
  }

  /** Looks at a state of the run: the newest, never an earlier moment. */
  update(state, final) {
    this.last = [state, final];
    const { example } = this;
    if (!example) return;
    example.tasks.forEach((task, place) => {
      if (this.seen.has(place) || !isDone(task, state, example.params)) return;
      this.seen.add(place);
      if (note(example.slug, place) || this.noticed === null) this.noticed = place;
    });
    this.draw(final);
  }

  draw(final) {
    const { example, noticed } = this;
    const place = current(example);
    const told = `${noticed}:${place}:${final}`;
    if (told === this.told) return;
    this.told = told;
    const words = noticed !== null ? this.doneWords(place) : final && place !== null ? this.openWords(example.tasks[place]) : [];
    this.root.hidden = !words.length;
    this.root.replaceChildren(...words);
    this.root.classList.toggle("done", noticed !== null);
  }

  doneWords(place) {
    const { example } = this;
    const task = example.tasks[this.noticed];
    const many = example.tasks.length;
    const head = place === null ? "Lesson done." : `${doneOf(example.slug).size} of ${many} done.`;
    return [icon("i-done"), el("p", {}, el("b", {}, head), " ", ...spokenNodes(task.seen), ...(place === null ? [] : [" ", el("span.then", {}, "Next: ", ...spokenNodes(example.tasks[place].say))])), ...(place === null ? this.onwards() : [])];
  }

  openWords(task) {
    return [icon("i-hand"), el("p", {}, "Still to try: ", ...spokenNodes(lowered(task.say)))];
  }

  onwards() {
    const next = nextAfter(this.example.slug);
    return next ? [el("a.btn.line.small", { href: next.href }, "Next: ", next.title, icon("i-right"))] : [el("span.dim", {}, "You have done every lesson.")];
  }
}
