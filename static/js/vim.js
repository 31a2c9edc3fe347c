// The choice of vim's keys in the editor, kept in this browser. The keys themselves are part of the editor's bundle, loaded when chosen.

import { read, write } from "./stored.js";

/** @param {{set: (on: boolean) => void}} how */
export function makeVim({ set }) {
  const box = document.getElementById("vim-keys");
  box.checked = read("vim", false) === true;
  if (box.checked) set(true);
  box.addEventListener("change", () => {
    write("vim", box.checked);
    set(box.checked);
  });
}
