// What a visitor does before the page's script has come, on a slow line seconds after the page is drawn. A press on Run, and on what opens or
// switches something, is kept and carried out by app.js; the source can be typed into at once, in the textarea that the editor takes over.
// Where the script never comes, the page becomes the one that works without scripts: its form stores the source with a POST. It is
// bundled into one classic script with theme.js.

import "./theme.js";

(() => {
  const PRESSED = "[data-run], button[data-open], [data-does], [data-half-set]"; // buttons that do nothing without the script
  const RETRY = "The page’s script did not arrive. Reload the page to run this; what you typed can be saved below.";
  const pressed = [];
  // The editor is asked for when the styles are here, which this script waits for: they would share a slow line with it.
  for (const href of document.currentScript.dataset.then.split(" ")) document.head.append(Object.assign(document.createElement("link"), { rel: "modulepreload", href }));
  const node = (id) => document.getElementById(id);
  const visibleRun = () => [...document.querySelectorAll("[data-run]")].find((button) => button.checkVisibility?.() ?? true);

  function press(button) {
    if (!pressed.includes(button)) pressed.push(button);
    if ("run" in button.dataset) loading();
    else button.setAttribute("aria-busy", "true");
  }

  function loading() {
    for (const button of document.querySelectorAll("[data-run]")) {
      button.setAttribute("aria-disabled", "true");
      button.querySelector("span").textContent = "Loading";
      button.querySelector("use").setAttribute("href", "#i-running");
      button.querySelector(".i").classList.add("spin");
    }
    const said = document.createElement("p"); // for those who do not see the button
    said.className = "sr";
    said.textContent = "Loading. The run begins as soon as the page is ready.";
    node("toast")?.replaceChildren(said);
  }

  function clicked(event) {
    const button = event.target.closest?.(PRESSED);
    if (button) press(button);
  }

  function keyed(event) {
    const run = event.key === "Enter" && (event.ctrlKey || event.metaKey || (event.shiftKey && event.target.id === "source"));
    if (!run || event.isComposing || !visibleRun()) return;
    event.preventDefault();
    press(visibleRun());
  }

  function typed(event) {
    const writes = (event.key.length === 1 || event.key === "Enter") && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (event.target.id === "listing" && writes) type();
  }

  /** Puts the textarea in the place of the listing, with what was selected there, as far as it was scrolled. */
  function type() {
    const listing = node("listing");
    const source = node("source");
    const box = node("editor");
    const [top, left] = [box.scrollTop, listing.scrollLeft];
    const { anchorNode, anchorOffset, focusNode, focusOffset } = getSelection();
    const ends = [offsetIn(listing, anchorNode, anchorOffset), offsetIn(listing, focusNode, focusOffset)];
    listing.hidden = true;
    node("raw").open = true;
    node("raw").classList.add("is-used");
    source.focus({ preventScroll: true });
    source.setSelectionRange(Math.min(...ends), Math.max(...ends), ends[1] < ends[0] ? "backward" : "forward");
    source.scrollTo(left, top);
  }

  /** How many characters of the listing stand before a place in it; of one elsewhere, none. */
  function offsetIn(listing, at, offset) {
    if (!at || !listing.contains(at)) return 0;
    const before = document.createRange();
    before.setStart(listing, 0);
    before.setEnd(at, offset);
    return before.toString().length;
  }

  function failed(event) {
    if (event.target.id !== "app") return;
    listening.abort();
    document.documentElement.classList.remove("js");
    document.querySelector(".code .plain.no-js p").textContent = RETRY;
  }

  const listening = new AbortController(); // for presses, until app.js takes them over; the listing is there until the editor takes its place
  const { signal } = listening;
  document.addEventListener("click", clicked, { signal });
  document.addEventListener("keydown", keyed, { signal });
  window.addEventListener("error", failed, { capture: true, signal });
  document.addEventListener("playground:here", ({ detail }) => (listening.abort(), detail.push(...pressed)), { signal });
  document.addEventListener("click", (event) => event.target.closest?.("#listing") && type());
  document.addEventListener("keydown", typed);
})();
