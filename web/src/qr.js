// The QR code of a text, as the path of a picture. Loaded when somebody asks for one.

import { generate } from "lean-qr";

const QUIET = 4; // modules of white around it, which a camera needs

/** @returns {{size: number, path: string}} `size` of its side, quiet zone and all; `path` of SVG, one unit for a module */
export function qrPath(text) {
  const code = generate(text);
  let path = "";
  for (let y = 0; y < code.size; y += 1) {
    for (let x = 0; x < code.size; x += 1) {
      let run = 0;
      while (code.get(x + run, y)) run += 1;
      if (run) path += `M${x + QUIET} ${y + QUIET}h${run}v1h-${run}z`;
      x += run;
    }
  }
  return { size: code.size + 2 * QUIET, path };
}
