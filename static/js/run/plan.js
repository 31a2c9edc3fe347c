// What has not happened yet: entries of the outline for which no step has started. Pure.

const STEPS = new Set(["do", "sleep", "wait"]);

/** The steps of an outline in the order they stand in the source; each with `parallel`, a number shared by those that run together. */
export function flatten(outline) {
  const flat = [];
  let groups = 0;
  const walk = (entries, parallel) => {
    for (const entry of entries || []) {
      if (STEPS.has(entry.kind)) flat.push({ kind: entry.kind, name: entry.name ?? null, line: entry.line ?? null, endLine: entry.end_line ?? entry.line, parallel });
      if (entry.children) walk(entry.children, entry.kind === "parallel" ? (groups += 1) : parallel);
    }
  };
  walk(outline, 0);
  return flat;
}

/** The entries of `flat` that no step of `rows` belongs to. */
export function ahead(flat, rows) {
  const names = new Set(rows.map((step) => `${step.kind}:${step.name}`));
  const lines = new Set(rows.map((step) => `${step.kind}:${step.line}`));
  return flat.filter((entry) => !names.has(`${entry.kind}:${entry.name}`) && !lines.has(`${entry.kind}:${entry.line}`));
}
