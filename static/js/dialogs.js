// Dialogs: opened by [data-open=ID], closed by their cross, by Esc or by a press beside them. The browser holds focus in them and
// gives it back.

/** @param {Record<string, () => void>} onOpen  what to do when the dialog of this id opens */
export function makeDialogs(onOpen = {}) {
  addEventListener("click", (event) => {
    const opener = event.target.closest?.("[data-open]");
    if (opener && !(event.metaKey || event.ctrlKey || event.shiftKey)) {
      event.preventDefault();
      open(opener.dataset.open);
    }
    const dialog = event.target.closest?.("dialog");
    if (dialog && (event.target.closest("[data-close]") || beside(dialog, event))) dialog.close();
  });

  function open(id) {
    const dialog = document.getElementById(id);
    if (!dialog || dialog.open) return;
    document.querySelector("dialog[open]")?.close();
    dialog.showModal();
    dialog.scrollTop = 0;
    onOpen[id]?.();
  }

  return { open };
}

function beside(dialog, event) {
  if (event.target !== dialog) return false;
  const box = dialog.getBoundingClientRect();
  return event.clientX < box.left || event.clientX > box.right || event.clientY < box.top || event.clientY > box.bottom;
}

/** Asks before something that cannot be undone. Resolves to true for yes. */
export function confirm({ title, words, yes }) {
  const dialog = document.getElementById("confirm");
  document.getElementById("confirm-title").textContent = title;
  document.getElementById("confirm-words").textContent = words;
  document.getElementById("confirm-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}
