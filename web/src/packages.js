// Completion of the operator's packages: their modules in an import, the names of a module that is imported. The server is asked for
// them once, when code first names something that could be theirs.

const IMPORT = /^[ \t]*import[ \t]+([^#\n]+)/gm;
const PLATFORM = new Set(["workers", "playground"]);

/** The modules that a source imports, by the name that it gives each. */
export function importsOf(text) {
  const found = new Map();
  for (const [, list] of text.matchAll(IMPORT)) {
    for (const part of list.split(",")) {
      const [, module, alias] = /^\s*([A-Za-z_]\w*)(?:\s+as\s+([A-Za-z_]\w*))?\s*$/.exec(part) ?? [];
      if (module) found.set(alias ?? module, module);
    }
  }
  return found;
}

/** What the end of a line asks for: `typed` so far of a module, or of a name of `module`; null where it asks for neither. */
export function wantedAt(before, imports) {
  const module = /^\s*(?:import|from)\s+(?:[\w\s,]*,\s*)?(\w*)$/.exec(before);
  if (module) return { typed: module[1], module: null };
  const name = /^\s*from\s+([A-Za-z_]\w*)\s+import\s+\(?(?:[\w\s,]*,\s*)?(\w*)$/.exec(before);
  if (name) return PLATFORM.has(name[1]) ? null : { typed: name[2], module: name[1] };
  const member = /(?:^|[^\w.])([A-Za-z_]\w*)\.(\w*)$/.exec(before);
  if (!member || !imports.has(member[1])) return null;
  const of = imports.get(member[1]);
  return PLATFORM.has(of) ? null : { typed: member[2], module: of };
}

/** The names to offer: modules, or the public names of one. `packages` is a list of {name, version, modules, names}. */
export function offered(wanted, packages) {
  if (wanted.module === null) {
    return packages.flatMap(({ name, version, modules }) => modules.filter((module) => !module.startsWith("_")).map((label) => ({ label, detail: `${name} ${version}`, type: "namespace" })));
  }
  return packages.flatMap(({ names }) => names[wanted.module] ?? []).map((label) => ({ label, type: /^[A-Z]/.test(label) ? "class" : "function" }));
}

let asked = null;

async function ask() {
  const answer = await fetch("/about", { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(answer.status);
  return (await answer.json()).packages;
}

/** The packages of this server; none where it does not say, and then it is asked again the next time. */
export function packages() {
  asked ??= ask().catch(() => {
    asked = null;
    return [];
  });
  return asked;
}
