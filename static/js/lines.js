// Numbers of lines of the code that ran, as they are in the editor now: they move with edits, and say so once a line is another or gone.

const same = (line) => ({ line, state: "same" });
let whereIs = same;

/** From now on lines are where `find(line)` says: {line, state: "same" | "edited"}, or null once it is gone. */
export function linesFrom(find) {
  whereIs = find;
}

/** Puts into a node that is about line `node.dataset.line` where that is now; its text has the number after "line". */
export function label(node) {
  const line = Number(node.dataset.line);
  const there = whereIs(line);
  const number = there?.line ?? line;
  const old = there?.state !== "same";
  const last = node.lastChild;
  const text = last.textContent.replace(/line \d+/, `line ${number}`);
  if (last.textContent !== text) last.textContent = text;
  if (node.classList.contains("old") !== old) node.classList.toggle("old", old);
  const title = old ? (there ? `Edited since it ran as line ${line}` : `No longer in the editor: it ran as line ${line}`) : "";
  if (node.title !== title) node.title = title;
}

/** The same for all there are below `root`. */
export function labelAll(root) {
  for (const node of root.querySelectorAll("[data-line]:is(a, .at-line)")) label(node);
}
