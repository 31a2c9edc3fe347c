// A file, or a folder, that is dropped anywhere on the page begins a new workflow. While one is held over it, the page says so.

const holdsFile = (event) => event.dataTransfer?.types.includes("Files") && !document.querySelector("dialog[open]:not(#new)");

/** @param {(file: File | FileSystemDirectoryEntry) => void} take */
export function makeDrop(take) {
  const say = (on) => document.body.classList.toggle("is-dropping", on);
  // Before the editor, which would put the file's text where the pointer is.
  const options = { capture: true };
  addEventListener("dragover", (event) => {
    if (!holdsFile(event)) return;
    event.preventDefault();
    event.stopPropagation();
    say(true);
  }, options);
  addEventListener("dragleave", (event) => event.relatedTarget === null && say(false), options);
  addEventListener("drop", (event) => {
    say(false);
    if (!holdsFile(event)) return;
    event.preventDefault();
    event.stopPropagation();
    const entry = event.dataTransfer.items[0]?.webkitGetAsEntry?.();
    take(entry?.isDirectory ? entry : event.dataTransfer.files[0]);
  }, options);
}
