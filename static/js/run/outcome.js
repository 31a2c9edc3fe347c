// The last thing of a run: its output, or the error that ended it. Always there once the run is over.

import { el, icon } from "../dom.js";
import { hasMore, trace, traceText } from "./errors.js";
import { ValueTree } from "./value-tree.js";
import { errorLine, short } from "./words.js";

const TITLE = 160; // characters of an error above its traceback, which has all of it

/** The block for a finished state; `copy(text)` puts text on the clipboard; `next` is the way on after an error, or null. */
export function outcome(state, copy, next = null) {
  const bad = state.status === "errored";
  const { error } = state;
  const title = bad ? short(errorLine(error), TITLE) : state.status === "terminated" ? "Terminated: no output" : "Output";
  const complete = state.status === "complete";
  const tree = complete && new ValueTree({ value: state.output, name: "output", label: "Output", copy });
  const tools = complete ? tree.tools : bad ? [copyButton(() => (error ? traceText(error) : title), copy)] : [];
  const mark = icon(bad ? "i-failed" : complete ? "i-check" : "i-stop");
  const head = el("div.end-head", {}, mark, el(`h3${complete ? "" : ".grow"}`, {}, title), ...tools);
  const block = el(`section.end${bad ? ".bad" : ""}`, { "aria-label": bad ? "Error" : "Output" }, head);
  const more = bad && error && (hasMore(error) || title !== errorLine(error)); // than the head has said
  if (bad) block.append(...(more ? [trace(error)] : []), ...(next ? [next] : []));
  else if (complete) block.append(tree.node, ...(state.output === null ? [el("p.of-none.dim", {}, "run returned nothing")] : []));
  return block;
}

/** `text` makes what is copied, once it is. */
export const copyButton = (text, copy) => el("button.btn.small", { type: "button", onclick: () => copy(text()) }, icon("i-copy"), "Copy");
