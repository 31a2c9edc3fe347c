// What lies under and above the timeline's rows: labels, the lane of executions, cuts, idle strips, the now-line.

import { el, icon, lineWords, setFlag, setText, setVar } from "../dom.js";
import { labels } from "./axis.js";

const LONG_PX = 84; // a band narrower than this shows its number only

/** Elements of one kind that come and go with a list; those that stay are moved, not made again. */
class Pool {
  constructor(home, make) {
    Object.assign(this, { home, make, nodes: [] });
  }

  show(list, put) {
    while (this.nodes.length > list.length) this.nodes.pop().remove();
    while (this.nodes.length < list.length) {
      const node = this.make();
      this.nodes.push(node);
      this.home.append(node);
    }
    list.forEach((one, index) => put(this.nodes[index], one));
  }
}

const CLASS = { now: "flag now", stale: "flag stale", cut: "flag", soft: "flag soft", start: "tick start", skipped: "tick skipped", tick: "tick" };

export class Ground {
  /** Each a home of what is drawn; `stopped` takes the line at which the run ended in error. */
  constructor({ axis, lane, over, overLane, stopped }) {
    this.stopped = stopped;
    this.labels = new Pool(axis, () => el("span"));
    this.bands = new Pool(lane, () => el("span.life"));
    this.layers = [over, overLane].map((home) => ({
      idles: new Pool(home, () => el("span.idle")),
      cuts: new Pool(home, () => el("span.rule")),
      now: new Pool(home, () => el("span.rule.now")),
    }));
  }

  place({ scale, bands, cuts, stale, final, width, narrow, line = null, held = "" }) {
    if (this.line !== line) {
      this.line = line;
      this.stopped.replaceChildren(...(line === null ? [] : [icon("i-failed"), lineWords(line)]));
    }
    this.labels.show(labels({ scale, cuts, stale, final, width, narrow, held }), putLabel);
    this.bands.show(bands, (node, band) => putBand(node, band, scale, width));
    for (const layer of this.layers) {
      layer.idles.show(scale.idles, (node, idle) => {
        setVar(node, "--a", idle.a);
        setVar(node, "--b", idle.b);
      });
      layer.cuts.show(cuts, (node, cut) => {
        setVar(node, "--a", scale.at(cut.at));
        setFlag(node, "soft", Boolean(cut.soft));
      });
      layer.now.show(final ? [] : [scale.now], (node, at) => {
        setVar(node, "--a", scale.at(at));
        setFlag(node, "stale", stale);
      });
    }
  }
}

function putLabel(node, label) {
  if (node.kind !== label.kind || node.said !== label.text) {
    node.kind = label.kind;
    node.said = label.text;
    node.className = CLASS[label.kind];
    node.replaceChildren(...(label.kind === "cut" ? [icon("i-cut"), label.text] : label.kind === "soft" ? [icon("i-restart"), label.text] : [label.text]));
    node.title = label.title ?? "";
  }
  setFlag(node, "bare", (label.kind === "cut" || label.kind === "soft") && !label.text);
  setVar(node, "--a", label.a);
}

/** Its words, or the shorter ones, as far as there is room for them. */
const fitting = ({ text, short = "" }, px) => [text, short].find((words) => px >= words.length * 6 + 6) ?? "";

function putBand(node, band, scale, width) {
  const a = Math.max(0, scale.at(band.from)); // what it says stands in view
  const b = Math.min(100, scale.at(band.to ?? scale.now));
  setVar(node, "--a", a);
  setVar(node, "--b", b);
  const px = ((b - a) / 100) * width;
  setFlag(node, "none", band.type === "none");
  setFlag(node, "queued", Boolean(band.queued));
  node.hidden = b < a;
  const text = band.type === "life" ? (px < 16 ? "" : px < LONG_PX ? String(band.number) : `Execution ${band.number}`) : fitting(band, px);
  setText(node, text);
  setFlag(node, "tight", px < 28);
  if (node.title !== band.title) node.title = band.title;
}
