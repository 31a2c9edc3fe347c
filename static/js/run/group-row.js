// The row of a group, and that of its rest: how many there are and how they stand, in words and as a picture of their own rows.

import { el, icon, setFlag, setIcon, setText, setVar, svg } from "../dom.js";
import { STEP } from "../statuses.js";
import { lives } from "./fold.js";
import { lengths, tallyOf, worstOf } from "./groups.js";
import { HIGH, sketch, sketchOpen } from "./minimap.js";
import { foldSign, writeName } from "./new-row.js";
import { meanPercent } from "./progress.js";
import { count, lasting, percentText } from "./words.js";

const LAST = 8; // characters of a long name that are never cut
const CUT = 12; // … of names that are longer than this

/** Puts a group, or the rest of one, into a row. `tools` is what stands on its track besides the picture, or null. */
export function fillGroup(item, entry, state, { final, fan, depth, tools }) {
  const { row, button, mark, name, track } = item.parts;
  const group = entry.isRest ? entry.group : entry;
  const tally = entry.isRest ? tallyOf(entry.steps, final) : group.tally;
  const worst = STEP[worstOf(tally)];
  Object.assign(item, { step: null, group: entry, line: group.line, tally, told: null, percent: meanPercent(state, entry.steps), lengths: lengths(entry.steps, Object.fromEntries(tally).completed ?? 0, final) });
  row.className = `row group ${fan}${depth ? " nested" : ""}${entry.isRest ? " is-rest" : ""}`;
  setVar(row, "--deep", depth);
  setIcon(mark, worst.icon, worst.tone);
  const { words, count: many, whole } = groupName(entry, tally);
  writeName(item, { cut: false, head: words, tail: "", count: many });
  setFlag(name, "said", entry.isRest || !group.head);
  button.title = whole;
  foldSign(item, entry.isRest ? false : group.mode !== "folded");
  if (!item.picture) item.picture = newPicture();
  const reads = readMarks(entry, state);
  track.replaceChildren(item.picture, ...reads.map((one) => one.node), ...(tools ? [tools] : []));
  item.marks = reads;
  item.tools = tools;
  item.drawn = null;
}

/** What a group, or the rest of one, is called: {words, count, whole}. Pure. */
export function groupName(entry, tally = tallyOf(entry.steps, false)) {
  if (entry.isRest) return { words: talliedWords(tally), count: "", whole: "" };
  const { head, name, line, steps } = entry;
  const words = head ? `${head.trimEnd()}${name === null ? "…" : ""}` : `line ${line}`;
  return { words, count: ` × ${steps.length.toLocaleString("en")}`, whole: `${words}, ${count(steps.length, "step")}${line === null ? "" : ` of line ${line}`}` };
}

function newPicture() {
  const paths = Object.fromEntries(["ran", "open", "failed"].map((name) => [name, svg(`path.mini-${name}`)]));
  return Object.assign(svg("svg.mini", { "aria-hidden": "true", height: HIGH }, Object.values(paths)), { paths });
}

/** A ring after each execution that read some of them instead of running them. */
function readMarks({ steps, kind }, state) {
  const marks = [];
  for (const execution of lives(state)) {
    if (execution.startedSeq < steps[0].startedSeq) continue; // it cannot have read what had not begun
    let read = 0;
    for (const step of steps) if (step.endedSeq !== null && execution.startedSeq > step.endedSeq) read += 1;
    if (!read) continue;
    const title = `${count(read, kind === "do" ? "step" : kind)} read from the journal by execution ${execution.execution}, not run`;
    marks.push({ type: "read", from: execution.startedAt, node: el(`span.readmark${read > 1 ? ".many" : ""}`, { title, "aria-hidden": "true" }) });
  }
  return marks;
}

/** Moves what a group shows to where it belongs at this moment. */
export function placeGroup(item, scale, { width, final, end }) {
  const { group: entry, picture } = item;
  const group = entry.isRest ? entry.group : entry;
  const open = group.tally.some(([status]) => ["running", "retrying", "waiting", "sleeping"].includes(status));
  const drawn = `${entry.version}:${scale.looks}:${width}`;
  const how = { width, isLoop: group.isLoop, end, looks: scale.looks };
  const place = (at) => (scale.at(at) / 100) * width;
  if (drawn !== item.drawn && width) {
    item.sketch = sketch(entry.steps, place, how);
    picture.setAttribute("width", width);
    for (const name of ["ran", "failed"]) picture.paths[name].setAttribute("d", item.sketch[name]);
  }
  if ((drawn !== item.drawn || item.sketch.open.length) && width) picture.paths.open.setAttribute("d", sketchOpen(item.sketch, place, how));
  item.drawn = drawn;
  setFlag(picture, "is-over", final);
  const told = `${entry.version}:${final}:${group.mode}`;
  if (told === item.told) return;
  item.told = told;
  tellGroup(item, entry, group, open && !final);
}

function tellGroup(item, entry, group, open) {
  const { meta, words } = item.parts;
  const found = item.lengths;
  const turn = group.isLoop && open ? ["running", `turn ${group.steps.length.toLocaleString("en")}`] : null;
  const far = item.percent === null ? "" : `, ${percentText(item.percent)}`;
  const parts = item.tally.map(([status, many]) => `${turn && status === turn[0] ? turn[1] : `${many.toLocaleString("en")} ${STEP[status].word}`}${status === "running" ? far : ""}`);
  const half = !entry.isRest && found && entry.kind === "do" ? lasting(found.middle) : null;
  setFlag(meta, "now", open && !entry.isRest);
  const shown = entry.isRest ? (found && entry.kind === "do" ? [rangeOf(found)] : []) : parts;
  meta.replaceChildren(el("span", {}, shown.join(" · ")), ...(half ? [el("span.half", { title: `Half of those that are done took ${half} or less` }, ` · p50 ${half}`)] : []));
  const spoken = entry.isRest ? ` of ${group.head.trim() || `line ${group.line}`}, ${shown.join("")}` : `, ${parts.join(", ")}${half ? `, half of them took ${half} or less` : ""}`;
  setText(words, `${spoken}${item.broken ?? ""}`);
}

const rangeOf = ({ least, most }) => (lasting(least) === lasting(most) ? lasting(most) : `${lasting(least)} to ${lasting(most)}`);

const talliedWords = (tally) => tally.map(([status, many]) => `${many.toLocaleString("en")} ${STEP[status].word}`).join(" · ");

/**
 * What a row calls its step: {cut, head, tail, count, whole}. `cut` says that it stands without what all names of its group begin with; what
 * is left of a long name is cut in its middle, so that its end is always there. Pure.
 */
export function memberName(step, group) {
  const count = step.count > 1 ? `-${step.count}` : "";
  const whole = step.name + count;
  if (!group) return { cut: false, head: step.name, tail: "", count, whole };
  if (group.name !== null && group.isLoop) return { cut: false, head: `turn ${(group.placeOf(step) + 1).toLocaleString("en")}`, tail: "", count: "", whole };
  if (group.name !== null) return { cut: true, head: "", tail: `-${step.count}`, count: "", whole };
  const cut = group.head !== "";
  const rest = [...step.name.slice(group.head.length)];
  const end = rest.length > CUT ? -LAST : rest.length;
  return { cut, head: rest.slice(0, end).join(""), tail: rest.slice(end).join(""), count, whole };
}
