// Bundles src/editor.js and what it imports into ES modules, with the licences of all that went in.
//
//     node build.mjs --out FOLDER      (else ./dist)
//
// FOLDER gets editor.js and what it needs at once (first-*.js, which the page asks for early), what it loads when the editor is first
// touched (assist-*.js) or when they are chosen (vim-*.js), the formatter (format.worker.js, ruff_fmt.wasm) and LICENSES.txt. Fails when
// a package carries no licence text.

import { build } from "esbuild";
import { copyFileSync, readFileSync, readdirSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const given = process.argv.indexOf("--out");
const out = given > 0 ? process.argv[given + 1] : join(here, "dist");

// lang-python brings completions of its own, which are not used here (src/complete.js is): without this their import would pull all of
// completion into what is loaded first.
const withoutItsCompletions = {
  name: "lang-python without its completions",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^@codemirror\/autocomplete$/ }, ({ importer }) =>
      importer.includes("lang-python") ? { path: "unused", namespace: "unused" } : undefined,
    );
    onLoad({ filter: /.*/, namespace: "unused" }, () => ({
      contents: "const unused = () => null; export { unused as snippetCompletion, unused as ifNotIn, unused as completeFromList };",
    }));
  },
};

const shared = {
  absWorkingDir: here,
  outdir: out,
  bundle: true,
  minify: true,
  target: ["chrome123", "firefox120", "safari17.5"],
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
};
const editor = await build({
  ...shared,
  entryPoints: ["src/editor.js"],
  chunkNames: "[name]-[hash]",
  splitting: true,
  format: "esm",
  plugins: [withoutItsCompletions],
});
// A worker of its own: one classic script, because what it is served with lets it load nothing.
const formatter = await build({ ...shared, entryPoints: ["src/format.worker.js"], format: "iife" });
copyFileSync(join(here, "node_modules/@wasm-fmt/ruff_fmt/ruff_fmt_bg.wasm"), join(out, "ruff_fmt.wasm"));

mkdirSync(out, { recursive: true });
writeFileSync(join(out, "LICENSES.txt"), licences(bundledPackages([editor, formatter].flatMap(({ metafile }) => Object.keys(metafile.inputs)))));

nameTheFirst(editor.metafile.outputs);

/** Renames the chunks that editor.js imports without being asked, so that the page can tell them from the rest. */
function nameTheFirst(outputs) {
  const needed = new Set();
  const walk = (path) => {
    for (const { path: next, kind } of outputs[path].imports) if (kind === "import-statement" && !needed.has(next)) needed.add(next) && walk(next);
  };
  walk(Object.keys(outputs).find((path) => basename(path) === "editor.js"));
  const names = [...needed].map((path) => basename(path));
  for (const file of readdirSync(out).filter((name) => name.endsWith(".js"))) {
    const text = readFileSync(join(out, file), "utf8");
    const renamed = names.reduce((all, name) => all.replaceAll(`./${name}`, `./${first(name)}`), text);
    if (renamed !== text) writeFileSync(join(out, file), renamed);
  }
  for (const name of names) renameSync(join(out, name), join(out, first(name)));
}

function first(name) {
  return name.replace(/^chunk-/, "first-");
}

function bundledPackages(inputs) {
  const names = inputs.map((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]).filter(Boolean);
  return [...new Set(names)].sort();
}

function licences(names) {
  const parts = names.map((name) => {
    const folder = join(here, "node_modules", name);
    const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    if (!file) throw new Error(`${name} carries no licence text`);
    return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
  });
  // What is compiled into a package, which carries its own licence only.
  for (const file of readdirSync(join(here, "licences"))) parts.push(`${file.replace(".txt", "")}\n\n${readFileSync(join(here, "licences", file), "utf8").trim()}\n`);
  return `The editor contains these packages.\n\n${parts.join(`\n${"-".repeat(72)}\n\n`)}`;
}
