// Keeps in sight what a run is at: its latest open step, and at last its output or error, until somebody touches the timeline.

const TOUCHES = ["wheel", "touchmove", "pointerdown", "keydown"];
const ANSWERS = ".ask, .setback, .wake"; // who answers what the run waits for goes on with it
const BELOW = 8; // kept free under the end, in CSS pixels

export class Following {
  /**
   * @param {{viewport: HTMLElement, rows: import("./rows.js").Rows, end: HTMLElement, placeOf: (step: object) => number}} how
   *   `end` holds the output or error, under the rows; `placeOf` is the row of a step
   */
  constructor({ viewport, rows, end, placeOf }) {
    Object.assign(this, { viewport, rows, end, placeOf });
    for (const touch of TOUCHES) viewport.addEventListener(touch, ({ target }) => (this.on &&= Boolean(target.closest(ANSWERS))), { passive: true });
    this.reset();
  }

  /** Another run, or the same from its beginning. */
  reset() {
    this.on = true;
    this.at = null;
  }

  /** Takes a state that is drawn; `final` says that it has ended. Nothing moves unless what it is at is another than before. */
  update(state, final) {
    if (this.at && this.at.generation !== state.generation) this.reset();
    const step = [...state.open].at(-1) ?? state.rows.at(-1);
    const at = { generation: state.generation, index: step ? this.placeOf(step) : -1, status: step?.status, final };
    const { at: before } = this;
    if (before && before.index === at.index && before.status === at.status && before.final === final) return;
    this.at = at;
    this.show();
  }

  /** Brings it into sight; where it cannot be seen, as behind a tab, it is asked again when it can. */
  show() {
    if (!this.on || !this.at || !this.viewport.clientHeight) return;
    if (this.at.final) this.reveal(this.end);
    else if (this.at.index >= 0) this.rows.reveal(this.at.index);
  }

  /** All of `node`, or its beginning where it is higher than there is room. */
  reveal(node) {
    const { viewport } = this;
    const box = viewport.getBoundingClientRect();
    const { top, bottom } = node.getBoundingClientRect();
    const head = this.rows.list.getBoundingClientRect().top - box.top + viewport.scrollTop; // what stands above the rows sticks to the top
    const down = Math.min(bottom + BELOW - box.bottom, top - box.top - head);
    if (down > 0) viewport.scrollTop += down;
  }
}
