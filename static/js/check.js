// Checking as you type: 300 ms after the last key the source goes to /api/check, and what comes back is shown if it is still about
// the text in the editor. Trouble on the way is tried again by itself and only said in the foot.

import { Refused, post } from "./http.js";

const QUIET_MS = 300;
const AGAIN_MS = 4000;

/**
 * @param {{text: () => string, show: (answer: {diagnostics: object[], outline: object[]}) => void, say: (words: string) => void}} how
 *   `say` gets what stands in the way of checking
 */
export function makeChecker({ text, show, say }) {
  let timer = null;
  let going = null;

  function soon(wait = QUIET_MS) {
    clearTimeout(timer);
    timer = setTimeout(now, wait);
  }

  async function now() {
    clearTimeout(timer);
    going?.abort();
    going = new AbortController();
    const { signal } = going;
    const source = text();
    try {
      const answer = await post("/api/check", { source }, { signal });
      if (source === text()) show(answer);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error instanceof Refused && error.status < 500 && error.status !== 429) {
        say(error.message);
        return;
      }
      say(error instanceof Refused ? "Not checked yet: the server is busy" : "Not checked: no connection");
      soon(error.retryAfter ? error.retryAfter * 1000 : AGAIN_MS);
    }
  }

  return { soon, now };
}
