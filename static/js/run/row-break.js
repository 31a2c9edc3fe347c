// What a row of the timeline shows of breaks: the mark of one that is set, and on a step that is still to come the button to set one.

import { el, icon, setFlag, setIcon } from "../dom.js";
import { breakOf, says } from "./breaks.js";
import { rowTool } from "./new-row.js";

const MARK = "span.bolt-box";

/** Marks a row whose next attempts are broken; gives the words for those who do not see it. */
export function markBreak(item, broken) {
  item.querySelector(".bolt-box")?.remove();
  if (!broken) return "";
  const words = `a break is set: ${says(broken)}`;
  const svg = icon("i-bolt-on");
  svg.classList.add("bolt");
  item.parts.button.insertBefore(el(MARK, { title: words }, svg), item.parts.words);
  return `, ${words}`;
}

/** The break that a row of a step, or of an entry of the plan, is marked with. */
export function rowBreak(breaks, { name, count = null, endedAt = null, kind, parent = null }) {
  const found = kind === "do" && !parent && breaks.length ? breakOf(breaks, { name, count }) : null;
  return found && endedAt !== null && found.step.count !== count ? null : found;
}

/** Puts the button at the end of a row, or takes it away. `ask` null: nobody here may break it. */
export function breakTool(item, entry, broken, ask, tabIndex = 0) {
  const act = entry.kind === "do" && entry.name && !entry.parent ? ask : null;
  const button = rowTool(item, "breaks", { act, tabIndex, make: (row) => row.appendChild(el("button.row-break", { type: "button" }, icon("i-bolt"))) });
  if (!button) return;
  button.setAttribute("aria-label", `Break ${entry.name}${broken ? `, which ${says(broken)}` : ""}`);
  button.title = broken ? `Broken: ${says(broken)}` : "Break this step";
  setFlag(button, "is-set", Boolean(broken));
  setIcon(button.firstElementChild, broken ? "i-bolt-on" : "i-bolt");
}
