// The moment of a run in the page's address: `?at=SEQ`.

import { pagePath } from "./paths.js";

const ADDRESS_MS = 250; // the address follows this long after the slider has come to rest: browsers limit how often it may change

/** The moment that the page's address asks for, or null. */
export function momentOf(address) {
  const text = new URL(address).searchParams.get("at");
  return text && /^[1-9]\d{0,15}$/.test(text) ? Number(text) : null;
}

/** Writes the moment into the address of a run, once it has come to rest. */
export class Address {
  write(run, seq) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const url = new URL(location.href);
      if (url.pathname !== pagePath(run)) return;
      if (seq === null) url.searchParams.delete("at");
      else url.searchParams.set("at", seq);
      if (url.href !== location.href) history.replaceState(history.state, "", url);
    }, ADDRESS_MS);
  }

  forget() {
    clearTimeout(this.timer);
  }
}
