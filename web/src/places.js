// Places as the server names them (lines from 1, columns from 1 in characters) and as CodeMirror does (offsets in UTF-16 units).

export function lineAt(doc, number) {
  return doc.line(Math.min(Math.max(1, number || 1), doc.lines));
}

export function offsetAt(doc, number, column) {
  const line = lineAt(doc, number);
  let offset = 0;
  let left = (column || 1) - 1;
  for (const character of line.text) {
    if (left-- <= 0) break;
    offset += character.length;
  }
  return line.from + offset;
}

export function columnOf(line, offset) {
  return [...line.text.slice(0, offset - line.from)].length + 1;
}

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

/** Where the text of a line ends on the screen, for a widget after it that must not draw the cursor to itself. */
export function endOfText(dom) {
  const before = dom.previousSibling;
  if (!before) return null;
  const range = document.createRange();
  range.selectNodeContents(before);
  const box = [...range.getClientRects()].at(-1);
  return box ? { left: box.right, right: box.right, top: box.top, bottom: box.bottom } : null;
}

/** Text in which backticks mark code, into a node. */
export function prose(node, text) {
  text.split("`").forEach((part, index) => {
    if (index % 2) node.appendChild(document.createElement("code")).textContent = part;
    else if (part) node.append(part);
  });
  return node;
}
