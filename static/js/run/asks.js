// What in the rows of the timeline waits for a person: the form of a waiting step, the button that ends a sleep or the wait before a retry.
// Each is made once and kept while its step is open: a row that is drawn anew takes neither the focus, nor what was typed, nor a press.

import { askForm, trackTool } from "./ask.js";

/** Whether a step waits for an event that a person may send. */
const takesEvent = (step) => step?.kind === "wait" && step.status === "waiting";

export class Asks {
  /**
   * @param {{wake: (step: object) => Promise<any>, send: (type: string, payload: import("../exact.js").JsonText) => Promise<string>, payloadFor: (step: object) => string,
   *   childTool: (step: object) => HTMLElement, opened: () => void, left: () => void}} how `opened` is called when a form has been asked for, `left` when one is left by Esc
   */
  constructor(how) {
    Object.assign(this, how);
    this.reset();
  }

  reset() {
    this.forms = new Map(); // by key of its step
    this.tools = new Map(); // … {label, tool}
    this.chosen = this.open = null; // keys of steps: whose form somebody asked for, and whose form is there
  }

  /** Takes a state; true when another form is there than before. */
  update(state, { final, watching, past }) {
    this.may = !final && !watching && !past;
    this.paused = state.status === "paused";
    this.pausing = state.status === "waitingForPause"; // only what an attempt that runs has called can end
    if (!past) {
      const isOver = (key) => state.steps.get(key)?.endedAt !== null;
      for (const kept of [this.forms, this.tools]) for (const key of kept.keys()) if (isOver(key)) kept.delete(key);
    }
    const before = this.open;
    this.open = this.may ? this.formKey(state) : null;
    return this.open !== before;
  }

  /** The waiting step whose form is there: the one chosen, else the first. */
  formKey(state) {
    if (this.chosen && takesEvent(state.steps.get(this.chosen))) return this.chosen;
    for (const step of state.open) if (takesEvent(step)) return step.key;
    return null;
  }

  formOf(step) {
    if (this.open !== step.key) return null;
    if (!this.forms.has(step.key)) this.forms.set(step.key, askForm(step, { payload: this.payloadFor(step), send: this.send, close: this.left }));
    return this.forms.get(step.key);
  }

  /** What stands on the track of a step, or null. */
  toolOf(step) {
    if (step.child && step.endedAt === null && !step.edited) return this.childTool(step);
    if (!this.may || this.paused || (this.pausing && !step.parent) || step.endedAt !== null) return null;
    if (step.status === "sleeping") return this.tool(step, "Wake now", () => this.wake(step), { name: `Wake ${step.name} now` });
    if (step.status === "retrying" && step.until !== null && step.attempts.length) return this.tool(step, "Retry now", () => this.wake(step), { name: `Retry ${step.name} now`, counting: true });
    if (takesEvent(step) && this.open !== step.key) return this.tool(step, "Send event", () => this.choose(step));
    return null;
  }

  tool(step, label, act, how) {
    if (this.tools.get(step.key)?.label !== label) this.tools.set(step.key, { label, tool: trackTool(label, act, how) });
    return this.tools.get(step.key).tool;
  }

  choose({ key }) {
    this.chosen = this.open = key;
    this.opened();
    this.forms.get(key)?.focusFirst();
  }
}
