// A long list of which only what is in sight is in the page. Rows may differ in height: they are guessed, then measured.

import { el } from "../dom.js";
import { Heights } from "./heights.js";

const SPARE = 8; // rows drawn above and below what is in sight
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
    viewport.addEventListener("scroll", () => this.paint(), { passive: true });
    new ResizeObserver(() => this.resized()).observe(viewport);
    this.width = this.seen = this.first = this.last = 0;
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
    if (end && this.viewport.clientHeight) {
      this.pad(Math.min(this.first, count), Math.min(this.last, count));
      this.toEnd();
      return;
    }
    this.paint();
    // A viewport may be as high as its rows, as long as all of them are in sight.
    if (this.last >= count && this.viewport.clientHeight !== this.seen) this.paint();
  }

  /** Says that row `index` is to be drawn again. */
  touch(index) {
    if (this.shown.has(index)) this.dirty.add(index);
  }

  drop(index, node) {
    if (node.contains(document.activeElement)) this.viewport.focus({ preventScroll: true });
    node.remove();
    this.shown.delete(index);
    if (this.reuse && this.idle.length < KEPT) this.idle.push(node);
  }

  /** Where the list begins, in what the viewport scrolls over. */
  get begins() {
    return this.list.getBoundingClientRect().top - this.viewport.getBoundingClientRect().top + this.viewport.scrollTop;
  }

  resized() {
    const width = this.viewport.clientWidth;
    if (width !== this.width && this.width) {
      this.heights = new Heights();
      for (let index = 0; index < this.count; index += 1) this.heights.push(this.guess(index));
      for (const index of this.shown.keys()) this.dirty.add(index);
    }
    this.width = width;
    this.paint();
  }

  /** Draws what is in sight. Cheap when nothing has changed. */
  paint() {
    this.seen = this.viewport.clientHeight;
    if (!this.seen) return;
    const start = this.viewport.scrollTop - this.begins;
    const first = Math.max(0, this.heights.find(Math.max(0, start)) - SPARE);
    const last = Math.min(this.count, this.heights.find(Math.max(0, start + this.seen)) + SPARE + 1);
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
    let shift = 0;
    for (const index of fresh) {
      const node = this.shown.get(index);
      const change = this.heights.set(index, this.measured(node) ? node.offsetHeight : this.guess(index));
      if (change && this.heights.offset(index) < start) shift += change;
    }
    this.first = first;
    this.last = last;
    this.pad(first, last);
    if (shift && !this.stuck) this.viewport.scrollTop += shift;
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
    this.paint();
  }

  /** Scrolls to the last row. The rows above it may turn out higher than guessed, so that the end is looked for twice. */
  toEnd() {
    this.stuck = true;
    for (let turn = 0; turn < 2; turn += 1) {
      const before = this.viewport.scrollTop;
      this.viewport.scrollTop = this.viewport.scrollHeight;
      if (turn && this.viewport.scrollTop === before) break;
      this.paint();
    }
    this.stuck = false;
  }
}
