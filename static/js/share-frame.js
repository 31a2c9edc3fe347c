// The frame to embed: its options, the HTML to copy, and a preview that is the frame itself.

import { el } from "./dom.js";

const HEIGHT = 420; // pixels; what a run needs to be seen

/** @param {{title: () => string, onChange: () => void}} how `onChange` is called when an option is */
export function makeFrame({ title, onChange }) {
  const options = document.getElementById("share-frame");
  const preview = document.getElementById("share-preview");
  const themes = [...options.querySelectorAll("[data-frame-theme]")];
  const readonly = document.getElementById("share-readonly");
  let theme = "";
  let shown = null;

  const address = (href) => {
    const query = [theme && `theme=${theme}`, readonly.checked && "readonly"].filter(Boolean).join("&");
    return `${href}/embed${query ? `?${query}` : ""}`;
  };

  options.addEventListener("click", (event) => {
    const button = event.target.closest("[data-frame-theme]");
    if (!button) return;
    theme = button.dataset.frameTheme;
    for (const one of themes) one.setAttribute("aria-pressed", String(one === button));
    onChange();
  });
  readonly.addEventListener("change", onChange);
  preview.addEventListener("toggle", () => draw());

  /** The preview is loaded only while it is looked at: it is a whole page. */
  function draw() {
    const wanted = shown && preview.open ? address(shown) : null;
    const frame = preview.querySelector("iframe");
    if (!wanted) return frame?.remove();
    if (frame?.getAttribute("src") === wanted) return;
    const next = el("iframe", { title: "The frame as others see it", src: wanted });
    if (frame) frame.replaceWith(next);
    else preview.append(next);
  }

  return {
    snippet: (href) => `<iframe src="${escape(address(href))}" title="${escape(title())}" width="100%" height="${HEIGHT}" loading="lazy"></iframe>`,
    /** `href` is the code's link, null while there is none. */
    show(href) {
      shown = href;
      draw();
    },
  };
}

const escape = (text) => text.replace(/[&<>"]/g, (one) => `&#${one.charCodeAt(0)};`);
