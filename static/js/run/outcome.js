// The last thing of a run: its output, or the error that ended it. Always there once the run is over.

import { el, icon, lineLink } from "../dom.js";
import { valueNodes, valueText } from "./value.js";
import { errorLine, short } from "./words.js";

const TITLE = 160; // characters of an error above its traceback, which has all of it

/** The block for a finished state; `copy(text)` puts text on the clipboard; `next` is the way on after an error, or null. */
export function outcome(state, copy, next = null) {
  const bad = state.status === "errored";
  const { error } = state;
  const title = bad ? short(errorLine(error), TITLE) : state.status === "terminated" ? "Terminated: no output" : "Output";
  const traceback = bad ? trace(error) : null;
  const text = traceback ? traceback.textContent : valueText(state.output);
  const head = el("h3", {}, icon(bad ? "i-failed" : state.status === "terminated" ? "i-stop" : "i-check"), el("span.grow", {}, title), state.status !== "terminated" && copyButton(text, copy));
  const block = el(`section.end${bad ? ".bad" : ""}`, { "aria-label": bad ? "Error" : "Output" }, head);
  const more = bad && (error?.traceback?.length || title !== errorLine(error)); // than the head has said
  if (bad) block.append(...(more ? [traceback] : []), ...(next ? [next] : []));
  else if (state.status === "complete") {
    const pre = el("pre", { tabindex: "0" }, valueNodes(state.output));
    if (state.output === null) pre.append(el("span.dim", {}, "  run returned nothing"));
    block.append(pre);
  }
  return block;
}

export const copyButton = (text, copy) => el("button.btn.small", { type: "button", onclick: () => copy(text) }, icon("i-copy"), "Copy");

/** A traceback as Python would print it, in which tenant lines lead to the editor. */
export function trace(error) {
  const pre = el("pre.trace", { tabindex: "0" });
  const frames = error?.traceback ?? [];
  if (frames.length) pre.append(el("span.dim", {}, "Traceback (most recent call last):"), "\n");
  for (const frame of frames) {
    pre.append("  File ", lineLink(frame.line, `"workflow.py", line ${frame.line}`), `, in ${frame.function}\n`);
    if (frame.code) pre.append(`    ${frame.code.trim()}\n`);
  }
  pre.append(el("b", {}, errorLine(error)));
  return pre;
}
