// The form that breaks a step: what its next attempts do. One dialog for steps that run, have run, or are still to come.

import { dialogHead, el, icon, once, setInvalid, setText } from "../dom.js";
import { checkAsTyped, typed } from "./typed.js";
import { inputText } from "./value.js";

const SLOW_MS = 2_000;
const WAYS = [
  ["fail", "Fail", "with an InjectedError; tried again as its config says"],
  ["timeout", "Time out", "at once, with its own timeout error"],
  ["slow", "Be slow", "before it runs; its timeout holds"],
  ["return", "Return a value", "without running"],
];

let number = 0;

/**
 * @param {{name: string, count?: number | null, label?: string, current?: object | null, yes: (every: boolean) => string, note?: string,
 *   send: (body: object, every: boolean) => Promise<string>}} how
 *   `count` null: every step of the name; `current` is the break that is set; `yes` names the button; `send` resolves to a refusal's words or ""
 */
export function askBreak({ name, count = null, label = name, current = null, yes, note = "", send }) {
  const id = `break-${(number += 1)}`;
  const said = el("p.said", { role: "alert", hidden: true });
  const chosen = current?.how ?? "fail";
  const ms = el("input.field.short", { type: "number", id: `${id}-ms`, min: "0.1", max: "30", step: "any", inputmode: "decimal", "aria-label": "Seconds" });
  ms.value = String((current?.ms ?? SLOW_MS) / 1000);
  const value = el("textarea.field", { rows: "2", id: `${id}-value`, spellcheck: "false", autocomplete: "off", autocapitalize: "off", "aria-label": "Value, JSON" });
  value.value = current?.how === "return" ? inputText(current.value) : "null";
  const more = { slow: el("label.way-more", {}, "by", ms, "seconds"), return: el("div.way-more", {}, value) };
  const ways = el("fieldset.ways", {}, el("legend.sr", {}, "What its next attempts do"));
  for (const [how, title, words] of WAYS) {
    const radio = el("input", { type: "radio", name: id, value: how, checked: how === chosen });
    ways.append(el("label.way", {}, radio, el("b", {}, title), el("small", {}, words)));
    if (more[how]) ways.append(more[how]);
  }
  const times = el("input.field.short", { type: "number", id: `${id}-times`, min: "1", max: "1000", step: "1", inputmode: "numeric" });
  times.value = String(current?.left ?? 1);
  const unit = el("span");
  const every = el("input", { type: "checkbox", checked: Boolean(current) && !current.step.count });
  const button = el("button.btn.main", { type: "submit" });
  const clear = current ? el("button.btn.line", { type: "button" }, "Clear") : null;
  const form = el(
    "form",
    { novalidate: true },
    ways,
    el("label.times", {}, "For its next", times, unit),
    count === null ? null : el("label.check", {}, every, "Every step of this name, not only this one"),
    el("p.dim", {}, icon("i-bolt-on"), ` On this run only, and written in its journal as injected.${note ? ` ${note}` : ""}`),
    said,
    el("p.row-end", {}, el("button.btn.line", { type: "button", "data-close": "" }, "Cancel"), clear, button),
  );
  const dialog = el(
    "dialog.dialog.small.breaking",
    { "aria-labelledby": `${id}-title` },
    dialogHead(`${id}-title`, "Break ", el("code", {}, label)),
    form,
  );

  const how = () => form.elements.namedItem(id).value;
  const isEvery = () => count === null || every.checked;
  const say = (words, field) => {
    said.textContent = words;
    said.hidden = !words;
    for (const each of [ms, value, times]) setInvalid(each, each === field);
    field?.focus();
  };
  const look = () => {
    for (const [name, part] of Object.entries(more)) part.hidden = how() !== name;
    setText(button, yes(isEvery()));
    setText(unit, times.value === "1" ? "attempt" : "attempts");
    say("");
  };
  const step = () => ({ kind: "do", name, ...(isEvery() ? {} : { count }) });

  const give = (body) =>
    once(button, async () => {
      const failed = await send(body, isEvery());
      if (failed) say(failed);
      else dialog.close();
    });

  form.addEventListener("input", look);
  checkAsTyped(value, (words) => {
    say(words);
    setInvalid(value, true);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const body = { step: step(), how: how(), times: Number(times.value) };
    if (!Number.isInteger(body.times) || body.times < 1 || body.times > 1000) return say("How many attempts takes a whole number from 1 to 1,000.", times);
    if (body.how === "slow") {
      body.ms = Math.round(Number(ms.value) * 1000);
      if (!(body.ms >= 1 && body.ms <= 30_000)) return say("Be slow by more than 0 and at most 30 seconds.", ms);
    }
    if (body.how === "return") {
      const given = typed(value.value);
      if (given.wrong) return say(given.wrong, value);
      body.value = given.json;
    }
    return give(body);
  });
  clear?.addEventListener("click", () => give({ step: current.step, how: null }));
  dialog.addEventListener("close", () => dialog.remove());
  look();
  document.body.append(dialog);
  dialog.showModal();
  form.elements.namedItem(id)[WAYS.findIndex(([way]) => way === chosen)].focus();
}
