// What the parts of the editor draw with: icons, prose, tints of a line's gutter, words after its end.

import { GutterMarker, WidgetType } from "@codemirror/view";

export function icon(name, label) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "i");
  if (label) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
  } else {
    svg.setAttribute("aria-hidden", "true");
  }
  const use = svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "use"));
  use.setAttribute("href", `#i-${name}`);
  return svg;
}

/** Text in which backticks mark code, into a node. */
export function prose(node, text) {
  text.split("`").forEach((part, index) => {
    if (index % 2) node.appendChild(document.createElement("code")).textContent = part;
    else if (part) node.append(part);
  });
  return node;
}

export class Tint extends GutterMarker {
  constructor(elementClass) {
    super();
    this.elementClass = elementClass;
  }
  eq(other) {
    return other.elementClass === this.elementClass;
  }
}

const plain = (node, text) => node.append(text);

/** Words after the end of a line, which `fill` puts into their node. */
export class Note extends WidgetType {
  constructor(className, text, fill = plain) {
    super();
    Object.assign(this, { className, text, fill });
  }
  eq(other) {
    return other.text === this.text && other.className === this.className;
  }
  updateDOM(dom) {
    if (!dom.classList.contains(this.className)) return false;
    dom.replaceChildren();
    this.fill(dom, this.text);
    return true;
  }
  toDOM() {
    const span = document.createElement("span");
    span.className = `cm-note ${this.className}`;
    this.fill(span, this.text);
    return span;
  }
  coordsAt(dom) {
    return endOfText(dom);
  }
  ignoreEvent() {
    return false;
  }
}

/** Where the text of a line ends on the screen, for a widget after it that must not draw the cursor to itself. */
function endOfText(dom) {
  const before = dom.previousSibling;
  if (!before) return null;
  const range = document.createRange();
  range.selectNodeContents(before);
  const box = [...range.getClientRects()].at(-1);
  return box ? { left: box.right, right: box.right, top: box.top, bottom: box.bottom } : null;
}
