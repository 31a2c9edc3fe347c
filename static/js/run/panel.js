// The run's half, as the rest of the page sees it. What a run needs is loaded with the first run, or when a hand moves to the button:
// a visitor who reads an example does not wait for it.

import { el } from "../dom.js";
import { Idle } from "./idle.js";
import { loadStyles } from "./styles.js";

const root = document.getElementById("run");
const part = (name) => root.querySelector(`[data-part="${name}"]`);
const idle = new Idle(part("idle"));
let loading = null;
let live = null;
let wanted = null;
let found = null; // what the check of the code in the editor told last: it may come before the panel that wants it

/**
 * Follows an instance, letting go of the one before.
 * @param {{id: string, token: string | null, source?: string, outline?: object[], example?: object | null}} run
 *   `token` null: watching only; `example` is the one the source comes from
 */
export function openRun(run) {
  live?.close();
  wanted = run;
  show("live");
  load().then(
    () => {
      if (wanted !== run) return;
      live.open(run);
      if (found) live.planned(found);
    },
    () => wanted === run && (show("idle"), idle.failed()),
  );
}

/** The breakpoints of the run that is shown, and what can be done about them; null where none is. */
export const runStops = () => (wanted && live?.run ? live.operations.allStops() : null);

/** Lets go of the run, if any, and shows what may be run. */
export function closeRun() {
  wanted = null;
  live?.close();
  show("idle");
}

function show(which) {
  part("plain")?.remove();
  part("idle").hidden = which !== "idle";
  part("live").hidden = which !== "live";
  idle.starting(false);
}

/** Loads the panel's files, all at once instead of one after the other. */
function load() {
  if (!loading) {
    for (const href of part("live").dataset.files.split(" ")) {
      document.head.append(el("link", { rel: "modulepreload", href }));
    }
    loading = Promise.all([import("./live.js"), loadStyles()]).then(([{ Live }]) => (live = new Live(root)));
    loading.catch(() => (loading = null));
  }
  return loading;
}

for (const button of document.querySelectorAll("[data-run]")) {
  for (const hint of ["pointerenter", "focus"]) button.addEventListener(hint, () => load().catch(() => {}), { once: true });
}
document.addEventListener("playground:starting", () => {
  idle.starting(true);
  load().catch(() => {});
});
document.addEventListener("playground:stopped", () => idle.starting(false));
document.addEventListener("playground:outline", ({ detail }) => {
  found = detail;
  if (!wanted) idle.show(detail.outline, detail.behind);
});
