// A link as a QR code, for another device's camera, and into the share sheet of this one. The encoder is loaded when a code is first asked for.

import { el } from "./dom.js";
import { toast } from "./toast.js";

const SVG = "http://www.w3.org/2000/svg";

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
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${size} ${size}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "QR code of the link");
  const drawn = document.createElementNS(SVG, "path");
  drawn.setAttribute("d", path);
  svg.append(drawn);
  return el("div.qr", {}, svg);
}
