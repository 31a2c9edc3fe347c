// The few things all files do to the page. Positions go through style.setProperty: the policy allows no style attributes.

import { label } from "./lines.js";

const SVG = "http://www.w3.org/2000/svg";

/** An element: `el("button.btn.small", {type: "button", onclick}, "text", child)`. False and null children are left out. */
export function el(what, props = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const node = document.createElement(tag || "div");
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "dataset") Object.assign(node.dataset, value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat()) if (child !== null && child !== undefined && child !== false) node.append(child);
  return node;
}

/** An element of a picture: `svg("rect.b", {x: 1}, child, "text")`. */
export function svg(what, props = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const node = document.createElementNS(SVG, tag);
  if (classes.length) node.setAttribute("class", classes.join(" "));
  for (const [name, value] of Object.entries(props)) if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  for (const child of children.flat()) if (child) node.append(child);
  return node;
}

export function icon(id, { label = "", tone = "" } = {}) {
  const said = label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" };
  return svg("svg", { class: tone ? `i ${tone}` : "i", ...said }, svg("use", { href: `#${id}` }));
}

/** Turns one icon into another in place. */
export function setIcon(svg, id, tone = "") {
  const classes = tone ? `i ${tone}` : "i";
  if (svg.getAttribute("class") !== classes) svg.setAttribute("class", classes);
  const use = svg.firstElementChild;
  if (use.getAttribute("href") !== `#${id}`) use.setAttribute("href", `#${id}`);
}

/** Writes only what differs, so that a frame in which nothing changed costs nothing. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setVar(node, name, value) {
  const text = typeof value === "number" ? String(Math.round(value * 1000) / 1000) : value;
  const cache = (node.vars ??= {});
  if (cache[name] === text) return;
  cache[name] = text;
  node.style.setProperty(name, text);
}

export function setFlag(node, name, on) {
  if (node.classList.contains(name) !== on) node.classList.toggle(name, on);
}

/** A control that cannot act stays in place, says why, and can still be reached by keyboard. */
export function setDisabled(button, reason) {
  if (reason) {
    if (button.getAttribute("aria-disabled") !== "true") button.setAttribute("aria-disabled", "true");
    if (button.title !== reason) button.title = reason;
  } else if (button.hasAttribute("aria-disabled")) {
    button.removeAttribute("aria-disabled");
    button.title = button.dataset.title || "";
  }
}

export const isDisabled = (button) => button.getAttribute("aria-disabled") === "true";

/** Marks a field whose text is not what it takes. An attribute without a value would say the opposite. */
export function setInvalid(field, on) {
  if (on) field.setAttribute("aria-invalid", "true");
  else field.removeAttribute("aria-invalid");
}

/** The head of a dialog, with the cross that dialogs.js closes it by. */
export function dialogHead(id, ...title) {
  return el("header", {}, el("h2", { id }, ...title), el("button.btn.icon", { type: "button", "data-close": "", "aria-label": "Close" }, icon("i-close")));
}

/** Says something in a notice that stands in the page. */
export function announce(box, tone, ...words) {
  box.className = `notice ${tone}`;
  box.hidden = false;
  box.replaceChildren(el("p", {}, ...words));
}

/** Does what a control is for, and not again before that is done. */
export async function once(button, act) {
  if (isDisabled(button)) return;
  setDisabled(button, "Being sent.");
  try {
    await act();
  } finally {
    setDisabled(button, "");
  }
}

/** Tells the other half of the page; app.js lists what there is to tell. */
export const tell = (name, detail = {}) => document.dispatchEvent(new CustomEvent(`playground:${name}`, { detail }));

/** The number of a line of the code that ran, where no link may stand. */
export function lineWords(line) {
  const words = el("span.at-line", { dataset: { line } }, `line ${line}`);
  label(words);
  return words;
}

/** A link to a line of the code that ran, which stands in the editor. */
export function lineLink(line, text = `line ${line}`) {
  const link = el("a.line-link", { href: `#L${line}`, dataset: { line } }, text);
  label(link);
  return link;
}
