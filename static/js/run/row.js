// One row of the timeline: a step's icon and name, its track of marks, its time. Filled when the step changes, placed when time moves.

import { el, setFlag, setIcon, setText, setVar } from "../dom.js";
import { stepState } from "../statuses.js";
import { INJECTED } from "./breaks.js";
import { marksOf } from "./marks.js";
import { fetchLines, statusesOf } from "./fetches.js";
import { stepMs } from "./fold.js";
import { memberName } from "./group-row.js";
import { foldSign, writeName } from "./new-row.js";
import { foreseenEnd, percentWords, progressOf } from "./progress.js";
import { tokensWords } from "./services.js";
import { skippedWords } from "./skipped.js";
import { lasting, left, pathLabel, percentText, ticking } from "./words.js";

const NUMBER_PX = 14; // a mark narrower than this does not carry its number
const LABEL_PX = 7; // width of a character in a gap, with room around it
const DEEPEST = 6; // steps within steps are moved in so many times at most
const TOOL_PX = 96; // a button after the now-line, with room around it

const CLASSES = {
  ran: "seg ran",
  fail: "seg fail",
  lost: "seg lost",
  live: "seg live",
  stopped: "seg stopped",
  gap: "gap",
  "ahead-gap": "gap on",
  sleep: "seg sleep",
  wait: "seg wait",
  late: "seg wait late",
  "sleep-on": "seg sleep on",
  "wait-on": "seg wait on",
  child: "seg wait",
  "child-on": "seg wait on",
  ahead: "seg ahead",
  read: "readmark",
  copied: "readmark copied",
  given: "seg given",
  pause: "hold",
  undo: "undo",
  "undo-fail": "undo bad",
  "undo-on": "undo on",
};

/** Puts a step as it now is into a row. `group` is the open group that it lies in, or null; `tools` is what stands on its track besides marks, or null. */
export function fillStep(item, step, state, { final, fan, depth, group, tools }) {
  const { row, button, mark, track } = item.parts;
  const shown = stepState(step, final);
  item.step = item.asked = step;
  item.group = null;
  item.longest = Boolean(group?.isLoop) && group.longest === step;
  item.line = step.line;
  row.className = `row ${fan}${depth ? " nested" : ""}`;
  setVar(row, "--deep", Math.min(depth, DEEPEST));
  setIcon(mark, shown.icon, shown.tone);
  foldSign(item, null);
  writeName(item, memberName(step, group));
  button.title = pathLabel(step);
  item.progress = progressOf(state, step);
  const before = item.marks;
  item.marks = marksOf(step, state, final).map((one, index) => ({ ...one, node: nodeOf(one, before[index]) }));
  const content = item.marks.map((one) => one.node);
  if (tools) content.push(tools);
  if (content.length !== track.childNodes.length || content.some((one, index) => one !== track.childNodes[index])) track.replaceChildren(...content);
  item.tools = tools;
}

/** The element of a mark: the one that stands there if it looks the same. */
function nodeOf(mark, before) {
  if (mark.progress) return progressNode(mark, before);
  if (before?.progress || before?.type !== mark.type || (before.text ?? "") !== (mark.text ?? "")) return node(mark);
  if (before.title !== mark.title) before.node.title = mark.title ?? "";
  return before.node;
}

/** The bar of a step that says how far it is; it is kept while it grows, since a screen reader follows it. */
function progressNode(mark, before) {
  const bar = before?.progress ? before.node : el("span.seg.live", { role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100" }, el("span.txt"));
  setText(bar.firstElementChild, mark.text ?? "");
  setFlag(bar, "injected", Boolean(mark.injected));
  const said = { "aria-label": mark.name, "aria-valuenow": String(Math.floor(mark.progress.percent)), "aria-valuetext": percentWords(mark.progress), title: mark.title };
  for (const [name, text] of Object.entries(said)) if (bar.getAttribute(name) !== text) bar.setAttribute(name, text);
  return bar;
}

function node(mark) {
  const classes = CLASSES[mark.type].split(" ");
  if (mark.injected) classes.push("injected");
  if (mark.skipped) classes.push("cutoff");
  return el(`span.${classes.join(".")}`, { title: mark.title, "aria-hidden": "true" }, mark.text ? el("span.txt", {}, mark.text) : null);
}

/** Moves the marks of a row to where they belong at this moment. */
export function placeRow(item, scale, { width, stale, final, now }) {
  for (const mark of item.marks) {
    const a = scale.at(mark.from ?? scale.now);
    setVar(mark.node, "--a", a);
    if (mark.type === "read" || mark.type === "copied") continue;
    const b = mark.to === Infinity ? 100 : scale.at(mark.to ?? scale.now);
    setVar(mark.node, "--b", Math.max(a, b));
    const px = ((b - a) / 100) * width;
    if (mark.text) setFlag(mark.node, "tight", px < (mark.type === "gap" || mark.long ? mark.text.length * LABEL_PX + 16 : NUMBER_PX));
    if (mark.type === "ahead") setFlag(mark.node, "open", b >= 100);
    if (mark.type === "live" || mark.type.endsWith("-on")) setFlag(mark.node, "stale", stale);
  }
  const counted = item.tools ? placeTools(item, scale.at(scale.now), width, now) : false;
  if (item.step) placeMeta(item, { final, now, counted });
}

/** Says whether the countdown stands on the track: it does where there is room for it after the now-line. */
function placeTools({ tools, asked }, a, width, now) {
  setVar(tools, "--a", a);
  if (!tools.countdown) return false;
  const text = `in ${left(asked.until - now)}`;
  const fits = ((100 - a) / 100) * width >= text.length * LABEL_PX + TOOL_PX;
  setText(tools.countdown, fits ? text : "");
  return fits;
}

/** `counted`: what is left stands on the track already. */
function placeMeta(item, { final, now, counted }) {
  const { step, parts } = item;
  const open = step.endedAt === null && !final;
  const [took, live] = (open && progressMeta(item, now)) || metaOf(step, open, now, counted);
  const text = item.longest && took ? `${took}, the longest` : took;
  setFlag(parts.meta, "now", live);
  const byHand = step.virtual || step.attempts.some((attempt) => attempt.virtual);
  const asked = statusesOf(step);
  const tags = [asked, byHand ? "virtual" : ""].filter(Boolean);
  if (parts.meta.childElementCount !== tags.length + 1 || [...parts.meta.children].some((node, index) => index < tags.length && node.textContent !== tags[index])) {
    const answers = asked ? [el("span.tag.answers", { title: fetchLines(step) }, asked)] : [];
    const virtual = byHand ? [el("span.tag.open", { title: "ended early by hand; the recorded time is virtual" }, "virtual")] : [];
    parts.meta.replaceChildren(...answers, ...virtual, el("span"));
  }
  setText(parts.meta.lastElementChild, text);
  const shown = stepState(step, final);
  const tried = step.attempts.length > 1 ? `, ${step.attempts.length} attempts` : "";
  const injected = step.attempts.findLast((attempt) => attempt.injected)?.injected;
  const words = `${item.spoken}${step.parent ? `, in ${pathLabel(step.parent)}` : ""}, ${shown.word}${tried}${open ? "" : `, ${text}`}${asked ? `, answers ${asked}` : ""}${byHand && !skippedWords(step) ? ", ended early by hand" : ""}${injected ? `, ${INJECTED[injected]}` : ""}${item.broken ?? ""}`;
  setText(parts.words, words);
}

/** How far a step is and how long it still takes, if it says so. */
function progressMeta({ step, progress }, now) {
  const attempt = step.attempts[step.attempts.length - 1];
  if (!progress || attempt?.endedAt !== null) return null;
  const end = foreseenEnd(progress, attempt.startedAt);
  return [`${percentText(progress.percent)}${end !== null && end > now ? ` · ${left(end - now)} left` : ""}`, true];
}

function metaOf(step, open, now, counted) {
  if (step.edited) return ["edited", false];
  if (step.copied) return [step.copied.edited ? "edited" : "copied", false];
  if (!open) return [step.endedAt === null ? "" : skippedWords(step) || [tokensWords(step), lasting(stepMs(step))].filter(Boolean).join(" · "), false];
  if (step.until !== null && step.kind !== "do") return [left(step.until - now), true];
  if (step.status === "retrying" && !counted) return [step.until > now ? `in ${left(step.until - now)}` : "due", true];
  return [ticking(now - step.startedAt), true];
}
