// The guided first visit, in four hints. Each is a card in the flow beside what it speaks of, to which its notch points and which wears a
// ring, so that it covers nothing; it is there while its sentence is true (hint-steps.js), and while it is, the lesson says nothing else.
// They take no focus and hold nothing up; they are read out, and are gone for good at a press. Loaded only where they are wanted.

import { el, icon, isDisabled, setText } from "./dom.js";
import { STAGES, hintOf, stageAfter } from "./hint-steps.js";
import { read, write } from "./stored.js";

const LOOK_MS = 250; // between looks at where things stand
const NOTCH_EDGE = 20; // of the card, from which the notch keeps away

const seen = (selector) => [...document.querySelectorAll(selector)].find((node) => node.checkVisibility() && node.getBoundingClientRect().width) ?? null;
const narrow = matchMedia("(max-width: 899px)");

// Where the card of each stands, and what it points at; `ring` false: that is nothing to press.
const PLACES = {
  run: () => ({ home: document.getElementById(narrow.matches ? "notices-bar" : "notices"), target: seen("[data-run]"), down: narrow.matches }),
  kill: () => ({ home: seen("#run [data-part=narrator]"), target: seen("#run [data-part=kill]") }),
  restart: () => ({ home: seen("#run [data-part=narrator]"), target: seen("#run [data-part=restart]") }),
  row: () => {
    const ring = seen("#run [data-part=rows] .readmark");
    if (ring) return { home: document.querySelector("#run [data-part=row-hint]"), target: ring, ring: false };
    return { home: seen("#run [data-part=narrator]"), target: seen("#tab-lens"), ring: false };
  },
  slider: () => ({ home: seen("#run [data-part=scrub]"), target: seen("#run [data-part=scrub-range]"), ring: false, down: true }),
};

/** @param {{at: string | null, task: () => object | null}} how `at` is the stage to go on with, `task` what the lesson asks for first */
export function makeHints({ at, task }) {
  const run = { status: null, executions: 0, replayed: 0, killed: false, alive: false, steps: [] };
  let stage = STAGES.includes(at) ? at : "run";
  let timer = null;
  let ringed = null;

  const words = el("p");
  const count = el("span.num");
  const away = el("button.link", { type: "button", onclick: () => end() });
  const box = el("aside.hint", { id: "hint", "aria-label": "First visit", onkeydown: (event) => event.key === "Escape" && end() }, icon("i-hand"), words, el("div", {}, count, away));
  const aloud = el("p.sr", { role: "status" }); // what is new is read out by this one, which stays
  document.querySelector("header.top").after(aloud);

  const heard = {
    starting: () => (run.status ??= "queued"),
    stopped: () => (run.status = run.executions ? run.status : null),
    steps: ({ steps }) => (run.steps = steps),
    status: (detail) => Object.assign(run, detail),
  };
  for (const [name, hear] of Object.entries(heard)) document.addEventListener(`playground:${name}`, ({ detail }) => timer && (hear(detail), draw()));
  document.querySelector("#run [data-part=scrub-range]").addEventListener("change", () => timer && stage === "past" && end());
  timer = setInterval(draw, LOOK_MS);
  draw();

  /** For good: done, or not wanted. */
  function end() {
    const held = box.contains(document.activeElement);
    const target = ringed ?? document.getElementById("run");
    clearInterval(timer);
    timer = null;
    write("hints", "done");
    put(null);
    aloud.remove();
    if (held) target.focus();
  }

  function draw() {
    if (!timer) return;
    if (read("hints") === "done") return end(); // in another tab
    const next = stageAfter(stage, run);
    if (next !== stage) write("hints", (stage = next));
    const kill = document.querySelector("#run [data-part=kill]");
    run.alive = Boolean(kill) && !isDisabled(kill);
    const hint = document.querySelector("#run .is-stopped") ? null : hintOf(stage, run, task());
    const place = hint && PLACES[hint.at]();
    if (!place?.home || !place.target) return put(null);
    const step = `${STAGES.indexOf(stage) + 1} of ${STAGES.length}`;
    if (box.dataset.said !== hint.words) {
      box.dataset.said = hint.words;
      words.replaceChildren(...marked(hint.words));
      setText(count, step);
      setText(away, stage === STAGES.at(-1) ? "Done" : "No more hints");
      aloud.textContent = `Hint ${step}: ${hint.words.replace(/[`*]/g, "")}`;
    }
    put(place);
  }

  /** Puts the card in its place, pointing at what it speaks of; away for null. */
  function put(place) {
    const target = place && place.ring !== false ? place.target : null;
    if (ringed !== target) {
      ringed?.classList.remove("is-hinted");
      target?.classList.add("is-hinted");
      ringed = target;
    }
    document.body.classList.toggle("has-hint", Boolean(place));
    if (!place) return box.remove();
    if (box.parentElement !== place.home) place.home.prepend(box);
    box.classList.toggle("down", Boolean(place.down));
    const card = box.getBoundingClientRect();
    const at = place.target.getBoundingClientRect();
    const middle = at.left + at.width / 2 - card.left;
    box.style.setProperty("--notch", `${Math.round(Math.max(NOTCH_EDGE, Math.min(middle, card.width - NOTCH_EDGE)))}px`);
  }
}

/** A sentence as nodes: code between backticks, what to press between asterisks. */
const marked = (text) =>
  text.split(/([`*][^`*]+[`*])/).filter(Boolean).map((part) => (part[0] === "`" ? el("code", {}, part.slice(1, -1)) : part[0] === "*" ? el("b", {}, part.slice(1, -1)) : part));
