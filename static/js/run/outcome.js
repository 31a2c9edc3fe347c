// The last thing of a run: its output, or the error that ended it. Always there once the run is over.

import { el, icon, setText } from "../dom.js";
import { hasMore, trace, traceText } from "./errors.js";
import { valueNodes, valueText } from "./value.js";
import { count, errorLine, short } from "./words.js";

const LINES = 6; // of an output that are shown before somebody asks for all
const LENGTH = 600; // … and characters, where they are few lines
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
    const lines = pre.textContent.split("\n").length;
    if (lines > LINES || pre.textContent.length > LENGTH) fold(pre, lines, block);
    if (state.output === null) pre.append(el("span.dim", {}, "  run returned nothing"));
    block.prepend(head, pre);
  }
  return block;
}

/** Shows the beginning of a large output: it must not push the timeline away. */
function fold(pre, lines, block) {
  pre.classList.add("folded");
  const words = lines > 1 ? `Show all ${count(lines, "line")}` : "Show all of it";
  const button = el("button.btn.small.unfold", { type: "button", "aria-expanded": "false" }, words);
  button.addEventListener("click", () => {
    const open = pre.classList.toggle("unfolded");
    pre.classList.toggle("folded", !open);
    button.setAttribute("aria-expanded", String(open));
    setText(button, open ? "Show less" : words);
  });
  block.append(button);
}

export const copyButton = (text, copy) => el("button.btn.small", { type: "button", onclick: () => copy(text) }, icon("i-copy"), "Copy");
