// Two runs side by side while one of them lives: both journals are followed and folded, and the page is drawn as the server drew it.

import { el, icon, setText, svg } from "./dom.js";
import { attemptsOf, compare, tookMs } from "./run/compare-fold.js";
import { hasMore, trace } from "./run/errors.js";
import { FINAL, apply, newState } from "./run/fold.js";
import { Stream } from "./run/stream.js";
import { brief, valueText } from "./run/value.js";
import { view } from "./run/view.js";
import { errorBrief, lasting, pathLabel, short } from "./run/words.js";
import { STATUS, STEP } from "./statuses.js";

const DRAW_MS = 250; // at most so often
const ROWS_SHOWN = 1_000;
const BRIEF = 90; // characters of a value on one line
const ERROR = 200; // … and of an error

const SAID = { status: "another status", output: "another result", error: "another error", attempts: "other attempts", only_a: "only in A", only_b: "only in B" };

const data = JSON.parse(document.getElementById("compare-data").textContent);
const sides = ["a", "b"].map((name) => ({ ...data[name], state: newState() }));
let timer = null;

for (const side of sides) {
  side.stream = new Stream({
    id: side.id,
    after: 0,
    onEvents(events) {
      for (const event of events) apply(side.state, event);
      soon();
    },
    onHello: (hello) => ((side.last = hello.last_seq), soon()),
    onReset: () => (side.state = newState()),
    onEnd: () => soon(),
    onTrouble: () => {},
  });
}

function soon() {
  timer ??= setTimeout(() => {
    timer = null;
    draw();
  }, DRAW_MS);
}

/** Until both histories are here the server's table stands. */
function draw() {
  if (sides.some((side) => side.last === undefined || side.state.lastSeq < side.last)) return;
  const [a, b] = sides.map((side) => ({ ...view(side.state), snippet: side.state.codeChanges.at(-1)?.snippet ?? side.snippet }));
  const found = compare(a, b);
  verdict(found);
  ["a", "b"].forEach((name, index) => facts(document.querySelector(`#side-${name}`), [a, b][index]));
  const body = document.querySelector("#compare tbody");
  if (body.contains(document.activeElement)) return body.addEventListener("focusout", soon, { once: true }); // somebody is there
  const rows = found.rows.filter((_, place) => place < ROWS_SHOWN || place === found.first).map((row) => stepRow(row, found, a, b));
  const params = found.params ? [] : [el("tr.differs", {}, el("th", { scope: "row" }, el("span", {}, "Params")), el("td", {}, value(a.params)), el("td", {}, value(b.params)))];
  const read = [...body.querySelectorAll("details[open]")].map((one) => [one.closest("tr").id, one.closest("td").cellIndex]);
  const code = document.getElementById("row-code"); // as the server has drawn it
  body.replaceChildren(...params, ...(code ? [code] : []), ...rows, endRow(found, a, b));
  for (const [id, column] of read) document.getElementById(id)?.cells[column]?.querySelector("details")?.setAttribute("open", "");
}

function verdict({ rows, first, code, params }) {
  const alike = rows.filter((row) => !row.differs.length).length;
  const more = `${code ? "" : " They run other code."}${params ? "" : " They were given other params."}`;
  const row = rows[first];
  const words =
    first === null
      ? ["No difference: the same steps with the same results, and the same end."]
      : row
        ? ["The first difference is at ", el("a", { href: `#row-${first}` }, el("code", {}, pathLabel(row))), `: ${SAID[row.differs[0]]}. ${alike} of ${rows.length} steps are alike.`]
        : [`All ${rows.length} steps are alike; the `, el("a", { href: `#row-${first}` }, "end"), " is another."];
  const said = el("p", {}, ...words, more);
  const node = document.getElementById("verdict");
  if (node.textContent !== said.textContent) node.replaceChildren(...said.childNodes);
}

function facts(side, shown) {
  const [status, took, executions] = side.querySelectorAll(".facts b");
  setText(status, STATUS[shown.status].word);
  status.previousElementSibling.replaceWith(icon(STATUS[shown.status].icon, { tone: shown.status === "errored" ? "bad" : "" }));
  if (shown.started_at !== null) setText(took, lasting((shown.ended_at ?? Date.now()) - shown.started_at));
  setText(executions, String(shown.executions.length));
}

function stepRow(row, found, a, b) {
  const place = found.rows.indexOf(row);
  const [one, two] = [row.a === null ? null : a.steps[row.a], row.b === null ? null : b.steps[row.b]];
  const longest = Math.max(one ? (tookMs(one) ?? 0) : 0, two ? (tookMs(two) ?? 0) : 0);
  return el(rowClass(row.differs, place === found.first), { id: `row-${place}` }, head(el("code", { title: row.name }, pathLabel(row)), row.differs, place === found.first), cell(one, a, longest), cell(two, b, longest));
}

const rowClass = (differs, first) => `tr${differs.length ? ".differs" : ""}${first ? ".first" : ""}`;

const head = (name, differs, first) => el("th", { scope: "row" }, name, first ? el("span.tag", {}, "first difference") : null, differs.length ? el("small", {}, differs.map((one) => SAID[one]).join(", ")) : null);

function cell(step, shown, longest) {
  if (!step) return el("td.none", {}, el("span.dim", {}, "not in this run"));
  const bad = step.status === "errored" || step.status === "timed_out";
  const state = FINAL.has(shown.status) && step.ended_at === null ? STEP.stopped : STEP[step.status];
  const tried = attemptsOf(step);
  const took = tookMs(step);
  const top = el(
    "div.how",
    {},
    icon(state.icon, { tone: bad ? "bad" : "" }),
    el("span", {}, state.word),
    step.copied ? el("span.tag.open", {}, step.copied.edited ? "edited" : "copied") : null,
    tried > 1 ? el("span.tries", {}, `${tried} attempts`) : null,
    el("span.num", {}, took === null ? "" : lasting(took)),
  );
  const output = step.kind === "wait" ? step.output?.payload : step.output;
  return el("td", {}, top, took !== null && longest ? bar(step, took / longest, bad) : null, step.error ? error(step.error) : "output" in step ? value(output ?? null) : null);
}

function bar(step, share, bad) {
  const looks = `bar ${step.kind}${bad ? " bad" : ""}${step.copied ? " copied" : ""}`;
  const rect = svg("rect", { width: Math.max(8, Math.round(share * 1000)), height: 6 });
  return svg("svg", { class: looks, viewBox: "0 0 1000 6", preserveAspectRatio: "none", "aria-hidden": "true" }, rect);
}

function endRow({ outcome, first, rows }, a, b) {
  const cells = [a, b].map((shown) =>
    el(
      "td",
      {},
      el("div.how", {}, icon(STATUS[shown.status].icon, { tone: shown.status === "errored" ? "bad" : "" }), el("span", {}, STATUS[shown.status].word)),
      shown.status === "complete" ? value(shown.output) : shown.error ? error(shown.error) : null,
    ),
  );
  return el(`${rowClass(outcome, first === rows.length)}.end`, { id: `row-${rows.length}` }, head(el("span", {}, "End"), outcome, first === rows.length), ...cells);
}

/** An error in one line, which opens where there is more. */
function error(what) {
  const line = short(errorBrief(what), ERROR);
  if (!hasMore(what)) return el("p.error", {}, line);
  return el("details", {}, el("summary.error", {}, line), trace(what, { linked: false }));
}

function value(what) {
  const text = brief(what, BRIEF);
  if (!text.endsWith("…")) return el("code.value", {}, text);
  return el("details", {}, el("summary", {}, el("code", {}, text)), el("pre", { tabindex: "0" }, valueText(what)));
}
