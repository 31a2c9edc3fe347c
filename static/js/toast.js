// A word about what you just did: one at a time, 4 seconds, read out. Never for an error.

const SHOWN_MS = 4000;

let timer = null;

export function toast(words) {
  const box = document.getElementById("toast");
  clearTimeout(timer);
  const shown = document.createElement("p");
  shown.className = "toast";
  shown.append(tick(), words);
  box.replaceChildren(shown);
  // An open dialog lies above everything else in the page, so the toast goes with it.
  const dialog = document.querySelector("dialog[open]");
  (dialog ?? document.body).append(box);
  timer = setTimeout(() => box.replaceChildren(), SHOWN_MS);
}

function tick() {
  const template = document.createElement("template");
  template.innerHTML = '<svg class="i" aria-hidden="true"><use href="#i-check"/></svg>';
  return template.content;
}
