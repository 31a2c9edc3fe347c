// The guided first visit: five short hints, each beside what it speaks of, each done by doing it. They take no focus and hold nothing
// up; they are read out, can be reached right after the header, and are gone for good at a press. Loaded only where they are wanted.

import { el, isDisabled } from "./dom.js";
import { spokenNodes } from "./spoken.js";
import { FINAL } from "./statuses.js";
import { read, write } from "./stored.js";

const LOOK_MS = 250; // between looks at where things stand
const WIDTH = 280;
const GAP = 12; // between a hint and what it speaks of, for the notch
const EDGE = 8;
const ORDER = ["run", "commit", "kill", "replay", "share"];

const BUSY = "dialog[open], #run [role=menu]:not([hidden]), #run #view-step:not([hidden])"; // what somebody has opened comes first

const seen = (selector) => [...document.querySelectorAll(selector)].find((node) => node.checkVisibility() && node.getBoundingClientRect().width) ?? null;
const kept = (run) => (run.replayed === 1 ? "one finished step" : `${run.replayed} finished steps`);

// What each says, `code` in backticks, and beside what; `next` is a button for what is done by looking.
const HINTS = {
  run: () => ({ beside: seen("[data-run]"), words: "Press Run. Your code starts in a worker: a process of its own." }),
  commit: ({ done, going, status }) => ({
    beside: (FINAL.has(status) && seen("#run [data-part=end] > *")) || seen("#run [data-part=rows]"), // not over the output
    words: done
      ? `\`${done}\` is committed: its result is in the journal, and it will not run again.`
      : `Watch ${going ? `\`${going}\`` : "the first bar"}. When it gets its tick, its result is in the journal.`,
    next: done ? "Next" : null,
  }),
  kill(run) {
    if (FINAL.has(run.status)) return { beside: seen("#run [data-part=restart]"), words: "This run is over. Press Restart, then kill its worker while a step runs." };
    const beside = seen("#run [data-part=kill]");
    if (run.killed) return { beside, words: "The worker is gone; the journal is not. As soon as there is something to do, a new worker goes on from it." };
    if (beside && isDisabled(beside)) return { beside, words: "No worker is alive at this moment. Once one is, press Kill worker." };
    return { beside, words: "Now press Kill worker. The process dies at once, whatever it was doing." };
  },
  replay: (run) => {
    const table = seen("#run [data-part=lens-rows]");
    const words = run.replayed
      ? `A new worker ran your code from the top, and read ${kept(run)} from the journal instead of running ${run.replayed === 1 ? "it" : "them"} again.`
      : "A new worker ran your code from the top. What had finished would be read from the journal instead of running again.";
    return table ? { beside: table, words, next: "Next" } : { beside: seen("#tab-lens"), words: `${words} Open Replay to see it.` };
  },
  share: () => ({ beside: seen("[data-open=share]"), words: "Share gives you a link to this code, and one to this run for others to watch.", next: "Done" }),
};

/** @param {{at: string | null}} how  `at` is the hint to go on with */
export function makeHints({ at }) {
  const run = { status: null, executions: 0, replayed: 0, killed: false, done: null, going: null };
  let now = ORDER.includes(at) ? at : "run";
  let timer = null;

  const words = el("p");
  const count = el("span");
  const next = el("button.btn.main.small", { type: "button", onclick: advance });
  const foot = el("div", {}, count, el("button.link", { type: "button", onclick: () => end() }, "No more hints"), next);
  const box = el("aside.hint", { id: "hint", popover: "manual", "aria-label": "First visit", onkeydown: (event) => event.key === "Escape" && end() }, words, foot);
  const aloud = el("p.sr", { role: "status" }); // what is new is read out by this one, which stays
  document.querySelector("header.top").after(aloud, box);

  const heard = {
    starting: () => now === "run" && go("commit"),
    steps({ steps }) {
      run.done = steps.find((step) => step.kind === "do" && step.status === "completed")?.name ?? null;
      run.going = steps.find((step) => step.kind === "do" && step.status === "running")?.name ?? null;
      draw();
    },
    shared: () => now === "share" && end(),
    status(detail) {
      Object.assign(run, detail);
      if (now === "run") go("commit");
      if (detail.executions > 1 && ["commit", "kill"].includes(now)) go("replay");
      draw();
    },
  };
  for (const [name, hear] of Object.entries(heard)) document.addEventListener(`playground:${name}`, ({ detail }) => timer && hear(detail));
  document.addEventListener("click", ({ target }) => {
    if (!timer) return;
    if (now === "replay" && target.closest("#tab-lens, [data-part=see-replay]") && !target.closest(".hint")) go("share");
  });
  timer = setInterval(draw, LOOK_MS);
  draw();

  function go(step) {
    now = step;
    write("hints", now);
    draw();
  }

  function advance() {
    const after = ORDER[ORDER.indexOf(now) + 1];
    if (after) go(after);
    else end();
  }

  /** For good: done, or not wanted. */
  function end() {
    clearInterval(timer);
    timer = null;
    write("hints", "done");
    const held = box.contains(document.activeElement);
    const { beside } = HINTS[now](run);
    box.remove();
    aloud.remove();
    if (held) (beside?.matches("button, a") ? beside : document.getElementById("run")).focus();
  }

  function draw() {
    if (!timer) return;
    if (read("hints") === "done") return end(); // in another tab
    const { beside, words: said, next: label } = HINTS[now](run);
    const away = !beside || seen(BUSY);
    if (away) {
      if (box.matches(":popover-open")) box.hidePopover();
      return;
    }
    const step = `${ORDER.indexOf(now) + 1} of ${ORDER.length}`;
    if (box.dataset.said !== said) {
      box.dataset.said = said;
      words.replaceChildren(...spokenNodes(said));
      count.textContent = step;
      aloud.textContent = `Hint ${step}: ${said.replaceAll("`", "")}`;
      next.textContent = label ?? "";
      next.hidden = !label;
    }
    if (!box.matches(":popover-open")) box.showPopover();
    place(box, beside);
  }
}

/** Below what it speaks of, or above where there is no room; the notch points at it. */
function place(box, beside) {
  const at = beside.getBoundingClientRect();
  const { innerWidth, innerHeight } = window;
  const width = Math.min(WIDTH, innerWidth - 2 * EDGE);
  const height = box.offsetHeight;
  const wide = at.width > width; // a list or a table: the notch points at its beginning
  const middle = wide ? at.left + Math.min(at.width / 2, 120) : at.left + at.width / 2;
  const half = beside.closest(".code, .run")?.getBoundingClientRect() ?? { left: 0, right: innerWidth };
  const left = Math.max(half.left + EDGE, Math.min(middle - width / 2, half.right - width - EDGE));
  const above = at.bottom + GAP + height > innerHeight - EDGE;
  const top = above ? Math.max(EDGE, at.top - GAP - height) : at.bottom + GAP;
  box.style.setProperty("--x", `${Math.round(left)}px`);
  box.style.setProperty("--y", `${Math.round(top)}px`);
  box.style.setProperty("--notch", `${Math.round(middle - left)}px`);
  box.classList.toggle("above", above);
}
