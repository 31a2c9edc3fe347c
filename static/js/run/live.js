// A run as it is looked at: follows an instance from its first event to its last and keeps every view up to date.
// One fold, many views: events change the state, the state is drawn at most once a frame, and time moves what is drawn.
// `moments` has every state of the run; `state` is the one that is shown: the newest, or while `past` the one at that seq.

import { icon, tell } from "../dom.js";
import { toast } from "../toast.js";
import { Address, momentOf } from "./address.js";
import { onKey } from "../keys.js";
import { BreakList } from "./break-list.js";
import { breakpointOf } from "./breakpoints.js";
import { ChildRuns, childLink } from "./child-runs.js";
import { childLinks } from "./children.js";
import { Diverged } from "./diverged.js";
import { Drawer } from "./drawer.js";
import { Effects } from "./effects.js";
import { Following } from "./following.js";
import { FINAL, eventTypes, fold, keyOf, meanPercent, stepMs } from "./fold.js";
import { wayOn } from "./fork.js";
import { FileSource, FromFile } from "./from-file.js";
import { GraphPanel } from "./graph-panel.js";
import { Header, NOTHING } from "./header.js";
import { Journal } from "./journal.js";
import { Lens } from "./lens.js";
import { Lesson } from "./lesson.js";
import { Lineage } from "./lineage.js";
import { Logs } from "./logs.js";
import { Moments } from "./moments.js";
import { Notices } from "./notices.js";
import { Operations } from "./operations.js";
import { outcome } from "./outcome.js";
import { instancePath, pagePath } from "./paths.js";
import { sampleOf } from "./payload-sample.js";
import { pendingStops, togglePending } from "./pending-stops.js";
import { Place } from "./place.js";
import { Plan, flatten, startsRuns } from "./plan.js";
import { Recode, relocate } from "./recode.js";
import { mayStop, whyNoStop } from "./row-stop.js";
import { Scrubber } from "./scrubber.js";
import { Sentence } from "./sentence.js";
import { StopBar } from "./stop-bar.js";
import { StopLines, entryAt } from "./stop-lines.js";
import { StepsTable } from "./steps-table.js";
import { Stream } from "./stream.js";
import { Tabs } from "./tabs.js";
import { Telling } from "./telling.js";
import { Timeline } from "./timeline.js";
import { Watching } from "./watching.js";
import { stepLabel } from "./words.js";

export { traceText } from "./errors.js"; // for who has this file, and would else make errors.js a file of its own

const BURST = 20; // events that come within BURST_MS make a burst …
const BURST_MS = 100; // … which is drawn this often, so that the browser has time for the keys of who types meanwhile, …
const SHARE = 4; // … or less often, where a drawing takes longer: so many times as long lies between two
const CALM_MS = 250; // between frames while nothing runs
const STILL_MS = 1_000; // … and where motion is not wanted

const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

/** The panel of one page: `open` follows an instance, letting go of the one before; `close` lets go. */
export class Live {
  constructor(root) {
    this.root = root;
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    this.parts = { end: part("end"), timeline: part("timeline"), rows: part("timeline").firstElementChild };
    this.sentence = new Sentence(root);
    this.telling = new Telling();
    this.stops = new StopLines();
    const copy = (text) => this.copy(text);
    this.lesson = new Lesson({ root: part("lesson") });
    const operations = (this.operations = new Operations(this));
    this.header = new Header({ root: part("head"), act: (what, when) => (what === "now" ? this.seek(null) : operations.act(what, when)) });
    this.notices = new Notices({ root: part("notices"), retryNow: () => this.stream?.retryNow() });
    this.breaks = new BreakList({ root: part("notices"), clear: (step) => operations.clearBreak(step), disarm: () => operations.disarm() });
    this.childRuns = new ChildRuns();
    this.timeline = new Timeline({
      root: this.parts.timeline,
      onOpen: (step) => this.openStep(step),
      onWake: (step) => operations.wake(step),
      onSend: (type, payload) => operations.sendEvent(type, payload),
      onBreak: (entry) => operations.breakStep(entry),
      onBreakpoint: (entry) => this.toggleBreakpoint(entry),
      breakpoints: () => this.breakpoints(),
      onStop: () => operations.act("terminate"),
      onFix: (step, line) => this.fix(step, line),
      onFold: () => this.lens.update(this.state, this.context()),
      childTool: (step) => this.childRuns.toolOf(step),
      childLink: (step) => childLink(this.run, step, icon("i-out")),
      payloadFor: (step) => eventTypes(step).map((type) => this.lesson.payload(type)).find(Boolean) ?? sampleOf(step.config?.schema),
      copy,
    });
    this.following = new Following({ viewport: this.parts.timeline, rows: this.timeline.rows, end: this.parts.end, placeOf: (step) => this.timeline.placeOf(step) });
    this.table = new StepsTable({ root: part("steps-table"), button: part("as-table"), timeline: this.parts.timeline, open: (step) => this.openStep(step) });
    this.journal = new Journal({ root: part("journal"), copy });
    this.logs = new Logs({ root: part("logs"), copy });
    this.lens = new Lens({ root: part("lens"), onStep: (step) => this.openStep(step), rowsNow: () => this.timeline.rowsNow(), onGroup: (entry) => this.timeline.toggle(entry) });
    this.graph = new GraphPanel({ root: part("graph"), onOpen: (step) => this.openStep(step), onPick: (step) => this.picked(step), onStop: (entry) => this.stopAt(entry), onBreak: (entry) => this.breakAt(entry), stops: () => this.breakpoints(), childLinks: (steps) => childLinks(this.run, steps), column: () => this.tabs.setColumn(!this.tabs.hasColumn), asked: { keyOf, stepMs, meanPercent } });
    this.drawer = new Drawer({
      root: part("step"),
      close: () => this.closeStep(),
      copy,
      breakStep: (step) => operations.breakStep(step),
      restart: (step) => operations.restartFrom(step),
      fork: (step) => operations.fork(step),
      pageOf: (id) => pagePath({ ...this.run, id }),
      childOf: (step) => childLink(this.run, step),
      outputPath: ({ kind, name, count, parent }) => (this.run.file || this.run.tenant || parent ? null : `${instancePath(this.run)}/steps/${kind}/${encodeURIComponent(name)}/${count}`), // a tenant's takes its key, which a link has not
      childLinks: async (step) => (startsRuns(this.plan.flat, step) ? childLinks(this.run, [step]) : []),
    });
    this.diverged = new Diverged(part("notices"));
    this.stopBar = new StopBar({ narrator: part("narrator"), go: (body) => operations.goOn(body), target: () => this.timeline.target(), fork: (step) => operations.fork(step) });
    onKey("restart", () => (this.run && this.ended && !this.context().why ? void operations.act("restart") : false)); // one that goes on is lost by a slip
    onKey("next-commit", () => this.stopBar.press("next"));
    onKey("run-to", () => this.stopBar.press("here"));
    onKey("continue", () => this.stopBar.press("on"));
    this.lineage = new Lineage(part("notices"));
    this.watching = new Watching(part("notices"));
    this.fromFile = new FromFile(part("notices"), { state: () => this.moments.state });
    this.recode = new Recode({ home: part("notices"), refused: (title, words) => this.notices.refused(title, words) });
    this.effects = new Effects({ root: part("effects"), tab: root.querySelector("#tab-effects"), onStep: (step) => this.openStep(step), onChange: () => this.schedule() });
    this.place = new Place(() => this.schedule());
    this.tabs = new Tabs({ root, onShow: () => this.shown() });
    this.scrubber = new Scrubber({ root: part("scrub"), seek: (seq) => this.seek(seq) });
    this.address = new Address();
    part("see-replay").addEventListener("click", () => this.tabs.show("lens", { focus: true }));
    root.addEventListener("click", (event) => {
      const link = event.target.closest("a[data-line]");
      if (!link || event.defaultPrevented) return;
      event.preventDefault();
      tell("goto", { line: Number(link.dataset.line) });
    });
    document.addEventListener("playground:hover", ({ detail: { line } }) => {
      this.timeline.link(line);
      this.lens.link(line);
    });
    for (const name of ["lens", "journal", "logs", "effects"]) {
      part(name).addEventListener("pointerover", (event) => this.light(lineOf(event.target.closest("li"), this.state)));
      part(name).addEventListener("pointerleave", () => this.light(null));
    }
    document.addEventListener("playground:select", ({ detail: { line, key } }) => {
      const step = key && this.state?.rows.find((one) => one.key === key);
      if (step) this.openStep(step);
      else this.timeline.revealLine(line);
    });
    document.addEventListener("playground:outline", (event) => this.planned(event.detail));
    document.addEventListener("playground:stop-line", (event) => this.run && this.toggleLine(event));
    document.addEventListener("playground:pending", () => this.run && this.ended && (this.timeline.redraw(), this.schedule(true)));
    document.addEventListener("playground:recoded", () => {
      if (!this.run) return;
      this.effects.open(this.run);
      this.telling.reset(); // lines are those of other code now
      this.schedule(true);
    });
    document.addEventListener("visibilitychange", () => !document.hidden && this.schedule());
    calm.addEventListener("change", () => this.schedule());
  }

  /** `file` is {name, head, events} of a run that is read from a file: nothing is asked of the server then. */
  open({ id, tenant = null, token = null, source = "", snippet = null, code = () => source, view = null, outline = [], example = null, file = null }) {
    this.close();
    this.run = { id, tenant, token, source, snippet, code, example, file };
    this.childRuns.reset(this.run);
    this.lineage.open(this.run, view !== null);
    this.recode.open(this.run);
    this.plan = new Plan(flatten(outline));
    this.graph.plan(outline);
    this.skew = 0;
    this.trouble = null;
    this.wanted = momentOf(location.href);
    this.header.reset(id);
    this.notices.connection(null);
    this.notices.pace(false);
    this.notices.refused();
    this.clear();
    if (file) this.effects.reset();
    else this.effects.open(this.run);
    this.effects.tab.hidden = Boolean(file); // they are no part of the journal
    this.place.open(this.run);
    this.lesson.open(this.run);
    this.watching.open({ token: file ? "none" : token });
    this.fromFile.open(file);
    this.timeline.linksRuns = !file;
    this.follow(0);
    if (this.tabs.hasColumn) this.graph.show();
    this.schedule(true);
  }

  /** Forgets every event: a run from its first again. */
  clear() {
    this.moments = new Moments();
    this.state = this.moments.state;
    this.past = false;
    this.fresh = this.drawnAt = 0;
    this.between = BURST_MS;
    this.parts.rows.style.removeProperty("min-height");
    this.seen = this.generationEnd = null;
    this.heardAt = Date.now();
    this.drawnEnd = null;
    this.telling.reset();
    this.stops.reset();
    this.sentence.reset();
    this.plan = new Plan(this.plan.flat);
    this.timeline.reset(this.plan);
    this.following.reset();
    this.table.reset();
    this.lens.reset(this.plan);
    this.graph.reset();
    this.journal.reset(this.moments.events);
    this.logs.reset();
    this.scrubber.reset();
    this.drawer.reset();
    this.tabs.step(null);
    this.parts.end.replaceChildren();
    this.parts.timeline.scrollTop = 0;
  }

  /** The plan of the code in the editor, if that is the run's own code. */
  planned({ outline, source }) {
    if (source === this.run?.source && outline.length) {
      this.plan = this.timeline.plan = this.lens.plan = new Plan(flatten(outline));
      this.graph.plan(outline);
      this.schedule(true);
    }
  }

  close() {
    this.stream?.close();
    this.stream = null;
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    this.address.forget();
    this.frame = this.timer = 0;
    this.run = null;
  }

  follow(after) {
    this.stream?.close();
    const { run } = this;
    const mine = (take) => (value) => this.run === run && take(value);
    if (run.file) {
      this.stream = new FileSource({ events: run.file.events, onEvents: mine((events) => this.take(events)), onEnd: mine(() => this.schedule(true)) });
      return;
    }
    this.stream = new Stream({
      ...run,
      after,
      onEvents: mine((events) => this.take(events)),
      onHello: mine((hello) => this.clockFrom(hello)),
      onReset: mine(() => this.clear()),
      onEnd: mine(() => (this.notices.pace(false), this.schedule(true))),
      onTrouble: mine((trouble) => this.troubled(trouble)),
      onPace: mine((polling) => this.notices.pace(polling)),
    });
  }

  /** The server's clock rules: countdowns hold on a computer whose own is wrong. */
  clockFrom(hello) {
    if (hello.server_time !== undefined) this.skew = hello.server_time - Date.now();
  }

  take(events) {
    for (const event of events) this.moments.push(event);
    this.fresh += events.length;
    this.heardAt = Date.now();
    if (this.wanted !== null && this.wanted <= this.moments.last) this.seek(this.wanted);
    if (this.paced && this.timer && !this.ended) this.dirty = true; // the next drawing of a burst comes by itself
    else this.schedule(true);
  }

  /** Shows the state after event `seq`, or the newest for null. */
  seek(seq) {
    this.wanted = null;
    // What the slider stands under must not shrink while it is moved.
    const { timeline, rows } = this.parts;
    if (seq === null) rows.style.removeProperty("min-height");
    else if (!this.past) rows.style.setProperty("min-height", `${timeline.clientHeight}px`);
    this.past = seq !== null;
    this.state = this.past ? this.moments.at(seq) : this.moments.state;
    this.seen = null;
    this.address.write(this.run, seq);
    this.schedule(true);
  }

  troubled(trouble) {
    this.trouble = trouble;
    this.notices.connection(trouble);
    this.schedule(true);
  }

  /** Whether the run has ended, whatever moment of it is shown. */
  get ended() {
    return FINAL.has(this.moments.state.status);
  }

  get final() {
    return FINAL.has(this.state.status);
  }

  context() {
    const { state, final } = this;
    const { file } = this.run;
    const watching = !this.run.token;
    const hideRest = state.status === "complete";
    if (file) {
      const now = this.past ? state.lastAt : Math.max(file.head.written_at, state.lastAt ?? 0);
      const past = this.past ? { seq: state.lastSeq, last: this.moments.last, whole: this.whole() } : null;
      return { now, stale: this.past, final, past, heardAt: now, watching: true, why: NOTHING.file, hideRest, file: true };
    }
    if (this.past) {
      const { last } = this.moments;
      return { now: state.lastAt, stale: true, final, past: { seq: state.lastSeq, last, whole: this.whole() }, heardAt: this.heardAt, watching, why: watching ? NOTHING.watching : NOTHING.past, hideRest };
    }
    const stale = Boolean(this.trouble) && !final;
    const now = (stale ? this.heardAt : Date.now()) + this.skew;
    return { now: Math.max(now, state.lastAt ?? 0), stale, final, past: null, heardAt: this.heardAt, watching, why: watching ? NOTHING.watching : stale ? NOTHING.stale : "", hideRest };
  }

  /** The whole timeline that a moment of the past belongs to, so that the scale stays while the slider moves. */
  whole() {
    const end = this.moments.generationEnd(this.state.lastSeq);
    if (end === this.moments.last) return this.moments.state;
    if (this.generationEnd !== end) Object.assign(this, { generationEnd: end, generationWhole: fold(this.moments.events.slice(0, end)) });
    return this.generationWhole;
  }

  /** Asks for a drawing; `dirty` says that more than time has changed. */
  schedule(dirty = false) {
    this.dirty ||= dirty;
    if (!this.run || this.frame) return;
    clearTimeout(this.timer);
    this.timer = 0;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    if (!this.run) return;
    const context = this.context();
    const bursting = this.fresh > BURST && !context.final && !this.past && performance.now() - this.drawnAt < this.between;
    if (this.dirty && !bursting) {
      Object.assign(this, { dirty: false, fresh: 0, drawnAt: performance.now() });
      this.redraw(context);
      this.between = Math.max(BURST_MS, (performance.now() - this.drawnAt) * SHARE);
    } else if (!this.past) {
      this.timeline.frame(context);
      this.header.tick(context);
    }
    this.notices.tick();
    if (this.state.lastSeq || this.trouble) this.sentence.say(this.state, { ...context, doubles: this.effects.doubles, place: this.place.found, task: this.lesson.task });
    const untold = this.telling.tell(this.state, this.moments.state, context);
    if (document.hidden) return;
    const rests = this.past || context.file || (context.final && !this.trouble);
    const pace = rests ? untold : bursting ? this.between : calm.matches ? STILL_MS : this.state.status === "running" && !context.stale ? 0 : CALM_MS;
    this.paced = bursting;
    if (pace) this.timer = setTimeout(() => this.schedule(), Math.min(pace, untold || pace));
    else if (!rests) this.schedule();
  }

  redraw(context) {
    const { state } = this;
    const newest = this.moments.state;
    const final = FINAL.has(newest.status);
    const current = { ...context, final }; // of what is always shown as it is now, also while the past is looked at
    this.scrubber.update({ seq: state.lastSeq, last: this.moments.last, past: this.past, final, stale: (Boolean(this.trouble) || Boolean(this.run.file)) && !final, executions: newest.executions, at: state.lastAt });
    this.notices.stands(newest.status);
    this.diverged.update(newest);
    if (!this.run.file) this.lineage.update(newest);
    this.lesson.update(newest, final);
    if (!this.run.file) this.recode.update(newest, current);
    this.header.update(state, context);
    this.stopBar.update(newest, current);
    this.stops.tell(newest, this.plan.flat, final);
    this.breaks.update(newest, current);
    if (this.past && this.seen === state.lastSeq) return; // only what comes behind it has changed
    this.seen = state.lastSeq;
    relocate(state, this.plan.flat, newest);
    this.childRuns.update(state, !context.past && !context.final && !this.run.file);
    this.timeline.update(state, context);
    this.table.update(state, context);
    this.journal.show(state.lastSeq, this.past);
    this.logs.show(state.logs, state.logTruncated);
    this.lens.update(state, context);
    this.graph.update(state, context);
    this.drawer.update(state, context);
    this.effects.update(state, { final: context.final, past: this.past });
    if (!this.run.file) this.place.update(newest, current.now);
    this.tabs.count("journal", state.lastSeq);
    this.tabs.count("logs", state.logs.length);
    const end = context.final ? `${state.generation}:${state.status}` : null;
    if (end !== this.drawnEnd) {
      this.drawnEnd = end;
      const next = state.status === "errored" && !this.run.file ? wayOn(this.run, state, (title, words) => this.notices.refused(title, words)) : null;
      this.parts.end.replaceChildren(...(end ? [outcome(state, (text) => this.copy(text), next)] : []));
    }
    this.following.update(state, context.final);
  }

  shown() {
    if (!this.state) return;
    const context = this.run ? this.context() : { final: true, hideRest: true, now: Date.now() };
    if (this.past) this.journal.rows.toEnd();
    else this.journal.rows.paint();
    this.logs.catchUp();
    if (this.tabs?.view === "effects") this.effects.look();
    this.lens.update(this.state, context);
    if (this.tabs?.view === "graph" || this.tabs?.hasColumn) this.graph.show();
    this.drawer.update(this.state, context);
    this.timeline.frame();
    this.following.show();
  }

  /** Lights a line, and whatever belongs to it, wherever it is shown. */
  light(line) {
    if (line !== this.timeline.linked) tell("hover", { line });
  }

  /** What was chosen in the graph is shown in the timeline. */
  picked(step) {
    this.timeline.select(step?.key ?? null);
    if (step) this.timeline.revealStep(step);
  }

  openStep(step) {
    this.timeline.select(step.key);
    this.graph.select(step);
    this.tabs.step(stepLabel(step));
    this.tabs.show("step");
    this.drawer.show(step, this.state, this.context());
    if (step.line) tell("hover", { line: step.line, reveal: true });
  }

  /** The line that a step fails at, for as long as the code is that of the run; then the fork of it. True where it went to the line. */
  fix(step, line) {
    if (this.run.code() === this.run.source) {
      if (line) tell("goto", { line });
      return true;
    }
    this.operations.fork(step);
    return false;
  }

  /** The breakpoints to show: the run's own, and once it has ended those that its restart would get from the draft, too. */
  breakpoints() {
    const own = this.moments.state.breakpoints;
    return this.ended ? [...own, ...pendingStops()] : own;
  }

  /**
   * Sets a breakpoint before every call of a step, or clears the one that stands before it. The draft has it, too, so that the next run stops
   * there; of a run that has ended it is the draft's only.
   */
  toggleBreakpoint(entry) {
    const { kind, name } = entry;
    const found = breakpointOf(this.moments.state.breakpoints, entry);
    if (this.ended) {
      if (found) return toast("This breakpoint is the run’s own. Restart it, then clear it.");
      togglePending({ kind, name });
      const on = Boolean(breakpointOf(pendingStops(), { kind, name }));
      return toast(on ? `Run or restart it: it stops before ${name}` : `It does not stop before ${name} any more`);
    }
    if (!found || (found.step.count ?? null) === null) togglePending({ kind, name }, !found);
    return this.operations.setBreakpoint(found?.step ?? { kind, name }, !found);
  }

  /** The same for a node of the graph. */
  stopAt(entry) {
    const { why } = this.context();
    if (why || !mayStop(entry)) toast(why || whyNoStop(entry));
    else this.toggleBreakpoint(entry);
  }

  breakAt(entry) {
    const { why } = this.context();
    if (why) toast(why);
    else if (entry.kind === "do" && entry.name && !entry.parent && !entry.computed) this.operations.breakStep(entry);
  }

  /** The same for the step on a line, or the nearest one below it. The text as it is now counts once the run has ended: that is the draft's. */
  toggleLine(event) {
    const { why } = this.context();
    if (why) toast(why);
    if (why || !this.ended) event.preventDefault();
    if (event.defaultPrevented && !why) {
      const entry = entryAt([...this.state.rows, ...this.plan.flat], event.detail.ofRun);
      if (entry) this.toggleBreakpoint(entry);
    }
  }

  closeStep() {
    this.timeline.select(null);
    this.graph.select(null);
    this.drawer.reset();
    this.tabs.step(null);
    this.timeline.focusRow(this.timeline.active);
  }

  /** Follows a run that had ended and goes on, if it is still the one that is looked at. */
  goOn(run) {
    if (this.run === run && this.stream?.ended) this.follow(this.moments.last);
  }

  async copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      toast("Copied");
    } catch {
      this.notices.refused("Not copied.", "This browser does not let the page use the clipboard.");
    }
  }
}

/** The line of the step that a row of a lower view is about, or null. */
function lineOf(row, state) {
  if (!row) return null;
  if (row.step) return state?.steps.get(keyOf(row.step))?.line ?? null;
  return typeof row.line === "number" ? row.line : null;
}
