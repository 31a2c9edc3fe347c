// What only somebody who works in the source needs: completion, signatures and documentation, closing brackets, search. Loaded when the
// editor is first focused or pointed at.

import { autocompletion, closeBrackets, closeBracketsKeymap, startCompletion } from "@codemirror/autocomplete";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { Prec } from "@codemirror/state";
import { keymap } from "@codemirror/view";
import { completion } from "./complete.js";
import { signature } from "./signature.js";

export const assist = [
  completion,
  signature,
  autocompletion({ icons: false }),
  closeBrackets(),
  highlightSelectionMatches(),
  search({ top: true }),
  Prec.high(keymap.of([...closeBracketsKeymap, ...searchKeymap])),
];

/** Completes the word that was typed before this had come. */
export function catchUp(view) {
  const { main } = view.state.selection;
  if (view.hasFocus && main.empty && /[\w.]/.test(view.state.sliceDoc(main.head - 1, main.head))) startCompletion(view);
}
