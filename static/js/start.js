// Starting a run, and everything that may stand in the way, in words beside the Run button.

import { Already, Refused, post } from "./http.js";
import { close, notice } from "./notices.js";
import { icon } from "./icons.js";

const FEW = 3; // runs left in a minute from which on a person is told, or a tenth of the limit where that is more
const FULL_WAIT_S = 10; // before a full server is asked again, when it does not say

/**
 * @param {{source: () => string, params: {json: () => string | null, look: () => string | null, focus: () => void},
 *   onStarting: () => void, onStarted: (instance: object, source: string) => void, onStopped: () => void,
 *   onDiagnostics: (found: object[], message: string) => void}} how
 */
export function makeStart({ source, params, onStarting, onStarted, onStopped, onDiagnostics }) {
  const buttons = [...document.querySelectorAll("[data-run]")];
  let state = "ready"; // ready, starting, waiting
  let timer = null;

  for (const button of buttons) button.addEventListener("click", run);

  async function run() {
    if (state !== "ready") return;
    close("run");
    if (params.look()) {
      notice("run", { icon: "warn", strong: "The params are not valid JSON.", text: "Mend them, then run." });
      params.focus();
      return;
    }
    set("starting");
    onStarting();
    const text = source();
    const json = params.json();
    try {
      const body = `{"source":${JSON.stringify(text)}${json === null ? "" : `,"params":${json}`}}`;
      let allowance = null;
      const instance = await post("/api/instances", new Already(body), { allowed: (it) => (allowance = it.starts_per_minute) });
      set("ready");
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
    const runs = allowance.left === 1 ? "1 more run" : `${allowance.left || "No"} more runs`;
    notice("run", { icon: "clock", tone: "calm", text: `${runs} now: ${allowance.limit} a minute is the limit here. More from ${allowance.reset} s on.` });
  }

  function explain(error) {
    if (!(error instanceof Refused)) {
      notice("run", {
        icon: "off",
        strong: error.message,
        text: "Your code is kept. It is not known whether the run began.",
        actions: [{ name: "Try again", act: run }],
      });
    } else if (error.status === 422) {
      notice("run", { icon: "failed", tone: "bad", strong: "Not started.", text: error.message });
      onDiagnostics(error.details.diagnostics ?? [], error.message);
    } else if (error.status === 429) {
      wait(error.retryAfter ?? FULL_WAIT_S, {
        shape: "clock",
        strong: error.message,
        words: (left) => `Your code and the last run are kept. You can run again in ${left} s.`,
        then: () => close("run"),
      });
    } else if (error.status === 503) {
      wait(error.retryAfter ?? FULL_WAIT_S, {
        shape: "clock",
        strong: error.message,
        words: (left) => `Your code is kept. Trying again in ${left} s.`,
        then: run,
      });
    } else {
      notice("run", { icon: "warn", strong: "Not started.", text: error.message });
    }
  }

  /** Counts down on the button and in the banner. */
  function wait(seconds, { shape, strong, words, then }) {
    const end = performance.now() + seconds * 1000;
    const shown = notice("run", {
      icon: shape,
      strong,
      text: words(seconds),
      actions: then === run ? [{ name: "Stop trying", act: () => (stop(), close("run")) }] : [],
    });
    set("waiting", seconds);
    clearInterval(timer);
    timer = setInterval(() => {
      const left = Math.ceil((end - performance.now()) / 1000);
      if (left > 0) {
        shown.text(words(left));
        set("waiting", left);
        return;
      }
      stop();
      then();
    }, 250);
  }

  function stop() {
    clearInterval(timer);
    set("ready");
  }

  function set(next, left = 0) {
    state = next;
    for (const button of buttons) {
      button.setAttribute("aria-disabled", String(next !== "ready"));
      const shape = { ready: ["play", ""], starting: ["running", "spin"], waiting: ["clock", ""] }[next];
      button.querySelector(".i").replaceWith(icon(shape[0], "", shape[1]));
      button.querySelector("span").textContent = { ready: "Run", starting: "Starting", waiting: `Run in ${left} s` }[next];
    }
  }

  return { run };
}
