// The source: the textarea that the server sent, and CodeMirror over it once its bundle is there. Works without the bundle. What was typed
// into the textarea before (early.js) is taken over as an edit that can be undone, with the selection, the focus and how far it was scrolled.

import { el } from "./dom.js";

/**
 * @param {{url: string, nonce: string, onChange: () => void, onCursor: (place: {line: number, column: number}) => void,
 *   onRun: () => void, onShare: () => void, onHover: (line: number | null) => void, onStep: (line: number) => void, onStop: (place: {line: number, ofRun: number}) => void}} how
 * @returns the editor; everything may be called at once, and what only CodeMirror can do is done when it is there
 */
export function makeEditor({ url, nonce, onChange, onCursor, onRun, onShare, onHover, onStep, onStop }) {
  const textarea = document.getElementById("source");
  let mirror = null;
  let wanted = {}; // what to draw as soon as there is something to draw on

  let composing = false;

  textarea.addEventListener("input", (event) => {
    composing = Boolean(event.isComposing);
    onChange();
  });
  textarea.addEventListener("compositionend", () => (composing = false));
  const ready = load();

  async function load() {
    let bundle;
    try {
      bundle = await import(url);
    } catch {
      plain();
      return;
    }
    await composed();
    const box = el("div.mirror");
    mirror = bundle.createEditor({
      parent: box,
      doc: textarea.defaultValue,
      nonce,
      labelledby: "title",
      describedby: "way-out",
      onChange,
      onCursor,
      onRun,
      onShare,
      onHover,
      onStep,
      onStop,
    });
    const early = sight();
    document.getElementById("listing").replaceWith(box);
    document.getElementById("raw").hidden = true;
    mirror.takeOver(early);
    for (const [method, value] of Object.entries(wanted)) mirror[method](value);
    wanted = {};
  }

  /** What is there of the source now: text, and where it is looked at and edited. */
  function sight() {
    const used = document.getElementById("raw").classList.contains("is-used");
    const box = document.getElementById("editor");
    const { value: text, selectionStart, selectionEnd, selectionDirection } = textarea;
    const [anchor, head] = selectionDirection === "backward" ? [selectionEnd, selectionStart] : [selectionStart, selectionEnd];
    const [top, left] = used ? [textarea.scrollTop, textarea.scrollLeft] : [box.scrollTop, document.getElementById("listing").scrollLeft];
    return { text, anchor: used ? anchor : 0, head: used ? head : 0, top, left, focused: document.activeElement === textarea };
  }

  /** Waits for the end of a word that an input method is composing in the textarea. */
  async function composed() {
    if (composing) await new Promise((done) => textarea.addEventListener("compositionend", () => setTimeout(done), { once: true }));
  }

  function plain() {
    document.getElementById("listing").hidden = true;
    const raw = document.getElementById("raw");
    raw.open = true;
    raw.classList.add("is-used");
    textarea.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.shiftKey && !event.isComposing) {
        event.preventDefault();
        onRun();
      }
    });
    const say = () => onCursor(placeOf(textarea.value, textarea.selectionStart));
    textarea.addEventListener("selectionchange", say);
    textarea.addEventListener("keyup", say);
    textarea.addEventListener("click", say);
  }

  const draw = (method) => (value) => {
    if (mirror) mirror[method](value);
    else wanted[method] = value;
  };

  return {
    ready,
    text: () => (mirror ? mirror.text() : textarea.value.replace(/^\ufeff/, "")), // a pasted file may begin with a mark
    setText(text) {
      if (mirror) mirror.setText(text);
      else {
        textarea.value = text;
        onChange();
      }
    },
    /** Makes edits, [{from, to, insert}], that lead to the text `after`. */
    edit(changes, after) {
      if (mirror) mirror.edit(changes);
      else if (changes.length) {
        textarea.value = after;
        onChange();
      }
    },
    setVim: draw("setVim"),
    showProblems: draw("showProblems"),
    showOutline: draw("showOutline"),
    showRun: draw("showRun"),
    showStops: draw("showStops"),
    link: (line, ofRun) => mirror?.link(line, ofRun),
    reveal: (line, ofRun) => mirror?.reveal(line, ofRun),
    /** The line of the cursor, as numbered in the run's text. */
    runLine: () => mirror?.runLine() ?? placeOf(textarea.value, textarea.selectionStart).line,
    /** The same, as numbered in the text as it is now, too: {line, ofRun}. */
    place() {
      if (mirror) return mirror.place();
      const { line } = placeOf(textarea.value, textarea.selectionStart);
      return { line, ofRun: line };
    },
    /** Where a line of the run's text is now: {line, state: "same" | "edited"}, or null once it is gone. */
    whereIs: (line) => (mirror ? mirror.whereIs(line) : { line, state: "same" }),
    startRun: () => mirror?.startRun(),
    focus: () => (mirror ? mirror.focus() : textarea.focus()),
    /** Selects all of it, with the focus. */
    selectAll: () => (mirror ? mirror.selectAll() : textarea.select()),
    nextProblem: () => mirror?.nextProblem() ?? false,
    goto(place) {
      if (mirror) return mirror.goto(place);
      const at = offsetOf(textarea.value, place.line, place.column ?? 1);
      textarea.focus();
      textarea.setSelectionRange(at, at);
    },
  };
}

function placeOf(text, offset) {
  const before = text.slice(0, offset).split("\n");
  return { line: before.length, column: [...before.at(-1)].length + 1 };
}

function offsetOf(text, line, column) {
  const lines = text.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0);
  return start + [...(lines[line - 1] ?? "")].slice(0, column - 1).join("").length;
}
