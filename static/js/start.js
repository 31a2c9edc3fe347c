// Starting a run, and everything that may stand in the way, in words beside the Run button.

import { setIcon } from "./dom.js";
import { Refused } from "./http.js";
import { close, notice } from "./notices.js";
import { forgetPending, pendingBody, pendingSkip, takeResults } from "./run/pending.js";

const FEW = 3; // runs left in a minute from which on a person is told, or a tenth of the limit where that is more
const SOON_S = 90; // a wait that is counted down on the button; a longer one is said, and nothing is held up for it
const FULL_WAIT_S = 10; // before a full server is asked again, when it does not say

/**
 * @param {{create: Whose["create"], ready?: Promise<unknown>, aimed?: (early: boolean) => boolean, source: () => string, params: {json: () => string | null, look: () => string | null, focus: () => void},
 *   onStarting: () => void, onStarted: (instance: object, source: string) => void, onStopped: () => void,
 *   onLost?: () => void, onDiagnostics: (found: object[], message: string) => void}} how  `aimed`: whether a press now, or an
 *   `early` one, before the script had come, is meant for this page; `ready`: what a press waits for, the editor;
 *   `onLost`: the server was not reached, and whoever asks for something next should say when it is
 */
export function makeStart({ create, ready = null, aimed = () => true, source, params, onStarting, onStarted, onStopped, onLost = () => {}, onDiagnostics, stops = () => [], schedule = () => null }) {
  const buttons = [...document.querySelectorAll("[data-run]")];
  let state = "ready"; // ready, loading, starting, waiting
  let timer = null;
  let until = null; // what makes the notice untrue: "edit", "connection", or nothing but its own end

  let loaded = ready === null;
  ready?.then(() => (loaded = true));
  for (const button of buttons) button.addEventListener("click", () => run());

  async function run({ early = false } = {}) {
    if (state !== "ready") return;
    close("run");
    until = null;
    const meant = aimed(early);
    if (meant && !loaded) {
      set("loading");
      await ready;
    }
    set("ready");
    if (!meant) {
      const text = "This page has only just come up, with code from a link. Read it, then press Run.";
      notice("run", { icon: "i-eye", tone: "calm", strong: "Not started.", text });
      until = "edit";
      return;
    }
    if (params.look()) {
      notice("run", { icon: "i-warn", strong: "The params are not valid JSON.", text: "Mend them, then run." });
      until = "edit";
      params.focus();
      return;
    }
    clearInterval(timer);
    set("starting");
    onStarting();
    const text = source();
    const json = params.json();
    try {
      let allowance = null;
      const instance = await create({ source: text, params: json, breaks: pendingBody(), breakpoints: stops(), skips: pendingSkip(), schedule: schedule(), results: takeResults() }, { allowed: (it) => (allowance = it.starts_per_minute) });
      set("ready");
      if (!instance) return onStopped();
      forgetPending();
      onStarted(instance, text);
      tellOf(allowance);
    } catch (error) {
      set("ready");
      onStopped();
      explain(error);
    }
  }

  /** Says how many runs are left once they are nearly used up. */
  function tellOf(allowance) {
    if (!allowance || allowance.left > Math.max(FEW, allowance.limit / 10)) return;
    const runs = allowance.left === 1 ? "1 run" : `${allowance.left || "No"} runs`;
    const more = allowance.left ? "One more in" : "You can run again in";
    count(allowance.reset, { icon: "i-clock", tone: "calm", words: (left) => `${runs} left this minute. ${more} ${lasting(left)}.`, then: () => close("run") });
  }

  function explain(error) {
    if (!(error instanceof Refused)) {
      notice("run", {
        icon: "i-off",
        strong: error.message,
        text: "Your code is kept. It is not known whether the run began.",
        actions: [{ name: "Try again", act: () => run() }],
      });
      until = "connection";
      onLost();
    } else if (error.status === 422) {
      notice("run", { icon: "i-failed", tone: "bad", strong: "Not started.", text: error.message });
      until = "edit";
      onDiagnostics(error.details.diagnostics ?? [], error.message);
    } else if (error.status === 429) {
      const [strong, ...rest] = error.message.split(/(?<=[.:]) /);
      const seconds = error.retryAfter ?? FULL_WAIT_S;
      wait(seconds, {
        icon: "i-clock",
        strong,
        words: (left) => rest.join(" ").replace(/in [\d,]+ (s|h)\.(?= |$)/, `in ${lasting(left)}.`),
        then: () => close("run"),
      });
    } else if (error.status === 503) {
      wait(error.retryAfter ?? FULL_WAIT_S, {
        icon: "i-clock",
        strong: error.message,
        words: (left) => `Your code is kept. Trying again in ${lasting(left)}.`,
        then: run,
      });
    } else {
      notice("run", { icon: "i-warn", strong: "Not started.", text: error.message });
      until = "edit";
    }
  }

  /** What was said is true until `what` happens. */
  function over(what) {
    if (until !== what) return;
    until = null;
    close("run");
    if (what !== "connection") return;
    notice("run", { icon: "i-info", tone: "calm", strong: "The connection is back.", text: "It is not known whether the run began: Runs lists those that did.", actions: [{ name: "Try again", act: run }] });
    until = "edit";
  }

  /** Counts down in the banner and, when it is for soon, on the button. */
  function wait(seconds, what) {
    const actions = what.then === run ? [{ name: "Stop trying", act: () => (stop(), close("run")) }] : [];
    const held = seconds <= SOON_S || what.then === run;
    if (held) set("waiting", seconds);
    count(seconds, { ...what, actions, each: (left) => held && set("waiting", left) });
  }

  /** Counts down in the banner; what comes next takes its place. */
  function count(seconds, { words, then, each, ...look }) {
    const end = performance.now() + seconds * 1000;
    const shown = notice("run", { ...look, text: words(seconds) });
    clearInterval(timer);
    timer = setInterval(() => {
      const left = Math.ceil((end - performance.now()) / 1000);
      if (left > 0) {
        shown.text(words(left));
        each?.(left);
        return;
      }
      stop();
      then();
    }, 250);
  }

  function lasting(seconds) {
    if (seconds <= SOON_S) return `${seconds} s`;
    return seconds <= SOON_S * 60 ? `${Math.ceil(seconds / 60)} min` : `${Math.ceil(seconds / 3600)} h`;
  }

  function stop() {
    clearInterval(timer);
    set("ready");
  }

  function set(next, left = 0) {
    state = next;
    for (const button of buttons) {
      button.setAttribute("aria-disabled", String(next !== "ready"));
      const shape = { ready: "i-play", loading: "i-running", starting: "i-running", waiting: "i-clock" }[next];
      setIcon(button.querySelector(".i"), shape, shape === "i-running" ? "spin" : "");
      button.querySelector("span").textContent = { ready: "Run", loading: "Loading", starting: "Starting", waiting: `Run in ${left} s` }[next];
    }
  }

  addEventListener("online", () => over("connection"));
  return { run, edited: () => over("edit"), reached: () => over("connection") };
}
