// Keys of the whole page, and how they are written on this machine. Single letters act only outside fields and can be turned off:
// body[data-single-keys=off], which the run panel looks at too.

import { read, write } from "./stored.js";

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);
const WRITTEN = { mod: MAC ? "⌘" : "Ctrl", ctrl: MAC ? "⌃" : "Ctrl", shift: MAC ? "⇧" : "Shift", enter: "↵", space: "Space" };

/** @param {{run: () => void, share: () => void, list: () => void, save: () => void}} acts */
export function makeKeys({ run, share, list }) {
  for (const node of document.querySelectorAll("[data-keys]")) {
    node.textContent = node.dataset.keys
      .split(" ")
      .map((key) => WRITTEN[key] ?? key)
      .join(MAC ? "" : " ");
  }

  const box = document.getElementById("single-keys");
  const set = (on) => (document.body.dataset.singleKeys = on ? "on" : "off");
  box.checked = read("single-keys", true) !== false;
  set(box.checked);
  box.addEventListener("change", () => {
    write("single-keys", box.checked);
    set(box.checked);
  });

  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    const mod = MAC ? event.metaKey : event.ctrlKey;
    const inDialog = document.querySelector("dialog[open]");
    if (mod && event.key === "Enter" && !inDialog && !event.target.closest?.(".ask")) act(event, run);
    else if (mod && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "s") act(event, share);
    else if (event.key === "?" && !inDialog && !inField(event.target) && document.body.dataset.singleKeys !== "off") act(event, list);
  });
}

export function inField(node) {
  return Boolean(node?.closest?.("input, textarea, select, [contenteditable='true'], .cm-editor"));
}

function act(event, what) {
  event.preventDefault();
  what();
}
