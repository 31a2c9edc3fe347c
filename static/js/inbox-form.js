// The form for one answer, from the form that the server has made of a schema (web/answer_forms.py), which also reads what is sent.

import { el, isDisabled, setDisabled } from "./dom.js";

const ROWS = { lines: 4, list: 4, json: 3 };
const HINT = { list: "One on each line.", json: 'As JSON: "text" in quotes, 42, true, {"key": "value"}.' };

/** Where several values may be chosen, none is before somebody has. */
function control(field, id) {
  const common = { id, name: field.name, required: field.required && !field.nullable, "aria-describedby": field.help ? `${id}-help` : null };
  if (field.kind === "choice") {
    const options = field.options.map(({ value, label }) => el("option", { value, selected: value === field.value }, label));
    return el("select.field", common, el("option", { value: "" }, "Choose…"), ...options);
  }
  if (field.kind === "number" || field.kind === "integer") {
    return el("input.field", { ...common, type: "number", step: field.kind === "integer" ? "1" : "any", min: field.least, max: field.most, value: field.value });
  }
  if (field.kind === "text") return el("input.field", { ...common, type: "text", autocomplete: "off", value: field.value });
  const area = el(field.kind === "json" ? "textarea.field.mono" : "textarea.field", { ...common, rows: ROWS[field.kind], spellcheck: field.kind === "json" ? "false" : null, autocapitalize: field.kind === "json" ? "none" : null });
  area.value = field.value;
  return area;
}

function row(field, id) {
  const of = `${id}-${field.name}`;
  return el(
    "div.answer-field",
    {},
    el("label", { for: of }, field.label, !field.required && " ", !field.required && el("small", {}, "optional")),
    field.help && el("small", { id: `${of}-help` }, field.help),
    control(field, of),
    HINT[field.kind] && el("small", {}, HINT[field.kind]),
  );
}

/** The rows of a form, those of one object within a frame. */
function rows(fields, id) {
  const groups = new Map();
  for (const field of fields) groups.set(field.group, [...(groups.get(field.group) ?? []), row(field, id)]);
  return [...groups].flatMap(([group, inner]) => (group ? [el("fieldset.answer-group", {}, el("legend", {}, group), ...inner)] : inner));
}

/**
 * @param {{form: object, id: string, label: string, send: (fields: URLSearchParams, button: HTMLButtonElement) => Promise<string>}} how `send` resolves to what is wrong, or to ""
 */
export function answerForm({ form, id, label, send }) {
  const said = el("p.answer-said.bad", { role: "alert", hidden: true });
  const types = form.types.length > 1 && el("div.answer-field", {}, el("label", { for: `${id}-type` }, "Kind of answer"), el("select.field", { id: `${id}-type`, name: "type" }, ...form.types.map((type) => el("option", {}, type))));
  const buttons = form.decides ? form.buttons.map(({ value, label: word }, index) => el(`button.btn.${index ? "line" : "main"}`, { type: "submit", name: form.decides, value }, word)) : [el("button.btn.main", { type: "submit" }, "Send the answer")];
  // Enter in a field decides nothing.
  const none = form.decides && form.fields.length > 0 && el("button", { type: "submit", disabled: true, hidden: true });
  const node = el("form.answer-form", { "aria-label": label }, none, types, ...rows(form.fields, id), said, el("div.answer-buttons", {}, ...buttons));
  node.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = buttons.includes(event.submitter) ? event.submitter : buttons[0];
    const fields = new URLSearchParams(new FormData(node));
    if (button.name) fields.set(button.name, button.value);
    if (isDisabled(button)) return;
    for (const one of buttons) setDisabled(one, "Being sent.");
    const wrong = await send(fields, button);
    for (const one of buttons) setDisabled(one, "");
    said.textContent = wrong;
    said.hidden = !wrong;
    if (wrong) button.focus();
  });
  return node;
}

/** Why an answer was refused, with the label of its field in place of its path. */
export function wrongWords(form, { message, details = {} }) {
  const reason = details.reason;
  if (!reason) return message;
  const [path] = reason.split(" ", 1);
  const field = form.fields.find(({ name }) => name === `payload${path.slice(1)}`);
  const words = field ? `“${field.label}”${reason.slice(path.length)}` : reason;
  return `${words[0].toUpperCase()}${words.slice(1)}.`;
}
