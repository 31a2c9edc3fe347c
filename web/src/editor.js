// The page's editor: CodeMirror over the textarea that the server sent. The only export is what static/js/editor.js uses.

import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { bracketMatching, forceParsing, indentOnInput, indentUnit } from "@codemirror/language";
import { Compartment, EditorState, Prec, Text } from "@codemirror/state";
import {
  EditorView,
  drawSelection,
  dropCursor,
  highlightActiveLine,
  highlightSpecialChars,
  keymap,
  lineNumbers,
  tooltips,
} from "@codemirror/view";
import { python } from "./highlight.js";
import { input } from "./input.js";
import { notes } from "./notes.js";
import { columnOf, lineAt, offsetAt } from "./places.js";
import { nextProblem, problems, show } from "./problems.js";
import { link, nowLine, runLine, showOutline, showRun, showStops, startRun, steps, whereIs } from "./steps.js";

const LINE_PX = 20; // of a line of code, and PAD_PX above the first one: those of the textarea and of the listing, too (editor.css)
const PAD_PX = 8;
const PARSE_MS = 200; // for the colours of what is in sight: the listing that the editor replaces has them, and idle time may be long in coming
const MARK = /^\ufeff/; // what some editors write before a text in UTF-8; a paste or a dropped file may bring it

const unmarked = EditorState.transactionFilter.of((change) =>
  change.docChanged && MARK.test(change.newDoc.sliceString(0, 1))
    ? [change, { changes: { from: 0, to: 1 }, sequential: true }]
    : change,
);

/**
 * Makes an editor in `parent`, with `doc` as its text.
 *
 * @param {object} options
 * @param {string} options.nonce  of the page's Content-Security-Policy, for CodeMirror's own styles
 * @param {string} options.labelledby  id of the element that names the editor
 * @param {string} options.describedby  id of the element that says how to leave it
 * @param {() => void} options.onChange  after every edit
 * @param {(place: {line: number, column: number}) => void} options.onCursor
 * @param {() => void} options.onRun  Mod-Enter or Shift-Enter
 * @param {() => void} options.onShare  Mod-S
 * @param {(line: number | null) => void} options.onHover  a step's line is under the pointer; as numbered in the run's text
 * @param {(line: number) => void} options.onStep  a dot was pressed
 * @param {(place: {line: number, ofRun: number}) => void} options.onStop  a line's number was pressed
 */
export function createEditor({ parent, doc, nonce, labelledby, describedby, onChange, onCursor, onRun, onShare, onHover, onStep, onStop }) {
  const pressed = (act) => () => {
    act();
    return true;
  };
  const assist = new Compartment();
  const vim = new Compartment();
  const own = [
    { key: "Mod-Enter", run: pressed(onRun), preventDefault: true },
    { key: "Shift-Enter", run: pressed(onRun), preventDefault: true },
    { key: "Mod-s", run: pressed(onShare), preventDefault: true },
  ];
  const watch = EditorView.updateListener.of((update) => {
    if (update.docChanged) onChange();
    if (update.docChanged || update.selectionSet) onCursor(cursor(update.state));
  });
  const state = EditorState.create({
    doc: doc.replace(MARK, ""),
    extensions: [
      EditorView.cspNonce.of(nonce),
      EditorView.contentAttributes.of({
        tabindex: "0",
        "aria-labelledby": labelledby,
        "aria-describedby": describedby,
        "aria-keyshortcuts": "Control+Enter Shift+Enter Control+S",
        autocorrect: "off",
        autocapitalize: "off",
        spellcheck: "false",
      }),
      vim.of([]),
      Prec.high(keymap.of(own)),
      problems(),
      lineNumbers({ domEventHandlers: { mousedown: (view, block) => (onStop(placeOf(view, block.from)), true) } }),
      steps({ onHover, onStep }),
      notes,
      highlightSpecialChars(),
      history(),
      drawSelection(),
      dropCursor(),
      EditorState.allowMultipleSelections.of(true),
      EditorState.tabSize.of(4),
      indentUnit.of("    "),
      indentOnInput(),
      bracketMatching(),
      highlightActiveLine(),
      python(),
      assist.of([]),
      tooltips({ parent: document.body }),
      keymap.of([...defaultKeymap, ...historyKeymap, indentWithTab]),
      unmarked,
      input,
      watch,
    ],
  });
  const view = new EditorView({ state, parent });
  forceParsing(view, view.viewport.to, PARSE_MS);
  let asked = false;
  const help = async () => {
    if (asked) return;
    asked = true;
    const { doc } = view.state;
    try {
      const loaded = await import("./assist.js");
      view.dispatch({ effects: assist.reconfigure(loaded.assist) });
      if (view.state.doc !== doc) loaded.catchUp(view);
    } catch {
      asked = false; // the server is away: the next sign asks again
    }
  };
  for (const sign of ["focus", "pointerenter"]) view.contentDOM.addEventListener(sign, help);

  return {
    text: () => view.state.doc.toString(),
    /** Goes on from what stood there before the editor: its text, which may be edited already, selection, scroll in CSS pixels and focus. */
    takeOver({ text, anchor, head, top, left, focused }) {
      const { doc } = view.state;
      const now = Text.of(text.replace(MARK, "").split("\n"));
      const changed = !now.eq(doc);
      const line = now.line(Math.min(now.lines, Math.max(1, Math.ceil((top - PAD_PX) / LINE_PX) + 1)));
      view.dispatch({
        changes: changed ? { from: 0, to: doc.length, insert: now } : [],
        selection: { anchor: Math.min(anchor, now.length), head: Math.min(head, now.length) },
        effects: top ? EditorView.scrollIntoView(line.from, { y: "start", yMargin: PAD_PX + (line.number - 1) * LINE_PX - top, x: "nearest" }) : [],
        userEvent: changed ? "input.early" : "select",
      });
      if (left) view.requestMeasure({ read: () => null, write: () => (view.scrollDOM.scrollLeft = left) });
      if (focused) view.focus();
    },
    /** Replaces the whole text, as one step that can be undone. */
    setText: (text) => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text }, selection: { anchor: 0 }, scrollIntoView: true }),
    /** Makes edits, [{from, to, insert}] in places of the text as it is, as one step that can be undone. */
    edit: (changes) => view.dispatch({ changes, userEvent: "input.format" }),
    focus: () => view.focus(),
    /** Selects all of it, with the focus. */
    selectAll() {
      view.focus();
      view.dispatch({ selection: { anchor: 0, head: view.state.doc.length } });
    },
    /** Vim's keys on or off. */
    async setVim(on) {
      const keys = on ? (await import("./vim.js")).vimKeys({ onRun, onShare }) : [];
      view.dispatch({ effects: vim.reconfigure(keys) });
    },
    /** Shows what /api/check found in the text as it is now. */
    showProblems: (found) => show(view, found),
    nextProblem: () => nextProblem(view),
    /** Marks the lines of the steps found in the text as it is now. */
    showOutline: (lines) => showOutline(view, lines),
    /** From now on line numbers of a run mean the text as it is now. */
    startRun: () => startRun(view),
    /** Draws {steps, awaitedLine, error} of the run. */
    showRun: (run) => showRun(view, run),
    /** Marks {lines: [{line, here}], ofRun} before which a run stops. */
    showStops: (stops) => showStops(view, stops),
    /** Lights a line of the run, or of the text as it is now; null puts it out. */
    link: (line, ofRun) => link(view, line, ofRun),
    /** Brings a line of the run into sight, and leaves the cursor where it is. */
    reveal(line, ofRun = true) {
      const there = ofRun ? view.state.doc.line(nowLine(view, line)) : lineAt(view.state.doc, line);
      view.dispatch({ effects: EditorView.scrollIntoView(there.from, { y: "nearest", yMargin: 60 }) });
    },
    /** Where a line of the run is now: {line, state: "same" | "edited"}, or null once it is gone. */
    whereIs: (line) => whereIs(view, line),
    runLine: () => runLine(view, view.state.selection.main.head),
    /** The same, as numbered in the text as it is now, too. */
    place: () => placeOf(view, view.state.selection.main.head),
    /** Scrolls to a place. Lines of a run are mapped over the edits made since; `ofRun` false takes the number as it is. */
    goto({ line, column, ofRun = true }) {
      const number = ofRun ? nowLine(view, line) : lineAt(view.state.doc, line).number;
      const anchor = offsetAt(view.state.doc, number, column ?? indentOf(view.state.doc, number));
      view.dispatch({ selection: { anchor }, effects: EditorView.scrollIntoView(anchor, { y: "center" }) });
      view.focus();
    },
  };
}

function cursor(state) {
  const { head } = state.selection.main;
  const line = state.doc.lineAt(head);
  return { line: line.number, column: columnOf(line, head) };
}

const indentOf = (doc, number) => /^\s*/.exec(lineAt(doc, number).text)[0].length + 1;

const placeOf = (view, pos) => ({ line: view.state.doc.lineAt(pos).number, ofRun: runLine(view, pos) });
