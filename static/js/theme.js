// Runs before the first paint: that there are scripts, the theme that was chosen, the sizes of panes (divider.js). Then the theme's buttons.
// A choice of "system" is no attribute: tokens.css follows the system by itself.

(() => {
  const KEY = "playground.theme";
  const root = document.documentElement;
  root.classList.add("js");

  function chosen() {
    try {
      return localStorage.getItem(KEY) || "system";
    } catch {
      return "system";
    }
  }

  function apply(theme) {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
    for (const button of document.querySelectorAll("[data-theme-set]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeSet === theme));
    }
  }

  apply(chosen());
  try {
    for (const [name, size] of Object.entries(JSON.parse(localStorage.getItem("playground.sizes")) ?? {})) {
      if (!/^[a-z]+$/.test(name) || !/^\d+(\.\d+)?(px|%)?$/.test(size)) continue;
      root.style.setProperty(`--size-${name}`, size);
      root.toggleAttribute(`data-sized-${name}`, true);
    }
  } catch {
    // No storage, or something else in it: panes are as large as the style sheet has them.
  }
  addEventListener("storage", (event) => event.key === KEY && apply(chosen()));
  addEventListener("DOMContentLoaded", () => {
    apply(chosen());
    for (const button of document.querySelectorAll("[data-theme-set]")) {
      button.addEventListener("click", () => {
        try {
          localStorage.setItem(KEY, button.dataset.themeSet);
        } catch {
          // Private windows may refuse storage; the theme then lasts as long as the page.
        }
        apply(button.dataset.themeSet);
      });
    }
  });
})();
