// A snippet in another site's frame. Pressing Run starts a run and shows it here; nothing runs by itself. Its control token stays in this
// page: a frame may have no storage, and what is started in a frame is nobody's to keep.

import { makeDialogs } from "./dialogs.js";
import { tell } from "./dom.js";
import { parse } from "./exact.js";
import { makeHalves } from "./halves.js";
import { post } from "./http.js";
import { closeRun, openRun } from "./run/panel.js";
import { makeStart } from "./start.js";
import { ours } from "./whose.js";

document.documentElement.classList.add("js");

const page = parse(document.getElementById("page-data").textContent);
const whole = document.getElementById("whole");
const halves = makeHalves();
let status = null;
let outline = [];

makeDialogs();
makeStart({
  create: ours.create,
  source: () => page.source,
  params: { json: () => (page.params.trim() ? page.params : null), look: () => null, focus() {} },
  onStarting: () => (halves.status("starting"), tell("starting")),
  onStopped: () => (halves.status(status), tell("stopped")),
  onStarted: (instance, source) => show(instance, source),
  onDiagnostics() {},
});

function show({ id, url, control_token: token }, source) {
  whole.href = url;
  whole.title = "Open this run in the playground";
  whole.setAttribute("aria-label", whole.title);
  halves.show("run");
  openRun({ id, token, source, snippet: page.snippet.id });
  plan(source);
}

/** What is still to come in the timeline, read from the code; a run is shown without it, too. */
async function plan(source) {
  try {
    outline = (await post("/api/check", { source })).outline ?? [];
    tell("outline", { outline, source });
  } catch {
    // The plan is a courtesy.
  }
}

const lines = (kind, numbers) => {
  for (const line of document.querySelectorAll(`#listing .${kind}`)) line.classList.remove(kind);
  for (const number of numbers) document.getElementById(`L${number}`)?.classList.add(kind);
};

document.addEventListener("playground:steps", ({ detail: { awaitedLine, error } }) => {
  lines("is-awaited", awaitedLine ? [awaitedLine] : []);
  lines("is-raised", error ? [error.line] : []);
});
document.addEventListener("playground:status", ({ detail }) => {
  halves.status((status = detail.status));
  if (!outline.length) return;
  tell("outline", { outline, source: page.source }); // it may have come before there was a timeline to take it
  outline = [];
});
document.addEventListener("playground:forked", ({ detail: { instance, source } }) => show(instance, source));
document.addEventListener("playground:goto", ({ detail: { line } }) => {
  halves.show("code");
  document.getElementById(`L${line}`)?.scrollIntoView({ block: "center" });
});

closeRun();
