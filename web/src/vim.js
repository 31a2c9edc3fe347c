// Vim's keys, for those who ask for them: loaded when chosen, taken away again without a trace.

import { Prec } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { Vim, vim } from "@replit/codemirror-vim";

const LEAVE_MS = 2000; // after Esc, in which Tab leaves the editor: vim takes Esc before the editor sees it

const leaving = EditorView.domEventObservers({
  keydown(event, view) {
    if (event.key === "Escape") view.setTabFocusMode(LEAVE_MS);
  },
});

/** The extension. `:w` makes a link, `:run` runs. */
export function vimKeys({ onRun, onShare }) {
  Vim.defineEx("write", "w", () => onShare());
  Vim.defineEx("run", "run", () => onRun());
  return [leaving, Prec.highest(vim({ status: true }))];
}
