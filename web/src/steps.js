// The run, seen in the source: a dot per step line, the awaited lines, the line that raised, and the line that is lit from elsewhere.
//
// Line numbers of a run belong to the text it was started from; edits made since are mapped over. What is said of a line fades once the line
// has been edited, and goes with it.

import { MapMode, RangeSet, StateEffect, StateField } from "@codemirror/state";
import { Decoration, EditorView, GutterMarker, gutter, gutterLineClass } from "@codemirror/view";
import { Note, Tint, icon } from "./drawing.js";
import { moved } from "./moved.js";
import { lineAt } from "./places.js";

// The first of these that a line's steps have is the one its dot shows: [status, icon, class, words].
const STATES = [
  ["errored", "failed", "bad", "failed"],
  ["timed_out", "failed", "bad", "timed out"],
  ["running", "running", "now", "running"],
  ["retrying", "retry", "now", "waiting to retry"],
  ["waiting", "waiting", "now", "waiting for an event"],
  ["sleeping", "sleep", "now", "asleep"],
  ["completed", "done", "", "done"],
  ["stopped", "stop", "", "stopped"],
  ["cancelled", "stop", "", "cancelled"],
  ["not", "not", "not", "not reached"],
];
const OPEN = new Set(["running", "retrying", "waiting", "sleeping"]);

const setOutline = StateEffect.define();
const setRun = StateEffect.define();
const setBase = StateEffect.define();
const setLinked = StateEffect.define();
const setStops = StateEffect.define();

const NO_RUN = { steps: [], awaitedLine: null, error: null };

/** `outline` and `run` lie in the text as it is now; `base` is the text of the run, `since` the edits made after. */
const marks = StateField.define({
  create: (state) => ({ outline: [], run: NO_RUN, base: state.doc, since: null, linked: null, stops: [], lines: new Map(), set: Decoration.none, gutters: RangeSet.empty }),
  update(value, transaction) {
    let next = value;
    if (transaction.docChanged) {
      const { changes } = transaction;
      next = {
        ...next,
        outline: next.outline.map((pos) => changes.mapPos(pos, 1, MapMode.TrackAfter)).filter((pos) => pos !== null),
        since: next.since ? next.since.composeDesc(changes.desc) : changes.desc,
        linked: next.linked === null ? null : changes.mapPos(next.linked),
        stops: next.stops.map((stop) => ({ ...stop, pos: changes.mapPos(stop.pos, 1, MapMode.TrackAfter) })).filter(({ pos }) => pos !== null),
      };
    }
    for (const effect of transaction.effects) {
      const { doc } = transaction.state;
      if (effect.is(setOutline)) next = { ...next, outline: effect.value.map((line) => lineAt(doc, line).from) };
      if (effect.is(setBase)) next = { ...next, base: doc, since: null, run: NO_RUN };
      if (effect.is(setRun)) next = { ...next, run: effect.value };
      if (effect.is(setStops)) next = { ...next, stops: effect.value.map(({ line, here }) => ({ pos: lineAt(doc, line).from, here })) };
      if (effect.is(setLinked)) next = { ...next, linked: effect.value === null ? null : lineAt(doc, effect.value).from };
    }
    return next === value ? value : redraw(next, transaction.state.doc);
  },
  provide: (field) => [
    EditorView.decorations.from(field, (value) => value.set),
    gutterLineClass.from(field, (value) => value.gutters),
  ],
});

function redraw(value, doc) {
  const place = moved(value.base, value.since, doc);
  const lines = new Map();
  for (const pos of value.outline) lines.set(doc.lineAt(Math.min(pos, doc.length)).from, { steps: [] });
  for (const step of value.run.steps) {
    if (!step.line) continue;
    const there = place(step.line);
    if (!there) continue;
    const { from } = there;
    if (!lines.has(from)) lines.set(from, { steps: [] });
    lines.get(from).steps.push(step);
  }
  const awaited = new Map();
  for (const [from, { steps }] of lines) {
    const open = steps.filter((step) => OPEN.has(step.status));
    if (open.length) awaited.set(from, open.length > 1 ? `${open.length} open` : open[0].label || wordsOf(open[0].status));
  }
  if (value.run.awaitedLine) {
    const there = place(value.run.awaitedLine);
    if (there && !awaited.has(there.from)) awaited.set(there.from, "");
  }
  const set = [];
  const gutters = [];
  for (const [from, note] of awaited) {
    gutters.push(AWAITED.range(from));
    set.push(Decoration.line({ class: "cm-awaited" }).range(from));
    if (note) set.push(Decoration.widget({ widget: new Note("cm-note-awaited", note), side: 1 }).range(doc.lineAt(from).to));
  }
  const { error } = value.run;
  const raised = error?.line ? place(error.line) : null;
  if (raised) {
    const { from, state } = raised;
    if (state === "same") {
      gutters.push(RAISED.range(from));
      set.push(Decoration.line({ class: "cm-raised" }).range(from));
    }
    const note = state === "same" ? new Note("cm-note-raised", error.message) : new Note("cm-note-old", `before the edit: ${error.message}`);
    if (error.message) set.push(Decoration.widget({ widget: note, side: 1 }).range(doc.lineAt(from).to));
  }
  for (const { pos, here } of value.stops) gutters.push((here ? STOPPED : STOP).range(doc.lineAt(Math.min(pos, doc.length)).from));
  if (value.linked !== null) {
    const { from } = doc.lineAt(Math.min(value.linked, doc.length));
    set.push(Decoration.line({ class: "cm-linked" }).range(from));
    gutters.push(LINKED.range(from));
  }
  return { ...value, lines, set: Decoration.set(set, true), gutters: RangeSet.of(gutters, true) };
}

const AWAITED = new Tint("cm-tint-awaited");
const RAISED = new Tint("cm-tint-raised");
const LINKED = new Tint("cm-tint-linked");
const STOP = new Tint("cm-stop");
const STOPPED = new Tint("cm-stop cm-stop-here");

const stateOf = (steps) => STATES.find(([status]) => steps.some((step) => step.status === status)) ?? STATES.at(-1);
const wordsOf = (status) => (STATES.find(([known]) => known === status) ?? [])[3] ?? status;

class Dot extends GutterMarker {
  constructor(shape, className, label) {
    super();
    Object.assign(this, { shape, className, label });
  }
  eq(other) {
    return other.shape === this.shape && other.label === this.label;
  }
  toDOM() {
    const span = document.createElement("span");
    span.className = `cm-dot ${this.className}`;
    span.title = this.label;
    span.append(icon(this.shape, this.label));
    return span;
  }
}

function dotOf(steps) {
  const [status, shape, className, words] = stateOf(steps);
  if (steps.length < 2) return new Dot(shape, className, steps.length ? `${steps[0].name}: ${words}` : words);
  const same = steps.filter((step) => step.status === status).length;
  return new Dot(shape, className, `${same} of ${steps.length} ${words}`);
}

const dots = (onStep) =>
  gutter({
    class: "cm-steps",
    lineMarker(view, block) {
      const entry = view.state.field(marks).lines.get(block.from);
      return entry ? dotOf(entry.steps) : null;
    },
    lineMarkerChange: (update) => update.startState.field(marks).lines !== update.state.field(marks).lines,
    initialSpacer: () => new Dot("not", "spacer", ""),
    domEventHandlers: {
      mousedown(view, block) {
        if (!view.state.field(marks).lines.has(block.from)) return false;
        onStep(runLine(view, block.from));
        return true;
      },
    },
  });

/** The line a place had in the text of the run. */
export function runLine(view, pos) {
  const { base, since } = view.state.field(marks);
  const { number, from } = view.state.doc.lineAt(pos);
  if (!since) return number;
  const place = moved(base, since, view.state.doc);
  for (let line = 1; line <= base.lines; line++) if (place(line)?.from === from) return line;
  return number;
}

const hovering = (onHover) => {
  let last = null;
  const say = (line) => line !== last && onHover((last = line));
  return EditorView.domEventHandlers({
    mousemove(event, view) {
      const pos = view.posAtCoords({ x: event.clientX, y: event.clientY }, false);
      const from = view.state.doc.lineAt(pos).from;
      say(view.state.field(marks).lines.has(from) ? runLine(view, from) : null);
    },
    mouseleave: () => say(null),
  });
};

export const showOutline = (view, lines) => view.dispatch({ effects: setOutline.of(lines) });
export const showRun = (view, run) => view.dispatch({ effects: setRun.of({ ...NO_RUN, ...run }) });
export const showStops = (view, { lines, ofRun }) => view.dispatch({ effects: setStops.of(lines.map(({ line, here }) => ({ line: ofRun ? nowLine(view, line) : line, here }))) });
export const startRun = (view) => view.dispatch({ effects: setBase.of(null) });
export const link = (view, line, ofRun = true) => view.dispatch({ effects: setLinked.of(line === null || !ofRun ? line : nowLine(view, line)) });

/** Where a line of the run is now: {line, state: "same" | "edited"}, or null once it is gone. */
export function whereIs(view, line) {
  const { base, since } = view.state.field(marks);
  const there = moved(base, since, view.state.doc)(line);
  return there && { line: view.state.doc.lineAt(there.from).number, state: there.state };
}

/** The line a line of the run has now; of one that is gone, where it was. */
export function nowLine(view, line) {
  const there = whereIs(view, line);
  if (there) return there.line;
  const { base, since } = view.state.field(marks);
  return view.state.doc.lineAt(Math.min(since ? since.mapPos(lineAt(base, line).from, 1) : lineAt(base, line).from, view.state.doc.length)).number;
}

/** Brings what the run is at into sight, until somebody touches the editor. */
function following() {
  let on = true;
  let at = null;
  const leave = () => {
    on = false;
  };
  return [
    EditorView.domEventHandlers({ mousedown: leave, wheel: leave, touchstart: leave, keydown: leave }),
    EditorView.updateListener.of(({ transactions, view, state }) => {
      for (const { effects } of transactions) {
        for (const effect of effects) {
          if (effect.is(setBase)) on = true;
          if (!effect.is(setRun) || !on) continue;
          const line = effect.value.error?.line ?? effect.value.awaitedLine;
          if (!line || line === at) continue;
          at = line;
          const pos = state.doc.line(nowLine(view, line)).from;
          queueMicrotask(() => view.dispatch({ effects: EditorView.scrollIntoView(pos, { y: "nearest", yMargin: 60 }) }));
        }
      }
    }),
  ];
}

export const steps = ({ onHover, onStep }) => [marks, dots(onStep), hovering(onHover), following()];
