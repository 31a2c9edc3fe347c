// What comes into the text other than by single keys. Where an input crosses lines, Chromium rearranges the lines' elements by itself and
// gives them inline styles, which the page's policy refuses with an error: such inputs are made here as edits of the text instead.
// And whoever replaces all of the text sees the new one from its top.

import { EditorState } from "@codemirror/state";
import { EditorView } from "@codemirror/view";

const TOP_PX = 8; // free above the first line (editor.css)

const crosses = (doc, from, to) => doc.lineAt(from).number !== doc.lineAt(to).number;

/** The part of the text that an input is about, from the browser's range of it; the selection where the browser gives none. */
function rangeOf(event, view) {
  const [range] = event.getTargetRanges();
  if (!range || !view.contentDOM.contains(range.startContainer)) return view.state.selection.main;
  const ends = [view.posAtDOM(range.startContainer, range.startOffset), view.posAtDOM(range.endContainer, range.endOffset)];
  return { from: Math.min(...ends), to: Math.max(...ends) };
}

function beforeInput(event, view) {
  const inserts = event.inputType.startsWith("insert") && event.inputType !== "insertParagraph" && event.inputType !== "insertLineBreak";
  if (!event.cancelable || event.isComposing || view.composing || view.state.readOnly || !(inserts || event.inputType.startsWith("delete"))) return false;
  const text = inserts ? (event.data ?? event.dataTransfer?.getData("text/plain") ?? "") : "";
  const { from, to } = rangeOf(event, view);
  const insert = view.state.toText(text);
  if (insert.lines === 1 && !crosses(view.state.doc, from, to)) return false;
  event.preventDefault();
  view.dispatch({
    changes: { from, to, insert },
    selection: { anchor: from + insert.length },
    userEvent: inserts ? "input.paste" : "delete",
    scrollIntoView: true,
  });
  return true;
}

function fromTheTop(change) {
  if (!change.docChanged || !change.isUserEvent("input.paste") || !change.startState.doc.length) return null;
  let whole = false;
  change.changes.iterChangedRanges((from, to) => (whole ||= from === 0 && to === change.startState.doc.length), false);
  return whole ? { effects: EditorView.scrollIntoView(0, { y: "start", x: "start", yMargin: TOP_PX }) } : null;
}

export const input = [EditorView.domEventHandlers({ beforeinput: beforeInput }), EditorState.transactionExtender.of(fromTheTop)];
