// A row of the timeline before anything has happened in it: also the rows of the plan, which stand here before there is a run.

import { el, icon, setFlag, setIcon, setText, setVar } from "../dom.js";
import { STEP } from "../statuses.js";

/** A row for a step or for an entry of the plan. */
export function newRow() {
  const mark = icon("i-not");
  const name = el("span.nm");
  const count = el("span.nth"); // what is never cut off
  const words = el("span.sr");
  const button = el("button.row-name", { type: "button", tabindex: "-1" }, mark, el("span.nm-box", {}, name, count), words);
  const track = el("div.track");
  const meta = el("div.row-meta", { "aria-hidden": "true" });
  const row = el("div.row", {}, button, track, meta);
  const item = el("li.item", {}, row);
  item.parts = { row, button, mark, name, count, words, track, meta };
  item.marks = [];
  return item;
}

/** Writes the name of a row; one that is `cut` is told whole to whoever does not see it. */
export function writeName(item, { cut, head, tail, count, whole }) {
  const { parts } = item;
  setText(parts.name, cut ? `…${head}` : head);
  setText(parts.count, tail + count);
  item.spoken = cut ? whole : "";
  const box = parts.name.parentNode;
  if (!cut) box.removeAttribute("aria-hidden");
  else if (!box.hasAttribute("aria-hidden")) box.setAttribute("aria-hidden", "true");
  setFlag(parts.count, "is-tail", tail !== "");
  if (parts.name.classList.contains("said")) parts.name.classList.remove("said");
}

/** Whether what lies in a row is shown, on its button; null for a row that nothing lies in. */
export function foldSign(item, open) {
  const { button } = item.parts;
  if (open === null) {
    item.sign?.remove();
    item.sign = null;
    if (button.hasAttribute("aria-expanded")) button.removeAttribute("aria-expanded");
    return;
  }
  if (!item.sign) {
    item.sign = icon("i-right");
    item.sign.classList.add("fold-sign");
    button.insertBefore(item.sign, button.firstChild);
  }
  button.setAttribute("aria-expanded", String(open));
}

/** Gives a row the button `name`, which `make` puts into it; without `act` it is taken away. One that is there stays, and so does its focus. */
export function rowTool(item, name, { act, tabIndex, make }) {
  if (!act) {
    item[name]?.remove();
    item[name] = null;
    return null;
  }
  if (!item[name]) {
    const button = (item[name] = make(item.parts.row));
    button.addEventListener("click", (event) => {
      event.stopPropagation();
      button.act();
    });
  }
  return Object.assign(item[name], { act, tabIndex });
}

/** How deep an entry of the plan stands under those before it: one that another step calls, under that. */
function depthIn({ parent }, before) {
  if (!parent || !before) return 0;
  if (before.kind === parent.kind && before.name === parent.name) return 1 + (before.parent ? 1 : 0);
  return before.parent?.kind === parent.kind && before.parent.name === parent.name ? 1 : 0;
}

/** The bracket of a row that stands beside the one before it, the one after it, or both. */
export const fanClass = (before, after) => (before && after ? "fan" : after ? "fan fan-first" : before ? "fan fan-last" : "");

/** Puts an entry of the plan, which has not happened, into a row; `around` are the entries before and after it. */
export function fillPlan(item, entry, around) {
  const [before, after] = around.map((other) => Boolean(entry.parallel) && other?.parallel === entry.parallel);
  const { row, mark, words, track, meta } = item.parts;
  item.step = item.tools = item.group = item.asked = null;
  item.marks = [];
  foldSign(item, null);
  item.line = entry.line ?? null;
  const depth = depthIn(entry, around[0]);
  row.className = `row not ${fanClass(before, after)}${depth ? " nested" : ""}`;
  setVar(row, "--deep", depth);
  setIcon(mark, STEP.not.icon, "not");
  writeName(item, { cut: false, head: entry.name || "…", tail: "", count: entry.count > 1 ? `-${entry.count}` : "" });
  setText(words, entry.stop ? ", the run is stopped before it" : ", not reached");
  item.parts.button.title = entry.name || "";
  track.replaceChildren();
  meta.replaceChildren();
}
