// What the run printed: stdout, stderr and logging, with the replayed lines dimmed and labelled, and a rule where a worker ended.

import { el, setFlag, setText } from "../dom.js";
import { ansiNodes, plain } from "./ansi.js";
import { Rows } from "./rows.js";
import { CUT, clock, count, innerLabel, pathLabel } from "./words.js";

const ROW_PX = 20;
const NEAR_PX = 24; // this near to the end counts as being there

export class Logs {
  constructor({ root, copy }) {
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    Object.assign(this, { root, find: part("logs-find"), empty: part("logs-empty"), list: part("logs-rows"), more: part("logs-more"), replays: part("logs-replay") });
    this.rows = new Rows({ viewport: root, list: this.list, height: () => ROW_PX, draw: (index, old) => this.draw(index, old) });
    this.find.addEventListener("input", () => this.refilter());
    this.replays.addEventListener("click", () => {
      this.replays.setAttribute("aria-pressed", String(this.replays.getAttribute("aria-pressed") !== "true"));
      this.refilter();
    });
    part("logs-copy").addEventListener("click", () => copy(this.text()));
    this.more.addEventListener("click", () => {
      this.follow = true;
      this.rows.toEnd();
      this.count();
    });
    root.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.reset();
  }

  reset() {
    this.lines = [];
    this.follow = true;
    this.truncated = 0;
    this.refilter();
  }

  refilter() {
    const wanted = this.find.value.trim().toLowerCase();
    const hideReplay = this.replays.getAttribute("aria-pressed") === "false";
    this.found = Boolean(wanted);
    this.wants = (line) => !(hideReplay && line.replay) && (!wanted || (!line.cut && `${line.step?.name ?? "run"} ${plain(line.text)}`.toLowerCase().includes(wanted)));
    this.shown = []; // those of the lines that are wanted
    this.from = []; // where in `taken` each of them stands
    this.taken = [];
    this.seen = 0;
    this.printed = 0;
    this.rows.setCount(0, 0);
    this.show(this.lines, this.truncated);
  }

  /** Shows `lines`, which begin as those shown before; `truncated` is the number of bytes that were not kept. */
  show(lines, truncated) {
    this.lines = lines;
    this.truncated = truncated;
    const most = Math.min(this.taken.length, lines.length);
    let same = 0; // from the beginning on, since a line above others may have been gone on with
    while (same < most && alike(this.taken[same], lines[same])) same += 1;
    this.taken.length = same;
    while (this.shown.length && this.from[this.from.length - 1] >= same) {
      this.from.pop();
      if (!this.shown.pop().cut) this.printed -= 1;
    }
    const kept = this.shown.length;
    for (let index = same; index < lines.length; index += 1) {
      this.taken.push(lines[index]);
      if (!this.wants(lines[index])) continue;
      this.shown.push(lines[index]);
      this.from.push(index);
      if (!lines[index].cut) this.printed += 1;
    }
    const printed = this.printed > 0;
    this.empty.hidden = printed;
    if (!printed) setText(this.empty, this.find.value.trim() ? `No line matches “${this.find.value.trim()}”.` : "Nothing printed yet.");
    const count = (printed ? this.shown.length : 0) + (truncated && printed ? 1 : 0);
    this.rows.setCount(count, Math.min(kept, count), { end: this.follow });
    this.told();
  }

  /** After the panel became visible. */
  catchUp() {
    if (this.follow) this.rows.toEnd();
    else this.rows.paint();
    this.told();
  }

  /** Lines are seen where the end is in sight, and the panel is. */
  told() {
    if (this.root.hidden) return;
    if (this.follow) this.seen = this.shown.length;
    this.count();
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.root;
    this.follow = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    if (this.follow) this.seen = this.shown.length;
    this.count();
  }

  count() {
    const fresh = this.shown.length - this.seen;
    this.more.hidden = this.follow || fresh <= 0;
    if (!this.more.hidden) setText(this.more, count(fresh, "new line"));
  }

  text() {
    return this.shown.map((line) => (line.cut ? `--- ${CUT[line.cut] ?? line.cut} ---` : plain(line.text))).join("\n");
  }

  draw(index, old) {
    const line = this.shown[index];
    if (!line) return el("li.cut", {}, el("span", {}, `${this.truncated.toLocaleString("en")} more bytes were printed; the limit of this run's log is reached`));
    if (old?.line && alike(old.line, line)) return old;
    const item = line.cut ? cutRow(line) : lineRow(line, this.found);
    Object.assign(item, { line, step: line.step });
    return item;
  }
}

/** Whether two lines are the same, though folded at different times. */
const alike = (one, other) =>
  one === other || ["seq", "cut", "text", "more", "replay"].every((name) => one[name] === other[name]);

function cutRow(line) {
  const whose = line.execution === null ? "" : `execution ${line.execution}: `;
  return el("li.cut", {}, el("span", {}, `${whose}${CUT[line.cut] ?? line.cut}`));
}

/** One printed line; also used by the step's drawer. `alone`: without the line above it, whose time it may share. */
export function lineRow(line, alone = false) {
  const who = line.step ? innerLabel(line.step) : "run";
  const level = line.level ? el("span.level", {}, line.level) : null;
  const item = el(
    "li",
    {},
    el("time", {}, line.more && !alone ? "" : clock(line.at)),
    el("span.ex", { title: `execution ${line.execution ?? ""}` }, String(line.execution ?? "")),
    el("span.who", { title: line.step ? pathLabel(line.step) : who }, who),
    el("span.msg", {}, level, ansiNodes(line.text), line.replay && !line.more ? el("span.tag.open", { title: "printed again while the journal was read; it happened in an earlier execution" }, "replay") : null),
  );
  setFlag(item, "more-of", Boolean(line.more) && !alone);
  setFlag(item, "replay", line.replay);
  setFlag(item, "err", line.stream === "stderr" || /^(ERROR|CRITICAL)$/.test(line.level ?? ""));
  setFlag(item, "warned", line.level === "WARNING");
  return item;
}
