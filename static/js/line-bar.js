// The bar of a tapped line: a line is too low for a finger, so what a mouse does with its number, and a keyboard with keys, stands here as buttons.
// It is there while the line is that of a step, or lies in one's function; and it comes with the first tap of a touch screen.

import { el, icon, setText, tell } from "./dom.js";
import { doAct } from "./keys.js";
import { mayStop, whyNoStop } from "./run/row-stop.js";
import { toast } from "./toast.js";

/**
 * @param {{steps: () => object[], isSet: (place: {line: number, ofRun: number}) => boolean, stopAt: (place: object) => void, showRun: () => void, hasRun: () => boolean}} how
 *   `steps()` are those of the text as it is now; a place is {line, ofRun}, its number in that text and in the run's
 */
export function makeLineBar({ steps, isSet, stopAt, showRun, hasRun }) {
  const words = el("p", {}, el("b"), el("code"));
  const stop = el("button.btn.line", { type: "button", "aria-pressed": "false" }, el("span.stop-tag", { "aria-hidden": "true" }), el("span", {}, "Pause before"));
  const here = el("button.btn.line", { type: "button" }, "Run to here");
  const row = el("button.btn.line", { type: "button" }, "Its row", icon("i-right"));
  const bar = el("div.linebar", { role: "group", "aria-label": "The tapped line", hidden: true }, words, stop, here, row);
  document.querySelector("#code .foot").before(bar);
  let shown = null; // {step, place}

  /** The innermost step that a line is in. */
  const stepAt = (line) =>
    steps()
      .filter((step) => step.line && step.line <= line && line <= (step.endLine ?? step.line))
      .sort((a, b) => b.line - a.line)[0];

  function show(tapped) {
    const step = stepAt(tapped.line);
    bar.hidden = !step;
    if (!step) return;
    const back = tapped.line - step.line;
    shown = { step, place: { line: step.line, ofRun: tapped.ofRun - back } };
    const [line, name] = words.children;
    setText(line, `Line ${step.line}`);
    setText(name, step.name);
    stop.setAttribute("aria-pressed", String(isSet(shown.place)));
    here.hidden = !document.querySelector("#run .stop-bar:not([hidden])");
    row.hidden = !hasRun();
  }

  stop.addEventListener("click", () => (mayStop(shown.step) ? stopAt(shown.place) : toast(whyNoStop(shown.step))));
  row.addEventListener("click", () => toRow());
  here.addEventListener("click", () => toRow(() => doAct("run-to")));
  for (const name of ["stops", "pending", "steps"]) document.addEventListener(`playground:${name}`, () => !bar.hidden && requestAnimationFrame(() => show(shown.place)));

  function toRow(then) {
    showRun();
    doAct("timeline");
    requestAnimationFrame(() => {
      tell("select", { line: shown.place.ofRun });
      then?.();
    });
  }

  return { show, move: (place) => !bar.hidden && show(place) };
}
