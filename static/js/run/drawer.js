// One step, in full: its attempts with what went wrong under each, its result, config and logs.

import { el, icon, isDisabled, lineLink, setDisabled, setIcon, setVar } from "../dom.js";
import { STEP, stepState } from "../statuses.js";
import { INJECTED, isBroken } from "./breaks.js";
import { alikeRuns, timesAfterGap, trace } from "./errors.js";
import { requests } from "./fetches.js";
import { attemptMs, isLost, isMissed, isStopped, keyOf, lives, typesText } from "./fold.js";
import { lineRow } from "./logs.js";
import { partsOf } from "./fold-streams.js";
import { early } from "./marks.js";
import { percentWords } from "./progress.js";
import { calls } from "./services.js";
import { attemptOf, setback } from "./setback.js";
import { planned, skippedWords } from "./skipped.js";
import { brief } from "./value.js";
import { sizeText } from "./value-shape.js";
import { ValueTree } from "./value-tree.js";
import { clock, copiedWords, count, errorBrief, hours, lasting, left, moment, pathLabel, senderText, short, stepLabel } from "./words.js";

const LINES = 200; // printed lines shown here; the Logs tab has all
const REPLY = 200; // characters of a reply
const ATTEMPTS = 100; // attempts shown here: the first and the latest of them

const KIND = { do: "step", sleep: "sleep", wait: "wait for event", child: "child run" };

export class Drawer {
  /** @param {{root, close, copy, breakStep, restart, fork}} how `restart(step)` runs the instance again from a step, `fork(step)` asks how to fork it there, `breakStep(step)` how to break it, `pageOf(id)` is where another run is looked at, `childOf(step)` is a link to the run that a step waits for, `childLinks(step)` are links to those that the step has started, `outputPath(step)` is where its output is, or null */
  constructor({ root, close, copy, breakStep, restart, fork, pageOf, childOf, childLinks, outputPath }) {
    Object.assign(this, { root, close, copy, breakStep, restart, fork, pageOf, childOf, childLinks, outputPath });
    this.edge = root.querySelector(".edge");
    this.reset();
  }

  reset() {
    this.step = null;
    this.drawn = null;
    this.value = null;
    this.printed = { all: null, taken: 0, lines: [] };
    this.shownBody = null;
    this.root.replaceChildren(this.edge);
  }

  show(step, state, context) {
    this.reset();
    this.step = step;
    this.head = this.newHead();
    this.update(state, context);
  }

  update(state, context) {
    const found = this.step && state.steps.get(this.step.key);
    this.step = found ?? this.step;
    if (!this.step || this.root.hidden || !this.root.clientHeight) return;
    const begun = Boolean(found) || !context.past;
    const lines = this.lines(state.logs, state.logsJoined);
    const { version } = this.step;
    const { executions, generation, logsJoined } = state;
    const { final, why } = context;
    const drawn = [begun, version, lines.length, logsJoined, final, why, executions.length, generation].join(":");
    if (this.drawn === drawn) return;
    this.drawn = drawn;
    this.tellHead(begun ? stepState(this.step, context.final) : null, context.why);
    const body = begun ? this.body(state, context, lines) : el("p.nothing", {}, el("code", {}, pathLabel(this.step)), ` has not begun at seq ${state.lastSeq}.`);
    const before = this.shownBody;
    this.shownBody = body;
    const place = () => {
      this.value?.home.append(this.value.tree.node);
      if (!before) return this.root.append(this.head.node, body);
      const { scrollTop } = before;
      before.replaceWith(body);
      body.scrollTop = scrollTop;
    };
    if (this.value) this.value.tree.moved(place);
    else place();
    setVar(this.root, "--gutter", `${body.offsetWidth - body.clientWidth}px`); // of its scrollbar: the edge lies beside the columns, not in them
  }

  /** The lines that the step printed. Those found before are not looked for again. */
  lines(all, joined) {
    const { printed, step } = this;
    const anew = printed.all !== all || printed.joined !== joined || printed.taken > all.length;
    if (anew) Object.assign(printed, { all, joined, taken: 0, lines: [] });
    for (; printed.taken < all.length; printed.taken += 1) {
      const line = all[printed.taken];
      if (line.step && line.step.name === step.name && keyOf(line.step) === step.key) printed.lines.push(line);
    }
    return printed.lines;
  }

  /** What stands above one step for as long as it is open: the body is drawn anew while a finger is on a button, which must not take the press. */
  newHead() {
    const { step } = this;
    const mark = icon("i-not", { label: STEP.not.word });
    const button = (picture, word, act, { title, name = word, keys, dataset }) => {
      const made = el("button.btn.line.small.again", { type: "button", "aria-label": name, "aria-keyshortcuts": keys, dataset: { ...dataset, title }, title }, icon(picture), el("span", {}, word));
      made.addEventListener("click", () => !isDisabled(made) && act(this.step));
      return made;
    };
    const breaks = step.kind === "do" && !step.parent && button("i-bolt", "Break", this.breakStep, { name: "Break this step", keys: "i", title: "Make it fail, time out, be slow, or return a value" });
    const again = button("i-restart", "Restart from here", this.restart, { title: "Keeps what began before this step; this one and all later ones run again" });
    const fork = button("i-fork", "Fork from here…", this.fork, { keys: "f", dataset: { fork: "" }, title: "A new run that begins with what finished before this step" });
    const close = el("button.btn.icon", { type: "button", "aria-label": "Close step", title: "Close", onclick: this.close }, icon("i-close"));
    const line = step.line ? lineLink(step.line) : null;
    const node = el("header", {}, mark, el("h3", { title: pathLabel(step) }, stepLabel(step), step.parent && el("span.dim", {}, ` in ${pathLabel(step.parent)}`)), el("span.tag", {}, KIND[step.kind]), line, el("span.grow"), breaks, again, fork, close);
    return { node, mark, line, able: [breaks, again].filter(Boolean), acts: [breaks, again, fork].filter(Boolean) };
  }

  /** `shown` is the state of the step, or null before it has begun; `why` says why nothing can be done to the run. */
  tellHead(shown, why) {
    const { mark, line, able, acts } = this.head;
    const { icon: picture, tone, word } = shown ?? STEP.not;
    setIcon(mark, picture, tone);
    mark.setAttribute("aria-label", word);
    if (line && this.step.line && line.dataset.line !== String(this.step.line)) line.replaceWith((this.head.line = lineLink(this.step.line)));
    for (const button of acts) button.hidden = !shown;
    for (const button of able) setDisabled(button, why);
  }

  body(state, { final, now }, lines) {
    const { step } = this;
    const left = el("section", {}, el("h4", {}, step.kind === "do" ? "Attempts" : "What happened"), step.kind === "do" ? attempts(step, state, final, this.pageOf) : story(step, state, { final, now, pageOf: this.pageOf, childOf: this.childOf }));
    if (step.rollback) left.append(el("h4", {}, "Rollback"), rollback(step.rollback, final, state));
    const right = el("section", {});
    right.append(...requests(step), ...calls(step), ...this.result(), ...streams(partsOf(state, step)), ...config(step), ...printedBy(lines));
    return el("div.sheet-body", { tabindex: "0" }, left, right);
  }

  result() {
    const { step } = this;
    if (!step.hasOutput) return [];
    const started = el("p.dim", { hidden: true });
    this.childLinks(step).then((links) => {
      started.hidden = !links.length;
      started.replaceChildren(links.length > 1 ? "It started the runs " : "It started the run ", ...links.flatMap((link, index) => (index ? [", ", link] : [link])), ".");
    });
    const { output } = step;
    if (output === "[REDACTED]") return [started, el("h4", {}, "Result"), el("p.json-box.dim", {}, "[REDACTED]: marked sensitive, kept out of the journal")];
    const kept = output?.$stored_bytes; // beside the journal: too large to show
    if (kept) return [started, el("h4", {}, "Result"), el("p.json-box.stored", {}, `${sizeText(kept.size)} of bytes`, this.saveLink(step))];
    if (this.value?.of !== output) {
      const [name, label] = step.kind === "wait" ? ["event", "Event"] : ["result", "Result"];
      this.value = { of: output, label, tree: new ValueTree({ value: output, name, label, copy: this.copy }) };
    }
    const { label, tree } = this.value;
    this.value.home = el("div.tree-card", {});
    return [started, el("h4.of-value", {}, label, ...tree.tools), this.value.home];
  }

  saveLink(step) {
    const href = this.outputPath(step);
    return href && el("a.btn.line.small", { href, download: step.name }, icon("i-down"), "Save as a file");
  }
}

function attempts(step, state, final, pageOf) {
  const list = el("ol.try-list");
  const all = step.attempts;
  if (step.copied) list.append(copiedRow(step, state, pageOf));
  const skipped = Math.max(0, all.length - ATTEMPTS);
  const times = alikeRuns(all);
  all.forEach((attempt, index) => {
    if (skipped && index >= 1 && index <= skipped) {
      if (index === 1) list.append(el("li.pause", {}, el("i"), el("span", {}, `${count(skipped, "attempt")} left out`)));
      return;
    }
    list.append(attemptRow(attempt, final, state, index === skipped + 1 ? times[index] || timesAfterGap(times, index) : times[index]));
    const next = all[index + 1];
    if (next && attempt.endedAt !== null && !isLost(attempt)) list.append(pauseRow(early(attempt, next) ? next.startedAt - attempt.endedAt : (attempt.retryDelayMs ?? 0), early(attempt, next) && attempt.retryDelayMs));
  });
  if (step.edited) list.append(givenRow(step));
  else if (!all.length && !step.copied) list.append(el("li.pause", {}, el("i"), el("span", {}, "no attempt has begun")));
  if (step.status === "retrying" && !final && all.length) list.append(el("li.pause", {}, icon("i-retry"), el("span", {}, `${nextOf(step)} at ${clock(step.until)}`)));
  for (const execution of lives(state)) {
    if (step.endedSeq !== null && execution.startedSeq > step.endedSeq) {
      const missed = isMissed(step, execution.execution, state);
      const words = missed ? `not reached again by execution ${execution.execution}` : `read from the journal by execution ${execution.execution}`;
      list.append(el("li.pause", {}, icon(missed ? "i-warn" : "i-journal"), el("span", {}, words), el("span", {}, hours(execution.startedAt))));
    }
  }
  return list;
}

function nextOf(step) {
  const found = setback(step);
  return found ? attemptOf({ ...found, attempt: found.attempt + 1 }) : "next attempt";
}

/** `times`: how often its error came in a row, which is shown once, with the first of them. */
function attemptRow(attempt, final, run, times = 1) {
  const lost = isLost(attempt);
  const open = attempt.endedAt === null || isStopped(attempt, run);
  const state = open ? (final ? STEP.stopped : STEP.running) : attempt.done ? STEP.completed : lost ? { icon: "i-cut", tone: "", word: "lost with its worker" } : STEP.errored;
  const hurt = attempt.injected && !lost;
  const words = hurt ? `${INJECTED[attempt.injected]}${open && !final ? ", running" : ""}` : attempt.done ? "completed" : state.word;
  const row = el(
    "li",
    {},
    hurt && !open ? icon("i-bolt-on") : icon(state.icon, { tone: state.tone }),
    el("span", {}, el("b", {}, `Attempt ${attempt.attempt}`), ` ${words}, execution ${attempt.execution}`, attempt.injected && el("span.tag.open", { title: "You, or whoever holds this run, set a break on this step" }, "injected")),
    el("span.num", { title: clock(attempt.startedAt) }, open || lost ? "" : lasting(attemptMs(attempt))),
  );
  if (!attempt.error || lost || isBroken(attempt)) return row;
  if (times > 1) row.children[1].append(el("span.tag", { title: `${count(times, "attempt")} in a row failed in the same way` }, `× ${times}`));
  if (times) row.append(trace(attempt.error));
  else row.children[1].append(", the same error");
  return row;
}

/** A step that the run was stopped before, and whose result or error a person gave. */
const givenRow = (step) => el("li", {}, icon(step.error ? "i-failed" : "i-done", { tone: step.error ? "bad" : "" }), el("span", {}, ...(step.error ? ["Made to fail by hand, and it did not run: ", el("code", {}, errorBrief(step.error)), " "] : ["Its result was given by hand, and it did not run."]), el("span.tag.open", { title: "For this run only, and in its journal" }, "injected")), el("span.num", {}, hours(step.startedAt)));

/** A fork's step ran in the run it was forked from. */
function copiedRow(step, { trigger }, pageOf) {
  const link = trigger?.of && el("a", { href: pageOf(trigger.of) }, "That run"); // none where its steps came from a file
  return el("li", {}, icon("i-fork"), el("span", {}, `${sentence(copiedWords(step))}. `, step.copied.edited || !link ? null : [link, " has its attempts."]), el("span.num", {}, step.copied.took_ms === undefined ? "" : lasting(step.copied.took_ms)));
}

const sentence = (words) => words.charAt(0).toUpperCase() + words.slice(1);

/** The wait between two attempts; `skipped` is how long it was to last, where a hand ended it. */
const pauseRow = (ms, skipped) =>
  el("li.pause", {}, icon("i-retry"), el("span", {}, ...(skipped ? [`waited, ended early by hand: it was to last ${planned(skipped)} `, el("span.tag.open", {}, "virtual")] : ["waited by its config"])), el("span.num", {}, lasting(ms)));

function story(step, state, { final, now, pageOf, childOf }) {
  const list = el("ol.try-list");
  const row = (mark, words, at, tone = "") => list.append(el("li", {}, icon(mark, { tone }), el("span", {}, words), el("span.num", {}, at === null ? "" : hours(at))));
  if (step.copied) return copiedStory(list, step, state, pageOf);
  if (step.edited) return list.append(givenRow(step)), list;
  if (step.kind === "sleep") row("i-sleep", "fell asleep", step.startedAt);
  else if (step.kind === "child") row("i-play", ["started the run ", childOf(step)], step.startedAt);
  else row("i-waiting", ["began to wait for ", el("code", {}, typesText(step))], step.startedAt);
  if (step.endedAt === null) {
    if (final) row("i-stop", "the run ended first", state.endedAt);
    else if (step.until === null) row("i-waiting", "waits for its end", null, "now");
    else row("i-clock", `until ${moment(step.until, now)}, ${left(step.until - now)} from now at most`, null, "now");
  } else if (step.byEnd) row("i-stop", "the run ended first", step.endedAt);
  else if (step.status === "cancelled") {
    row("i-stop", "cancelled: the code gave it up", step.endedAt);
    if (step.returned) row("i-waiting", ["the event that it was given went back to those kept for ", el("code", {}, typesText(step))], null);
  } else if (step.status === "errored") row("i-failed", "the run failed", step.endedAt, "bad");
  else if (step.status === "timed_out") row("i-failed", "no event in time", step.endedAt, "bad");
  else if (step.virtual) row("i-done", [`${skippedWords(step) || "ended early"} `, el("span.tag.open", {}, "virtual")], step.endedAt);
  else row("i-done", step.kind === "sleep" ? "woke" : step.kind === "child" ? "the run completed" : step.by ? `received it from ${senderText(step.by)}` : "received it", step.endedAt);
  if (step.reply) row(step.reply.error ? "i-failed" : "i-done", step.reply.error ? ["refused it: ", el("code", {}, step.reply.error.message)] : ["replied ", el("code", {}, short(JSON.stringify(step.reply.output ?? null), REPLY))], step.reply.at);
  if (step.error) list.append(el("li", {}, trace(step.error)));
  return list;
}

function copiedStory(list, step, state, pageOf) {
  list.append(copiedRow(step, state, pageOf));
  if (step.error) list.append(el("li", {}, trace(step.error)));
  return list;
}

function rollback(undo, final, state) {
  const list = el("ol.try-list");
  if (undo.status === "pending") list.append(el("li.pause", {}, icon("i-undo"), el("span", {}, final ? "not needed" : "its handler runs if the run fails")));
  for (const attempt of undo.attempts) list.append(attemptRow(attempt, final, state));
  if (undo.error) list.append(el("li", {}, trace(undo.error)));
  return list;
}

/** What it has given out while it ran, by stream: text as text, progress as a bar, else its last value. */
function streams(parts) {
  if (!parts.length) return [];
  const rows = parts.flatMap(({ stream, attempt, values, text, isCut, progress, last }) => [
    el("p", {}, el("code", {}, stream), ` ${count(values, "value")}, attempt ${attempt}`),
    text ? el("div.said", { tabindex: "0", role: "group", "aria-label": `Stream ${stream}` }, isCut ? `…${text}` : text) : progress ? progressBar(stream, progress) : el("div.said", {}, brief(last)),
  ]);
  return [el("h4", {}, "Streams"), el("div.stream-list", {}, ...rows)];
}

function progressBar(stream, progress) {
  const words = percentWords(progress);
  const bar = el("span.bar", { role: "progressbar", "aria-label": stream, "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": String(Math.floor(progress.percent)), "aria-valuetext": words });
  setVar(bar, "--p", progress.percent);
  return el("p", {}, bar, words);
}

function config(step) {
  const { config: set } = step;
  if (!set) return [];
  const pairs = [];
  const retries = set.retries ?? {};
  if (retries.limit !== undefined) pairs.push(["retries", String(retries.limit)]);
  if (retries.delay !== undefined) pairs.push(["delay", `${typeof retries.delay === "number" ? lasting(retries.delay) : "computed"}${retries.backoff ? `, ${retries.backoff}` : ""}`]);
  if (typeof set.timeout === "number") pairs.push(["timeout", `${lasting(set.timeout)} per attempt`]);
  if (set.sensitive) pairs.push(["sensitive", String(set.sensitive)]);
  return [el("h4", {}, "Config"), el("dl.kv", {}, ...pairs.flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]))];
}

function printedBy(lines) {
  if (!lines.length) return [];
  const rest = lines.length - LINES;
  const list = el("ol.logs.short", {}, ...lines.slice(-LINES).map((line) => lineRow(line)));
  return [el("h4", {}, "Logs"), rest > 0 ? el("p.dim", {}, `${count(rest, "earlier line")} in the Logs tab`) : null, list].filter(Boolean);
}
