// A run as text, for elsewhere, pure: a command that starts it, a script that starts it and waits, and what an agent needs to know to mend
// it. Params are JSON text everywhere, so that their numbers keep their digits.

const EVENTS = 40; // of a journal's tail
const DATA = 300; // characters of what an event holds

/** How many of the newest events `forAgent` wants. */
export const TAIL = EVENTS;

/**
 * @typedef {{origin: string, name: string, source: string, params: string | null, tenant?: {name: string, version: string} | null}} Code
 *   `params` is JSON text; a tenant's code is started by its version, with a key that no text here holds: the environment has it
 */

const KEY = "PLAYGROUND_KEY";

const path = ({ tenant }) => `/api${tenant ? `/tenants/${encodeURIComponent(tenant.name)}` : ""}/instances`;

const body = ({ source, params, tenant }) => `{${tenant ? `"version": ${JSON.stringify(tenant.version)}` : `"source": ${JSON.stringify(source)}`}${params?.trim() ? `, "params": ${oneLine(params)}` : ""}}`;

/** JSON text without its line ends, which stand between tokens only. */
const oneLine = (json) => json.trim().replace(/\s*\n\s*/g, " ");

/** @param {Code} code */
export function asCurl(code) {
  // The body is one line, so no line of it can end the here-document.
  const key = code.tenant ? ` -H "Authorization: Bearer $${KEY}"` : "";
  return `curl -sS ${shell(code.origin + path(code))}${key} -H 'Content-Type: application/json' --data-binary @- <<'JSON'\n${body(code)}\nJSON\n`;
}

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** @param {Code} code */
export function asPython(code) {
  const { origin, name, source, params, tenant } = code;
  const what = tenant ? `"version": ${JSON.stringify(tenant.version)}` : '"source": SOURCE';
  return `${JSON.stringify(`Starts ${name} and waits for its end.`)}

import json
${tenant ? "import os\n" : ""}import time
import urllib.request

PLAYGROUND = ${JSON.stringify(origin)}
${tenant ? `KEY = os.environ["${KEY}"]` : `SOURCE = ${pythonText(source)}`}
BODY = {${what}${params?.trim() ? `, "params": json.loads(${pythonText(params.trim())})` : ""}}


def ask(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(PLAYGROUND + path, data, {"Content-Type": "application/json"${tenant ? ', "Authorization": f"Bearer {KEY}"' : ""}})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


run = ask("${path(code)}", BODY)
print(PLAYGROUND + run["url"])
while (state := ask(${tenant ? "" : '"/api" + '}run["url"]))["status"] not in ("complete", "errored", "terminated"):
    time.sleep(1)
print(state["status"], json.dumps(state["error"] or state["output"], indent=2))
`;
}

/** A text as a Python literal: as it stands where that can be, else with escapes, which JSON and Python share. */
function pythonText(text) {
  const plain = !text.includes("'''") && !/['\\]$/.test(text) && !/[^\t\n\x20-\x7e\u00a1-\ud7ff\ue000-\uffff]/u.test(text);
  return plain ? `r'''${text}'''` : JSON.stringify(text);
}

/**
 * @param {Code & {run: {id: string, url: string, status: string, error: object | null, last_seq: number} | null,
 *   events: {seq: number, type: string, execution: number, step?: {name: string, count?: number}, data: object}[],
 *   traceText: (error: object) => string}} what
 *   `error` as the API has it; `events` the newest, oldest first; `run` null: the code alone; `traceText` writes an error as Python does
 */
export function forAgent({ origin, name, source, params, run, events, traceText }) {
  const parts = [
    `# ${name}${run ? `: ${run.status}` : ""}`,
    [
      "A durable workflow in Python. The result of each `step.do` is committed to a journal; after a crash the code runs again from the top",
      "and finished steps are read from the journal instead of run. So code outside steps must be deterministic, and what touches the world",
      "belongs into a step. Steps are `step.do(name, config=…)`, `step.sleep(name, duration)` and `step.wait_for_event(name, event_type=…)`.",
      `The playground's API: ${origin}/openapi.json`,
    ].join("\n"),
  ];
  if (run?.error) parts.push(`## Error\n\n${fenced(`${traceText(run.error)}${run.error.line ? `\n(line ${run.error.line} of the code)` : ""}`)}`);
  parts.push(`## Code\n\n${fenced(source.trimEnd(), "python")}`);
  if (params?.trim()) parts.push(`## Params\n\n${fenced(params.trim(), "json")}`);
  if (run) {
    const shown = events.slice(-EVENTS);
    const title = shown.length < run.last_seq ? `Journal, the last ${shown.length} of ${run.last_seq} events` : "Journal";
    parts.push(`## ${title}\n\n${fenced(shown.map(eventLine).join("\n"))}`);
    parts.push(`The run: ${origin}${run.url}`);
  }
  return `${parts.join("\n\n")}\n`;
}

/** Between fences that are longer than any in the text. */
function fenced(text, language = "") {
  const longest = Math.max(2, ...[...text.matchAll(/`{3,}/g)].map(([ticks]) => ticks.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}${language}\n${text}\n${fence}`;
}

function eventLine({ seq, type, execution, step, data }) {
  const who = step ? ` ${JSON.stringify(step.count > 1 ? `${step.name}-${step.count}` : step.name)}` : "";
  const text = data && Object.keys(data).length ? ` ${JSON.stringify(data)}` : "";
  return `${seq} ${execution ? `execution ${execution} ` : ""}${type}${who}${text.length > DATA ? `${text.slice(0, DATA)}…` : text}`;
}
