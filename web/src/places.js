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
