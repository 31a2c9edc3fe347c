// Two runs side by side, drawn: the verdict and a row for each step, as the server draws them (templates/compare.html).

import { el, icon, svg } from "./dom.js";
import { attemptsOf, tookMs } from "./run/compare-fold.js";
import { hasMore, trace } from "./run/errors.js";
import { FINAL } from "./run/fold.js";
import { brief, valueText } from "./run/value.js";
import { errorBrief, lasting, pathLabel, short } from "./run/words.js";
import { STATUS, STEP } from "./statuses.js";

const ROWS_SHOWN = 1_000;
const BRIEF = 90; // characters of a value on one line
const ERROR = 200; // … and of an error

const SAID = { status: "another status", output: "another result", error: "another error", attempts: "other attempts", only_a: "only in A", only_b: "only in B" };

/** The sentence that says where two runs differ first; `found` is what `compare` gives. */
export function verdictOf({ rows, first, code, params }) {
  const alike = rows.filter((row) => !row.differs.length).length;
  const more = `${code ? "" : " They run other code."}${params ? "" : " They were given other params."}`;
  const row = rows[first];
  const words =
    first === null
      ? ["No difference: the same steps with the same results, and the same end."]
      : row
        ? ["The first difference is at ", el("a", { href: `#row-${first}` }, el("code", {}, pathLabel(row))), `: ${SAID[row.differs[0]]}. ${alike} of ${rows.length} steps are alike.`]
        : [`All ${rows.length} steps are alike; the `, el("a", { href: `#row-${first}` }, "end"), " is another."];
  return el("p", {}, ...words, more);
}

/** The rows of the table: params where they differ, `between`, each step, the end. */
export function rowsOf(found, a, b, between = []) {
  const shown = found.rows.filter((_, place) => place < ROWS_SHOWN || place === found.first).map((row) => stepRow(row, found, a, b));
  const params = found.params ? [] : [el("tr.differs", {}, el("th", { scope: "row" }, el("span", {}, "Params")), el("td", {}, value(a.params)), el("td", {}, value(b.params)))];
  return [...params, ...between, ...shown, endRow(found, a, b)];
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
