// Keys of the whole page, and how they are written on this machine. Single letters act only outside fields and can be turned off.
// For the run they press or focus the very controls that a pointer would.

import { read, write } from "./stored.js";

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);
const WRITTEN = { mod: MAC ? "⌘" : "Ctrl", ctrl: MAC ? "⌃" : "Ctrl", shift: MAC ? "⇧" : "Shift", enter: "↵", space: "Space" };

const inRun = (selector) => document.querySelector(`#run ${selector}`);

const LETTERS = {
  j: () => move("ArrowDown"),
  k: () => move("ArrowUp"),
  l: () => pressRow("l"),
  x: () => inRun("[data-part=kill]")?.click(),
  e: () => inRun(".ask textarea")?.focus(),
  1: () => tab(0),
  2: () => tab(1),
  3: () => tab(2),
};

/** @param {{run: () => void, share: () => void, list: () => void}} acts */
export function makeKeys({ run, share, list }) {
  for (const node of document.querySelectorAll("[data-keys]")) {
    node.textContent = node.dataset.keys
      .split(" ")
      .map((key) => WRITTEN[key] ?? key)
      .join(MAC ? "" : " ");
  }

  const box = document.getElementById("single-keys");
  box.checked = read("single-keys", true) !== false;
  box.addEventListener("change", () => write("single-keys", box.checked));

  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    const mod = MAC ? event.metaKey : event.ctrlKey;
    const inDialog = document.querySelector("dialog[open]");
    if (mod && event.key === "Enter" && !inDialog && !event.target.closest?.(".ask")) act(event, run);
    else if (mod && !event.shiftKey && !event.altKey && event.key.toLowerCase() === "s") act(event, share);
    else if (box.checked && !inDialog && !inField(event.target) && !event.altKey && !event.ctrlKey && !event.metaKey) {
      const letter = event.key === "?" ? list : LETTERS[event.key.toLowerCase()];
      if (letter) act(event, letter);
    }
  });
}

const rowNow = () => inRun("[data-part=rows] .row-name[tabindex='0']");

/** To the next or previous step; to the one last looked at when none has the focus. */
function move(key) {
  if (document.activeElement?.matches?.("#run .row-name")) pressRow(key);
  else rowNow()?.focus();
}

function pressRow(key) {
  const row = document.activeElement?.matches?.("#run .row-name") ? document.activeElement : rowNow();
  row?.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
}

function tab(index) {
  const shown = [...document.querySelectorAll("#run [role=tab]")].filter((one) => one.checkVisibility());
  shown[index]?.click();
}

function inField(node) {
  return Boolean(node?.closest?.("input, textarea, select, [contenteditable='true'], .cm-editor"));
}

function act(event, what) {
  event.preventDefault();
  what();
}
