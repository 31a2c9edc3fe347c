// A swipe of a finger over the halves of a small window, pure: which way it went, if it was one. The page says where it began.

export const EDGE = 24; // CSS pixels from the side of the screen that are the browser's: a swipe there goes back in its history
const LEAST = 60; // of the way
const STEEP = 0.6; // of it, up or down
const SLOW_MS = 700;

/** Whether a finger that is still down may become a swipe: it has gone more sideways than up or down. */
export function swipeBegins(from, to, width) {
  if (from.held || from.x < EDGE || from.x > width - EDGE) return false;
  const [x, y] = [to.x - from.x, to.y - from.y];
  return x !== 0 && Math.abs(y) <= Math.abs(x) * STEEP;
}

/**
 * @param {{x: number, y: number, at: number, held: boolean}} from where the finger came down; `held`: on what a finger moves by itself, a
 *   slider, or what scrolls sideways
 * @param {{x: number, y: number, at: number}} to where it went up
 * @param {number} width of the screen
 * @returns {"left" | "right" | null}
 */
export function swipeOf(from, to, width) {
  const x = to.x - from.x;
  if (!swipeBegins(from, to, width) || Math.abs(x) < LEAST || to.at - from.at > SLOW_MS) return null;
  return x < 0 ? "left" : "right";
}
