// A word about what you just did, or why you can't: one at a time, 4 seconds, read out. Never for an error.

import { el, icon } from "./dom.js";

const SHOWN_MS = 4000;

let timer = null;

export function toast(words, shape = "i-check") {
  const box = document.getElementById("toast");
  clearTimeout(timer);
  box.replaceChildren(el("p.toast", {}, icon(shape), words));
  // An open dialog lies above everything else in the page, so the toast goes with it.
  const dialog = document.querySelector("dialog[open]");
  (dialog ?? document.body).append(box);
  timer = setTimeout(() => box.replaceChildren(), SHOWN_MS);
}
