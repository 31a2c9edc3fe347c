// The style sheet of what only a run, or a graph, needs: a page that begins without a run loads it with the first, an address of a run comes with it.

import { el } from "../dom.js";

/** Resolves once it is there; rejects where it did not come. */
export function loadStyles() {
  const href = document.querySelector('#run [data-part="live"]').dataset.styles;
  if (document.querySelector(`link[rel="stylesheet"][href="${href}"]`)) return null;
  return new Promise((resolve, reject) => {
    const link = el("link", { rel: "stylesheet", href });
    link.addEventListener("load", resolve);
    link.addEventListener("error", () => (link.remove(), reject(new Error(href))));
    document.head.append(link);
  });
}
