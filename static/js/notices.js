// Banners under the Run button: trouble that concerns starting a run, or an offer. One per subject; a new one takes the old one's place.
// Where there is one column, what concerns running stands over the bar with the button, in sight of the code and of the run.

import { el, icon, setText } from "./dom.js";

const narrow = matchMedia("(max-width: 899px)");
narrow.addEventListener("change", () => {
  const run = document.querySelector(".notices > [data-subject=run]");
  if (run) placeOf("run").append(run);
});

/**
 * @param {string} subject  what it is about, such as "run" or "draft"
 * @param {{icon: string, strong?: string, text: string, tone?: "warn" | "bad" | "calm", actions?: {name: string, act: () => void}[]}} what
 * @returns {{text: (words: string) => void, close: () => void}}
 */
export function notice(subject, { icon: shape, strong = "", text, tone = "warn", actions = [] }) {
  close(subject);
  const rest = el("span", { "aria-live": "off" }, text); // a countdown is read out once, not every second
  const box = el(
    `div.notice.${tone}`,
    { role: tone === "calm" ? "status" : "alert", dataset: { subject } },
    icon(shape),
    el("p", {}, strong ? [el("b", {}, strong), " "] : null, rest),
    actions.map(({ name, act }) => el("button.btn.line.small", { type: "button", onclick: act }, name)),
    el("button.btn.icon.small", { type: "button", "aria-label": "Close this message", onclick: () => close(subject) }, icon("i-close")),
  );
  placeOf(subject).append(box);
  return { text: (changed) => setText(rest, changed), close: () => box.remove() };
}

export function close(subject) {
  document.querySelector(`.notices > [data-subject="${subject}"]`)?.remove();
}

function placeOf(subject) {
  return document.getElementById(subject === "run" && narrow.matches ? "notices-bar" : "notices");
}
