// A run to keep: its file, or a test that is written from it. Loaded when one is asked for. What a server refuses is said, not saved.

import { instancePath } from "./run/paths.js";
import { toast } from "./toast.js";

const NAMED = /filename="([^"/\\]{1,200})"/;
const AWAY = "No answer: the connection or the server is gone. Nothing was saved.";

/**
 * Saves the run's file (`export`) or its test (`test.py`).
 * @param {{id: string, tenant: string | null}} run
 * @param {string | null} key of its tenant
 */
export async function takeAlong(what, run, key) {
  const response = await fetch(`${instancePath(run)}/${what}`, { headers: key ? { Authorization: `Bearer ${key}` } : {}, cache: "no-store" }).catch(() => null);
  if (!response) return toast(AWAY, "i-warn");
  if (!response.ok) return toast((await response.json().catch(() => null))?.error?.message ?? `The server answered ${response.status}.`, "i-warn");
  const content = await response.blob().catch(() => null);
  if (!content) return toast(AWAY, "i-warn");
  const name = NAMED.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? what;
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(content), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  toast(`Saved as ${name}`);
}
