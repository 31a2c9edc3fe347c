// The divider between code and run: dragged, or moved by arrow keys. Its place is kept; theme.js applies it before the first paint.

import { write } from "./stored.js";

const LEAST = 25;
const MOST = 70;
const DEFAULT = 42;
const STEP = 2;

export function makeDivider() {
  const divider = document.querySelector(".divider");
  const play = document.getElementById("play");
  const root = document.documentElement;
  let at = Number(root.style.getPropertyValue("--split")) || DEFAULT;
  show();

  function show() {
    root.style.setProperty("--split", at);
    divider.setAttribute("aria-valuenow", Math.round(at));
  }

  function move(percent) {
    at = Math.min(MOST, Math.max(LEAST, percent));
    show();
  }

  const keep = () => write("split", at);

  divider.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    divider.setPointerCapture(event.pointerId);
    root.classList.add("is-dividing");
  });
  divider.addEventListener("pointermove", (event) => {
    if (!divider.hasPointerCapture(event.pointerId)) return;
    const box = play.getBoundingClientRect();
    const graph = play.querySelector(".has-graph > .run-live > .graph"); // a column beside the run, of which code and run have the rest
    const column = graph?.checkVisibility() ? graph.offsetWidth : 0;
    move(((event.clientX - box.left) / (box.width - column)) * 100);
  });
  divider.addEventListener("lostpointercapture", () => {
    root.classList.remove("is-dividing");
    keep();
  });
  divider.addEventListener("dblclick", () => (move(DEFAULT), keep()));
  divider.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: at - STEP, ArrowRight: at + STEP, Home: LEAST, End: MOST, Enter: DEFAULT }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    move(to);
    keep();
  });
}
