// Under 900 px the page shows one half at a time. The bar at the bottom switches; its second button is the run's status.

import { icon } from "./icons.js";

// A run's status as an icon, its tone and what is said.
const RUN = {
  none: ["not", "not", "Not run yet"],
  starting: ["running", "now spin", "Starting"],
  queued: ["clock", "now", "Queued"],
  running: ["running", "now spin", "Running"],
  waiting: ["waiting", "now", "Waiting"],
  waitingForPause: ["pause", "now", "Pausing"],
  paused: ["pause", "", "Paused"],
  complete: ["done", "", "Complete"],
  errored: ["failed", "bad", "Errored"],
  terminated: ["stop", "", "Terminated"],
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
    status(name) {
      const [shape, tone, words] = RUN[name] ?? RUN.none;
      status.querySelector(".i").replaceWith(icon(shape, "", tone));
      status.querySelector("span").textContent = words;
    },
    words: (name) => (RUN[name] ?? RUN.none)[2],
  };
}

/** A run's status as [icon, tone, words]. */
export const statusOf = (name) => RUN[name] ?? RUN.none;
