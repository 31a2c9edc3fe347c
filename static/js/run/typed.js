// JSON that somebody has typed: the one way from a field to a request. It is sent as it stands, so that numbers keep all their digits.

import { JsonText } from "../exact.js";

/**
 * @param {string} text nothing stands for null
 * @param {string} it what is said of it begins so
 * @returns {{json: JsonText, wrong: string}} `json` may stand anywhere in a body; `wrong` is what is the matter, or ""
 */
export function typed(text, it = "This is") {
  const json = new JsonText(text.trim() || "null");
  try {
    JSON.parse(json.text);
    return { json, wrong: "" };
  } catch (error) {
    return { json, wrong: `${it} not JSON: ${error.message.replace(/^JSON\.parse: /, "")}. Text goes in double quotes.` };
  }
}

const QUIET_MS = 700; // after the last key: half of a text is no news

/**
 * Has `say` hear what is wrong with a field of JSON while somebody types it. Not when the field is left: what is said makes room for
 * itself, and a button that moves under a press is not pressed.
 */
export function checkAsTyped(field, say, it) {
  let timer;
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const { wrong } = typed(field.value, it);
      if (wrong && field.isConnected) say(wrong);
    }, QUIET_MS);
  });
}
