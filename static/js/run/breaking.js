// Breaking a step of a run that is looked at: asks how, then sets it; a step that is over runs again with it.

import { call } from "./api.js";
import { refOf } from "./fold.js";
import { instancePath } from "./paths.js";
import { rowBreak } from "./row-break.js";
import { stepLabel } from "./words.js";

/** @param {Live} live  @param entry a step that has begun, or an entry of the plan */
export async function breakStep(live, entry) {
  const { run, state, final } = live;
  const { askBreak } = await import("./break-form.js");
  const begun = entry.startedSeq !== undefined;
  const again = (every) => begun && (final || (entry.endedAt !== null && !every));
  askBreak({
    name: entry.name,
    count: begun ? entry.count : null,
    label: begun ? stepLabel(entry) : entry.name,
    current: final ? null : rowBreak(state.breaks, entry),
    yes: (every) => (again(every) ? "Break, and restart from here" : "Break it"),
    note: begun && entry.status === "running" ? "The attempt that runs now goes on; it falls on the next." : "",
    send: async (body, every) => {
      const restarts = body.how !== null && again(every);
      const [what, given] = restarts ? ["restart", { from_step: refOf(entry), breaks: [body] }] : ["break", body];
      const { words } = await call("POST", `${instancePath(run)}/${what}`, { token: run.token, body: given });
      if (!words && restarts) live.goOn(run);
      return words;
    },
  });
}
