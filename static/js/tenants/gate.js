// The way in: what stands behind a tenant's key is asked for with the one that is kept, or with one that is entered. See templates/_key.html.

import { setInvalid } from "../dom.js";
import { Refused } from "../http.js";
import { forget, keep, keyOf } from "./kept.js";

const NOT_A_KEY = new Set(["key.missing", "key.wrong", "key.revoked"]);

/**
 * Resolves once `load` has, with what it gave and the key.
 * @param {{box: HTMLElement, tenant: string, load: (key: string) => Promise<any>}} how
 * @returns {Promise<{key: string, found: any}>}
 */
export function passGate({ box, tenant, load }) {
  const part = (name) => box.querySelector(`[data-key="${name}"]`);
  const form = part("form");
  const wrong = box.querySelector("#key-wrong");
  const ways = part("ways");

  return new Promise((resolve) => {
    async function open(key, typed = false) {
      ways.hidden = true;
      wrong.hidden = true;
      say("Opening.");
      try {
        const found = await load(key);
        keep(tenant, key);
        box.hidden = true;
        resolve({ key, found });
      } catch (error) {
        if (error instanceof Refused && NOT_A_KEY.has(error.code)) {
          if (!typed) forget(tenant);
          ask(typed ? error.message : `The key that was kept here does not open this any more. ${error.message}`);
        } else {
          form.hidden = true;
          say(error.message);
          ways.hidden = false;
          part("other").hidden = !(error instanceof Refused);
          part("again").onclick = () => open(key, typed);
        }
      }
    }

    function ask(refused = "") {
      say(`What ${tenant} has is shown to who holds one of its keys. This browser keeps none.`);
      ways.hidden = true;
      form.hidden = false;
      wrong.hidden = !refused;
      wrong.textContent = refused;
      setInvalid(form.elements["key-field"], refused);
      if (refused) form.elements["key-field"].focus();
    }

    function say(words) {
      const said = part("said");
      if (said.textContent !== words) said.textContent = words;
    }

    part("other").addEventListener("click", () => {
      ask();
      form.elements["key-field"].value = "";
      form.elements["key-field"].focus();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      open(form.elements["key-field"].value.trim(), true);
    });
    const key = keyOf(tenant);
    if (key) open(key);
    else ask();
  });
}
