// Bundles the page's scripts and styles (../static) and its editor (src) into the few files that are served, with their
// source maps and the licences of all that went in.
//
//     node build.mjs --out FOLDER      (else ./dist)
//
// A file's name carries the hash of its content, so that a browser may keep it for good. FOLDER/manifest.json maps the
// names that templates use to these:
//
//     {"js/app.js": {"file": "js/app-HASH.js", "imports": [files], "later": {"js/run/live.js": [files]}}}
//
// `imports` are what a script needs before it can run, `later` what it loads when that is wanted; a page asks for them
// at once, since a browser learns what a file imports only when it has that file. Beside each file is what is sent of
// it: FILE.br and FILE.gz. Fails when a package carries no licence text.

import { build } from "esbuild";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, extname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, gzip } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const root = dirname(here);
const given = process.argv.indexOf("--out");
const out = resolve(given > 0 ? process.argv[given + 1] : join(here, "dist"));

// The scripts of a page are bundled together: what two pages both need is in the files of both.
const PAGES = [
  ["app"],
  ["embed"],
  ["examples"],
  ["compare", "pick-runs"],
  ["inbox"],
  ["tenants/tenant"],
  ["tenants/all", "tenants/make"],
];
const FIRST = ["theme", "early"]; // classic scripts, run before the first paint
const COMPRESSED = /\.(js|css|svg|wasm|txt|map)$/;
const IMAGES = ["icon.svg"];

const shared = {
  absWorkingDir: root,
  outdir: out,
  bundle: true,
  target: ["chrome123", "firefox120", "safari17.5"],
  legalComments: "none",
  entryNames: "[dir]/[name]-[hash]",
  sourcemap: true,
  metafile: true,
  logLevel: "warning",
};
// Names stay, so that a trace of the page's own scripts can be read without the source map.
const readable = {
  ...shared,
  minifyWhitespace: true,
  minifySyntax: true,
  lineLimit: 200,
  outbase: "static",
  chunkNames: "js/[name]-[hash]",
};

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

const manifest = {};
const css = readdirSync(join(root, "static/css/pages")).map((name) => `static/css/pages/${name}`);
const scripts = (names) => names.map((name) => `static/js/${name}.js`);
const script = (path) => path.replace("static/", "");
for (const names of PAGES) note(await modules({ ...readable, entryPoints: scripts(names) }), script);
note(await build({ ...readable, format: "iife", entryPoints: scripts(FIRST) }), script);
const sheets = { ...readable, minifySyntax: false, outbase: "static/css/pages", entryNames: "css/[name]-[hash]" };
note(await build({ ...sheets, entryPoints: css }), (path) => path.replace("static/css/pages", "css"));

const packed = { ...shared, minify: true };
const editor = await modules({
  ...packed,
  entryPoints: [{ in: "web/src/editor.js", out: "editor/editor" }],
  chunkNames: "editor/[name]-[hash]",
  plugins: [withoutItsCompletions],
});
note(editor, () => "editor/editor.js");
const qr = await build({ ...packed, entryPoints: [{ in: "web/src/qr.js", out: "editor/qr" }], format: "esm" });
note(qr, () => "editor/qr.js");
// A worker of its own: one classic script, because what it is served with lets it load nothing.
const formatter = await build({
  ...packed,
  entryPoints: [{ in: "web/src/format.worker.js", out: "editor/format" }],
  outExtension: { ".js": ".worker.js" },
  format: "iife",
});
note(formatter, () => "editor/format.worker.js");
copy("editor/ruff_fmt.wasm", readFileSync(join(here, "node_modules/@wasm-fmt/ruff_fmt/ruff_fmt_bg.wasm")));
const inputs = [editor, qr, formatter].flatMap(({ metafile }) => Object.keys(metafile.inputs));
copy("editor/LICENSES.txt", licences(bundledPackages(inputs)));
for (const name of IMAGES) copy(name, readFileSync(join(root, "static", name)));
const written = readdirSync(out, { recursive: true }).filter((name) => COMPRESSED.test(name));
await Promise.all(written.map((name) => compress(join(out, name))));
writeFileSync(join(out, "manifest.json"), JSON.stringify(manifest, null, 1));

/**
 * Bundles modules that load others later. esbuild makes a file of each set of modules that the same entries share: 15
 * for the page. So whatever is loaded later imports all that its page has by then, and this becomes one file.
 */
async function modules(options) {
  const how = { ...options, format: "esm", splitting: true };
  const { inputs } = (await build({ ...how, write: false })).metafile;
  const entries = how.entryPoints.map((entry) => entry.in ?? entry);
  const early = [...reached(inputs, entries)].filter((path) => !entries.includes(path) && !path.includes(":"));
  const all = Object.values(inputs).flatMap(({ imports }) => imports);
  const later = all.filter(({ kind }) => kind === "dynamic-import").map(({ path }) => join(root, path));
  // Relative, or the folder of the build would stand in the source map and change the file's name.
  const had = (path) => early.map((one) => `import "${relative(dirname(path), join(root, one)).replace(/^(?!\.)/, "./")}";`);
  const together = {
    name: "what a page has is one file",
    setup({ onLoad }) {
      onLoad({ filter: /\.js$/ }, ({ path }) =>
        later.includes(path) ? { contents: [readFileSync(path, "utf8"), ...had(path)].join("\n") } : undefined,
      );
    },
  };
  const plugins = [...(how.plugins ?? []), together];
  return build({ ...how, plugins, logOverride: { "ignored-bare-import": "silent" } });
}

/** What some files import, and what is imported by that in turn. */
function reached(files, from) {
  const found = new Set();
  const left = [...from];
  while (left.length) {
    for (const { path, kind, external } of files[left.pop()].imports) {
      if (kind === "import-statement" && !external && !found.has(path)) found.add(path) && left.push(path);
    }
  }
  return found;
}

/** Enters what was built into the manifest; `named` gives the name of an entry by its path. */
function note({ metafile: { outputs } }, named) {
  const served = (path) => resolve(root, path).slice(out.length + 1);
  const needs = (path) => [...reached(outputs, [path])];
  const all = Object.values(outputs).flatMap(({ imports }) => imports);
  const lazy = [...new Set(all.filter(({ kind }) => kind === "dynamic-import").map(({ path }) => path))];
  for (const [path, { entryPoint }] of Object.entries(outputs)) {
    if (!entryPoint || lazy.includes(path)) continue;
    const imports = needs(path);
    const later = lazy.map((one) => [
      outputs[one].entryPoint.replace(/^(static|web\/src)\//, ""),
      [one, ...needs(one)].filter((file) => !imports.includes(file)).map(served),
    ]);
    manifest[named(entryPoint)] = {
      file: served(path),
      ...(imports.length && { imports: imports.map(served) }),
      ...(later.length && { later: Object.fromEntries(later) }),
    };
  }
}

/** Takes a file over as it is, under the hash of its content. */
function copy(name, content) {
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 8).toUpperCase();
  const end = extname(name);
  const file = `${name.slice(0, -end.length)}-${hash}${end}`;
  mkdirSync(dirname(join(out, file)), { recursive: true });
  writeFileSync(join(out, file), content);
  manifest[name] = { file };
}

/** As small as it gets, once and for all. Who reads a source map does not mind its size. */
async function compress(file) {
  const content = readFileSync(file);
  writeFileSync(`${file}.gz`, await promisify(gzip)(content, { level: 9 }));
  if (!file.endsWith(".map")) writeFileSync(`${file}.br`, await promisify(brotliCompress)(content));
}

function bundledPackages(inputs) {
  const names = inputs.map((path) => /^web\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]).filter(Boolean);
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
  return `The editor, the formatter and the maker of QR codes contain these packages.\n\n${parts.join(`\n${"-".repeat(72)}\n\n`)}`;
}
