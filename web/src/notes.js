// Words after the end of a line never lie over it: each is given the room that its line leaves free, and what has none shrinks to a
// mark, which shows all of its words to a pointer on it.

import { ViewPlugin } from "@codemirror/view";

const LEAST_PX = 56; // less room than this is none

export const notes = ViewPlugin.fromClass(
  class {
    constructor(view) {
      this.view = view;
      this.fit = { key: this, read: () => this.read(), write: (rooms) => this.write(rooms) };
      this.ask = () => view.requestMeasure(this.fit);
      view.scrollDOM.addEventListener("scroll", this.ask, { passive: true });
      this.ask();
    }

    update() {
      this.ask();
    }

    read() {
      const { view } = this;
      const shown = view.contentDOM.querySelectorAll(".cm-note");
      if (!shown.length) return [];
      const right = view.scrollDOM.getBoundingClientRect().left + view.scrollDOM.clientWidth;
      return [...shown].map((note) => [note, Math.floor(right - (view.coordsAtPos(view.posAtDOM(note), -1)?.right ?? 0))]);
    }

    write(rooms) {
      for (const [note, room] of rooms) {
        note.classList.toggle("is-tight", room < LEAST_PX);
        note.style.setProperty("--room", `${room}px`);
      }
    }

    destroy() {
      this.view.scrollDOM.removeEventListener("scroll", this.ask);
    }
  },
);
