// What a person can do for a step that waits: send its event, with a button for each type where any of several will do, or end its time now.

import { el, once, setInvalid } from "../dom.js";
import { eventTypes } from "./fold-state.js";
import { checkAsTyped, typed } from "./typed.js";

const ROWS = 6; // most lines the payload grows to

/** The form that hangs from a waiting bar. It outlives its row, so that what was typed is never lost by scrolling. */
export function askForm(step, { payload, send, close }) {
  const id = `ask-${step.startedSeq}`;
  const types = eventTypes(step);
  const type = types.length > 1 ? null : el("input.field", { id: `${id}-type`, value: step.eventType, spellcheck: "false", autocomplete: "off", autocapitalize: "off" });
  const body = el("textarea.field", { id: `${id}-body`, rows: "1", spellcheck: "false", autocomplete: "off", autocapitalize: "off", "aria-describedby": `${id}-said` });
  body.value = payload;
  const said = el("p.said", { id: `${id}-said`, role: "alert" });
  const about = [step.config?.schema?.title, step.config?.schema?.description].filter(Boolean).join(" ");
  const buttons = types.map((one, index) => el(`button.btn.${index ? "line" : "main"}`, { type: "submit", value: one }, type ? "Send event" : `Send ${one}`));
  const form = el(
    type ? "form.ask" : "form.ask.of-many",
    { novalidate: true, "aria-label": `Send an event to ${step.name}` },
    about && el("p.ask-about", {}, about),
    type && el("label", { for: type.id }, "event type", type),
    el("label", { for: body.id }, "payload, JSON", body),
    type ? buttons[0] : el("div.ask-types", {}, ...buttons),
    said,
  );
  const grow = () => {
    body.rows = 1;
    const { lineHeight, paddingTop, paddingBottom } = getComputedStyle(body); // empty while it is not on the page
    const wrapped = Math.floor((body.scrollHeight - parseFloat(paddingTop) - parseFloat(paddingBottom)) / parseFloat(lineHeight));
    body.rows = Math.min(ROWS, Math.max(body.value.split("\n").length, wrapped || 1));
  };
  const say = (text) => {
    said.textContent = text;
    said.hidden = !text;
    setInvalid(body, text);
  };
  say("");
  grow();
  requestAnimationFrame(grow); // by then it is on the page, and a long payload wraps
  body.addEventListener("input", () => {
    grow();
    say("");
  });
  checkAsTyped(body, say);
  body.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      form.requestSubmit();
    } else if (event.key === "Escape") close();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const { json, wrong } = typed(body.value);
    if (wrong) {
      say(wrong);
      body.focus();
    } else {
      const button = buttons.includes(event.submitter) ? event.submitter : buttons[0];
      once(button, async () => say(await send(type ? type.value.trim() : button.value, json)));
    }
  });
  form.focusFirst = () => body.focus();
  return form;
}

/**
 * What stands on a track after the now-line: a button, and with `counting` room before it for a countdown.
 * `label` names what happens; `act` does it and resolves when it is sent.
 */
export function trackTool(label, act, { name = label, counting = false } = {}) {
  const button = el("button.btn.line", { type: "button", "aria-label": name }, label);
  button.addEventListener("click", (event) => {
    event.stopPropagation();
    once(button, act);
  });
  const tool = el("span.wake", {}, button);
  if (counting) tool.prepend((tool.countdown = el("span.until", { "aria-hidden": "true" })));
  return tool;
}
