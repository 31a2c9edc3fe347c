// Progress for who does not see it: said at each quarter of the way, once. A bar that moves says nothing by itself.

import { setText } from "../dom.js";
import { percentWords, progressOf } from "./progress.js";
import { stepLabel } from "./words.js";

const QUARTER = 25;

/** What is to be said of the open steps now: sentences. `heard` has what was said before, by step and attempt, and is brought up to date. Pure. */
export function quarters(state, heard) {
  const said = [];
  for (const step of state.open) {
    const progress = progressOf(state, step);
    if (!progress) continue;
    const attempt = `${step.key}\n${step.attempts.length}`;
    const reached = Math.floor(progress.percent / QUARTER);
    if (reached > (heard.get(attempt) ?? 0)) said.push(`${stepLabel(step)}: ${percentWords(progress)}`);
    heard.set(attempt, Math.max(reached, heard.get(attempt) ?? 0));
  }
  return said;
}

export class ProgressVoice {
  constructor(node) {
    this.node = node;
    this.reset();
  }

  reset() {
    this.heard = new Map();
    setText(this.node, "");
  }

  update(state, { past }) {
    if (past || !state.parts.size) return;
    const said = quarters(state, this.heard);
    if (said.length) setText(this.node, said.join(". "));
  }
}
