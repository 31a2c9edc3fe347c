// Params and outline under the code. On a low screen they leave their room to the code and come when they are asked for (editor.css).

const button = () => document.getElementById("under-button");

function show(open) {
  document.getElementById("under").classList.toggle("is-open", open);
  button().setAttribute("aria-expanded", String(open));
}

export function makeUnder() {
  button().addEventListener("click", () => show(button().getAttribute("aria-expanded") !== "true"));
}

/** Brings them into sight: one of them is what a message is about. */
export const openUnder = () => show(true);
