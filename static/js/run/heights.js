// Heights of many rows, in a Fenwick tree: the offset of a row and the row at an offset cost log n, and so does a change. Pure.

export class Heights {
  constructor() {
    this.sizes = [];
    this.tree = [0];
  }

  get length() {
    return this.sizes.length;
  }

  push(size) {
    this.sizes.push(size);
    const at = this.sizes.length;
    let sum = size;
    for (let step = 1; step < (at & -at); step <<= 1) sum += this.tree[at - step];
    this.tree[at] = sum;
  }

  truncate(length) {
    this.sizes.length = length;
    this.tree.length = length + 1;
  }

  /** Sets the height of a row; the difference it makes. */
  set(index, size) {
    const change = size - this.sizes[index];
    if (!change) return 0;
    this.sizes[index] = size;
    for (let at = index + 1; at < this.tree.length; at += at & -at) this.tree[at] += change;
    return change;
  }

  /** How far row `index` is from the top. */
  offset(index) {
    let sum = 0;
    for (let at = Math.min(index, this.length); at > 0; at -= at & -at) sum += this.tree[at];
    return sum;
  }

  /** The row at `offset`; the last one for what lies below it. */
  find(offset) {
    let at = 0;
    let mask = 1;
    while (mask << 1 <= this.length) mask <<= 1;
    for (; mask; mask >>= 1) {
      if (at + mask <= this.length && this.tree[at + mask] <= offset) {
        at += mask;
        offset -= this.tree[at];
      }
    }
    return Math.min(at, Math.max(0, this.length - 1));
  }
}
