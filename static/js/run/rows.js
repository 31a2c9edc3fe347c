// A long list of which only what is in sight is in the page. Rows may differ in height: they are guessed, then measured.

import { el } from "../dom.js";
import { Heights } from "./heights.js";

const SPARE = 8; // rows drawn above and below what is in sight
const FAR_PX = 1e9; // further than any list is long
const KEPT = 80; // rows out of sight that are kept to be drawn anew

export class Rows {
  /**
   * @param {{viewport: HTMLElement, list: HTMLElement, height: () => number, draw: (index: number, old: HTMLElement?) => HTMLElement,
   *   measured?: (row: HTMLElement) => boolean, reuse?: boolean}} how
   *   `viewport` scrolls; `list` stands somewhere in it and holds the rows; `height` guesses a row, in CSS pixels;
   *   `measured` says whether the guess may be wrong for a row: measuring costs a layout;
   *   with `reuse`, `draw` is given a row that has gone out of sight to make another of
   */
  constructor({ viewport, list, height, draw, measured = () => true, reuse = false }) {
    Object.assign(this, { viewport, list, guess: height, draw, measured, reuse });
    this.idle = [];
    this.count = 0;
    this.heights = new Heights();
    this.shown = new Map(); // index -> element
    this.dirty = new Set();
    [this.top, this.bottom] = [0, 1].map(() => el("li.rows-pad", { "aria-hidden": "true" }));
    list.append(this.top, this.bottom);
    viewport.addEventListener("scroll", () => this.moved(), { passive: true });
    new ResizeObserver(() => this.resized()).observe(viewport);
    this.width = this.size = this.at = this.head = 0;
    this.ended = this.unfocused = false;
  }

  /** Says how many rows there are now; rows from `from` on are others than before. With `end` the last one is then in sight. */
  setCount(count, from = this.count, { end = false } = {}) {
    const keep = Math.min(from, count, this.count);
    if (keep < this.count) {
      this.heights.truncate(keep);
      for (const [index, node] of this.shown) {
        if (index >= keep) this.drop(index, node);
      }
    }
    for (let index = keep; index < count; index += 1) this.heights.push(this.guess(index));
    this.count = count;
    this.ended = end;
    if (end) this.toEnd();
    else this.paint();
    this.refocus();
  }

  /** Says that row `index` is to be drawn again. */
  touch(index) {
    if (this.shown.has(index)) this.dirty.add(index);
  }

  drop(index, node) {
    this.unfocused ||= node.contains(document.activeElement);
    node.remove();
    this.shown.delete(index);
    if (this.reuse && this.idle.length < KEPT) this.idle.push(node);
  }

  /** Takes the focus that a dropped row had; not before all rows stand: that lays the page out, which scrolls where rows are missing. */
  refocus() {
    if (!this.unfocused) return;
    this.unfocused = false;
    this.viewport.focus({ preventScroll: true });
  }

  /** Where the list begins, in what the viewport scrolls over. */
  get begins() {
    const { top, width } = this.list.getBoundingClientRect();
    return width ? top - this.viewport.getBoundingClientRect().top + this.viewport.scrollTop : 0; // it may be hidden while it is empty
  }

  resized() {
    const width = this.viewport.clientWidth;
    if (width !== this.width && this.width) {
      this.heights = new Heights();
      for (let index = 0; index < this.count; index += 1) this.heights.push(this.guess(index));
      for (const index of this.shown.keys()) this.dirty.add(index);
    }
    this.width = width;
    this.look();
    if (this.ended) this.toEnd();
    else this.paint();
  }

  moved() {
    this.look();
    this.paint();
  }

  /**
   * Sees where the viewport stands. To ask in the middle of changes costs a layout of all of them; so it is asked when it has moved or
   * has another size, which the browser says before it shows anything, and what is out of date meanwhile has its spare rows.
   */
  look() {
    this.size = this.viewport.clientHeight;
    this.at = this.viewport.scrollTop;
    this.head = this.size ? this.begins : 0;
    this.ended &&= this.viewport.scrollHeight - this.at - this.size < 1.5;
  }

  /** Whether anything can be seen: a panel behind its tab is hidden. */
  get open() {
    if (this.viewport.hidden) return false;
    if (!this.size) this.look();
    return this.size > 0;
  }

  /** Draws what is in sight. Cheap when nothing has changed. */
  paint() {
    if (!this.open) return;
    const shift = this.drawFrom(this.at - this.head);
    if (!shift) return;
    this.viewport.scrollTop += shift;
    this.at += shift;
  }

  /** Draws what is in sight from `start` on, in CSS pixels from the top of the list; by how much rows above that turned out higher. */
  drawFrom(start) {
    const first = Math.max(0, this.heights.find(Math.max(0, start)) - SPARE);
    const last = Math.min(this.count, this.heights.find(Math.max(0, start + this.size)) + SPARE + 1);
    for (const [index, node] of this.shown) {
      if (index < first || index >= last) {
        this.drop(index, node);
      }
    }
    let before = this.top;
    const fresh = [];
    for (let index = first; index < last; index += 1) {
      let node = this.shown.get(index);
      if (!node || this.dirty.has(index)) {
        const drawn = this.draw(index, node || this.idle.pop() || null);
        if (node && drawn !== node) node.replaceWith(drawn);
        node = drawn;
        this.shown.set(index, node);
        fresh.push(index);
      }
      if (before.nextSibling !== node) before.after(node);
      before = node;
    }
    this.dirty.clear();
    this.pad(first, last); // measuring is a layout, in which a list that is too short would scroll back
    let shift = 0;
    for (const index of fresh) {
      const node = this.shown.get(index);
      const change = this.heights.set(index, this.measured(node) ? node.offsetHeight : this.guess(index));
      if (change && this.heights.offset(index) < start) shift += change;
    }
    this.pad(first, last);
    this.refocus();
    return shift;
  }

  pad(first, last) {
    const top = this.heights.offset(first);
    const bottom = this.heights.offset(this.count) - this.heights.offset(last);
    if (this.top.size !== top) this.top.style.setProperty("height", `${(this.top.size = top)}px`);
    if (this.bottom.size !== bottom) this.bottom.style.setProperty("height", `${(this.bottom.size = bottom)}px`);
  }

  /** Scrolls so that row `index` is in sight. */
  reveal(index) {
    const { begins } = this;
    const top = begins + this.heights.offset(index);
    const size = this.heights.sizes[index] || 0;
    const { scrollTop, clientHeight } = this.viewport;
    const head = begins > clientHeight / 2 ? 0 : begins; // what stands above the list sticks to the top
    if (top - head < scrollTop) this.viewport.scrollTop = top - head;
    else if (top + size > scrollTop + clientHeight) this.viewport.scrollTop = top + size - clientHeight;
    this.moved();
  }

  /** Scrolls to the last row. What is in sight there is known without asking the page; rows that turn out lower than guessed leave room for more. */
  toEnd() {
    this.ended = true;
    if (!this.open) return;
    for (let turn = 0; turn < 3; turn += 1) {
      const total = this.heights.offset(this.count);
      this.drawFrom(total - this.size);
      if (this.heights.offset(this.count) >= total) break;
    }
    this.at = Math.max(0, this.head + this.heights.offset(this.count) - this.size);
    this.viewport.scrollTop = FAR_PX;
  }
}
