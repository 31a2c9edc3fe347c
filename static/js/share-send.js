// A link as a QR code, for another device's camera, and into the share sheet of this one. The encoder is loaded when a code is first asked for.

import { el, svg } from "./dom.js";
import { toast } from "./toast.js";

/**
 * @param {HTMLElement} dialog whose rows have [data-qr] and [data-send] after the field with their link
 * @param {{title: () => string, encoder: string}} how `encoder` is the address of the module that makes codes
 */
export function makeSending(dialog, { title, encoder }) {
  const fieldOf = (button) => button.closest(".linkrow").querySelector(".field");
  if (navigator.share) for (const button of dialog.querySelectorAll("[data-send]")) button.hidden = false;

  dialog.addEventListener("click", async ({ target }) => {
    const button = target.closest("[data-qr], [data-send]");
    const link = button && fieldOf(button).value;
    if (!button) return;
    if (!link) toast("There is no link yet.", "i-info");
    else if ("qr" in button.dataset) await toggle(button, link);
    else await navigator.share({ title: title(), url: link }).catch(() => {}); // thought better of it
  });
  dialog.addEventListener("close", () => {
    for (const box of dialog.querySelectorAll(".qr")) box.remove();
    for (const button of dialog.querySelectorAll("[data-qr]")) button.setAttribute("aria-expanded", "false");
  });

  async function toggle(button, link) {
    const row = button.closest(".linkrow");
    const shown = row.querySelector(".qr");
    button.setAttribute("aria-expanded", String(!shown));
    if (shown) return shown.remove();
    try {
      const { qrPath } = await import(encoder);
      row.append(picture(qrPath(link)));
    } catch {
      toast("The code could not be made: its script did not arrive.", "i-warn");
    }
  }
}

function picture({ size, path }) {
  const code = svg("svg", { viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": "QR code of the link" }, svg("path", { d: path }));
  return el("div.qr", {}, code);
}
