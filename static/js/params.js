// Params: JSON, looked at as you type, remembered per example. They are sent as they stand, so that numbers keep all their digits.

import { el, setInvalid } from "./dom.js";
import { prettyJson } from "./pretty.js";
import { read, remove, write } from "./stored.js";
import { openUnder } from "./under.js";

const QUIET_MS = 200;
const field = () => document.getElementById("params");

/**
 * @param {{example: string | null, max: number, onChange: () => void}} how  `example` is the slug under which they are remembered;
 *   `max` is the most bytes they may have
 */
export function makeParams({ example, max, onChange }) {
  let given = field().defaultValue.trim();
  const typed = field().value.trim() !== given; // before this script had come
  let key = example && `params.${example}`;
  let timer = null;

  const kept = key && read(key);
  if (!typed && typeof kept === "string" && kept.trim() !== given) field().value = kept;
  look();
  if (typed) remember();

  field().addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      look();
      remember();
      onChange();
    }, QUIET_MS);
  });

  function remember() {
    if (!key) return;
    if (field().value.trim() === given) remove(key);
    else write(key, field().value);
  }

  /** What is wrong with them, in words, or null. */
  function problem() {
    const text = field().value;
    if (!text.trim()) return null;
    try {
      JSON.parse(text);
    } catch (error) {
      return words(error.message);
    }
    const size = new TextEncoder().encode(text).length;
    return size > max ? `These are ${size.toLocaleString("en")} bytes; the limit is ${max.toLocaleString("en")}.` : null;
  }

  function look() {
    const wrong = problem();
    const state = document.getElementById("params-state");
    const box = document.getElementById("params-problem");
    state.textContent = wrong ? "not valid" : field().value.trim() ? "valid" : "none";
    state.classList.toggle("bad", Boolean(wrong));
    box.textContent = wrong ?? "";
    box.hidden = !wrong;
    setInvalid(field(), wrong);
    reset();
    offer(wrong);
    return wrong;
  }

  function reset() {
    const state = document.getElementById("params-state");
    state.parentElement.querySelector(".reset")?.remove();
    if (!key || field().value.trim() === given) return;
    state.before(el("button.link.reset", { type: "button", title: "Back to the params of the example", onclick: () => change(given) }, "Reset"));
  }

  /** Offers to format what is JSON and not yet formatted. */
  function offer(wrong) {
    const button = document.getElementById("params-format");
    button.hidden = Boolean(wrong) || !field().value.trim() || prettyJson(field().value) === field().value.trim();
  }

  document.getElementById("params-format").addEventListener("click", () => change(prettyJson(field().value)));

  function change(text) {
    set(text);
    remember();
    onChange();
    field().focus();
  }

  function set(text) {
    field().value = text;
    look();
  }

  return {
    /** The JSON text, or null when there are none. */
    json: () => field().value.trim() || null,
    text: () => field().value,
    typed,
    set,
    /** Those of code that is begun: no longer an example's. */
    begin(text) {
      key = null;
      given = text;
      set(text);
    },
    look,
    focus() {
      openUnder();
      field().focus();
    },
  };
}

/** A browser's complaint about JSON as a sentence that begins with the place. */
function words(message) {
  const [, line, column] = /line (\d+) column (\d+)/.exec(message) ?? [];
  const bare = message
    .replace(/^JSON(\.parse| Parse error)?:\s*/i, "")
    .replace(/,?\s*("(\.\.\.)?[^]*"(\.\.\.)?\s+)?(is not valid JSON|in JSON|after JSON|at line|at position)[^]*$/i, "")
    .trim();
  const place = line ? `Line ${line}, column ${column}: ` : "Not JSON: ";
  return place + (bare ? bare[0].toLowerCase() + bare.slice(1) : "it ends too early") + ".";
}
