// The last thing of a run: its output, or the error that ended it. Always there once the run is over.

import { el, icon } from "../dom.js";
import { hasMore, trace, traceText } from "./errors.js";
import { valueNodes, valueText } from "./value.js";
import { errorLine, short } from "./words.js";

const TITLE = 160; // characters of an error above its traceback, which has all of it

/** The block for a finished state; `copy(text)` puts text on the clipboard; `next` is the way on after an error, or null. */
export function outcome(state, copy, next = null) {
  const bad = state.status === "errored";
  const { error } = state;
  const title = bad ? short(errorLine(error), TITLE) : state.status === "terminated" ? "Terminated: no output" : "Output";
  const text = bad && error ? traceText(error) : valueText(state.output);
  const head = el("h3", {}, icon(bad ? "i-failed" : state.status === "terminated" ? "i-stop" : "i-check"), el("span.grow", {}, title), state.status !== "terminated" && copyButton(text, copy));
  const block = el(`section.end${bad ? ".bad" : ""}`, { "aria-label": bad ? "Error" : "Output" }, head);
  const more = bad && error && (hasMore(error) || title !== errorLine(error)); // than the head has said
  if (bad) block.append(...(more ? [trace(error)] : []), ...(next ? [next] : []));
  else if (state.status === "complete") {
    const pre = el("pre", { tabindex: "0" }, valueNodes(state.output));
    if (state.output === null) pre.append(el("span.dim", {}, "  run returned nothing"));
    block.append(pre);
  }
  return block;
}

export const copyButton = (text, copy) => el("button.btn.small", { type: "button", onclick: () => copy(text) }, icon("i-copy"), "Copy");
