// Bundles src/editor.js and what it imports into ES modules, with the licences of all that went in.
//
//     node build.mjs --out FOLDER      (or EDITOR_OUT=FOLDER; else ./dist)
//
// FOLDER gets editor.js, what it loads when the editor is first focused (assist.js), what both share (chunk.js), and LICENSES.txt.
// Fails when a package carries no licence text.

import { build } from "esbuild";
import { readFileSync, readdirSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const given = process.argv.indexOf("--out");
const out = given > 0 ? process.argv[given + 1] : process.env.EDITOR_OUT || join(here, "dist");

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

const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: ["src/editor.js"],
  outdir: out,
  chunkNames: "[name]",
  bundle: true,
  splitting: true,
  format: "esm",
  minify: true,
  target: ["chrome123", "firefox120", "safari17.5"],
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
  plugins: [withoutItsCompletions],
});

mkdirSync(out, { recursive: true });
writeFileSync(join(out, "LICENSES.txt"), licences(bundledPackages(Object.keys(metafile.inputs))));

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
  return `The editor contains these packages.\n\n${parts.join(`\n${"-".repeat(72)}\n\n`)}`;
}
