// Completion of what a tenant may call, with signatures, ahead of Python's own words and the names of the document.

import { snippetCompletion } from "@codemirror/autocomplete";
import { pythonLanguage } from "@codemirror/lang-python";
import { syntaxTree } from "@codemirror/language";
import { showTooltip } from "@codemirror/view";
import { StateField } from "@codemirror/state";

const DECORATOR = ["(name=None, *, config=None, rollback=None, concurrent=False)", "A step: runs once, and its result is kept. Await the decorated function."];
const STEP = {
  do: ["(name, callback, *, config=None, rollback=None)", "A step: runs once, and its result is kept."],
  sleep: ['(name, "2 seconds")', "Waits a time. Nothing runs meanwhile; a long sleep holds no process."],
  sleep_until: ["(name, when)", "Waits until an aware datetime, or epoch milliseconds."],
  wait_for_event: ['(name, event_type, timeout="24 hours")', "Waits until somebody sends an event of this type; gives its payload, timestamp and type."],
};
const EVENT = {
  payload: ["", "The params given at creation; {} when there were none."],
  timestamp: ["", "When the instance was created, an aware datetime."],
  instance_id: ["", "The id of this instance."],
  workflow_name: ["", "The workflow's name."],
};
const CONTEXT = {
  attempt: ["", "The number of this attempt, from 1."],
  step: ["", "The step's name and count."],
  config: ["", "The step's config, with defaults filled in."],
};
const SELF = { env: ["", "Your bindings."], ctx: ["", "The context of this execution."] };
const CONFIG = {
  retries: ['{"limit": 5, "delay": "10 seconds", "backoff": "exponential"}', "How often and how soon a failed attempt is tried again."],
  timeout: ['"10 minutes"', "The longest an attempt may take."],
  sensitive: ['"output"', "Keeps the result out of journal, API and page."],
};
const RETRIES = {
  limit: ["5", "How many times a failed attempt is tried again; 0 is never."],
  delay: ['"10 seconds"', "The wait before a retry, or a function that returns one."],
  backoff: ['"exponential"', "constant, linear or exponential."],
};
const WORKERS = {
  WorkflowEntrypoint: ["", "The class a workflow extends."],
  NonRetryableError: ["(message)", "Raised in a step: no retry."],
};
const MEMBERS = { step: STEP, event: EVENT, ctx: CONTEXT, self: SELF };

const WORKFLOW = snippetCompletion(
  'class TenantWorkflow(WorkflowEntrypoint):\n    async def run(self, event, step):\n        @step.do("${first step}")\n        async def ${first}():\n            return ${None}\n\n        return await ${first}()',
  { label: "class TenantWorkflow", detail: "a workflow with one step", type: "class", boost: 60 },
);
const DECORATED = snippetCompletion('@step.do("${name}")\nasync def ${function}():\n    return ${None}', {
  label: "@step.do",
  detail: "a step",
  type: "function",
  boost: 60,
});

const options = (table, { quote = false, type = "property", boost = 50 } = {}) =>
  Object.entries(table).map(([label, [detail, info]]) => ({
    label,
    detail,
    info,
    type: detail.startsWith("(") ? "function" : type,
    boost,
    apply: quote ? `${label}": ` : undefined,
  }));

function inString(context) {
  return /String$/.test(syntaxTree(context.state).resolveInner(context.pos, -1).name);
}

function tenantApi(context) {
  const member = context.matchBefore(/\b(step|event|ctx|self)\.\w*/);
  if (member) {
    const [object] = member.text.split(".");
    const from = member.from + object.length + 1;
    if (context.state.sliceDoc(member.from - 1, member.from) === "@") return { from, options: options({ do: DECORATOR }), validFor: /^\w*$/ };
    return { from, options: options(MEMBERS[object]), validFor: /^\w*$/ };
  }
  const item = context.matchBefore(/\b(event|ctx)\[["']\w*/);
  if (item) {
    const [object] = item.text.split("[");
    return { from: item.from + object.length + 2, options: options(MEMBERS[object]), validFor: /^\w*$/ };
  }
  const imported = context.matchBefore(/from workers import [\w, ]*/);
  if (imported) {
    const from = context.matchBefore(/\w*/).from;
    return { from, options: options(WORKERS, { type: "class" }), validFor: /^\w*$/ };
  }
  const key = context.matchBefore(/[{,]\s*"\w*/);
  if (key && inString(context)) {
    const before = context.state.sliceDoc(Math.max(0, context.pos - 400), context.pos);
    const from = context.matchBefore(/\w*/).from;
    if (/"retries"\s*:\s*\{[^{}]*$/.test(before)) return { from, options: options(RETRIES, { quote: true }), validFor: /^\w*$/ };
    if (/(config\s*=\s*|^[A-Z_]+\s*=\s*)\{(?:[^{}]|\{[^{}]*\})*$/m.test(before)) {
      return { from, options: options(CONFIG, { quote: true }), validFor: /^\w*$/ };
    }
    return null;
  }
  const decorator = context.matchBefore(/^\s*@\w*/);
  if (decorator) return { from: decorator.from + decorator.text.indexOf("@"), options: [DECORATED], validFor: /^@[\w.]*$/ };
  const word = context.matchBefore(/\b[A-Za-z_]\w*/);
  if (!word || inString(context) || context.matchBefore(/\.\w*/)) return null;
  return { from: word.from, options: [...options(WORKERS, { type: "class", boost: 5 }), WORKFLOW], validFor: /^[\w ]*$/ };
}

const KEYWORDS =
  "and as assert async await break class continue def del elif else except False finally for from global if import in is lambda None nonlocal not or pass raise return True try while with yield";
const BUILTINS =
  "abs all any bool bytes callable dict divmod enumerate filter float format frozenset getattr hasattr hash int isinstance issubclass iter len list map max min next object pow print range repr reversed round set sorted str sum super tuple type zip Exception KeyError RuntimeError TimeoutError TypeError ValueError";

const python = [
  ...KEYWORDS.split(" ").map((label) => ({ label, type: "keyword", boost: -20 })),
  ...BUILTINS.split(" ").map((label) => ({ label, type: /^[A-Z]/.test(label) ? "class" : "function", boost: -10 })),
];
const known = new Set(python.map(({ label }) => label));

/** Python's own words, and the names that stand in the document. */
function words(context) {
  const word = context.matchBefore(/[A-Za-z_]\w*/);
  if (!word || context.matchBefore(/\.\w*/) || inString(context)) return null;
  const text = context.state.doc.toString();
  const found = new Set();
  for (const { 0: name, index } of text.matchAll(/[A-Za-z_]\w{2,}/g)) if (index !== word.from && !known.has(name)) found.add(name);
  return { from: word.from, options: [...python, ...[...found].map((label) => ({ label, type: "variable" }))], validFor: /^\w*$/ };
}

export const completion = [tenantApi, words].map((autocomplete) => pythonLanguage.data.of({ autocomplete }));

// While somebody types inside the brackets of a call of the tenant API, its signature stands above the line.
export const signature = StateField.define({
  create: () => null,
  update(value, { docChanged, selection, state }) {
    if (docChanged) return callAt(state);
    if (!selection || !value) return value;
    const now = callAt(state);
    return now?.pos === value.pos ? value : null;
  },
  provide: (field) => showTooltip.from(field),
});

function callAt(state) {
  const { head, empty } = state.selection.main;
  if (!empty) return null;
  for (let node = syntaxTree(state).resolveInner(head, -1); node; node = node.parent) {
    if (node.name !== "ArgList" || head <= node.from) continue;
    if (head >= node.to && state.sliceDoc(node.to - 1, node.to) === ")") continue;
    const [, at, called] = /(@?)\bstep\.(\w+)$/.exec(state.sliceDoc(Math.max(0, node.from - 40), node.from)) ?? [];
    if (!called || !STEP[called]) return null;
    const [signature] = at && called === "do" ? DECORATOR : STEP[called];
    return { pos: node.from, above: true, strictSide: false, create: () => ({ dom: card(called, signature) }) };
  }
  return null;
}

function card(called, signature) {
  const dom = document.createElement("div");
  dom.className = "cm-signature";
  const code = dom.appendChild(document.createElement("code"));
  code.textContent = `step.${called}${signature}`;
  return dom;
}
