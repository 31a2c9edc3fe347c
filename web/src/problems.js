// Diagnostics: a mark in the gutter, the whole line tinted, a squiggle under the expression, the first sentence at the line's right,
// and, when asked for, a card under the line with all of it and the fix.

import { forEachDiagnostic, linter, setDiagnostics } from "@codemirror/lint";
import { RangeSet, StateEffect, StateField } from "@codemirror/state";
import { Decoration, EditorView, GutterMarker, WidgetType, gutter, gutterLineClass, keymap } from "@codemirror/view";
import { Note, Tint, icon, prose } from "./drawing.js";
import { offsetAt } from "./places.js";

const SHAPES = { error: "failed", warning: "warn", info: "info", hint: "hint" };
const RANK = ["error", "warning", "info", "hint"];

const openCard = StateEffect.define({ map: (pos, changes) => (pos === null ? null : changes.mapPos(pos)) });

/** Turns what /api/check answers into CodeMirror's diagnostics, for the document they were made from. */
function toDiagnostics(doc, found) {
  return found.map((one) => {
    const from = offsetAt(doc, one.line, one.column);
    const to = Math.max(from, offsetAt(doc, one.end_line ?? one.line, one.end_column ?? one.column));
    const { fix } = one;
    const actions = fix
      ? [
          {
            name: fix.title,
            apply: (view) => {
              const at = offsetAt(view.state.doc, fix.line, fix.column);
              const end = offsetAt(view.state.doc, fix.end_line ?? fix.line, fix.end_column ?? fix.column);
              view.dispatch({ changes: { from: at, to: Math.max(at, end), insert: fix.text }, userEvent: "input.fix", scrollIntoView: true });
              view.focus();
            },
          },
        ]
      : [];
    return { from, to, severity: one.severity, source: one.code, message: one.message, renderMessage: () => words(one), actions };
  });
}

export const show = (view, found) => view.dispatch(setDiagnostics(view.state, toDiagnostics(view.state.doc, found)));

/** Moves to the next line with a problem, from the top again after the last, and opens its card. */
export function nextProblem(view) {
  const { lines, open } = view.state.field(decorations);
  if (!lines.size) return false;
  const order = [...lines.keys()].sort((a, b) => a - b);
  const here = open ?? view.state.doc.lineAt(view.state.selection.main.head).from;
  const next = order.find((from) => from > here || (open === null && from === here)) ?? order[0];
  const { found } = lines.get(next);
  const anchor = Math.min(...found.map((one) => one.from));
  const said = found.map(({ diagnostic }) => `${diagnostic.severity}: ${diagnostic.message}${diagnostic.actions?.length ? ` Fix: ${diagnostic.actions[0].name}.` : ""}`);
  view.dispatch({
    selection: { anchor },
    effects: [
      ...(next === open ? [] : [openCard.of(next)]),
      EditorView.scrollIntoView(anchor, { y: "center" }),
      EditorView.announce.of(`Line ${view.state.doc.lineAt(anchor).number}, ${said.join(" ")}`.replaceAll("`", "")),
    ],
  });
  view.focus();
  return true;
}

/** Makes the first fix offered on the line of the cursor, or of the card that is open. */
function fixHere(view) {
  const { lines, open } = view.state.field(decorations);
  const entry = lines.get(open ?? view.state.doc.lineAt(view.state.selection.main.head).from);
  const fixed = entry?.found.find(({ diagnostic }) => diagnostic.actions?.length);
  if (!fixed) return false;
  const [{ name, apply }] = fixed.diagnostic.actions;
  apply(view, fixed.from, fixed.to);
  view.dispatch({ effects: EditorView.announce.of(`${name}: done`) });
  return true;
}

function words(one) {
  const first = firstClause(one.message);
  const p = document.createElement("p");
  prose(p.appendChild(document.createElement("b")), first);
  return prose(p, one.message.slice(first.length));
}

/** Up to the first full stop, colon or semicolon that does not stand in code. */
function firstClause(message) {
  for (const { index, 0: mark } of message.matchAll(/[.:;!?](?=\s|$)/g)) {
    if (message.slice(0, index).split("`").length % 2) return message.slice(0, index + mark.length);
  }
  return message;
}

function byLine(state) {
  const lines = new Map();
  forEachDiagnostic(state, (diagnostic, from, to) => {
    const line = state.doc.lineAt(from);
    const entry = lines.get(line.from) ?? { severity: "hint", found: [] };
    entry.found.push({ diagnostic, from, to });
    if (RANK.indexOf(diagnostic.severity) < RANK.indexOf(entry.severity)) entry.severity = diagnostic.severity;
    lines.set(line.from, entry);
  });
  return lines;
}

class Card extends WidgetType {
  constructor(found) {
    super();
    this.found = found;
  }
  eq(other) {
    return other.found.length === this.found.length && other.found.every((one, i) => one.diagnostic === this.found[i].diagnostic);
  }
  toDOM(view) {
    const block = document.createElement("div");
    block.className = "cm-card-block";
    const card = block.appendChild(document.createElement("div"));
    card.className = "cm-card";
    card.setAttribute("role", "note");
    for (const { diagnostic, from, to } of this.found) {
      const part = card.appendChild(document.createElement("div"));
      part.className = `cm-card-${diagnostic.severity}`;
      part.append(diagnostic.renderMessage());
      const row = part.appendChild(document.createElement("p"));
      row.className = "cm-card-row";
      for (const action of diagnostic.actions ?? []) {
        const button = row.appendChild(document.createElement("button"));
        button.type = "button";
        button.className = "btn line small";
        button.textContent = action.name;
        button.addEventListener("click", () => action.apply(view, from, to));
      }
      const code = row.appendChild(document.createElement("span"));
      code.className = "dim";
      code.textContent = diagnostic.source ?? "";
    }
    return block;
  }
  ignoreEvent() {
    return true;
  }
}

const decorations = StateField.define({
  create: () => ({ open: null, lines: new Map(), set: Decoration.none, gutters: RangeSet.empty }),
  update(value, transaction) {
    let { open } = value;
    if (open !== null && transaction.docChanged) open = transaction.changes.mapPos(open);
    for (const effect of transaction.effects) if (effect.is(openCard)) open = effect.value === open ? null : effect.value;
    if (!transaction.docChanged && !transaction.effects.length) return value;
    const lines = byLine(transaction.state);
    if (open !== null) open = transaction.state.doc.lineAt(open).from;
    if (!lines.has(open)) open = null;
    return { open, lines, set: draw(transaction.state, lines, open), gutters: tints(lines) };
  },
  provide: (field) => [
    EditorView.decorations.from(field, (value) => value.set),
    gutterLineClass.from(field, (value) => value.gutters),
  ],
});

const tints = (lines) => RangeSet.of([...lines].map(([from, { severity }]) => new Tint(`cm-tint-${severity}`).range(from)), true);

function draw(state, lines, open) {
  const marks = [];
  for (const [from, { severity, found }] of lines) {
    const first = firstSentence(found.find((one) => one.diagnostic.severity === severity).diagnostic.message);
    const text = found.length > 1 ? `${first} (+${found.length - 1})` : first;
    const end = state.doc.lineAt(from).to;
    marks.push(Decoration.line({ class: `cm-problem cm-problem-${severity}` }).range(from));
    if (open !== from) marks.push(Decoration.widget({ widget: new Note(`cm-note-${severity}`, text, prose), side: 2 }).range(end));
    else marks.push(Decoration.widget({ widget: new Card(found), side: 3, block: true }).range(end));
  }
  return Decoration.set(marks, true);
}

const firstSentence = (message) => firstClause(message).replace(/[.;:]$/, "");

class Sign extends GutterMarker {
  constructor(severity, count) {
    super();
    Object.assign(this, { severity, count });
  }
  eq(other) {
    return other.severity === this.severity && other.count === this.count;
  }
  toDOM() {
    const span = document.createElement("span");
    span.className = `cm-sign cm-sign-${this.severity}`;
    span.append(icon(SHAPES[this.severity], this.count > 1 ? `${this.count} problems` : this.severity));
    return span;
  }
}

function toggle(view, from) {
  if (!view.state.field(decorations).lines.has(from)) return false;
  view.dispatch({ effects: openCard.of(from) });
  return true;
}

const signs = gutter({
  class: "cm-signs",
  lineMarker(view, block) {
    const entry = view.state.field(decorations).lines.get(block.from);
    return entry ? new Sign(entry.severity, entry.found.length) : null;
  },
  lineMarkerChange: (update) => update.startState.field(decorations).lines !== update.state.field(decorations).lines,
  domEventHandlers: { mousedown: (view, block) => toggle(view, block.from) },
});

const clicks = EditorView.domEventHandlers({
  mousedown(event, view) {
    if (!event.target.closest?.(".cm-note")) return false;
    const line = view.state.doc.lineAt(view.posAtDOM(event.target));
    if (!toggle(view, line.from)) return false;
    event.preventDefault();
    return true;
  },
});

const keys = keymap.of([
  { key: "F8", run: nextProblem, preventDefault: true },
  { key: "Mod-.", run: fixHere, preventDefault: true },
  {
    key: "Escape",
    run(view) {
      if (view.state.field(decorations).open === null) return false;
      view.dispatch({ effects: openCard.of(view.state.field(decorations).open) });
      return false;
    },
  },
]);

/** What a tooltip would say is left out where the card already stands. */
function unlessOpen(found, state) {
  const { open } = state.field(decorations);
  return open === null ? found : found.filter((one) => state.doc.lineAt(one.from).from !== open);
}

export function problems() {
  return [linter(null, { tooltipFilter: unlessOpen }), decorations, signs, clicks, keys];
}
