// What a person can do to the run that is looked at: asks the server for it, and says why something did not happen.

import { FINAL } from "../statuses.js";
import { call } from "./api.js";
import { breakStep } from "./breaking.js";
import { breakpointOf, lastingOnes } from "./breakpoints.js";
import { toast } from "../toast.js";
import { refOf } from "./fold.js";
import { ForkDialog } from "./fork.js";
import { NOTHING } from "./header.js";
import { instancePath } from "./paths.js";
import { pendingStopsOf, togglePending } from "./pending-stops.js";

const NOT = {
  "kill-worker": "The worker was not killed.",
  pause: "It was not paused.",
  resume: "It was not resumed.",
  terminate: "It was not terminated.",
  restart: "It was not restarted.",
  wake: "It could not be ended early.",
  "skip-sleeps": "Whether sleeps are skipped was not changed.",
  break: "It was not cleared.",
  breakpoints: "The breakpoint was not changed.",
};

export class Operations {
  /** @param {import("./live.js").Live} live whose run is meant */
  constructor(live) {
    this.live = live;
  }

  /** What the header's controls ask for. */
  async act(what, when) {
    if (what === "kill") await this.send("kill-worker", { when });
    else if (what === "restart") await this.restart({});
    else if (what === "skip") await this.send("skip-sleeps", { on: !this.live.moments.state.skipsSleeps });
    else if (what === "fork") this.fork();
    else if (what === "chaos") await this.chaos();
    else await this.send(what, {});
  }

  /** Asks for an operation; the words of a refusal, or "". */
  async send(what, body, title = NOT[what]) {
    const { run, notices } = this.live;
    const answer = await call("POST", `${instancePath(run)}/${what}`, { token: run.token, body });
    if (this.live.run === run) notices.refused(title, answer.words);
    return answer.words;
  }

  /** An event; the words of a refusal stand in the form that sends it. */
  async sendEvent(type, payload) {
    const { run } = this.live;
    const { words } = await call("POST", `${instancePath(run)}/events/${encodeURIComponent(type)}`, { token: run.token, body: payload });
    return words;
  }

  wake(step) {
    return this.send("wake", { step: refOf(step) });
  }

  clearBreak(step) {
    return this.send("break", { step, how: null });
  }

  /** Sets or clears a breakpoint: of every call of a step, or as it was set. */
  setBreakpoint(step, on) {
    return this.send("breakpoints", { step, on });
  }

  /** Goes on from a stop; the words of a refusal stand in its bar. */
  async goOn(body) {
    const { run } = this.live;
    const { words } = await call("POST", `${instancePath(run)}/continue`, { token: run.token, body });
    return words;
  }

  disarm() {
    return this.send("kill-worker", { when: "never" }, "It was not disarmed.");
  }

  /** Runs it again, with the breakpoints that were set since it ended. */
  async restart(body) {
    const { run } = this.live;
    const breakpoints = this.stopsSince();
    if (!(await this.send("restart", breakpoints.length ? { ...body, breakpoints } : body))) this.live.goOn(run);
  }

  /** The breakpoints that were set since the run ended, and that are none of its own. */
  stopsSince() {
    const { plan, moments } = this.live;
    const stops = FINAL.has(moments.state.status) ? pendingStopsOf([...plan.flat, ...moments.state.rows]) : [];
    return stops.filter(({ step }) => !breakpointOf(this.ownStops(), step));
  }

  ownStops() {
    return lastingOnes(this.live.moments.state.breakpoints);
  }

  /** All breakpoints that count for the run, for a list of them: its own can't be cleared once it has ended. */
  allStops() {
    const { live } = this;
    const own = this.ownStops();
    const unset = ({ step }) => {
      if ((step.count ?? null) === null) togglePending(step, false);
      return live.ended ? "" : this.setBreakpoint(step, false);
    };
    return { stops: [...own, ...this.stopsSince()], entries: [...live.moments.state.rows, ...live.plan.flat], why: live.context().why, isOwn: (each) => live.ended && own.includes(each), unset };
  }

  /** The breakpoints that a fork may begin with. */
  stopsOfFork() {
    return [...this.ownStops(), ...this.stopsSince()];
  }

  restartFrom(step) {
    return this.restart({ from_step: refOf(step) });
  }

  /** Asks how a step is to be broken. */
  breakStep(entry) {
    return breakStep(this.live, entry);
  }

  /** Asks where to fork; `step` is where to leave, if that is known. */
  fork(step = null) {
    const { run, moments } = this.live;
    if (run.file) return toast(NOTHING.file);
    this.forking ??= new ForkDialog();
    this.forking.show({ run, state: moments.state, step: step && moments.state.steps.get(step.key), stops: this.stopsOfFork() });
  }

  /** Opens the dialog in which this run is repeated with a kill before each commit. */
  async chaos() {
    const { run } = this.live;
    const { ChaosDialog } = await import("./chaos.js");
    const { state } = this.live.moments;
    const its = state.trigger?.kind === "chaos" ? "This run belongs to a chaos run. Start one from the run that it repeats." : "";
    const why = its || (run.token ? (this.live.trouble && !FINAL.has(state.status) ? NOTHING.stale : "") : NOTHING.watching);
    this.chaotic ??= new ChaosDialog();
    this.chaotic.show({ run, state, why });
  }
}
