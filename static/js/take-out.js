// Taking the code to Cloudflare: which lines are another thing there, and the folder that its tools deploy, as a zip. Loaded when that part of
// the dialog is first opened.

import { el } from "./dom.js";
import { JsonText, stringify } from "./exact.js";
import { Refused, Unreachable, post } from "./http.js";
import { spokenNodes } from "./spoken.js";

const NONE = "Every line means the same there, as far as is known.";
const OURS = "only-here-"; // how the codes of what exists only here begin
let made = null;

/** @param {{source: () => string, params: () => string | null, title: () => string}} how  `params` gives their JSON, null for none */
export function takeOut(how) {
  made ??= new TakeOut(how);
  return made.fill();
}

class TakeOut {
  constructor(how) {
    Object.assign(this, how);
    this.box = document.getElementById("take-out-said");
    this.button = document.getElementById("take-out-get");
    this.button.addEventListener("click", () => this.trying(() => this.get()));
    document.getElementById("share").addEventListener("close", () => (document.getElementById("take-out").open = false)); // other code has other lines
  }

  fill() {
    if (!document.getElementById("take-out").open) return;
    this.say("Looking at the code…");
    this.button.disabled = true;
    return this.trying(async () => {
      const { diagnostics } = await post("/api/check", { source: this.source(), cloudflare: true });
      const wrong = diagnostics.find((it) => it.severity === "error");
      if (wrong) return this.say(...spokenNodes(`Line ${wrong.line}: ${wrong.message}`));
      const found = differences(diagnostics);
      if (found.length) this.box.replaceChildren(el("p", {}, headOf(found)), el("ul", {}, found.map(({ lines, message }) => el("li", {}, el("b", {}, linesText(lines)), " ", ...spokenNodes(message)))));
      else this.say(NONE);
      this.button.disabled = false;
    });
  }

  async get() {
    const params = this.params();
    const { name, blob } = await file("/api/export.zip", { source: this.source(), title: this.title(), ...(params === null ? {} : { params: new JsonText(params) }) });
    const link = el("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 0);
  }

  async trying(act) {
    try {
      await act();
    } catch (error) {
      this.say(error.message);
    }
  }

  say(...words) {
    this.box.replaceChildren(el("p", {}, ...words));
  }
}

/** What exists only here, of a check's diagnostics: one entry for each message, with its lines in order. */
export function differences(diagnostics) {
  const found = new Map();
  for (const { code, line, message } of diagnostics) {
    if (!code.startsWith(OURS)) continue;
    if (!found.has(message)) found.set(message, new Set());
    found.get(message).add(line);
  }
  return [...found].map(([message, lines]) => ({ message, lines: [...lines].sort((a, b) => a - b) }));
}

/** "Line 3", "Lines 3 and 5", "Lines 3, 5 and 8". */
export function linesText(lines) {
  if (lines.length === 1) return `Line ${lines[0]}`;
  return `Lines ${lines.slice(0, -1).join(", ")} and ${lines.at(-1)}`;
}

function headOf(found) {
  const count = new Set(found.flatMap(({ lines }) => lines)).size;
  return count === 1 ? "One line fails there, or means something else:" : `${count} lines fail there, or mean something else:`;
}

/** A file that the server makes, with its name. Raises Refused and Unreachable. */
async function file(url, body) {
  let response;
  let text;
  try {
    response = await fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: stringify(body), cache: "no-store" });
    if (response.ok) return { name: /filename="([\w.-]+)"/.exec(response.headers.get("Content-Disposition"))?.[1] ?? "workflow.zip", blob: await response.blob() };
    text = await response.text();
  } catch {
    throw new Unreachable();
  }
  let error = { code: "unknown", message: `The server could not make it (${response.status}).` };
  try {
    error = JSON.parse(text).error ?? error;
  } catch {
    // its status says all there is
  }
  throw new Refused(response.status, error, null);
}
