// Banners under the Run button: trouble that concerns starting a run, or an offer. One per subject; a new one takes the old one's place.
// Where there is one column, what concerns running stands over the bar with the button, in sight of the code and of the run.

import { icon } from "./icons.js";

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
  const box = document.createElement("div");
  box.className = `notice ${tone}`;
  box.dataset.subject = subject;
  box.setAttribute("role", tone === "calm" ? "status" : "alert");
  const words = document.createElement("p");
  if (strong) {
    const b = document.createElement("b");
    b.textContent = strong;
    words.append(b, " ");
  }
  const rest = document.createElement("span");
  rest.textContent = text;
  rest.setAttribute("aria-live", "off"); // a countdown is read out once, not every second
  words.append(rest);
  box.append(icon(shape), words);
  for (const { name, act } of actions) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "btn line small";
    button.textContent = name;
    button.addEventListener("click", act);
    box.append(button);
  }
  const shut = document.createElement("button");
  shut.type = "button";
  shut.className = "btn icon small";
  shut.setAttribute("aria-label", "Close this message");
  shut.append(icon("close"));
  shut.addEventListener("click", () => close(subject));
  box.append(shut);
  placeOf(subject).append(box);
  return {
    text: (changed) => {
      if (rest.textContent !== changed) rest.textContent = changed;
    },
    close: () => box.remove(),
  };
}

export function close(subject) {
  document.querySelector(`.notices > [data-subject="${subject}"]`)?.remove();
}

function placeOf(subject) {
  return document.getElementById(subject === "run" && narrow.matches ? "notices-bar" : "notices");
}
