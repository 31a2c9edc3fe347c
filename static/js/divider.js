// The edges of panes and of the column of names: dragged by a mouse or a finger, or moved by arrow keys; a double press puts one back where
// the style sheet has it. Sizes are kept in this browser; theme.js applies them before the first paint, as custom properties of the page.

import { read, write } from "./stored.js";

const KEY_PX = 16; // an arrow key moves an edge by this
const TWICE_MS = 400; // between the two taps that put an edge back

const find = (selector) => document.querySelector(selector);
const wide = (selector) => find(selector)?.getBoundingClientRect().width ?? 0;
const high = (selector) => find(selector)?.getBoundingClientRect().height ?? 0;

/**
 * By name, which is that of its property too. `size` and `whole` are in CSS pixels: of what the edge makes larger, and of what it is a part of;
 * `least` in pixels and `most` as a share of the whole. `sign` -1: the pane lies behind its edge. `unit` "%": kept as a share of the whole; "": the
 * same as a bare number, for style sheets that reckon with it.
 */
const EDGES = {
  split: { axis: "x", size: () => wide("#code"), whole: () => wide("#play") - wide(".has-graph > .run-live > .graph"), least: 340, most: 0.7, unit: "" },
  under: { axis: "y", sign: -1, size: () => high("#under"), whole: () => high("#code"), least: 72, most: 0.7 },
  params: { axis: "x", size: () => wide(".params-half"), whole: () => wide("#under"), least: 96, most: 0.8, unit: "%" },
  timeline: { axis: "y", size: () => high("#view-timeline"), whole: () => high("#run"), least: 72, most: 0.7, unit: "%" },
  step: { axis: "x", size: () => wide("#view-step .sheet-body > section"), whole: () => find("#view-step .sheet-body")?.clientWidth ?? 0, least: 160, most: 0.75, unit: "" },
  name: { axis: "x", size: () => wide("#view-timeline .tl-axis > h2"), whole: () => wide("#view-timeline"), least: 96, most: 0.5 },
};

const KEYS = { x: { ArrowLeft: -1, ArrowRight: 1 }, y: { ArrowUp: -1, ArrowDown: 1 } };

/** Gives every edge of the page its hands. */
export function makeDividers() {
  for (const handle of document.querySelectorAll("[data-edge]")) make(handle, handle.dataset.edge, EDGES[handle.dataset.edge]);
}

function make(handle, name, { axis, sign = 1, size, whole, least, most, unit = "px" }) {
  const root = document.documentElement;
  let drag = null; // {from, size, moved}
  let tappedAt = -Infinity;

  const range = () => [Math.min(least, whole() * most), whole() * most];
  const place = (event) => (axis === "x" ? event.clientX : event.clientY);

  function tell() {
    const [low, top] = range();
    const px = size();
    handle.setAttribute("aria-valuemin", Math.round(low));
    handle.setAttribute("aria-valuemax", Math.round(top));
    handle.setAttribute("aria-valuenow", Math.round(px));
    handle.setAttribute("aria-valuetext", `${Math.round(px)} pixels`);
  }

  function move(px) {
    const [low, top] = range();
    const wanted = Math.round(Math.max(low, Math.min(top, px)));
    set(unit === "px" ? `${wanted}px` : `${((wanted / (whole() || 1)) * 100).toFixed(2)}${unit}`);
  }

  function set(value) {
    if (value === null) root.style.removeProperty(`--size-${name}`);
    else root.style.setProperty(`--size-${name}`, value);
    root.toggleAttribute(`data-sized-${name}`, value !== null);
    tell();
  }

  function keep() {
    const value = root.style.getPropertyValue(`--size-${name}`);
    const kept = read("sizes");
    const { [name]: _, ...others } = kept !== null && typeof kept === "object" && !Array.isArray(kept) ? kept : {};
    write("sizes", value ? { ...others, [name]: value } : others);
  }

  function reset() {
    set(null);
    keep();
  }

  handle.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    event.stopPropagation();
    handle.focus({ preventScroll: true });
    handle.setPointerCapture(event.pointerId);
    drag = { from: place(event), size: size(), moved: false };
    root.classList.add(`is-dividing-${axis}`);
  });
  handle.addEventListener("pointermove", (event) => {
    if (!drag || !handle.hasPointerCapture(event.pointerId)) return;
    const by = place(event) - drag.from;
    drag.moved ||= Math.abs(by) > 2;
    if (drag.moved) move(drag.size + by * sign);
  });
  handle.addEventListener("lostpointercapture", (event) => {
    root.classList.remove(`is-dividing-${axis}`);
    if (drag?.moved) keep();
    else if (drag && event.timeStamp - tappedAt < TWICE_MS) reset();
    tappedAt = drag?.moved ? -Infinity : event.timeStamp;
    drag = null;
  });
  handle.addEventListener("focus", tell);
  handle.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const by = KEYS[axis][event.key];
    const [low, top] = range();
    if (by !== undefined) move(size() + by * sign * KEY_PX);
    else if (event.key === "Home") move(low);
    else if (event.key === "End") move(top);
    else if (event.key === "Enter") set(null);
    else return;
    event.preventDefault();
    event.stopPropagation(); // the run has keys of the same names
    keep();
  });
}
