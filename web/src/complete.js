// Completion of what a tenant may call, with signatures, ahead of Python's own words and the names of the document.

import { snippetCompletion } from "@codemirror/autocomplete";
import { pythonLanguage } from "@codemirror/lang-python";
import { CALLS, CONFIG_KEYS, ERRORS, MEMBERS, NAMES, RETRY_KEYS, UNITS, VALUES, called } from "./api.js";
import { callAround, dictAround, inComment, inString, kindOf } from "./found.js";
import { prose } from "./drawing.js";
import { importsOf, offered, packages, wantedAt } from "./packages.js";
import { card } from "./signature.js";

const WORKFLOW = snippetCompletion(
  'class TenantWorkflow(WorkflowEntrypoint):\n    async def run(self, event, step):\n        @step.do("${first step}")\n        async def ${first}():\n            return ${None}\n\n        return await ${first}()',
  { label: "class TenantWorkflow", detail: "a workflow with one step", type: "class", boost: 60 },
);
const DECORATED = snippetCompletion('@step.do("${name}")\nasync def ${function}():\n    return ${None}', {
  label: "@step.do",
  detail: "a step",
  info: () => card("@step.do"),
  type: "function",
  boost: 60,
});
const TOP = 50; // before Python's own words

const said = (doc) => () => prose(document.createElement("p"), doc);

/** The methods of an object of the tenant API, each with its signature. */
function methods(object, at = "") {
  return Object.keys(CALLS)
    .filter((name) => name.startsWith(`${object}.`))
    .map((name) => {
      const label = name.split(".")[1];
      const full = at && label === "do" ? `@${name}` : name;
      return { label, detail: called(full).slice(full.length), info: () => card(full, { documented: true }), type: "function", boost: TOP };
    });
}

const members = (table) => Object.entries(table ?? {}).map(([label, [type, doc]]) => ({ label, detail: type, info: said(doc), type: "property", boost: TOP }));
const keys = (table) => Object.entries(table).map(([label, [value, doc]]) => ({ label, detail: value, info: said(doc), type: "property", boost: TOP, apply: `${label}": ` }));
const result = (from, options, validFor = /^\w*$/) => (options.length ? { from, options, validFor } : null);

/** Of all that is offered for a word, one holds a space: a word after another one is something new. */
const inWords = (text) => /^\w*$/.test(text) || WORKFLOW.label.startsWith(text);

function tenantApi(context) {
  const { state, pos } = context;
  const member = context.matchBefore(/@?\b(?:\w+\.)+\w*/);
  if (member && !inString(state, pos)) {
    const from = member.from + member.text.lastIndexOf(".") + 1;
    const at = member.text[0] === "@" ? "@" : "";
    const kind = kindOf(state, member.text.slice(at.length, from - member.from - 1));
    if (at && kind === "step") return result(from, methods("step", at).filter(({ label }) => label === "do"));
    return kind ? result(from, [...methods(kind, at), ...members(MEMBERS[kind])]) : null;
  }
  const item = context.matchBefore(/\b\w+\[["']\w*/);
  if (item) {
    const from = item.from + item.text.search(/["']/) + 1;
    return result(from, members(MEMBERS[kindOf(state, item.text.split("[")[0])]));
  }
  const imported = context.matchBefore(/from workers import [\w, ]*/);
  if (imported) return result(context.matchBefore(/\w*/).from, [...imports(), ...errors()]);
  const text = context.matchBefore(/["'][\w. ]*/);
  if (text && inString(state, pos)) return inText(context, text);
  const decorator = context.matchBefore(/^\s*@\w*/);
  if (decorator) return { from: decorator.from + decorator.text.indexOf("@"), options: [DECORATED], validFor: /^@[\w.]*$/ };
  const word = context.matchBefore(/\b[A-Za-z_]\w*/);
  if (!word || inString(state, pos) || context.matchBefore(/\.\w*/)) return null;
  return { from: word.from, options: [...keywords(state, word.from), ...imports(5), WORKFLOW], validFor: inWords };
}

function imports(boost = TOP) {
  return [
    { label: "WorkflowEntrypoint", info: said(NAMES.WorkflowEntrypoint), type: "class", boost },
    { label: "fetch", detail: "(resource, options)", info: () => card("fetch"), type: "function", boost },
    { label: "NonRetryableError", detail: "(message)", info: () => card("NonRetryableError"), type: "class", boost },
  ];
}

const errors = () => Object.entries(ERRORS).map(([label, doc]) => ({ label, info: said(doc), type: "class", boost: TOP - 1 }));

/** Inside quotes: keys of a config, values that are a choice, durations. */
function inText(context, text) {
  const { state } = context;
  const from = text.from + 1;
  const before = state.sliceDoc(Math.max(0, text.from - 80), text.from);
  const key = /["'](\w+)["']\s*:\s*$/.exec(before)?.[1];
  const dict = dictAround(state, text.from);
  if (dict && key in VALUES) return result(from, VALUES[key].map((label, index) => ({ label, type: "constant", boost: TOP - index })));
  if ((dict && (key === "delay" || key === "timeout")) || isDuration(state, text.from)) return durations(text, from);
  if (!dict || !/[{,]\s*$/.test(before)) return null;
  return result(from, keys(dict === "retries" ? RETRY_KEYS : CONFIG_KEYS));
}

function isDuration(state, pos) {
  const call = callAround(state, pos);
  const [parameter] = (call && CALLS[call.name].params[call.parameter]) ?? [];
  return Boolean(parameter && /^(duration|timeout=)/.test(parameter));
}

function durations(text, from) {
  const number = /^(\d+(?:\.\d+)?)\s/.exec(text.text.slice(1))?.[1] ?? (/^\d+(\.\d+)?$/.exec(text.text.slice(1))?.[0] || null);
  const options = number
    ? UNITS.map((unit, index) => ({ label: `${number} ${unit}${number === "1" ? "" : "s"}`, type: "constant", boost: TOP - index }))
    : ["10 seconds", "1 minute", "5 minutes", "1 hour", "1 day"].map((label, index) => ({ label, type: "constant", boost: TOP - index }));
  return { from, options, validFor: number ? new RegExp(`^${number.replace(".", "\\.")} ?\\w*$`) : /^$/ };
}

/** Keyword arguments of the call around. */
function keywords(state, pos) {
  const call = callAround(state, pos);
  if (!call) return [];
  return CALLS[call.name].params
    .filter(([written]) => /^\w+=/.test(written))
    .map(([written, doc]) => ({ label: `${written.split("=")[0]}=`, detail: written.split("=")[1], info: said(doc), type: "property", boost: TOP }));
}

const KEYWORDS =
  "and as assert async await break class continue def del elif else except False finally for from global if import in is lambda None nonlocal not or pass raise return True try while with yield";
const BUILTINS =
  "abs all any bool bytes callable dict divmod enumerate filter float format frozenset getattr hasattr hash int isinstance issubclass iter len list map max min next object pow print range repr reversed round set sorted str sum super tuple type zip Exception KeyError RuntimeError TimeoutError TypeError ValueError";

const python = [
  ...KEYWORDS.split(" ").map((label) => ({ label, type: "keyword", boost: -20 })),
  ...BUILTINS.split(" ").map((label) => ({ label, type: /^[A-Z]/.test(label) ? "class" : "function", boost: -10 })),
];
const known = new Set([...python.map(({ label }) => label), "WorkflowEntrypoint", "NonRetryableError", "fetch"]);

/** Python's own words, and the names that stand in the document. */
function words(context) {
  const word = context.matchBefore(/[A-Za-z_]\w*/);
  if (!word || context.matchBefore(/\.\w*/) || inString(context.state, context.pos)) return null;
  const text = context.state.doc.toString();
  const found = new Set();
  for (const { 0: name, index } of text.matchAll(/[A-Za-z_]\w{2,}/g)) if (index !== word.from && !known.has(name)) found.add(name);
  return { from: word.from, options: [...python, ...[...found].map((label) => ({ label, type: "variable" }))], validFor: /^\w*$/ };
}

/** Modules and names of the packages that the operator has added. */
async function ofPackages(context) {
  const { state, pos } = context;
  const line = state.doc.lineAt(pos);
  const wanted = wantedAt(line.text.slice(0, pos - line.from), importsOf(state.doc.toString()));
  if (!wanted || inString(state, pos) || (!wanted.typed && !context.explicit && wanted.module === null)) return null;
  const options = offered(wanted, await packages());
  return result(pos - wanted.typed.length, options.map((option) => ({ ...option, boost: TOP - 2 })));
}

/** In a comment, Enter ends the line: nothing is offered that it would accept instead. */
const outsideComments = (source) => (context) => (inComment(context.state, context.pos) ? null : source(context));

export const completion = [tenantApi, ofPackages, words].map((source) => pythonLanguage.data.of({ autocomplete: outsideComments(source) }));
