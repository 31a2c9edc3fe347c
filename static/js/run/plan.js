// What has not happened yet: entries of the outline for which no step has started. Pure.

const STEPS = new Set(["do", "sleep", "wait"]);

/**
 * The steps of an outline in the order they stand in the source; each with `parallel`, a number shared by those that run together, and
 * `computed`: its name is made at run time, so that only its line tells which steps are its own.
 */
export function flatten(outline) {
  const flat = [];
  let groups = 0;
  const walk = (entries, parallel) => {
    for (const entry of entries || []) {
      if (STEPS.has(entry.kind)) flat.push({ kind: entry.kind, name: entry.name ?? null, line: entry.line ?? null, endLine: entry.end_line ?? entry.line, computed: Boolean(entry.pattern) || !entry.name, parallel });
      if (entry.children) walk(entry.children, entry.kind === "parallel" ? (groups += 1) : parallel);
    }
  };
  walk(outline, 0);
  return flat;
}

/** A plan beside what has become of it. Each step is looked at once, whatever moment of the run is asked for. */
export class Plan {
  /** @param {object[]} flat as `flatten` gives them */
  constructor(flat) {
    this.flat = flat;
    this.generation = null;
  }

  /** The entries that no step of `state` belongs to yet. */
  ahead(state) {
    const { rows, generation } = state;
    if (generation !== this.generation) {
      Object.assign(this, { generation, taken: 0 });
      this.first = new Map(); // kind and name, kind and line -> the first row of that kind: rows of a generation are only added to
    }
    for (; this.taken < rows.length; this.taken += 1) {
      const { kind, name, line } = rows[this.taken];
      for (const mark of [`${kind}:${name}`, `${kind} line ${line}`]) if (!this.first.has(mark)) this.first.set(mark, this.taken);
    }
    const begun = (mark) => this.first.get(mark) < rows.length;
    return this.flat.filter(({ kind, name, line, computed }) => !begun(`${kind}:${name}`) && !(computed && begun(`${kind} line ${line}`)));
  }
}
