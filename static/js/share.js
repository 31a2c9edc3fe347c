// Sharing: one dialog with links to the code, to the run, a frame with its options, and Markdown. The code is stored when the dialog opens;
// its id is a hash of it, so the same code has the same link.

import { isDisabled } from "./dom.js";
import { JsonText } from "./exact.js";
import { Unreachable, post } from "./http.js";
import { momentOf } from "./run/address.js";
import { makeFrame } from "./share-frame.js";
import { makeSending } from "./share-send.js";
import { toast } from "./toast.js";

const OF_CODE = ["code", "embed", "markdown"]; // rows that need the code's link; the frame's is there where embedding is on
const NO_PARAMS = "The params are not valid JSON. Mend them, then share.";
const AWAY = "No connection to the server. Your code is kept in this browser; its link can be made when the server answers again.";

/**
 * @param {{code: () => {source: string, params: string} | null, run: () => string | null, edited: () => boolean, title: () => string,
 *   onStored: (snippet: {id: string, url: string}, code: object) => void, open: () => void}} how  `code` is null when the params are no JSON; `run` the id of the run shown; `edited` whether the editor has other code than that run
 */
export function makeShare({ code, run, edited, title, onStored, open }) {
  const dialog = document.getElementById("share");
  makeSending(dialog, { title, encoder: document.getElementById("app").dataset.qr });
  const part = (name) => document.getElementById(`share-${name}`);
  const problem = part("problem");
  const picture = part("picture");
  const moment = part("moment");
  const ofCode = OF_CODE.filter(part);
  let href = null; // of the code's link, once it is made
  const frame = part("embed") && makeFrame({ title, onChange: rows });

  async function store() {
    const sent = code();
    if (!sent) throw new Error(NO_PARAMS);
    const snippet = await post("/api/snippets", { source: sent.source, ...(sent.params.trim() ? { params: new JsonText(sent.params) } : {}) });
    onStored(snippet, sent);
    return new URL(snippet.url, location.origin).href;
  }

  /** Fills the dialog, which is open. */
  async function fill() {
    href = null;
    problem.hidden = true;
    runRow();
    for (const name of ofCode) set(name, "", "Making the link…");
    dialog.setAttribute("aria-busy", "true");
    try {
      href = await store();
    } catch (error) {
      for (const name of ofCode) set(name, "", "No link yet");
      problem.querySelector("p").textContent = error instanceof Unreachable ? AWAY : error.message;
      problem.querySelector("button").hidden = error.message === NO_PARAMS;
      problem.hidden = false;
    }
    dialog.removeAttribute("aria-busy");
    rows();
  }

  function runRow() {
    const id = run();
    part("run").hidden = !id;
    part("note").hidden = !(id && edited());
    const at = id && momentOf(location.href);
    moment.closest("label").hidden = !at;
    if (at) part("at").textContent = at;
    if (id) set("run", new URL(`/instances/${encodeURIComponent(id)}${at && moment.checked ? `?at=${at}` : ""}`, location.origin).href);
  }

  /** The rows made of the code's link, with the options as they are. */
  function rows() {
    frame?.show(href);
    if (!href) return;
    const name = title().replace(/[[\]\\]/g, "\\$&");
    set("code", href);
    if (frame) set("embed", frame.snippet(href));
    set("markdown", picture.checked ? `[![${name}](${href}.png)](${href})` : `[${name}](${href})`);
  }

  function set(name, value, placeholder = "") {
    const field = part(name).querySelector(".field");
    field.value = value;
    field.placeholder = placeholder;
    const button = field.parentElement.querySelector("[data-copy]");
    button.setAttribute("aria-disabled", String(!value));
    button.title = value ? "" : placeholder;
  }

  set("agent", new URL("/mcp", location.origin).href);
  dialog.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button || isDisabled(button)) return;
    const field = button.closest(".linkrow").querySelector(".field");
    if (await copy(field.value, field)) toast(`${field.getAttribute("aria-label")} copied`);
  });
  dialog.addEventListener("focusin", (event) => event.target.matches(".linkrow > .field") && event.target.select());
  dialog.addEventListener("close", () => frame?.show(null));
  moment.addEventListener("change", runRow);
  picture.addEventListener("change", rows);
  problem.querySelector("button").addEventListener("click", fill);
  addEventListener("online", () => dialog.open && !href && fill());

  /** Makes a link and copies it, without the dialog unless that fails or the clipboard is closed to us. */
  async function quick() {
    try {
      if (await copy(await store())) toast("Link to the code copied");
      else open();
    } catch {
      open();
    }
  }

  return { fill, quick };
}

async function copy(text, field) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    if (!field) return false;
    field.focus();
    field.select();
    return document.execCommand("copy");
  }
}
