// A long list of which only what is in sight is in the page. Rows may differ in height: they are guessed, then measured.
// Heights are kept in a Fenwick tree, so that finding a row by its offset, or an offset by its row, costs log n.

const SPARE = 8; // rows drawn above and below what is in sight

export class Rows {
  /**
   * @param {{viewport: HTMLElement, list: HTMLElement, height: () => number, draw: (index: number, old: HTMLElement?) => HTMLElement,
   *   measured?: (row: HTMLElement) => boolean}} how
   *   `viewport` scrolls; `list` stands somewhere in it and holds the rows; `height` guesses a row, in CSS pixels;
   *   `measured` says whether the guess may be wrong for a row: measuring costs a layout
   */
  constructor({ viewport, list, height, draw, measured = () => true }) {
    Object.assign(this, { viewport, list, guess: height, draw, measured });
    this.count = 0;
    this.tree = [0];
    this.sizes = [];
    this.shown = new Map(); // index -> element
    this.dirty = new Set();
    this.top = document.createElement("li");
    this.bottom = document.createElement("li");
    for (const pad of [this.top, this.bottom]) {
      pad.className = "rows-pad";
      pad.setAttribute("aria-hidden", "true");
    }
    list.append(this.top, this.bottom);
    this.onscroll = () => this.paint();
    viewport.addEventListener("scroll", this.onscroll, { passive: true });
    this.observer = new ResizeObserver(() => this.resized());
    this.observer.observe(viewport);
    this.width = 0;
  }

  close() {
    this.viewport.removeEventListener("scroll", this.onscroll);
    this.observer.disconnect();
    this.list.replaceChildren();
  }

  /** Says how many rows there are now; rows from `from` on are others than before. */
  setCount(count, from = this.count) {
    const keep = Math.min(from, count, this.count);
    if (keep < this.count) {
      this.sizes.length = keep;
      for (const [index, node] of this.shown) {
        if (index >= keep) {
          node.remove();
          this.shown.delete(index);
        }
      }
      this.rebuild(keep);
    }
    for (let index = keep; index < count; index += 1) this.push(this.guess(index));
    this.count = count;
    this.paint();
  }

  /** Says that row `index` is to be drawn again. */
  touch(index) {
    if (this.shown.has(index)) this.dirty.add(index);
  }

  push(size) {
    this.sizes.push(size);
    const at = this.sizes.length;
    let sum = size;
    for (let step = 1; step < (at & -at); step <<= 1) sum += this.tree[at - step];
    this.tree[at] = sum;
  }

  rebuild(keep) {
    const sizes = this.sizes.slice(0, keep);
    this.sizes = [];
    this.tree = [0];
    for (const size of sizes) this.push(size);
  }

  resize(index, size) {
    const change = size - this.sizes[index];
    if (!change) return 0;
    this.sizes[index] = size;
    for (let at = index + 1; at < this.tree.length; at += at & -at) this.tree[at] += change;
    return change;
  }

  /** The offset of row `index` from the top of the list, in CSS pixels. */
  offset(index) {
    let sum = 0;
    for (let at = Math.min(index, this.sizes.length); at > 0; at -= at & -at) sum += this.tree[at];
    return sum;
  }

  /** The row at `offset`. */
  find(offset) {
    let at = 0;
    let mask = 1;
    while (mask << 1 <= this.sizes.length) mask <<= 1;
    for (; mask; mask >>= 1) {
      if (at + mask <= this.sizes.length && this.tree[at + mask] <= offset) {
        at += mask;
        offset -= this.tree[at];
      }
    }
    return Math.min(at, Math.max(0, this.count - 1));
  }

  above() {
    return this.list.offsetTop - this.viewport.scrollTop;
  }

  resized() {
    const width = this.viewport.clientWidth;
    if (width !== this.width && this.width) {
      this.sizes = this.sizes.map((_, index) => this.guess(index));
      this.rebuild(this.count);
    }
    this.width = width;
    this.paint();
  }

  /** Draws what is in sight. Cheap when nothing has changed. */
  paint() {
    if (!this.viewport.clientHeight) return;
    const start = -this.above();
    const first = Math.max(0, this.find(Math.max(0, start)) - SPARE);
    const last = Math.min(this.count, this.find(Math.max(0, start + this.viewport.clientHeight)) + SPARE + 1);
    for (const [index, node] of this.shown) {
      if (index < first || index >= last) {
        if (node.contains(document.activeElement)) this.viewport.focus({ preventScroll: true });
        node.remove();
        this.shown.delete(index);
      }
    }
    let before = this.top;
    const fresh = [];
    for (let index = first; index < last; index += 1) {
      let node = this.shown.get(index);
      if (!node || this.dirty.has(index)) {
        const drawn = this.draw(index, node || null);
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
      const change = this.resize(index, this.measured(node) ? node.offsetHeight : this.guess(index));
      if (change && this.offset(index) < start) shift += change;
    }
    this.pad(first, last);
    if (shift && !this.stuck) this.viewport.scrollTop += shift;
  }

  pad(first, last) {
    const top = this.offset(first);
    const bottom = this.offset(this.count) - this.offset(last);
    if (this.top.size !== top) this.top.style.setProperty("height", `${(this.top.size = top)}px`);
    if (this.bottom.size !== bottom) this.bottom.style.setProperty("height", `${(this.bottom.size = bottom)}px`);
  }

  /** Scrolls so that row `index` is in sight. */
  reveal(index) {
    const top = this.list.offsetTop + this.offset(index);
    const size = this.sizes[index] || 0;
    const { scrollTop, clientHeight } = this.viewport;
    const head = this.list.offsetTop > clientHeight / 2 ? 0 : this.list.offsetTop;
    if (top - head < scrollTop) this.viewport.scrollTop = top - head;
    else if (top + size > scrollTop + clientHeight) this.viewport.scrollTop = top + size - clientHeight;
    this.paint();
  }

  toEnd() {
    this.stuck = true;
    this.viewport.scrollTop = this.viewport.scrollHeight;
    this.paint();
    this.viewport.scrollTop = this.viewport.scrollHeight;
    this.stuck = false;
  }
}
