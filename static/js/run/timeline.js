// The timeline: a row per step over a common scale, with what waits for you in place. Only rows in sight are in the page.

import { el, setFlag, setVar, tell } from "../dom.js";
import { toast } from "../toast.js";
import { Asks } from "./asks.js";
import { runTool } from "./child-runs.js";
import { keyOf } from "./fold.js";
import { Ground } from "./ground.js";
import { fillGroup, placeGroup } from "./group-row.js";
import { Groups } from "./groups.js";
import { loopTools } from "./loop-tools.js";
import { lifeOf } from "./marks.js";
import { bracketAt } from "./nested.js";
import { fanClass, fillPlan, newRow } from "./new-row.js";
import { Plan } from "./plan.js";
import { ProgressVoice } from "./progress-voice.js";
import { breakTool, markBreak, rowBreak } from "./row-break.js";
import { mayStop, rowStop, stopTool, whyNoStop } from "./row-stop.js";
import { fillStep, placeRow } from "./row.js";
import { Rows } from "./rows.js";
import { Scale } from "./scale.js";
import { Setbacks } from "./setback.js";
import { StreamTexts } from "./stream-text.js";
import { Zoom } from "./zoom.js";

const ROW_PX = 30;
const NARROW_ROW_PX = 56;
const NARROW_PX = 640; // a run panel under this puts names above their bars

export class Timeline {
  /** @param {{root, onOpen, onWake, onSend, onBreak, onBreakpoint, breakpoints, onStop, onFix, onFold, payloadFor, childTool, childLink, copy}} how `breakpoints()` are those to show, `onWake(step)` and `onSend(type, payload)` resolve to a failure's words or "" */
  constructor({ root, onOpen, onWake, onSend, onBreak, onBreakpoint, breakpoints, onStop, onFix, onFold, payloadFor, childTool, childLink, copy }) {
    Object.assign(this, { root, onOpen, onBreak, onBreakpoint, breakpoints, onFold, childLink, linksRuns: true });
    this.asks = new Asks({ wake: onWake, send: onSend, payloadFor, childTool, opened: () => this.redraw(), left: () => this.focusRow(this.active) });
    this.groups = new Groups();
    this.texts = new StreamTexts(copy);
    this.setbacks = new Setbacks({ retry: onWake, stop: onStop, fix: onFix });
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    this.list = part("rows");
    this.voice = new ProgressVoice(part("progress-said"));
    this.track = part("lane");
    this.scale = new Scale();
    this.ground = new Ground({ axis: part("axis"), lane: part("lane"), over: part("over"), overLane: part("over-lane"), stopped: part("stopped") });
    this.rows = new Rows({ viewport: root, list: this.list, height: () => (this.narrow ? NARROW_ROW_PX : ROW_PX), draw: (index, old) => this.draw(index, old), measured: (item) => Boolean(item.form || item.tools), reuse: true });
    this.list.addEventListener("click", (event) => this.clicked(event));
    this.list.addEventListener("keydown", (event) => this.pressed(event));
    this.list.addEventListener("playground:line", () => this.goto());
    this.list.addEventListener("playground:break", () => this.askBreak());
    this.list.addEventListener("playground:stop", () => this.toggleStop());
    this.list.addEventListener("pointerover", (event) => this.pointed(event));
    this.list.addEventListener("pointerleave", () => tell("hover", { line: null }));
    this.list.addEventListener("focusin", (event) => this.focused(event));
    new ResizeObserver(() => this.measure()).observe(this.track);
    this.zoom = new Zoom({ root, scale: this.scale, track: this.track, aim: () => this.aim(), changed: () => this.frame() });
    this.drafts = !root.closest(".embed"); // a frame keeps no draft, whose breakpoints a next run would have
    this.width = 600;
    this.reset(new Plan([]));
  }

  reset(plan) {
    this.plan = plan;
    this.rest = [];
    this.shown = []; // steps, groups and rests of groups, with how deep each lies and which open group it belongs to
    this.depths = [];
    this.owners = [];
    this.groups.reset();
    this.loops = new Map(); // key of a group -> what leads to its turns
    this.state = this.mode = null;
    this.asks.reset();
    this.setbacks.reset();
    this.texts.reset();
    this.voice.reset();
    this.active = 0;
    this.generation = 0;
    this.linked = null;
    this.current = null;
    this.currentAt = -1;
    this.scale.reset();
    this.rows.setCount(0, 0);
    this.ground.place({ scale: this.scale, bands: [], cuts: [], stale: false, final: true, width: this.width, narrow: true });
  }

  measure() {
    const width = this.track.clientWidth;
    const narrow = this.root.clientWidth < NARROW_PX;
    if (!width || (width === this.width && narrow === this.narrow)) return;
    this.width = width;
    this.narrow = narrow;
    this.frame();
  }

  /** Takes a state that has changed. `context` is {now, stale, final, watching, hideRest}. */
  update(state, context) {
    this.context = context;
    const renewed = !this.state || this.generation !== state.generation;
    const mode = `${context.final}:${context.past === null}:${context.watching}:${context.why}`;
    const changedMode = this.mode !== mode;
    this.mode = mode;
    this.state = state;
    this.generation = state.generation;
    this.final = context.final;
    setFlag(this.list, "has-tools", !context.why && (this.drafts || !context.final));
    const rest = restOf(state, context.hideRest ? [] : this.plan.ahead(state));
    this.groups.take(state, context.final);
    const { rows: shown, depths, owners } = this.groups.rows();
    const steps = shown.length;
    setFlag(this.root, "has-skipped", state.rows.some(({ virtual }) => virtual)); // its words need room
    this.life = lifeOf(state, context.final);
    if (renewed) {
      this.rows.setCount(0, 0);
      this.scale.view = null;
    }
    const before = renewed ? 0 : this.steps;
    const alike = renewed ? 0 : this.alike(shown, depths, owners);
    const changed = steps !== before || alike < before || rest.length !== this.rest.length;
    const held = this.list.contains(document.activeElement) && this.rows.shown.get(this.active)?.contains(document.activeElement);
    const at = renewed || this.active < alike ? null : this.shown[this.active]; // one of the plan becomes the step that stands in its place
    Object.assign(this, { steps, shown, depths, owners, rest });
    this.active = Math.max(0, Math.min(at ? this.placeOf(at) : this.active, steps + rest.length - 1));
    this.currentAt = this.placeOf(state.steps.get(this.current));
    setFlag(this.root, "has-groups", shown.some((entry) => entry.isGroup));
    const around = aroundOf(state);
    const seam = Math.min(alike, before, steps) - 1; // whether its bracket goes on depends on the row after it
    for (const [index, item] of this.rows.shown) {
      if (changed && index === seam) this.rows.touch(index);
      else if (item.around !== around || (index < steps && item.looks !== this.looksOf(index))) this.rows.touch(index);
    }
    const asked = this.asks.update(state, context);
    const hangs = this.setbacks.update(state, context);
    const texts = this.texts.update(state);
    this.voice.update(state, context);
    if (changedMode || asked || hangs || texts) for (const index of this.rows.shown.keys()) this.rows.touch(index);
    if (changed || renewed) this.rows.setCount(steps + rest.length, Math.min(alike, before, steps));
    else this.rows.paint();
    this.frame();
    if (held && !this.list.contains(document.activeElement)) this.rows.shown.get(this.active)?.parts.button.focus({ preventScroll: true });
  }

  /** How many rows stand as they stood. */
  alike(shown, depths, owners) {
    const end = Math.min(shown.length, this.shown.length);
    let at = 0;
    while (at < end && shown[at].key === this.shown[at].key && depths[at] === this.depths[at] && owners[at]?.key === this.owners[at]?.key) at += 1;
    return at;
  }

  /** What a row is drawn from. */
  looksOf(index) {
    const entry = this.shown[index];
    const owner = this.owners[index];
    if (entry.isGroup || entry.isRest) return `${entry.key}:${entry.version}:${(entry.group ?? entry).mode}`;
    return `${entry.key}:${entry.version}${owner ? `:${owner.head}:${owner.isLoop}:${owner.longest === entry}` : ""}`;
  }

  /** Moves everything to where it belongs now. */
  frame(context = this.context) {
    if (!this.state || !context) return;
    this.context = context;
    const { now, stale, final, past, file: saved = false } = context;
    const { scale, width, narrow } = this;
    if (past) scale.update(past.whole, past.whole.endedAt ?? past.whole.lastAt, true);
    else scale.update(this.state, now, final);
    scale.now = now;
    this.zoom.follow(Boolean(past));
    for (const item of this.rows.shown.values()) this.place(item);
    const line = final && this.state.status === "errored" ? (this.state.error?.line ?? null) : null;
    this.ground.place({ scale, ...this.life, stale: stale || saved, final: final && !past, width, narrow, line, held: past ? `seq ${past.seq}` : saved ? "saved" : "last heard" });
  }

  entry(index) {
    return index < this.steps ? this.shown[index] : this.rest[index - this.steps];
  }

  draw(index, old) {
    const item = old || newRow();
    const entry = this.entry(index);
    item.parts.button.tabIndex = index === this.active ? 0 : -1;
    item.index = index;
    let form = null;
    if (entry.isGroup || entry.isRest) {
      form = entry.isGroup && entry.isLoop && entry.mode === "all" ? this.toolsOf(entry) : null;
      const lone = entry.mode === "folded" ? this.loneOf(entry) : null;
      item.asked = lone;
      fillGroup(item, entry, this.state, { final: this.final, fan: this.fan(index), depth: this.depths[index], tools: lone && this.asks.toolOf(lone) });
    } else if (index < this.steps) {
      form = this.asks.formOf(entry) ?? this.hangingFrom(entry);
      fillStep(item, entry, this.state, { final: this.final, fan: this.fan(index), depth: this.depths[index], group: this.owners[index], tools: this.setbacks.may && this.setbacks.shown.has(entry.key) ? null : this.asks.toolOf(entry) });
    } else fillPlan(item, entry, [this.rest[index - this.steps - 1], this.rest[index - this.steps + 1]]);
    const broken = rowBreak(this.state.breaks, entry);
    item.broken = markBreak(item, index < this.steps ? broken : null);
    const mayBreak = index >= this.steps && !this.context.why && !this.final;
    breakTool(item, entry, broken, mayBreak ? () => this.onBreak(entry) : null, item.parts.button.tabIndex);
    runTool(item, index < this.steps && !item.group ? entry : null, this.linksRuns ? this.childLink : null, item.parts.button.tabIndex);
    const may = this.context.why || (this.final && !this.drafts) ? null : () => this.onBreakpoint(entry);
    setFlag(item.parts.row, "is-first", this.depths[index] > (this.depths[index - 1] ?? 0));
    stopTool(item, entry, rowStop(this.breakpoints(), entry), Boolean(entry.stop), may, item.parts.button.tabIndex);
    item.looks = index < this.steps ? this.looksOf(index) : null;
    item.around = aroundOf(this.state);
    item.inGroup = index < this.steps && this.owners[index] !== null;
    this.light(item);
    if (index === this.currentAt) item.parts.row.setAttribute("aria-current", "true");
    else item.parts.row.removeAttribute("aria-current");
    if (item.form && item.form !== form) item.form.remove();
    if (form && form.parentNode !== item) item.append(form);
    item.form = form;
    if (this.scale.span) this.place(item);
    return item;
  }

  place(item) {
    const { stale, final } = this.context;
    const now = this.state.status === "paused" ? this.state.pausedAt : this.context.now; // a pause stops every countdown
    placeRow(item, this.scale, { width: this.width, stale, final, now });
    if (item.group) placeGroup(item, this.scale, { width: this.width, final, end: this.scale.now });
    if (item.form) setVar(item.form, "--a", this.scale.at(this.scale.now));
  }

  fan(index) {
    const [before, after, passing] = bracketAt(this.shown, index, (at) => this.depths[at] > 0);
    return `${fanClass(before, after)}${passing ? " fan-past" : ""}`;
  }

  /** What hangs from the row of a step: its error, the text that it gives out, or both. */
  hangingFrom(step) {
    const error = this.setbacks.blockOf(step);
    const text = this.texts.blockOf(step);
    if (!error || !text) return error ?? text;
    const both = (text.both ??= el("div"));
    if (both.firstChild !== error || both.lastChild !== text) both.replaceChildren(error, text);
    return both;
  }

  /** The step of a group that sleeps, if no other one of it is open: it can be woken on the group's row. */
  loneOf(group) {
    const open = [...this.state.open].filter((step) => this.groups.groupOf(step) === group);
    return open.length === 1 && open[0].status === "sleeping" ? open[0] : null;
  }

  /** What leads to the turns of a loop; it is kept, and with it what is typed there. */
  toolsOf(group) {
    const { key } = group;
    if (!this.loops.has(key)) {
      const now = () => this.shown.find((entry) => entry.key === key);
      this.loops.set(key, loopTools({ go: (turn) => this.focusStep(now()?.steps[turn - 1]), longest: () => this.focusStep(now()?.longest) }));
    }
    const tools = this.loops.get(key);
    tools.fill(group.steps.length);
    return tools;
  }

  /** Folds or opens what lies in a row; false where nothing does, or where it is so already. */
  turn(index, open) {
    const entry = index < this.steps ? this.shown[index] : null;
    const group = entry?.isRest ? entry.group : entry?.isGroup ? entry : null;
    if (!group || (entry.isRest && !open)) return false;
    if (open && group.mode !== "all") this.groups.unfold(group, entry.isRest || group.mode === "some");
    else if (!open && group.mode !== "folded") this.groups.fold(group);
    else return false;
    this.update(this.state, this.context);
    this.onFold();
  }

  /** Folds a group that is open, opens one that is folded, or all of one that shows some of its steps. */
  toggle(entry) {
    this.turn(this.shown.indexOf(entry), entry.isRest || entry.mode === "folded");
  }

  /** The rows of what has happened, which other views show, too. */
  rowsNow() {
    const { shown, depths, owners } = this;
    return { shown, depths, owners };
  }

  redraw() {
    for (const index of this.rows.shown.keys()) this.rows.touch(index);
    this.rows.paint();
    this.frame();
  }

  /** Marks the step whose drawer is open. */
  select(key) {
    this.current = key;
    this.currentAt = this.placeOf(this.state?.steps.get(key));
    for (const [index, item] of this.rows.shown) {
      if (index === this.currentAt) item.parts.row.setAttribute("aria-current", "true");
      else item.parts.row.removeAttribute("aria-current");
    }
  }

  link(line) {
    this.linked = line;
    for (const item of this.rows.shown.values()) this.light(item);
  }

  /** Lights the row of the linked line; of an open group, whose rows are all of one line, only its own. */
  light(item) {
    setFlag(item.parts.row, "is-linked", this.linked !== null && item.line === this.linked && !item.inGroup);
  }

  /** Where an entry stands among the rows; a step in a folded group, where that does; or -1. */
  placeOf(entry) {
    if (!entry) return -1;
    const at = this.shown.findIndex((one) => one === entry || one.key === entry.key);
    if (at >= 0) return at;
    const group = entry.isRest ? entry.group : this.groups.groupOf(entry);
    const place = group ? this.shown.indexOf(group.mode === "some" && !entry.isRest ? group.rest : group) : -1;
    return place >= 0 || !entry.parent ? place : this.placeOf(this.state.steps.get(keyOf(entry.parent)));
  }

  /** To the row of the step on a line, or of the one whose function the line is in. */
  revealLine(line) {
    if (!this.state) return;
    const at = (wanted) => {
      const begun = this.shown.findLastIndex((entry, place) => entry.line === wanted && !this.owners[place]);
      const ahead = this.rest.findIndex((entry) => entry.line === wanted);
      return begun >= 0 ? begun : ahead >= 0 ? this.steps + ahead : -1;
    };
    const around = this.plan.flat.findLast((entry) => entry.line < line && line <= (entry.endLine ?? entry.line));
    const index = at(line) >= 0 || !around ? at(line) : at(around.line);
    if (index >= 0) this.focusRow(index);
  }

  /** Brings the row of a step into sight and makes it the one that keys begin from; the focus stays where it is. */
  revealStep(step) {
    const index = this.placeOf(step);
    if (index < 0) return;
    this.setActive(index);
    this.rows.reveal(index);
  }

  focusStep(step) {
    if (step) this.focusRow(this.placeOf(step));
  }

  indexOf(node) {
    for (const [index, item] of this.rows.shown) if (item.contains(node)) return index;
    return -1;
  }

  clicked(event) {
    if (event.target.closest(".ask, .setback, .group-tools, .wake, .row-break, .row-stop, .row-run")) return;
    const index = this.indexOf(event.target);
    if (index < 0) return;
    const item = this.rows.shown.get(index);
    this.setActive(index);
    if (item.group) this.toggle(item.group);
    else if (item.step) this.onOpen(item.step);
    else if (item.line) tell("goto", { line: item.line });
  }

  pointed(event) {
    const index = this.indexOf(event.target);
    const line = index < 0 ? null : this.rows.shown.get(index).line;
    if (line !== this.linked) tell("hover", { line });
  }

  focused(event) {
    const index = this.indexOf(event.target);
    if (index >= 0 && event.target.classList.contains("row-name")) this.setActive(index);
  }

  pressed(event) {
    if (!event.target.classList.contains("row-name")) return;
    const last = this.rows.count - 1;
    const to = { ArrowDown: this.active + 1, ArrowUp: this.active - 1, Home: 0, End: last, PageDown: this.active + 10, PageUp: this.active - 10 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      this.focusRow(Math.max(0, Math.min(last, to)));
    } else if (event.ctrlKey || event.metaKey || event.altKey) return;
    else if ((event.key === "ArrowRight" || event.key === "ArrowLeft") && this.turn(this.active, event.key === "ArrowRight") !== false) event.preventDefault();
    else if (event.key === "ArrowLeft" && this.owners[this.active] && !this.scale.view) {
      event.preventDefault();
      this.focusRow(this.placeOf(this.owners[this.active]));
    } else if (this.zoom.nudge(event.key)) event.preventDefault();
  }

  /** What keys zoom to, in percent: the step that has the focus, else now, if they are in view. */
  aim() {
    const item = this.rows.shown.get(this.active);
    const now = this.scale.at(this.scale.now);
    const step = item?.contains(document.activeElement) ? item.step : null;
    const place = step ? (this.scale.at(step.startedAt) + (step.endedAt === null ? now : this.scale.at(step.endedAt))) / 2 : now;
    return (step || !this.final) && place >= 0 && place <= 100 ? place : null;
  }

  /** To the line of the step that the keyboard is at. */
  goto() {
    const line = this.rows.shown.get(this.active)?.line;
    if (line) tell("goto", { line });
  }

  /** Breaks the step that the keyboard is at. */
  askBreak() {
    const entry = this.rows.shown.has(this.active) ? this.entry(this.active) : null;
    if (entry?.kind === "do" && entry.name && !entry.parent && !this.context.why) this.onBreak(entry);
  }

  /** Sets or clears a breakpoint before the step that the keyboard is at. */
  toggleStop() {
    const item = this.rows.shown.get(this.active);
    if (!item) return;
    const entry = this.entry(this.active);
    if (item.stops) this.onBreakpoint(entry);
    else toast(this.context.why || whyNoStop(entry));
  }

  /** The step that the keyboard is at, as `continue` takes it, if it is still to come; else null. */
  target() {
    const entry = this.active >= this.steps && this.rows.shown.has(this.active) ? this.entry(this.active) : null;
    return entry && mayStop(entry) && !entry.stop ? { kind: entry.kind, name: entry.name } : null;
  }

  focusRow(index) {
    if (index < 0 || index >= this.rows.count) return;
    this.setActive(index);
    this.rows.reveal(index);
    this.frame();
    this.rows.shown.get(index)?.parts.button.focus({ preventScroll: true });
  }

  setActive(index) {
    this.setTab(this.active, -1);
    this.active = index;
    this.setTab(index, 0);
  }

  setTab(index, tabIndex) {
    const item = this.rows.shown.get(index);
    for (const button of item ? [item.parts.button, item.breaks, item.stops, item.runs] : []) if (button) button.tabIndex = tabIndex;
  }
}

/** What is still to come, with the step that the run is stopped before at its head. */
function restOf({ stoppedBefore: stop }, ahead) {
  if (!stop) return ahead;
  return [{ ...stop, stop: true }, ...ahead.filter((entry) => entry.kind !== stop.kind || entry.name !== stop.name)];
}

/** What a row's marks depend on besides its step: how many lives and pauses there have been, how the latest stand, what is broken. */
function aroundOf(state) {
  const life = state.executions[state.executions.length - 1];
  const pause = state.pauses[state.pauses.length - 1];
  const broken = state.breaks.map((each) => `${each.id}/${each.left}`);
  const stops = state.breakpoints.map(({ step, once }) => `${step.kind}/${step.name}/${step.count}/${once}`);
  return `${stops}:${state.stoppedBefore?.name}/${state.stoppedBefore?.count}:${state.generation}:${state.executions.length}:${state.diverged.length}:${life?.endedSeq}:${life?.cut}:${state.pauses.length}:${pause?.[1]}:${broken}`;
}
