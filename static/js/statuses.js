// How runs and steps stand: a word, a picture and its tone for each, as drawn everywhere on the page.

import { icon } from "./dom.js";

/** By a run's status. */
export const STATUS = {
  queued: { word: "Queued", icon: "i-clock", tone: "now" },
  running: { word: "Running", icon: "i-running", tone: "now" },
  waiting: { word: "Waiting", icon: "i-waiting", tone: "now" },
  waitingForPause: { word: "Pausing", icon: "i-pause", tone: "now" },
  paused: { word: "Paused", icon: "i-pause", tone: "now" },
  complete: { word: "Complete", icon: "i-done", tone: "done" },
  errored: { word: "Errored", icon: "i-failed", tone: "bad" },
  terminated: { word: "Terminated", icon: "i-stop", tone: "done" },
};

/** Statuses of runs that are over. */
export const FINAL = new Set(["complete", "errored", "terminated"]);

/** By a step's status; where several stand on one line, the first of these that any of them has stands for all. */
export const STEP = {
  errored: { word: "failed", icon: "i-failed", tone: "bad" },
  timed_out: { word: "timed out", icon: "i-failed", tone: "bad" },
  running: { word: "running", icon: "i-running", tone: "now" },
  retrying: { word: "waiting to retry", icon: "i-retry", tone: "now" },
  waiting: { word: "waiting", icon: "i-waiting", tone: "now" },
  sleeping: { word: "asleep", icon: "i-sleep", tone: "now" },
  completed: { word: "done", icon: "i-done", tone: "" },
  cancelled: { word: "cancelled", icon: "i-stop", tone: "" },
  stopped: { word: "stopped", icon: "i-stop", tone: "" },
  not: { word: "not reached", icon: "i-not", tone: "not" },
};

/** The status that stands for several steps. */
export const worst = (steps) => Object.keys(STEP).find((status) => steps.some((step) => step.status === status)) ?? "not";

/** The status of a step as people see it: an open step of a finished run did not go on, and one whose worker broke a limit ended it. */
export const shownStatus = (step, final) => (final && step.endedAt === null ? (step.brokeLimit ? "errored" : "stopped") : step.status);

/** The state of a step as people see it. */
export const stepState = (step, final) => STEP[shownStatus(step, final)] || STEP.running;

/** The picture of a run by its status and its open steps: one that waits has that of what it waits for. */
export function pictureOf(status, open) {
  if (status !== "waiting" || !open.length) return STATUS[status].icon;
  return open.every((step) => step.status === "sleeping") ? STEP.sleeping.icon : open.some((step) => step.status === "retrying") ? STEP.retrying.icon : STATUS.waiting.icon;
}

/** A run's status as an icon, which turns while it runs; `picture` is that of its open steps, where they are known. */
export const statusIcon = (status, picture = STATUS[status].icon) => icon(picture, { tone: status === "running" ? "now spin" : STATUS[status].tone });
