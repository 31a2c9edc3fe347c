// Under 900 px the page shows one half at a time. The bar at the bottom switches; its second button is the run's status.

import { icon } from "./dom.js";
import { STATUS, statusIcon } from "./statuses.js";

// What the bar shows beside a run's status: that there is none yet.
const BEFORE = {
  none: { word: "Not run yet", icon: "i-not", tone: "not" },
  starting: { word: "Starting", icon: "i-running", tone: "now spin" },
};

export function makeHalves() {
  const status = document.getElementById("half-status");

  function show(half) {
    document.body.dataset.half = half;
    for (const button of document.querySelectorAll("[data-half-set]")) {
      button.setAttribute("aria-pressed", String(button.dataset.halfSet === half));
    }
  }

  for (const button of document.querySelectorAll("[data-half-set]")) {
    button.addEventListener("click", () => show(button.dataset.halfSet));
  }
  show(document.body.dataset.half);

  return {
    show,
    status(name, picture) {
      const before = BEFORE[name ?? "none"];
      status.querySelector(".i").replaceWith(before ? icon(before.icon, { tone: before.tone }) : statusIcon(name, picture));
      status.querySelector("span").textContent = (before ?? STATUS[name]).word;
    },
  };
}
