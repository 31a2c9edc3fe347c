// A press is meant for a page that its reader has had in sight. Another site can open this page behind a window of its own
// and close that between the two presses of a double click, so that the second lands here, on Run. On code that came in a
// link, from anybody, a press that comes right after the page has come to the front is let go.

export const SEEN_MS = 700; // longer than a double click, shorter than reading anything

/** A function that says whether a press now is meant for this page. */
export function makeAimed() {
  let since = performance.now();
  const again = () => (since = performance.now());
  addEventListener("focus", again);
  document.addEventListener("visibilitychange", again);
  return () => performance.now() - since >= SEEN_MS;
}
