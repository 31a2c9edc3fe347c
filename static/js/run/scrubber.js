// The slider over a run's seqs: where in its journal you are, where its workers died, and the way back to now.

import { el, isDisabled, setDisabled, setFlag, setText, setVar } from "../dom.js";
import { onKey } from "../keys.js";
import { CUT, clock } from "./words.js";

const APART = 0.4; // percent of the rail: cuts nearer to each other share a mark

export class Scrubber {
  /** @param {{root: HTMLElement, seek: (seq: number | null) => void}} how `seek(null)` goes back to the newest event */
  constructor({ root, seek }) {
    const part = (name) => root.querySelector(`[data-part="scrub-${name}"]`);
    Object.assign(this, { root, seek, range: part("range"), seq: part("seq"), last: part("last"), marks: part("marks"), back: part("back"), forth: part("forth"), live: part("live"), to: part("to"), word: part("word"), newer: part("newer") });
    for (const button of [this.back, this.forth, this.live]) button.dataset.title = button.title;
    this.range.addEventListener("input", () => this.go(this.range.valueAsNumber));
    for (const [button, by] of [[this.back, -1], [this.forth, 1]]) button.addEventListener("click", () => !isDisabled(button) && this.go(this.at + by));
    this.live.addEventListener("click", () => !isDisabled(this.live) && seek(null));
    for (const [name, button] of [["back", this.back], ["forward", this.forth], ["live", this.live]]) onKey(name, () => press(button));
    this.reset();
  }

  reset() {
    this.drawnCuts = "";
    this.marks.replaceChildren();
    this.update({ seq: 0, last: 0, past: false, final: false, executions: [], at: null });
  }

  go(seq) {
    const to = Math.max(1, Math.min(seq, this.most));
    if (to === this.at) return;
    this.at = to; // the next press may come before this one is drawn
    this.seek(to >= this.most ? null : to);
  }

  /** `seq` is the moment shown, `at` its time; `last` the newest event there is; `stale` says that newer ones may not have come; `executions` those of the newest state. */
  update({ seq, last, past, final, stale = false, executions, at }) {
    this.at = seq;
    this.most = last;
    const most = String(Math.max(1, last));
    if (this.range.max !== most) this.range.max = most;
    if (this.range.value !== String(seq)) this.range.value = seq;
    const of = last.toLocaleString("en");
    setText(this.seq, seq.toLocaleString("en"));
    setText(this.last, of);
    const spoken = past ? `seq ${seq} of ${of}, ${clock(at)}` : `seq ${seq}, the newest`;
    if (this.range.getAttribute("aria-valuetext") !== spoken) this.range.setAttribute("aria-valuetext", spoken);
    setVar(this.root, "--at", last > 1 ? ((seq - 1) / (last - 1)) * 100 : 0); // as the browser places the knob
    setFlag(this.root, "is-past", past);
    this.to.hidden = !past;
    const newest = final || stale ? "latest" : "live";
    setFlag(this.root, "is-stale", stale);
    setText(this.word, past ? newest : newest.charAt(0).toUpperCase() + newest.slice(1));
    const newer = past && !final ? last - seq : 0;
    setText(this.newer, newer ? `${newer.toLocaleString("en")} newer` : "");
    setDisabled(this.live, past ? "" : "This is the newest state.");
    setDisabled(this.back, seq > 1 ? "" : "This is the first event.");
    setDisabled(this.forth, past ? "" : "This is the newest event.");
    this.cuts(executions, last);
  }

  cuts(executions, last) {
    const cuts = executions.filter((one) => one.cut);
    const signature = `${last}:${cuts.length}`;
    if (!cuts.length || signature === this.drawnCuts) return;
    this.drawnCuts = signature;
    const places = [];
    for (const { endedSeq, execution, reason } of cuts) {
      const a = ((endedSeq - 1) / Math.max(1, last - 1)) * 100;
      if (!places.length || a - places[places.length - 1].a > APART) places.push({ a, title: `execution ${execution}: ${CUT[reason] ?? reason}` });
    }
    while (this.marks.childElementCount > places.length) this.marks.lastElementChild.remove();
    while (this.marks.childElementCount < places.length) this.marks.append(el("span.mark"));
    places.forEach(({ a, title }, index) => {
      const mark = this.marks.children[index];
      setVar(mark, "--a", a);
      if (mark.title !== title) mark.title = title;
    });
  }
}

function press(button) {
  if (isDisabled(button) || !button.checkVisibility()) return false;
  button.click();
}
