// The format button: Ruff's formatter in a worker of this page, loaded when it is first asked for. The source goes nowhere else, and
// nothing but the worker reads it: a text that the formatter chokes on costs the worker, which is then made anew.

import { isDisabled } from "./dom.js";
import { edits } from "./edits.js";
import { close, notice } from "./notices.js";
import { toast } from "./toast.js";

const MOST_MS = 10_000; // formatting takes milliseconds; a worker that is silent for this long is ended

let worker = null;

/**
 * @param {{worker: string, wasm: string, text: () => string, apply: (edits: object[], after: string) => void, goto: (place: {line: number, column: number}) => void}} how
 *   `worker` and `wasm` are the addresses of the formatter's script and of its code
 */
export function makeFormat({ worker: script, wasm, text, apply, goto }) {
  const button = document.getElementById("format");

  async function format() {
    if (isDisabled(button)) return;
    close("format");
    button.setAttribute("aria-disabled", "true");
    const before = text();
    try {
      worker ??= await start(script, wasm);
      const { text: after, error, byte } = await ask(before);
      if (error !== undefined) refuse(error, byte === null ? null : placeOf(before, byte));
      else if (text() !== before) notice("format", { icon: "i-info", tone: "calm", text: "Not formatted: you went on typing. Press Format again." });
      else {
        apply(edits(before, after), after);
        toast(after === before ? "Formatted already" : "Formatted");
      }
    } catch (error) {
      worker?.terminate();
      worker = null;
      notice("format", { icon: "i-off", strong: "Not formatted.", text: error.message, actions: [{ name: "Try again", act: format }] });
    } finally {
      button.setAttribute("aria-disabled", "false");
    }
  }

  function refuse(error, place) {
    const words = `${error[0].toUpperCase()}${error.slice(1)}`.replace(/`([^`]*)`/g, "“$1”");
    notice("format", {
      icon: "i-failed",
      tone: "bad",
      strong: "Not formatted.",
      text: place ? `Line ${place.line}, column ${place.column}: ${words}.` : `${words}.`,
      actions: place ? [{ name: `Go to line ${place.line}`, act: () => goto(place) }] : [],
    });
  }

  return { format };
}

async function start(script, wasm) {
  let bytes;
  try {
    const response = await fetch(wasm);
    if (!response.ok) throw new Error();
    bytes = await response.arrayBuffer();
  } catch {
    throw new Error("The formatter could not be loaded: no connection to the server.");
  }
  const made = new Worker(script);
  made.postMessage({ wasm: bytes }, [bytes]);
  return made;
}

function ask(source) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("The formatter did not answer.")), MOST_MS);
    worker.onmessage = ({ data }) => (clearTimeout(timer), resolve(data));
    worker.onerror = (event) => (event.preventDefault(), clearTimeout(timer), reject(new Error("The formatter failed on this source.")));
    worker.postMessage({ source });
  });
}

/** The place of a byte of the text's UTF-8: lines from 1, columns from 1 in characters. */
function placeOf(text, byte) {
  const before = new TextDecoder().decode(new TextEncoder().encode(text).slice(0, byte)).split("\n");
  return { line: before.length, column: [...before.at(-1)].length + 1 };
}
