// The name over the code, edited where it stands: Enter or leaving takes it, Esc does not.

import { el } from "./dom.js";
import { NAME_CHARACTERS } from "./names.js";

/** @param {{title: HTMLElement, button: HTMLElement, done: (name: string) => void}} how `done` is called with another name only */
export function askName({ title, button, done }) {
  const before = title.textContent;
  const field = el("input.field.name-field", { value: before, maxlength: String(NAME_CHARACTERS), "aria-label": "Name", autocomplete: "off", spellcheck: "false" });
  let over = false;

  function end(take, focus) {
    if (over) return;
    over = true;
    const name = field.value.trim();
    field.remove();
    title.hidden = button.hidden = false;
    if (focus) button.focus();
    if (take && name && name !== before) done(name);
  }

  field.addEventListener("keydown", (event) => {
    if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    end(event.key === "Enter", true);
  });
  field.addEventListener("blur", () => end(true, false));
  title.before(field);
  title.hidden = button.hidden = true;
  field.focus();
  field.select();
}
