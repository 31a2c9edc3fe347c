// The run's half before there is a run: what to do, and the plan read from the code.

import { el, setText, setVar } from "../dom.js";
import { toast } from "../toast.js";
import { GraphPanel } from "./graph-panel.js";
import { fillPlan, newRow } from "./new-row.js";
import { pendingBreaks, pendingSkip, setPending, togglePendingSkip } from "./pending.js";
import { flatten } from "./plan.js";
import { pendingStops, togglePending } from "./pending-stops.js";
import { breakTool } from "./row-break.js";
import { mayStop, rowStop, stopTool, whyNoStop } from "./row-stop.js";

const MOST = 60; // rows of a plan; a longer one says how many more there are

export class Idle {
  constructor(root) {
    document.addEventListener("playground:pending", () => this.mark());
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    Object.assign(this, { root, plan: part("plan"), rows: part("plan-rows"), word: part("idle-word"), note: part("plan-note"), asGraph: part("plan-as-graph"), skip: part("plan-skip") });
    this.graph = new GraphPanel({ root: part("plan-graph"), ofRun: false, stops: pendingStops, onStop: (entry) => (mayStop(entry) ? togglePending(entry) : toast(whyNoStop(entry))) });
    this.asGraph.addEventListener("click", () => this.drawAs(this.graph.root.hidden));
    this.skip.addEventListener("click", togglePendingSkip);
  }

  /** Shows the plan as a graph, or as rows. */
  drawAs(graph) {
    this.asGraph.setAttribute("aria-pressed", String(graph));
    this.graph.root.hidden = !graph;
    this.rows.hidden = graph;
    if (graph) this.graph.show();
  }

  show(outline, behind = false) {
    const flat = flatten(outline);
    this.plan.hidden = !flat.length;
    if (!flat.length) this.drawAs(false);
    this.skip.hidden = !flat.some(({ kind }) => kind === "sleep");
    if (this.skip.hidden && pendingSkip()) togglePendingSkip(); // nobody could see that it is chosen
    this.graph.plan(outline);
    const shown = flat.slice(0, MOST);
    const slots = places(shown);
    const items = shown.map((entry, index) => {
      const item = newRow();
      fillPlan(item, entry, [flat[index - 1], flat[index + 1]]);
      item.parts.button.tabIndex = 0;
      item.parts.button.dataset.line = entry.line ?? "";
      setText(item.parts.words, ", not begun");
      const mark = el(`span.seg.plan.${entry.kind}`);
      setVar(mark, "--a", slots[index][0]);
      setVar(mark, "--b", slots[index][1]);
      item.parts.track.replaceChildren(mark);
      item.parts.meta.replaceChildren(el("span", {}, entry.line ? `line ${entry.line}` : ""));
      return item;
    });
    this.planned = items.map((item, index) => ({ item, entry: shown[index] }));
    this.mark();
    this.rows.replaceChildren(...items);
    setText(this.note, flat.length > MOST ? `and ${flat.length - MOST} more` : behind ? "as your code was before the error" : "read from your code; nothing has run");
  }

  /** Marks what is chosen for the run that is to come. */
  mark() {
    this.skip.setAttribute("aria-pressed", String(pendingSkip()));
    for (const { item, entry } of this.planned ?? []) {
      const broken = pendingBreaks().find((each) => entry.kind === "do" && each.step.name === entry.name) ?? null;
      breakTool(item, entry, broken, () => askPending(entry, broken));
      stopTool(item, entry, rowStop(pendingStops(), entry), false, () => togglePending(entry));
    }
  }

  /** What the panel is made of did not arrive; the run itself goes on. */
  failed() {
    setText(this.word, "Not loaded: reload the page");
  }

  starting(on) {
    setText(this.word, on ? "Starting" : "Not run yet");
    this.root.classList.toggle("is-starting", on);
  }
}

/** Asks how a step is to be broken in the run that is to come. */
async function askPending(entry, current) {
  const { askBreak } = await import("./break-form.js");
  askBreak({
    name: entry.name,
    current,
    yes: () => "Break it",
    note: "It goes with the next run that you start here.",
    send: async (body) => {
      setPending(body);
      return "";
    },
  });
}

/** Where each entry stands, in percent: one after the other, those that run together under each other. */
function places(flat) {
  const turns = [];
  let turn = -1;
  flat.forEach((entry, index) => {
    if (!entry.parallel || entry.parallel !== flat[index - 1]?.parallel) turn += 1;
    turns.push(turn);
  });
  const width = Math.min(12, 96 / (turn + 1));
  return turns.map((at) => [at * width, (at + 0.92) * width]);
}
