// Formats Python in a worker of the page: Ruff's formatter as WebAssembly. The policy this file is served with (web/http/security.py) lets
// it compile WebAssembly, which the page may not, and reach nothing: the page hands it the bytes, and the source never leaves the browser.
//
// Takes {wasm: ArrayBuffer} once, then {source}; answers {text} or {error, byte}, `byte` the place in UTF-8 or null.

import * as ruff from "@wasm-fmt/ruff_fmt/ruff_fmt_bg.js";

const CONFIG = { indent_style: "space", indent_width: 4, line_width: 100 };
const AT = /\s+at byte range (\d+)\.\.\d+$/;

let ready = null;

addEventListener("message", async ({ data }) => {
  if (data.wasm) {
    const { __wbg_set_wasm: set, format: _, format_range: __, ...imports } = ruff;
    ready = WebAssembly.instantiate(data.wasm, { "./ruff_fmt_bg.js": imports }).then(({ instance }) => set(instance.exports));
    return;
  }
  try {
    await ready;
    postMessage({ text: ruff.format(data.source, "workflow.py", CONFIG) });
  } catch (error) {
    const words = String(error?.message ?? error);
    postMessage({ error: words.replace(AT, ""), byte: AT.test(words) ? Number(AT.exec(words)[1]) : null });
  }
});
