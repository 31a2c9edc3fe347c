// What the hints of a first visit say at each moment of a run, pure: the stage that it is at, and the sentence, if one is true now.
// Backticks mark code, asterisks what to press.

import { FINAL } from "./statuses.js";

/** In order; each is done by doing it. */
export const STAGES = ["run", "kill", "replay", "past"];

/**
 * @typedef {{status: string | null, executions: number, replayed: number, killed: boolean, alive: boolean,
 *   steps: {kind: string, name: string, status: string}[]}} Run  what the page has told of it; `alive`: a worker is
 */

/** The stage after what has happened to the run. */
export function stageAfter(stage, { status, executions }) {
  if (stage === "run" && status) stage = "kill";
  if (stage === "kill" && executions > 1) stage = "replay";
  if (stage === "replay" && FINAL.has(status)) stage = "past";
  return stage;
}

/**
 * @param {string} stage
 * @param {Run} run
 * @param {{say: string, first?: boolean} | null} task what the lesson asks for first
 * @returns {{at: "run" | "kill" | "restart" | "row" | "slider", words: string} | null} `at`: beside what it hangs; null while there is nothing to say that is true
 */
export const hintOf = (stage, run, task) => HINTS[stage](run, task);

const HINTS = {
  run(_, task) {
    if (task && !task.first) return { at: "run", words: `Press *Run*, then ${task.say.charAt(0).toLowerCase()}${task.say.slice(1)}` };
    return { at: "run", words: "Press *Run*. Your code starts in a worker: a process of its own." };
  },
  kill({ status, killed, alive, steps }) {
    if (FINAL.has(status)) return { at: "restart", words: "This run is over. Press *Restart*, then kill its worker while a step runs." };
    const going = steps.find((step) => step.kind === "do" && step.status === "running");
    if (killed || !alive || !going) return null;
    const done = steps.find((step) => step.kind === "do" && step.status === "completed");
    const first = done ? `\`${done.name}\` is in the journal. Now press` : `\`${going.name}\` runs in a worker. Press`;
    return { at: "kill", words: `${first} *Kill worker*: the process dies, with all it had in memory.` };
  },
  replay({ executions, replayed, steps }) {
    if (!replayed) return { at: "kill", words: "A new worker ran your code from the top. Nothing was in the journal yet: kill it later, and it reads what had finished." };
    const read = steps.find((step) => step.kind === "do" && step.status === "completed");
    const again = steps.find((step) => step.kind === "do" && step.status === "running");
    if (!read || !again) return null;
    return { at: "row", words: `The ring: execution ${executions} *read* this result and did not run it again. Watch \`${again.name}\` begin again.` };
  },
  past: () => ({ at: "slider", words: "Drag the *slider* back over the cut: every view shows that moment. Then make it yours: change the code, and press *Run*." }),
};
