// The page, put together. The two halves talk through events on the document:
//
//   playground:steps   {steps, awaitedLine, error}  the run's fold changed: dots, awaited line, outline
//   playground:status  {status, picture, executions, replayed, killed}  the run's status, or its executions (how many; of the last)
//   playground:goto    {line, column?, ofRun?}      go to a line of the run's source, or of the text as it is
//   playground:hover   {line | null, reveal?, ofRun?}  light a line, from either half; bring it into sight; `ofRun` false: of the text as it is
//   playground:select  {line, key?}                 a step's dot was pressed: show that step; the one of the key, where there is one
//   playground:outline {outline, source, behind}    what /api/check found; the plan of a run that has not begun. `behind`: the source
//                                                   has an error, and the outline is that of before
//   playground:edited                          the code or the params were changed
//   playground:forked   {instance, source}       a fork was made: go there
//   playground:code     {source}                 the run was given this code from elsewhere: show it
//   playground:recoded  {source}                 the run goes on with this code
//   playground:shared                           a link to the code was made
//   playground:lesson  {example}                    the run belongs to the lesson of this example
//   playground:stops    {lines, ofRun}              breakpoints: [{line, here}] to mark in the editor; `lines` null: the run that had them is over
//   playground:stop-line {line, ofRun}              a breakpoint is asked for, at a line of the text as it is now and of the run's; prevented
//                                                   by the run that takes it, or that lets nobody here set one
//   playground:pending                              the draft's breakpoints have changed
//   playground:starting, playground:stopped         a run is being asked for; it was refused

import { makeAimed } from "./aimed.js";
import { makeChecker } from "./check.js";
import { makeDialogs } from "./dialogs.js";
import { makeDividers } from "./divider.js";
import { el, tell } from "./dom.js";
import { makeDrafts } from "./drafts.js";
import { makeDrop } from "./drop.js";
import { makeEditor } from "./editor.js";
import { parse } from "./exact.js";
import { makeFired } from "./fired.js";
import { makeHalves } from "./halves.js";
import { doAct, makeKeys, onKey } from "./keys.js";
import { lately } from "./lately.js";
import { alike, markCards, showInvitation } from "./lessons.js";
import { labelAll, linesFrom } from "./lines.js";
import { edited, nameIn, renaming } from "./names.js";
import { close } from "./notices.js";
import { makeOutline } from "./outline.js";
import { makeParams } from "./params.js";
import { makeReasons } from "./reasons.js";
import { askName } from "./rename.js";
import { closeRun, openRun } from "./run/panel.js";
import { followEdit, pendingStops, pendingStopsOf, setPendingStops, togglePending } from "./run/pending-stops.js";
import { flatten } from "./run/plan.js";
import { entryAt, stopLines } from "./run/stop-lines.js";
import { loadStyles } from "./run/styles.js";
import { count } from "./run/words.js";
import { makeShare } from "./share.js";
import { makeStart } from "./start.js";
import { STATUS } from "./statuses.js";
import { read } from "./stored.js";
import { toast } from "./toast.js";
import { noteSeen, remembered } from "./tokens-store.js";
import { makeUnder } from "./under.js";
import { makeVim } from "./vim.js";
import { ours } from "./whose.js";

const data = document.getElementById("page-data");
const came = parse(data.textContent);
const { page, whose } = came.tenant ? await (await import("./tenants/run.js")).openTenant(came) : { page: came, whose: ours };
const script = document.getElementById("app");
const node = (id) => document.getElementById(id);
const coarse = matchMedia("(pointer: coarse)");
const UNREAD = new Set(["syntax", "too-deep", "not-analysed"]); // findings about code of which nothing else can be said
const EDITED = ", edited"; // after the title of what the code was made from

// What the code is called: by itself, by whoever renamed its run in this browser, else by where it came from.
const title = page.instance && whose.titleOf(page.instance.id);
if (title) node("title").textContent = title;
let ownName = nameIn(page.source); // what the code calls itself
let otherwise = node("title").textContent; // what it is called where it has no name of its own
if (page.instance && !whose.tenant) noteSeen(page.instance.id, otherwise);

let runId = page.instance?.id ?? null;
let opened = { source: page.source, params: page.params.trim() }; // what the address stands for
let ran = page.instance ? page.source : null; // the code of the run that is shown
let path = location.pathname;
let lesson = page.example && { ...page.example, source: page.source }; // the example whose lesson is being taken
let outline = [];
let parsed = { source: page.source, flat: [] }; // the text that the outline is of, and its steps
let stopsOfRun = false; // whether the editor shows the breakpoints of a run …
let runsStops = []; // … which are on these lines of it
let counted = null;
let fresh = false; // the code was begun here: it is no edit of what the page came with
let formatter = null;
let lineBar = null; // of a touch screen
let steps = []; // of the run, as they were told last

const editor = makeEditor({
  url: script.dataset.editor,
  nonce: data.nonce,
  onChange: changed,
  onCursor({ line, column }) {
    node("cursor").textContent = `Ln ${line}, Col ${column}`;
    lineBar?.move(editor.place());
  },
  onRun: () => start.run(),
  onShare: () => share.quick(),
  onHover: (line) => tell("hover", { line }),
  onStep: (line) => tell("select", { line }),
  onStop: stopAt,
});
const params = makeParams({ example: page.kind === "instance" ? null : page.example?.slug ?? null, max: page.limits.value_bytes, onChange: changed });
const fired = whose.tenant ? null : makeFired({ schedule: page.example?.schedule ?? null });
fired?.look(page.source);
const halves = makeHalves();
const outlineList = makeOutline({
  onPick: (line, ofRun) => show({ line, ofRun }),
  onHover: (line) => tell("hover", { line }),
});
const drafts = makeDrafts({
  page: { ...page, title: node("title").textContent },
  text: editor.text,
  params: params.text,
  stops: pendingStops,
  restoreStops: setPendingStops,
  restore({ source, params: text, title: called, stops = [], base = "" }) {
    fresh = base.startsWith("new:");
    otherwise = called;
    ownName = nameIn(source);
    setTitle(ownName ?? called);
    params.set(text);
    setPendingStops(stops);
    editor.setText(source);
  },
  say: (words) => (node("draft").textContent = words),
});
linesFrom(editor.whereIs);
const checker = makeChecker({ text: editor.text, show: (found) => (start.reached(), checked(found)), say: (words) => problems(words, "") });
const dialogs = makeDialogs({ share: () => (keeping(), share.fill?.()), examples: markCards });
const share = whose.tenant ? ofKeyed(whose.tenant) : makeShare({
  code: () => (params.look() ? null : { source: editor.text(), params: params.text() }),
  run: () => runId,
  edited: () => ran !== null && editor.text() !== ran,
  title: () => node("title").textContent,
  onStored: stored,
  open: () => dialogs.open("share"),
});
node("take-out")?.addEventListener("toggle", () => import("./take-out.js").then((it) => it.takeOut({ source: editor.text, params: params.json, title: () => node("title").textContent })));
node("deploy")?.addEventListener("toggle", () => import("./deploy.js").then((it) => it.makeDeploy({ source: editor.text, params: params.json })), { once: true });
const inSight = makeAimed();
const start = makeStart({
  create: whose.create,
  ready: editor.ready,
  aimed: (early) => page.kind !== "new" || runId !== null || (!early && inSight()),
  source: editor.text,
  stops: () => pendingStopsOf(parsed.flat),
  schedule: () => fired?.cron() ?? null,
  params,
  onStarting: () => (halves.status("starting"), tell("starting")),
  onStopped: () => (halves.status(counted), tell("stopped")),
  onStarted: started,
  onLost: () => checker.now(),
  onDiagnostics(found) {
    checked({ diagnostics: found, outline: [] });
    const first = found.find((one) => one.severity === "error");
    if (first) show({ line: first.line, column: first.column, ofRun: false });
  },
});
onKey("run", () => void start.run());
onKey("share", share.quick);
onKey("format", format);
onKey("stop-line", () => stopAt(editor.place()));
onKey("all-stops", () => void import("./run/all-stops.js").then((it) => it.showStops(parsed.flat)));
onKey("step", () => tell("select", { line: editor.runLine() }));
onKey("problem", () => editor.nextProblem());
onKey("list", () => dialogs.open("keys"));
onKey("palette", palette);
onKey("new", () => void news().then((it) => it.ask()));
onKey("open-file", () => void news().then((it) => it.start("open")));
for (const button of document.querySelectorAll("[data-new]")) button.addEventListener("click", () => news().then((it) => it.start(button.dataset.new)));
makeDrop((file) => news().then((it) => it.take(file)));
for (const button of document.querySelectorAll("[data-does]")) button.addEventListener("click", () => doAct(button.dataset.does));
makeKeys();
makeReasons();
document.addEventListener("click", ({ target }) => take(target.closest?.("[data-take]")?.dataset.take));
document.addEventListener("click", ({ target }) => copyAs(target.closest?.("[data-copy-as]")?.dataset.copyAs));
for (const sign of ["pointerenter", "focus", "click"]) {
  node("runs-button")?.addEventListener(sign, () => import("./runs.js").then((it) => it.makeRuns({ now: () => runId })), { once: true });
}
node("rename").addEventListener("click", () => askName({ title: node("title"), button: node("rename"), done: renameTo }));
node("title").addEventListener("dblclick", () => node("rename").click());
makeVim({ set: editor.setVim });
node("format").addEventListener("click", format);
makeDividers();
makeUnder();
guide();

/** On a first visit, and until it is over or unwanted: hints that lead through a run. Not where somebody came to see something shared. */
function guide() {
  const at = read("hints");
  const own = page.instance ? at && !whose.tenant && whose.tokenOf(page.instance.id) : page.kind === "start" || page.kind === "example";
  if (at === "done" || !own || !(at || !remembered().length)) return;
  editor.ready.then(() => import("./hints.js")).then((it) => it.makeHints({ at: page.instance ? at : null, task: () => lesson?.tasks[0] ?? null }));
}

/** Opens the command palette, or closes it. */
function palette() {
  const dialog = node("palette");
  if (dialog.open) return dialog.close();
  dialog.querySelector("input").value = "";
  node("palette-list").replaceChildren();
  keeping();
  dialogs.open("palette");
  import("./palette.js").then((it) => it.fillPalette({ steps: runId ? steps : [] }), () => (dialog.close(), toast("The page’s script did not arrive. Try again.", "i-warn")));
}

/** Puts the code, or for an agent the run with what it ran, on the clipboard as text. */
async function copyAs(how) {
  if (!how) return;
  const ofRun = how === "agent" && runId !== null;
  const code = { name: node("title").textContent, source: ofRun ? ran : editor.text(), params: params.json(), run: ofRun ? runId : null, ...(whose.tenant ? { tenant: { name: whose.tenant, version: whose.version() }, key: whose.tokenOf() } : {}) };
  (await import("./copy-as.js")).copyAs(how, code);
}

/** What can be kept of a run is offered where there is one. */
function keeping() {
  for (const part of document.querySelectorAll("[data-part=take-along]")) part.hidden = !runId;
}

/** Saves the run that is shown, or a test of it. */
async function take(what) {
  if (!what || !runId) return;
  (await import("./take-along.js")).takeAlong(what, { id: runId, tenant: whose.tenant }, whose.tenant ? whose.tokenOf() : null);
}

/** The ways to a new workflow, loaded when one is wanted. */
async function news() {
  const { makeNew } = await import("./new.js");
  return makeNew({ begin, showRun: showFile, most: page.limits.source_bytes, selectAll: editor.selectAll });
}

/** Other code takes the place of what the editor has, which is kept as a draft, and of the run, which goes on. */
function begin({ source, name, params: sent }) {
  drafts.fresh();
  setPendingStops([]);
  runId = ran = lesson = null;
  steps = [];
  closeRun();
  halves.status(null);
  counted = null;
  editor.showRun({ steps: [], awaitedLine: null, error: null });
  outlineList.fill([]);
  if (location.pathname !== "/") move("/", "pushState");
  otherwise = name;
  ownName = nameIn(source);
  setTitle(name);
  for (const words of document.querySelectorAll("[data-part=invitation]")) words.replaceChildren("Press ", el("b", {}, "Run"), ", then kill the worker in the middle. It continues where it was.");
  fresh = true;
  params.begin(sent ?? "{}");
  editor.setText(source);
  halves.show("code");
  editor.focus();
}

/** The run of a file: its code and params take the place of what is there, so that Run starts them; it is shown beside them. */
async function showFile({ name, head, events }) {
  const { inputText } = await import("./run/value.js");
  const source = head.code.source ?? "";
  begin({ source, name: nameIn(source) ?? head.title, params: inputText(head.params) });
  drafts.keep();
  ran = source;
  editor.startRun();
  stopsOfRun = true;
  halves.show("run");
  openRun({ id: head.id, source, snippet: head.code.version, code: editor.text, outline: [], file: { name, head, events } });
  checker.now();
}

/** The formatter is loaded when it is asked for. */
async function format() {
  const { makeFormat } = await import("./format.js");
  formatter ??= makeFormat({ worker: script.dataset.formatter, wasm: script.dataset.wasm, text: editor.text, apply: editor.edit, goto: (place) => show({ ...place, ofRun: false }) });
  formatter.format();
}

/** A breakpoint before the step on a line: of the run that is looked at, else of the one to come. */
function stopAt(place) {
  const asked = new CustomEvent("playground:stop-line", { detail: place, cancelable: true });
  if (!document.dispatchEvent(asked)) return;
  const entry = entryAt(parsed.flat, place.line);
  if (entry) togglePending(entry);
}

document.getElementById("editor").addEventListener("click", () => coarse.matches && requestAnimationFrame(tapped));

async function tapped() {
  const [{ makeLineBar }] = await Promise.all([import("./line-bar.js"), loadStyles()]);
  lineBar ??= makeLineBar({ steps: () => parsed.flat, isSet: isStop, stopAt, showRun: () => halves.show("run"), hasRun: () => Boolean(runId) });
  lineBar.show(editor.place());
}

/** Whether a breakpoint stands before the step of a line, as the editor shows it. */
function isStop({ line, ofRun }) {
  return stopsOfRun ? runsStops.some((each) => each.line === ofRun) : stopLines(pendingStops(), parsed.flat, null).some((each) => each.line === line);
}

function markPending() {
  if (!stopsOfRun) editor.showStops({ lines: stopLines(pendingStops(), parsed.flat, null), ofRun: false });
}

/** Changes the address without leaving the page. */
function move(url, how = "replaceState") {
  history[how](null, "", url);
  path = location.pathname;
}

/** Shows a place in the source, whichever half is in sight. */
function show(place) {
  halves.show("code");
  editor.goto(place);
}

function isEdited() {
  return editor.text() !== opened.source || params.text().trim() !== opened.params;
}

function changed() {
  tag();
  named();
  if (isEdited() && !runId && location.pathname !== "/") move("/");
  drafts.keep();
  checker.soon();
  start.edited();
  fired?.look(editor.text());
  relabel(editor.text());
  tell("edited");
}

/** Numbers of lines of the code that ran move with what is typed before them. */
const relabel = lately(() => {
  labelAll(node("run"));
  outlineList.relabel();
});

/** Follows the name in the code, where that changes. */
function named() {
  const name = nameIn(editor.text());
  if (name === ownName) return;
  ownName = name;
  setTitle(name ?? otherwise);
}

function setTitle(name) {
  node("title").textContent = name;
  if (counted) told();
  else document.title = `${name} · Dynamic Workflows Playground`;
}

/** The tab's name: how the run stands, and what it is called. */
function told() {
  document.title = `${STATUS[counted].word} · ${node("title").textContent} · Dynamic Workflows Playground`;
}

/** Another name: of the run while the editor has its code, else of the code, in its docstring. */
function renameTo(name) {
  if (runId && whose.rename && editor.text() === ran) {
    whose.rename(runId, name);
    setTitle(name);
    return toast("Renamed in this browser");
  }
  const edits = renaming(editor.text(), name);
  editor.edit(edits, edited(editor.text(), edits));
}

/** Says beside the title where the code comes from, and whether it still is that code. */
function tag() {
  const same = !fresh && editor.text() === page.source;
  node("edited").hidden = same || fresh;
  if (node("origin")) node("origin").hidden = !same;
}

function checked({ diagnostics, outline: found }) {
  const errors = diagnostics.filter((one) => one.severity === "error").length;
  editor.showProblems(diagnostics);
  // Half a line typed does not parse: what was found before stands, and says so, until there is something new. What parses is told as it is.
  const behind = !found?.length && diagnostics.some((one) => UNREAD.has(one.code));
  if (!behind) {
    outline = found ?? [];
    const now = { source: editor.text(), flat: flatten(outline) };
    if (now.flat.length) {
      followEdit(parsed, now);
      parsed = now;
    }
    outlineList.show(outline);
    editor.showOutline(outlineList.lines());
  }
  outlineList.behind(behind);
  tell("outline", { outline, source: editor.text(), behind });
  if (pendingStops().length) markPending();
  const warnings = diagnostics.filter((one) => one.severity === "warning").length;
  const notes = diagnostics.length - errors - warnings;
  const parts = Object.entries({ error: errors, warning: warnings, note: notes }).filter(([, many]) => many);
  problems(parts.map(([what, many]) => count(many, what)).join(", ") || "No problems", errors ? "bad" : warnings ? "warn" : "");
}

function problems(words, tone) {
  const button = node("problems");
  button.textContent = words;
  button.className = `link-quiet ${tone}`;
}

/** A link to `code` was made; it may have been edited meanwhile. */
function stored(snippet, code) {
  nowStored();
  tell("shared");
  drafts.stored(snippet.id, code.source, code.params);
  opened = { source: code.source, params: code.params.trim() };
  if (!runId && !isEdited()) move(snippet.url);
}

/** Code of a link that only named it is kept from its first run or share on. */
function nowStored() {
  if (page.kind === "new") node("origin")?.remove();
}

/** What a run of `source` is called among the recent ones: runs of many edits of one example are told apart from those of the example. */
function called(source) {
  const title = node("title").textContent;
  const isSame = source === page.source || fresh || title.endsWith(EDITED);
  return nameIn(source) ?? (isSame ? title : title + EDITED);
}

function started(instance, source) {
  const { id, token, path: address, snippet } = whose.made(instance, called(source));
  close("run");
  close("draft");
  nowStored();
  runId = id;
  ran = source;
  opened = { source, params: params.text().trim() };
  drafts.stored(snippet, source, params.text());
  move(address, "pushState");
  editor.startRun();
  relabel(editor.text());
  outlineList.fill([]);
  halves.show("run");
  stopsOfRun = true;
  openRun({ id, tenant: whose.tenant, token, view: null, source, snippet, code: editor.text, outline, example: lesson && alike(source, lesson.source) ? lesson : null });
}

document.addEventListener("playground:steps", lately(({ detail }) => {
  editor.showRun(detail);
  steps = detail.steps;
  outlineList.fill(detail.steps);
}));
document.addEventListener("playground:stops", ({ detail }) => {
  stopsOfRun = detail.lines !== null;
  runsStops = detail.lines ?? [];
  if (stopsOfRun) editor.showStops(detail);
  else markPending();
});
document.addEventListener("playground:pending", () => {
  markPending();
  drafts.keep();
});
document.addEventListener("playground:status", ({ detail: { status, picture } }) => {
  counted = status;
  halves.status(status, picture);
  told();
});
document.addEventListener("playground:forked", ({ detail: { instance, source } }) => {
  if (source === editor.text()) return started(instance, source);
  location.assign(whose.made(instance, called(source)).path); // what the editor has is kept as a draft
});
document.addEventListener("playground:code", ({ detail: { source } }) => editor.setText(source));
document.addEventListener("playground:recoded", ({ detail: { source } }) => {
  opened = { ...opened, source };
  ran = source;
  if (editor.text() === source) editor.startRun();
  relabel(editor.text());
});
document.addEventListener("playground:goto", ({ detail }) => show(detail));
document.addEventListener("playground:hover", ({ detail: { line, reveal, ofRun } }) => {
  editor.link(line, ofRun);
  if (reveal) editor.reveal(line, ofRun);
  outlineList.link(line);
});
document.addEventListener("playground:lesson", ({ detail }) => (lesson = detail.example));
node("problems").addEventListener("click", () => editor.nextProblem());
node("code-form").addEventListener("submit", (event) => event.preventDefault());
addEventListener("popstate", () => {
  // Back and forward lead to another run or another source, which the server knows best. A link within the page does not.
  if (location.pathname !== path) location.reload();
});

/** What sharing is for a tenant's run: its address, which opens with a key. Its code becomes no public snippet. */
function ofKeyed(tenant) {
  const quick = async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      toast(`Link copied; it opens with a key of ${tenant}`);
    } catch {
      toast("This browser does not let the page use the clipboard");
    }
  };
  return { fill() {}, quick };
}

/** Does what was pressed before this script had come, and notes what was typed. */
function catchUp() {
  const pressed = [];
  tell("here", pressed);
  if (editor.text() !== page.source || params.typed) changed();
  for (const button of pressed) {
    button.removeAttribute("aria-busy");
    if ("run" in button.dataset) start.run({ early: true });
    else button.click();
  }
  node("toast").replaceChildren();
}

if (lesson) showInvitation(lesson);
checker.now();
editor.ready.then(() => drafts.open());
if (page.instance) openRun({ id: page.instance.id, tenant: whose.tenant, token: whose.tokenOf(page.instance.id), view: page.instance, source: page.source, snippet: page.instance.snippet, code: editor.text, outline, example: page.example });
else closeRun();
catchUp();
