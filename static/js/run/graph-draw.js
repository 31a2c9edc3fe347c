// The nodes of a graph as SVG. A node is drawn anew only when what it shows has changed; ways are few strings and are all drawn anew.

import { STEP } from "../statuses.js";
import { setFlag, svg } from "../dom.js";
import { CELL, CELLS, SPINE } from "./graph-layout.js";
import { isStack, stepIn } from "./graph-model.js";
import { lasting, percentText } from "./words.js";

const ICON = 16;
const MONO = 7.25; // width of a letter of a name
const SMALL = 6.2; // of what stands at the right
const CONDITION = 6.7; // of a condition
const FOLD = 20; // room for the sign that folds
const NARROW = 200; // a node under this shows a time or a count only where its name has room beside it
const SHAPE = { loop: "i-loop", fan: "i-parallel", parallel: "i-parallel" };
const GONE_ON = new Set(["running", "retrying"]);

/** A name cut in its middle, so that its beginning and its number stay; the whole is in the node's title and its label. */
export function cut(name, room) {
  const letters = [...name];
  const most = Math.max(4, Math.floor(room));
  if (letters.length <= most) return name;
  const end = Math.min(Math.floor(most / 3), 12);
  return `${letters.slice(0, most - end - 1).join("").trimEnd()}…${letters.slice(letters.length - end).join("")}`;
}

/** What a node says at its right: how long, how often, how many. Its status is its picture. */
function metaOf(node, stand, turns) {
  if (!stand.begun) {
    if (node.kind === "fan") return "× n";
    if (node.detail) return node.detail;
    return node.child ? "a run" : "";
  }
  if (node.kind === "loop") return stand.turns > 0 ? `turn ${many(stand.turns)}` : "";
  if (node.kind === "fan") return stand.middle === null ? "" : `p50 ${lasting(stand.middle)}`;
  if (node.kind === "arm" || node.kind === "parallel") return "";
  if (stand.count > 1 && stand.percent !== null) return percent(stand);
  if (stand.count > 1) return turns && stand.done === stand.count ? `× ${many(stand.count)}` : `${many(stand.done)} of ${many(stand.count)}`;
  if (stand.failed) return stand.attempts > 1 ? `${stand.attempts} of ${stand.attempts}` : "failed";
  if (stand.open) return [stand.attempts > 1 ? `attempt ${stand.attempts}` : "", percent(stand)].filter(Boolean).join(" · ");
  return stand.ms !== null ? lasting(stand.ms) : "";
}

const percent = (stand) => (stand.percent === null ? "" : percentText(stand.percent));

const many = (number) => number.toLocaleString("en");

const STOPS = { set: "the run stops before it", here: "the run is stopped before it" };

/** What is heard of a node: its name, what it is, how it stands, and of a breakpoint. */
export function wordsOf(node, stand, stop = "") {
  const parts = [node.name.replace(/\s+/g, " ")];
  if (node.kind === "loop") parts.push("loop");
  if (node.kind === "fan") parts.push(stand.count ? `${many(stand.turns)} side by side` : "for each, side by side");
  if (node.kind === "parallel") parts.push(`${node.children.length} ways side by side`);
  if (node.kind === "arm") parts.push(stand.begun ? "taken" : "not taken");
  else if (node.kind === "step" && node.child) parts.push("starts a workflow");
  if (node.kind !== "arm" && !(stand.count > 1 || node.kind === "fan") ) parts.push(STEP[stand.status].word);
  if (stand.count > 1) {
    const counted = [[stand.done, "done"], [stand.failed, "failed"], [stand.open, "open"]].filter(([count]) => count);
    parts.push(counted.map(([count, word]) => `${many(count)} ${word}`).join(", "));
  } else if (stand.attempts > 1) parts.push(`${stand.attempts} attempts`);
  if (node.kind === "loop" && stand.turns) parts.push(`turn ${many(stand.turns)}`);
  if (stand.ms !== null && stand.count === 1) parts.push(lasting(stand.ms));
  if (stand.percent !== null) parts.push(percentText(stand.percent));
  if (stand.read) parts.push("read from the journal");
  if (stop) parts.push(STOPS[stop]);
  if (node.extra) parts.push("seen at run time");
  if (node.line) parts.push(`line ${node.line}`);
  return parts.filter(Boolean).join(", ");
}

/** The picture of one node, to be put where its item says. `turns`: it stands in what repeats. */
export function drawNode(item, stand, turns) {
  const { node, w, h, frame, folded } = item;
  const parts = [];
  if (item.label) parts.push(...condition(item, stand));
  else if (node.kind === "parallel") parts.push(...head(item, stand, turns, "plain"), ...(item.bars ?? []).map((at) => svg(`rect.bar${stand.begun && !(at > item.bars[0] && stand.open) ? "" : ".no"}`, { y: at - item.y, width: w, height: 4, rx: 2 })));
  else {
    const tone = toneOf(node, stand);
    const behind = node.kind === "fan" ? [6, 3].map((by) => svg("rect.b.behind", { x: by, y: by, width: w, height: frame, rx: 6 })) : [];
    const shape = node.kind === "loop" || (node.kind === "fan" && !isStack(node)) ? "rect.fr" : "rect.b";
    parts.push(...behind, svg(`${shape}${tone}`, { width: w, height: frame, rx: 5 }));
    if (node.child) parts.push(svg(`path.b${tone}`, { d: `M4.5 0V${frame}M${w - 4.5} 0V${frame}` }));
    if (tone === ".fail") parts.push(svg("path.red", { d: `M${w - 4} 0h0a4 4 0 0 1 4 4v${frame - 8}a4 4 0 0 1 -4 4z` }));
    if (stand.status === "waiting" || stand.status === "sleeping") parts.push(hatch(item, stand.status));
    parts.push(...head(item, stand, turns));
    if (isStack(node)) parts.push(...cells(item, stand));
    else if (stand.percent !== null) parts.push(svg("rect.share", { x: 2, y: h - 5, width: ((w - 4) * stand.percent) / 100, height: 3, rx: 1.5 }));
    if (stand.read) parts.push(svg("circle.ring", { cx: w, cy: h / 2, r: 4.5 }));
  }
  parts.unshift(svg("rect.pick", { x: -5, y: -5, width: w + 10, height: (item.label ? h : frame) + 10 + (node.kind === "fan" ? 6 : 0), rx: 9 }));
  parts.push(svg("title", {}, `${node.name}${node.line ? `, line ${node.line}` : ""}`));
  if (item.stop) parts.push(svg(`path.stop${item.stop === "here" ? ".here" : ""}`, { d: `M-9 ${h / 2 - 6}h6l4 6-4 6h-6z` }));
  if (item.foldable) parts.push(fold(item, parts.find((part) => part?.matches?.("text.l"))?.textContent.length ?? 0));
  return parts;
}

function toneOf(node, stand) {
  if (stepIn(node)) {
    if (stand.failed && node.kind === "step") return ".fail";
    if (GONE_ON.has(stand.status)) return ".run";
    if (stand.status === "waiting" || stand.status === "sleeping") return ".wait";
  }
  return stand.begun ? "" : ".no";
}

function head({ node, w, h, foldable }, stand, turns, plain) {
  const { icon: shape, tone } = STEP[stand.status];
  const child = node.child ? 6 : 0;
  const middle = h / 2;
  const hatched = stand.status === "waiting" || stand.status === "sleeping" ? 24 : 0;
  const right = (foldable ? FOLD + 4 : 10) + child + hatched + (stand.read ? 4 : 0);
  const count = node.kind === "fan" && stand.turns ? ` × ${many(stand.turns)}` : "";
  const { name: title } = stepIn(node) ?? node;
  const roomBeside = (text) => (w - 28 - child - right - (text ? text.length * SMALL + 8 : 0)) / MONO - count.length;
  const told = metaOf(node, stand, turns);
  const meta = w < NARROW && (node.kind === "fan" || (node.kind === "step" && !stand.failed)) && roomBeside(told) < title.length ? "" : told;
  const room = roomBeside(meta);
  const picture = SHAPE[node.kind] && !(stand.failed || stand.open) ? SHAPE[node.kind] : shape;
  const name = node.kind === "loop" || plain ? "text.l" : `text.nm${stand.begun ? "" : ".t3"}`;
  return [
    plain ? svg("rect.ground", { x: 4, y: middle - 10, width: 22, height: 20 }) : null,
    svg(`use.i${tone ? `.${tone}` : ""}`, { href: `#${picture}`, x: 7 + child, y: middle - ICON / 2, width: ICON, height: ICON }),
    svg(name, { x: 28 + child, y: middle + 4 }, cut(title, room) + count),
    meta ? svg(`text.m${stand.failed && node.kind === "step" ? ".bad" : stand.open ? ".now" : ""}`, { x: w - right, y: middle + 4 }, meta) : null,
  ];
}

function condition({ node, w, h, diamond, mark, folded }, stand) {
  const middle = h / 2;
  const room = (w - 34 - FOLD) / CONDITION;
  const inside = folded && stand.count ? `, ${stand.failed ? `${many(stand.failed)} failed` : `${many(stand.done)} done`}` : "";
  const sign = diamond ? `M${SPINE} ${middle - 9}l9 9-9 9-9-9z` : mark ? `M${SPINE} ${middle - 5}l5 5-5 5-5-5z` : null;
  return [sign ? svg(`path.b${stand.begun || diamond ? "" : ".no"}`, { d: sign }) : null, svg(`text.l${stand.begun ? "" : ".t3"}`, { x: 31, y: middle + 4 }, cut(node.name, room - inside.length) + inside)];
}

const hatch = ({ w, h }, status) => svg("path.hatch", { d: status === "waiting" ? `M${w - 26} 6v${h - 12}m5 0V6m5 0v${h - 12}m5 0V6` : `M${w - 26} ${h - 7}l7-14m-2 14l7-14m-2 14l7-14` });

function fold({ w, h, folded, label }, inside) {
  const right = label ? Math.min(w - 14, 31 + inside * CONDITION + 12) : w - 14;
  const [x, y] = [right, h / 2];
  return svg("g.fold", {}, svg("rect", { x: x - 12, y: 0, width: 26, height: h, fill: "transparent" }), svg("path.sign", { d: folded ? `M${x - 1.5} ${y - 4}l4 4-4 4` : `M${x - 4} ${y - 1.5}l4 4 4-4` }));
}

/** One square for each of many; above CELLS one bar in shares. */
function cells({ w, h, frame, perRow }, stand) {
  const top = h;
  const { steps } = stand;
  const counted = [[stand.done, "done", "w"], [stand.failed, "failed", "bad"], [stand.open, stand.percent === null ? "running" : `running, ${percent(stand)}`, "now"]].filter(([count]) => count);
  const words = counted.flatMap(([count, word, tone], index) => [index ? svg("tspan", {}, " · ") : null, svg(`tspan.${tone}`, {}, `${many(count)} ${word}`)]);
  const said = svg("text.l.w", { x: 10, y: frame - 9 }, ...(words.length ? words : ["one for each, when it runs"]));
  if (stand.count > CELLS) {
    const room = w - 20;
    const share = (count) => (count / stand.count) * room;
    const [done, failed] = [share(stand.done), share(stand.failed)];
    return [svg("rect.cell.none", { x: 10, y: top + 3, width: room, height: 12 }), svg("rect.cell", { x: 10, y: top + 3, width: done, height: 12 }), svg("rect.red", { x: 10 + done, y: top + 3, width: failed && Math.max(3, failed), height: 12 }), said];
  }
  const at = (index) => [10 + (index % perRow) * CELL, top + Math.floor(index / perRow) * CELL + 1];
  const drawn = (steps.length ? steps : Array.from({ length: Math.min(perRow, 6) }, () => null)).slice(0, CELLS).map((step, index) => {
    const [x, y] = at(index);
    if (step && (step.status === "errored" || step.status === "timed_out")) return svg("path.red", { d: `M${x + 3} ${y - 1}h4l4 4v4l-4 4h-4l-4-4v-4z` });
    const tone = !step ? ".none" : step.endedAt === null ? ".now" : "";
    return svg(`rect.cell${tone}`, { x: x + (tone ? 0.5 : 0), y: y + (tone ? 0.5 : 0), width: tone ? 9 : 10, height: tone ? 9 : 10 });
  });
  return [...drawn, said];
}

/** Marks a node that is drawn. */
export function markNode(g, { linked, selected }) {
  setFlag(g, "is-linked", linked);
  setFlag(g, "is-picked", selected);
  g.setAttribute("aria-selected", String(selected));
}
