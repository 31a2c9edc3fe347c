// A closer look at the timeline: which part of it is in view. By buttons, keys, wheel with a modifier, two fingers; moved by dragging,
// by the wheel sideways, by arrow keys, and by the strip that shows where you are.

import { setDisabled, setFlag, setVar } from "../dom.js";
import { onKey } from "../keys.js";

const STEP = 1.6; // by which a button or a key makes everything wider
const WHEEL = 0.0025; // … and a pixel of the wheel, as an exponent
const LINE_PX = 16; // of a wheel that counts in lines
const CLOSEST_MS = 4; // shortest time that fills the track
const NUDGE = 0.15; // of what is in view, moved by an arrow key
const DRAG_PX = 5; // a press that moves less is a click
const ROOM = 8; // percent of the track kept after a now-line that is followed

export class Zoom {
  /**
   * @param {{root: HTMLElement, scale: object, track: HTMLElement, aim: () => number | null, changed: () => void}} how
   *   `aim` is the place, in percent, that keys and buttons zoom to, where there is one; `changed` is called when another part is in view
   */
  constructor({ root, scale, track, aim, changed }) {
    Object.assign(this, { root, scale, track, aim, changed });
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    this.buttons = { closer: part("zoom-in"), wider: part("zoom-out"), fit: part("zoom-fit") };
    this.strip = part("zoom-strip");
    for (const button of Object.values(this.buttons)) button.dataset.title = button.title;
    const acts = { "zoom-in": [this.buttons.closer, () => this.by(STEP)], "zoom-out": [this.buttons.wider, () => this.by(1 / STEP)], "zoom-fit": [this.buttons.fit, () => this.fit()] };
    for (const [name, [button, act]] of Object.entries(acts)) {
      button.addEventListener("click", act);
      onKey(name, () => (root.checkVisibility() ? act() : false));
    }
    this.pointers = new Map();
    root.addEventListener("wheel", (event) => this.wheeled(event), { passive: false });
    root.addEventListener("pointerdown", (event) => this.pressed(event));
    root.addEventListener("pointermove", (event) => this.moved(event));
    for (const name of ["pointerup", "pointercancel"]) document.addEventListener(name, (event) => this.released(event)); // it may be let go elsewhere
    root.addEventListener("click", (event) => this.dragged && (event.stopPropagation(), event.preventDefault(), (this.dragged = false)), true);
    this.strip.addEventListener("keydown", (event) => this.keyed(event));
    this.strip.addEventListener("pointerdown", (event) => this.jumped(event));
    this.strip.addEventListener("pointermove", (event) => event.buttons && this.strip.hasPointerCapture(event.pointerId) && this.jumped(event));
    this.drawn = null;
    this.draw();
  }

  get view() {
    return this.scale.view ?? { a: 0, b: this.scale.span };
  }

  /** Shows everything. */
  fit() {
    if (!this.scale.view) return false;
    this.scale.view = null;
    this.changed();
  }

  /** Makes everything wider by `factor`; what stands at `place`, in percent, stays there. */
  by(factor, place = this.aim() ?? 50) {
    const { a, b } = this.view;
    if (!(b > a)) return;
    const width = Math.max(Math.min(CLOSEST_MS, this.scale.span), Math.min(this.scale.span, (b - a) / factor));
    const still = a + ((b - a) * place) / 100;
    this.scale.look(still - (width * place) / 100, still + width * (1 - place / 100));
    this.changed();
  }

  /** Moves on by a share of what is in view. */
  pan(share) {
    if (!this.scale.view) return false;
    const { a, b } = this.view;
    this.scale.look(a + (b - a) * share, b + (b - a) * share);
    this.changed();
  }

  /** Before drawing: keeps the now-line in view while it was there; `always`, even if it was not. */
  follow(always) {
    const { scale } = this;
    if (scale.view) {
      const now = scale.units(scale.now);
      const { a, b } = scale.view;
      const room = ((b - a) * ROOM) / 100;
      if (now > b - room && (always || this.had)) scale.look(now + room - (b - a), now + room);
      else if (now < a && always) scale.look(now - room, now - room + (b - a));
      this.had = now >= scale.view?.a && now <= scale.view?.b;
    }
    this.draw();
  }

  draw() {
    const { a, b } = this.view;
    const { span, view } = this.scale;
    const drawn = view ? `${a}:${b}:${span}` : "";
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    setFlag(this.root, "is-zoomed", Boolean(view));
    this.strip.hidden = !view;
    setDisabled(this.buttons.fit, view ? "" : "All of it is in view.");
    setDisabled(this.buttons.wider, view ? "" : "All of it is in view.");
    setDisabled(this.buttons.closer, b - a <= CLOSEST_MS * 1.01 && span ? "This is as close as it goes." : "");
    if (!view) return;
    setVar(this.strip, "--a", (a / span) * 100);
    setVar(this.strip, "--b", (b / span) * 100);
    this.strip.setAttribute("aria-valuenow", String(Math.round((a / Math.max(1, span - (b - a))) * 100)));
  }

  /** The place of a pointer on the track, in percent. */
  placeOf(x) {
    const { left, width } = this.track.getBoundingClientRect();
    return Math.max(0, Math.min(100, ((x - left) / (width || 1)) * 100));
  }

  wheeled(event) {
    const unit = event.deltaMode ? LINE_PX : 1;
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      this.by(Math.exp(-event.deltaY * unit * WHEEL), this.placeOf(event.clientX));
    } else if (this.scale.view) {
      const sideways = event.shiftKey && !event.deltaX ? event.deltaY : event.deltaX;
      if (Math.abs(sideways) <= Math.abs(event.shiftKey ? 0 : event.deltaY)) return;
      event.preventDefault();
      this.pan((sideways * unit) / this.track.clientWidth);
    }
  }

  pressed(event) {
    if (!this.pointers.size) this.dragged = false;
    if (event.button !== 0 || event.target.closest("button:not(.row-name), input, textarea, a, .ask, .ends, .tl-strip")) return;
    this.pointers.set(event.pointerId, event.clientX);
    this.from = event.clientX;
  }

  moved(event) {
    const before = this.pointers.get(event.pointerId);
    if (before === undefined) return;
    if (this.pointers.size > 1) {
      const others = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, x]) => x);
      const apart = Math.abs(before - others[0]);
      this.pointers.set(event.pointerId, event.clientX);
      this.dragged = true;
      if (apart > DRAG_PX) this.by(Math.max(0.5, Math.min(2, Math.abs(event.clientX - others[0]) / apart)), this.placeOf((event.clientX + others[0]) / 2));
    } else if (this.scale.view && (this.dragged || Math.abs(event.clientX - this.from) > DRAG_PX)) {
      if (!this.dragged) this.root.setPointerCapture(event.pointerId);
      this.dragged = true;
      this.pointers.set(event.pointerId, event.clientX);
      this.pan((before - event.clientX) / this.track.clientWidth);
    }
  }

  released(event) {
    this.pointers.delete(event.pointerId);
    if (event.type === "pointercancel") this.dragged = false;
  }

  jumped(event) {
    event.preventDefault();
    this.strip.setPointerCapture(event.pointerId);
    this.strip.focus();
    const { left, width } = this.strip.getBoundingClientRect();
    const { a, b } = this.view;
    const middle = ((event.clientX - left) / width) * this.scale.span;
    this.scale.look(middle - (b - a) / 2, middle + (b - a) / 2);
    this.changed();
  }

  keyed(event) {
    const share = { ArrowLeft: -NUDGE, ArrowRight: NUDGE, PageUp: -1, PageDown: 1, Home: -Infinity, End: Infinity }[event.key];
    if (share === undefined) return;
    event.preventDefault();
    if (Number.isFinite(share)) this.pan(share);
    else {
      const { a, b } = this.view;
      const from = share < 0 ? 0 : this.scale.span - (b - a);
      this.scale.look(from, from + (b - a));
      this.changed();
    }
  }

  /** An arrow key on a row of the timeline; whether it was taken. */
  nudge(key) {
    const share = { ArrowLeft: -NUDGE, ArrowRight: NUDGE }[key];
    return share !== undefined && this.pan(share) !== false;
  }
}
