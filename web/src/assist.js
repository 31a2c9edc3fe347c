// What only somebody who types needs: completion, signatures, closing brackets, search. Loaded when the editor is first focused.

import { autocompletion, closeBrackets, closeBracketsKeymap } from "@codemirror/autocomplete";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { Prec } from "@codemirror/state";
import { keymap } from "@codemirror/view";
import { completion, signature } from "./complete.js";

export const assist = [
  completion,
  signature,
  autocompletion({ icons: false }),
  closeBrackets(),
  highlightSelectionMatches(),
  search({ top: true }),
  Prec.high(keymap.of([...closeBracketsKeymap, ...searchKeymap])),
];
