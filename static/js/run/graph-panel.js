// Where a graph is shown: it and what it needs come when it is first looked at. Until then only what it is to show is kept.

import { setText } from "../dom.js";
import { loadStyles } from "./styles.js";

export class GraphPanel {
  /** @param {object} how as `Graph` takes it */
  constructor(how) {
    this.how = how;
    this.root = how.root;
    this.graph = null;
    this.outline = [];
  }

  plan(outline) {
    this.outline = outline;
    if (!this.root.hidden) this.graph?.plan(outline);
  }

  /** A run from its first event again. */
  reset() {
    this.state = null;
    this.graph?.reset();
  }

  update(state, context) {
    Object.assign(this, { state, context });
    if (!this.root.hidden && this.graph) this.draw();
  }

  draw() {
    this.graph.plan(this.outline);
    if (this.state) this.graph.update(this.state, this.context);
    else this.graph.relay();
  }

  select(step) {
    this.picked = step;
    if (this.graph && this.state) this.graph.select(step);
  }

  /** The panel is in sight. */
  async show() {
    if (this.graph) return this.draw();
    this.loading ??= Promise.all([import("./graph.js"), loadStyles()]);
    try {
      const [{ Graph }] = await this.loading;
      this.graph ??= new Graph(this.how);
      this.draw();
      if (this.picked) this.select(this.picked);
    } catch {
      this.loading = null;
      setText(this.root, "The graph did not load. Open it again to try once more.");
    }
  }
}
