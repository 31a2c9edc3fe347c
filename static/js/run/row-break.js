// What a row of the timeline shows of breaks: the mark of one that is set, and on a step that is still to come the button to set one.

import { breakOf, says } from "./breaks.js";
import { el, icon } from "./dom.js";

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
export function rowBreak(breaks, { name, count = null, endedAt = null, kind }) {
  const found = kind === "do" && breaks.length ? breakOf(breaks, { name, count }) : null;
  return found && endedAt !== null && found.step.count !== count ? null : found;
}

/** Puts the button at the end of a row, or takes it away. `ask` null: nobody here may break it. */
export function breakTool(item, entry, broken, ask, tabIndex = 0) {
  item.breaks?.remove();
  item.breaks = null;
  if (!ask || entry.kind !== "do" || !entry.name) return;
  const words = `Break ${entry.name}${broken ? `, which ${says(broken)}` : ""}`;
  const button = el("button.row-break", { type: "button", "aria-label": words, title: broken ? `Broken: ${says(broken)}` : "Break this step", tabindex: String(tabIndex) }, icon(broken ? "i-bolt-on" : "i-bolt"));
  if (broken) button.classList.add("is-set");
  button.addEventListener("click", (event) => {
    event.stopPropagation();
    ask();
  });
  item.parts.row.append(button);
  item.breaks = button;
}
