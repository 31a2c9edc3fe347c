// Under 900 px the page shows one half at a time. The bar at the bottom switches, or a swipe; its second button is the run's status.

import { icon } from "./dom.js";
import { STATUS, statusIcon } from "./statuses.js";
import { swipeBegins, swipeOf } from "./swipe.js";

// What the bar shows beside a run's status: that there is none yet.
const BEFORE = {
  none: { word: "Not run yet", icon: "i-not", tone: "not" },
  starting: { word: "Starting", icon: "i-running", tone: "now spin" },
};

export function makeHalves() {
  const status = document.getElementById("half-status");

  function show(half) {
    document.body.dataset.half = half;
    // An editor that was out of sight draws no lines until it measures itself, which a busy phone may not tell it to do.
    if (half === "code") setTimeout(() => dispatchEvent(new Event("resize")));
    for (const button of document.querySelectorAll("[data-half-set]")) {
      button.setAttribute("aria-pressed", String(button.dataset.halfSet === half));
    }
  }

  for (const button of document.querySelectorAll("[data-half-set]")) {
    button.addEventListener("click", () => show(button.dataset.halfSet));
  }
  show(document.body.dataset.half);
  onSwipe((way) => show(way === "left" ? "run" : "code"));

  return {
    show,
    status(name, picture) {
      const before = BEFORE[name ?? "none"];
      status.querySelector(".i").replaceWith(before ? icon(before.icon, { tone: before.tone }) : statusIcon(name, picture));
      status.querySelector("span").textContent = (before ?? STATUS[name]).word;
    },
  };
}

const narrow = matchMedia("(max-width: 899px)");
const HOLDS = "input, textarea, select, [role=slider], [role=scrollbar], dialog, [popover], [role=menu]";

/** Whether a finger there moves something by itself: a slider, a field, what scrolls sideways. */
function holds(target) {
  if (target.closest(HOLDS)) return true;
  for (let node = target; node && !node.matches("#play, .embed-halves"); node = node.parentElement) {
    if (node.scrollWidth > node.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(node).overflowX)) return true;
  }
  return false;
}

function onSwipe(act) {
  let from = null;
  const place = ({ touches, changedTouches, timeStamp }) => {
    const [{ clientX: x, clientY: y }] = touches.length ? touches : changedTouches;
    return { x, y, at: timeStamp };
  };
  const play = document.querySelector("#play, .embed-halves");
  const how = { passive: true };
  play.addEventListener("touchstart", (event) => (from = narrow.matches && event.touches.length === 1 ? { ...place(event), held: holds(event.target) } : null), how);
  play.addEventListener("touchmove", (event) => {
    // A browser that goes back in its history by a finger from anywhere would take the page away instead.
    if (from && event.cancelable && swipeBegins(from, place(event), innerWidth)) event.preventDefault();
  }, { passive: false });
  play.addEventListener("touchcancel", () => (from = null), how);
  play.addEventListener("touchend", (event) => {
    const way = from && swipeOf(from, place(event), innerWidth);
    from = null;
    if (way && getSelection().isCollapsed) act(way);
  }, how);
}
