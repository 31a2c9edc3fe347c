// What this browser remembers of the lessons: which tasks of which example were done, and which of its runs belong to which. What is done
// is noticed by run/tasks.js. The list of lessons is the one that stands in the page, as cards.

import { el } from "./dom.js";
import { lowered, spoken } from "./spoken.js";
import { shelf } from "./stored.js";

const LESSONS = 100;
const RUNS = 300;
const ALIKE = 0.5; // of an example's lines that must still be there for a run of edited code to be its lesson

const done = shelf("lessons", LESSONS, ({ tasks }) => Array.isArray(tasks));
const runs = shelf("lesson-runs", RUNS, ({ slug }) => typeof slug === "string");

/** Places of the tasks of an example that were done. */
export const doneOf = (slug) => new Set(done.get(slug)?.tasks ?? []);

/** Notes that a task was done; true when that is news. */
export function note(slug, place) {
  const before = doneOf(slug);
  if (before.has(place)) return false;
  done.put(slug, { tasks: [...before, place].sort() });
  return true;
}

/** The place of the first task that has not been done, or null. */
export function current(example) {
  const before = doneOf(example.slug);
  const place = example.tasks.findIndex((_, index) => !before.has(index));
  return place < 0 ? null : place;
}

export const belongs = (id, slug) => runs.put(id, { slug });
export const lessonOf = (id) => runs.get(id)?.slug ?? null;

/** Whether code is still the example's, edited: somebody else's code is no lesson. */
export function alike(source, example) {
  const lines = example.split("\n").map((line) => line.trim()).filter(Boolean);
  const there = new Set(source.split("\n").map((line) => line.trim()));
  return lines.filter((line) => there.has(line)).length >= lines.length * ALIKE;
}

const cards = () => [...document.querySelectorAll(".card[data-slug]")];
const left = (card) => Number(card.dataset.tasks) - doneOf(card.dataset.slug).size;

/** The lesson after this one that is not done: {slug, title, href}, or null when all are. */
export function nextAfter(slug) {
  const all = cards();
  const at = all.findIndex((card) => card.dataset.slug === slug);
  const rest = [...all.slice(at + 1), ...all.slice(0, Math.max(at, 0))];
  const card = rest.find((one) => left(one) > 0);
  return card ? { slug: card.dataset.slug, title: card.querySelector("b").textContent, href: card.getAttribute("href") } : null;
}

/** Shows on the cards what is done. */
export function markCards() {
  const all = cards();
  for (const card of all) {
    const before = doneOf(card.dataset.slug);
    const whole = left(card) <= 0;
    card.classList.toggle("is-done", whole);
    const todos = [...card.querySelectorAll(".todo")];
    const now = todos.findIndex((_, place) => !before.has(place));
    todos.forEach((todo, place) => (todo.hidden = place !== now));
    const said = card.querySelector(".done-mark");
    said.hidden = !before.size;
    said.querySelector("span").textContent = whole ? "Done" : `${before.size} of ${todos.length} done`;
  }
  const whole = all.filter((card) => left(card) <= 0).length;
  for (const line of document.querySelectorAll("[data-lessons-done]")) {
    line.hidden = !whole;
    line.textContent = whole === all.length ? "You have done every lesson." : `You have done ${whole} of ${all.length}.`;
  }
}

/** Asks, before there is a run, for what has not been done yet. */
export function showInvitation(example) {
  for (const words of document.querySelectorAll('[data-part="invitation"]')) {
    words.replaceChildren(...invitation(example).map((part) => (typeof part === "string" ? part : part.b ? el("b", {}, part.b) : el("code", {}, part.code))));
  }
}

/** What may be done before Run, in parts as the narrator's: a string, {code} or {b}. */
function invitation(example) {
  const place = current(example);
  if (place === null) return ["You have done this lesson. Press ", { b: "Run" }, " to see it again."];
  const task = example.tasks[place];
  return task.first ? spoken(task.say) : ["Press ", { b: "Run" }, ", then ", ...spoken(lowered(task.say))];
}
