// While somebody types inside the brackets of a call of the tenant API, its signature stands above the line, with what is said of the
// parameter the cursor is at. Resting on a name of that API says the same. Esc puts it away.

import { StateEffect, StateField } from "@codemirror/state";
import { EditorView, hoverTooltip, keymap, showTooltip } from "@codemirror/view";
import { CALLS, CONFIG_KEYS, MEMBERS, NAMES, RETRY_KEYS } from "./api.js";
import { callAround, callNamed, dictAround, inComment, inString, kindOf, nameOf } from "./found.js";
import { prose } from "./drawing.js";

const putAway = StateEffect.define();

const help = StateField.define({
  create: () => null,
  update(value, { docChanged, selection, effects, state }) {
    if (effects.some((effect) => effect.is(putAway))) return null;
    if (!docChanged && (!selection || !value)) return value;
    const { head, empty } = state.selection.main;
    const found = empty ? callAround(state, head) : null;
    if (!found || (!docChanged && found.pos !== value.pos)) return null;
    if (value?.name === found.name && value.pos === found.pos && value.parameter === found.parameter) return value;
    return { ...found, above: true, strictSide: false, create: () => ({ dom: card(found.name, { at: found.parameter }) }) };
  },
  provide: (field) => showTooltip.from(field),
});

const escape = keymap.of([
  {
    key: "Escape",
    run(view) {
      if (view.state.field(help)) view.dispatch({ effects: putAway.of(null) });
      return false;
    },
  },
]);

const blurred = EditorView.domEventHandlers({
  blur: (_, view) => void (view.state.field(help) && view.dispatch({ effects: putAway.of(null) })),
});

/** A signature, the parameter `at` set off with its documentation; or, without one, the documentation of the call. */
export function card(name, { at = -1, documented = at < 0 } = {}) {
  const { params, doc } = CALLS[name];
  const dom = document.createElement("div");
  dom.className = "cm-signature";
  const code = dom.appendChild(document.createElement("code"));
  code.append(`${name}(`);
  params.forEach(([written], index) => {
    if (index) code.append(", ");
    const part = document.createElement(index === at ? "b" : "span");
    part.textContent = written;
    code.append(part);
  });
  code.append(")");
  const words = documented ? doc : params[at]?.[1];
  if (words) dom.append(prose(document.createElement("p"), words));
  return dom;
}

function words(title, type, doc) {
  const dom = document.createElement("div");
  dom.className = "cm-signature";
  const code = dom.appendChild(document.createElement("code"));
  code.textContent = type ? `${title}: ${type}` : title;
  dom.append(prose(document.createElement("p"), doc));
  return dom;
}

/** The documentation of what stands at a place: {pos, end, dom}, or null. */
export function documentation(state, pos) {
  const line = state.doc.lineAt(pos);
  const column = pos - line.from;
  const word = [...line.text.matchAll(/\w+/g)].find(({ index, 0: text }) => index <= column && column <= index + text.length);
  if (!word || inComment(state, line.from + word.index + 1)) return null;
  const [name] = word;
  const place = { pos: line.from + word.index, end: line.from + word.index + name.length };
  if (inString(state, place.pos + 1)) {
    const keys = { retries: RETRY_KEYS, config: CONFIG_KEYS }[dictAround(state, place.pos)];
    const isKey = /^["']\s*:/.test(state.sliceDoc(place.end, place.end + 8));
    const object = /(\w+)\[["']$/.exec(line.text.slice(0, word.index))?.[1];
    const found = (isKey && keys?.[name]) || (object && MEMBERS[kindOf(state, object)]?.[name]);
    return found ? { ...place, dom: isKey ? words(name, "", found[1]) : words(name, found[0], found[1]) } : null;
  }
  const before = /@?(?:\w+\.)*$/.exec(line.text.slice(0, word.index))[0];
  const call = callNamed(state, before + name);
  if (call) return { ...place, dom: card(call) };
  if (before.endsWith(".")) {
    const found = MEMBERS[kindOf(state, before.slice(0, -1).replace(/^@/, ""))]?.[name];
    return found ? { ...place, dom: words(name, found[0], found[1]) } : null;
  }
  if (/^\s*=(?!=)/.test(line.text.slice(word.index + name.length))) {
    const around = callAround(state, place.pos);
    const parameter = around && CALLS[around.name].params.find(([written]) => nameOf(written) === name);
    if (parameter?.[1]) return { ...place, dom: words(parameter[0], "", parameter[1]) };
  }
  return name in NAMES ? { ...place, dom: words(name, "", NAMES[name]) } : null;
}

const hover = hoverTooltip((view, pos) => {
  const found = documentation(view.state, pos);
  return found && { pos: found.pos, end: found.end, above: true, create: () => ({ dom: found.dom }) };
});

export const signature = [help, escape, blurred, hover];
