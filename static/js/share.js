// Sharing: one dialog with links to the code, to the run, a frame and Markdown. The code is stored when the dialog opens; its id is a
// hash of it, so the same code has the same link.

import { Already, post } from "./http.js";
import { toast } from "./toast.js";

/**
 * @param {{body: () => string | null, run: () => string | null, title: () => string, onStored: (snippet: {id: string, url: string}) => void,
 *   open: () => void}} how  `body` gives the JSON of {source, params}, null when the params are no JSON; `run` the id of the run shown
 */
export function makeShare({ body, run, title, onStored, open }) {
  const problem = document.getElementById("share-problem");

  async function store() {
    const json = body();
    if (json === null) throw new Error("The params are not valid JSON. Mend them, then share.");
    const snippet = await post("/api/snippets", new Already(json));
    onStored(snippet);
    return { ...snippet, href: new URL(snippet.url, location.origin).href };
  }

  /** Fills the dialog, which is open. */
  async function fill() {
    problem.hidden = true;
    for (const name of ["code", "embed", "markdown"]) set(name, "", "Making the link");
    const id = run();
    document.getElementById("share-run").hidden = !id;
    if (id) set("run", new URL(`/instances/${id}`, location.origin).href);
    try {
      const { href } = await store();
      set("code", href);
      set("embed", `<iframe src="${href}/embed" title="${escape(title())}" width="100%" height="420" loading="lazy"></iframe>`);
      set("markdown", `[${title().replace(/[[\]\\]/g, "\\$&")}](${href})`);
    } catch (error) {
      for (const name of ["code", "embed", "markdown"]) set(name, "", "No link");
      problem.textContent = error.message;
      problem.hidden = false;
    }
  }

  function set(name, value, placeholder = "") {
    const field = document.querySelector(`#share-${name} .field`);
    field.value = value;
    field.placeholder = placeholder;
    field.parentElement.querySelector("[data-copy]").setAttribute("aria-disabled", String(!value));
  }

  document.getElementById("share").addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button || button.getAttribute("aria-disabled") === "true") return;
    const row = button.closest(".linkrow");
    const field = row.querySelector(".field");
    if (await copy(field.value, field)) toast(`${field.getAttribute("aria-label")} copied`);
  });
  document.getElementById("share").addEventListener("focusin", (event) => event.target.matches("input.field") && event.target.select());

  /** Makes a link and copies it, without the dialog unless the clipboard is closed to us. */
  async function quick() {
    try {
      const { href } = await store();
      if (await copy(href)) toast("Link to the code copied");
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

const escape = (text) => text.replace(/[&<>"]/g, (one) => `&#${one.charCodeAt(0)};`);
