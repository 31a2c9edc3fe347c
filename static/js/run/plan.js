// What has not happened yet: entries of the outline for which no step has started. Pure.

/** Kinds of entries of an outline that are steps. */
export const STEP_KINDS = new Set(["do", "sleep", "wait", "child"]);

/** Whether the name of an entry is made at run time: it stands in the outline as a pattern, or not at all. */
export const isComputed = (entry) => Boolean(entry.pattern) || !entry.name;

/**
 * The steps of an outline in the order they stand in the source; each with `parallel`, a number shared by those that run together, and
 * `computed`: its name is made at run time, so that its line and what is fixed of it tell which steps are its own. One that another step's
 * callback calls has that as its `parent`, and is in its `inside`. `child`: it starts runs of its own.
 */
export function flatten(outline) {
  const flat = [];
  let groups = 0;
  const nested = new Map(); // of steps that callbacks call: key -> the step around it
  const within = (entries, outer) =>
    (entries ?? []).flatMap((entry) => {
      if (!STEP_KINDS.has(entry.kind)) return within(entry.children, outer);
      const { kind, name = null, line = null } = entry;
      nested.set(keyOf(entry), outer);
      return [{ kind, name, line, parent: outer, child: Boolean(entry.child) }, ...within(entry.inside, outer)];
    });
  const walk = (entries, parallel) => {
    for (const entry of entries || []) {
      if (STEP_KINDS.has(entry.kind)) {
        const { kind, name = null, line = null } = entry;
        flat.push({ kind, name, line, endLine: entry.end_line ?? entry.line, computed: isComputed(entry), parallel, parent: null, child: Boolean(entry.child), inside: within(entry.inside, { kind, name, count: 1 }) });
      }
      if (entry.children) walk(entry.children, entry.kind === "parallel" ? (groups += 1) : parallel);
    }
  };
  walk(outline, 0);
  // An outline ends with the steps that it knows no call of: there stand those, too, that only a callback calls.
  let end = flat.length;
  for (; end && nested.has(keyOf(flat[end - 1])); end -= 1) flat[end - 1].parent = nested.get(keyOf(flat[end - 1]));
  return under(flat.slice(0, end), flat.slice(end));
}

/** Puts steps that others call under those. */
function under(flat, called) {
  const placed = [];
  const add = (entry) => {
    placed.push(entry);
    for (const each of called) if (each.parent.kind === entry.kind && each.parent.name === entry.name && !placed.includes(each)) add(each);
  };
  for (const entry of flat) add(entry);
  return [...placed, ...called.filter((each) => !placed.includes(each))];
}

const keyOf = ({ kind, name, line }) => `${kind}:${name}:${line}`;

/**
 * Whether a name made at run time may have come of what the outline could tell of it: `test on {version}` of `test on 3.12`. The pattern is
 * that of whoever wrote the code, so its fixed parts are looked for one after the other: as a regular expression it could take for ever.
 */
export function fitting(pattern) {
  if (!pattern) return () => true;
  const [head, ...parts] = pattern.split(/\{[^{}]*\}/);
  if (!parts.length) return (name) => name === head;
  const tail = parts.pop();
  return (name) => {
    const end = name.length - tail.length;
    if (end < head.length || !name.startsWith(head) || !name.endsWith(tail)) return false;
    let at = head.length;
    for (const part of parts) {
      const found = name.indexOf(part, at);
      if (found < 0 || found + part.length > end) return false;
      at = found + part.length;
    }
    return true;
  };
}

/** Whether a step of a run may have started runs of its own, by the plan of its code. */
export function startsRuns(flat, { kind, name, line }) {
  const is = (entry) => entry.child && entry.kind === kind && (entry.name === name || entry.line === line);
  return flat.some((entry) => is(entry) || entry.inside.some(is));
}

/** A plan beside what has become of it. Each step is looked at once, whatever moment of the run is asked for. */
export class Plan {
  /** @param {object[]} flat as `flatten` gives them */
  constructor(flat) {
    this.flat = flat;
    this.computed = flat.filter((entry) => entry.computed).map((entry) => ({ entry, fits: fitting(entry.name) }));
    this.generation = null;
  }

  /** The entries that no step of `state` belongs to yet. */
  ahead(state) {
    const { rows, generation } = state;
    if (generation !== this.generation) {
      Object.assign(this, { generation, taken: 0 });
      this.first = new Map(); // kind and name, or a computed entry -> the first row of it: rows of a generation are only added to
    }
    for (; this.taken < rows.length; this.taken += 1) {
      const { kind, name, line } = rows[this.taken];
      if (!this.first.has(`${kind}:${name}`)) this.first.set(`${kind}:${name}`, this.taken);
      for (const { entry, fits } of this.computed) {
        if (!this.first.has(entry) && entry.kind === kind && entry.line === line && fits(name)) this.first.set(entry, this.taken);
      }
    }
    const begun = (mark) => this.first.get(mark) < rows.length;
    return this.flat.filter((entry) => !begun(`${entry.kind}:${entry.name}`) && !begun(entry));
  }
}
