// Copies the code or the run as text for elsewhere (copies.js). Loaded when that is first asked for.

import { TAIL, asCurl, asPython, forAgent } from "./copies.js";
import { request } from "./http.js";
import { instancePath, pagePath } from "./run/paths.js";
import { toast } from "./toast.js";

const COPIED = { curl: "Copied as curl", python: "Copied as Python", agent: "Copied for an agent" };

/**
 * @param {"curl" | "python" | "agent"} how
 * @param {{name: string, source: string, params: string | null, run: string | null, tenant?: {name: string, version: string} | null,
 *   key?: string | null}} code `run`: the id of the run shown, whose code an agent gets; `key` reads that of a tenant, and is in no text
 */
export async function copyAs(how, code) {
  const text = textOf(how, { origin: location.origin, ...code });
  try {
    // A browser may take what comes later only in this form.
    if (navigator.clipboard.write && window.ClipboardItem) await navigator.clipboard.write([new ClipboardItem({ "text/plain": text.then((it) => new Blob([it], { type: "text/plain" })) })]);
    else await navigator.clipboard.writeText(await text);
    toast(COPIED[how]);
  } catch {
    toast(await text.then(() => "This browser does not let the page use the clipboard", (error) => error.message), "i-warn");
  }
}

async function textOf(how, { key: token = null, ...code }) {
  if (how === "curl") return asCurl(code);
  if (how === "python") return asPython(code);
  if (!code.run) return forAgent({ ...code, run: null, events: [] });
  const at = { id: code.run, tenant: code.tenant?.name };
  const path = instancePath(at);
  const run = await request(path, { token });
  const { events } = await request(`${path}/events?after=${Math.max(0, run.last_seq - TAIL)}&limit=${TAIL}`, { token });
  const { traceText } = await import("./run/live.js"); // which is there with the run
  return forAgent({ ...code, run: { ...run, url: pagePath(at) }, events, traceText });
}
