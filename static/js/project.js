// A project for Cloudflare, read in the browser: a zip or a dropped folder, and in it the file that is the workflow, by the settings that
// `wrangler` goes by. The rules are those of playground/cloudflare/reading.py, and tests/test_cloudflare_import.py gives both the same
// projects: somebody else may have made one, to take all memory or to name places outside of it. No server sees its bytes.

const ZIP_BYTES = 16 * 1024 * 1024;
const ENTRIES = 2000; // files and folders that are looked at
const FILE_BYTES = 1024 * 1024; // of one file that is read
const ALL_BYTES = 8 * 1024 * 1024; // of all of them
const SETTINGS = ["wrangler.jsonc", "wrangler.json", "wrangler.toml"];
const PARAMS = "params.json";
const PASSED_OVER = new Set(["node_modules", "python_modules", "vendor", "dist", "build", "__pycache__", "__MACOSX"]);
const [STORED, DEFLATED] = [0, 8]; // ways to pack an entry
const [END, ENTRY, LOCAL] = [0x06054b50, 0x02014b50, 0x04034b50]; // how the records of a zip begin
const END_BYTES = 22;
const COMMENT_BYTES = 65535;

/** It can't be read; the message is a sentence. */
export class BadProject extends Error {}

const number = (count) => count.toLocaleString("en");
const passedOver = (name) => PASSED_OVER.has(name) || name.startsWith(".");
const wanted = (name) => name.endsWith(".py") || SETTINGS.includes(name) || name === PARAMS;
const last = (path) => path.slice(path.lastIndexOf("/") + 1);
const parent = (path) => path.slice(0, Math.max(0, path.lastIndexOf("/")));
const inside = (path, folder) => folder === "" || path.startsWith(`${folder}/`);

class Kept {
  constructor(name) {
    Object.assign(this, { name, files: new Map(), entries: 0, bytes: 0 });
  }

  count(entries) {
    this.entries += entries;
    if (this.entries > ENTRIES) throw new BadProject(`${this.name} has more than ${number(ENTRIES)} files and folders. Give a project without others.`);
  }

  add(path, data) {
    if (this.files.has(path)) throw new BadProject(`${this.name} holds ${path.slice(0, 100)} twice.`);
    if (data.length > FILE_BYTES) throw new BadProject(`${path.slice(0, 100)} of ${this.name} has more than ${number(FILE_BYTES)} bytes.`);
    this.bytes += data.length;
    if (this.bytes > ALL_BYTES) throw new BadProject(`The code in ${this.name} has more than ${number(ALL_BYTES)} bytes.`);
    this.files.set(path, data);
  }
}

/** The files of a zip that matter, by their paths in it. @param {Blob} blob @returns {Promise<Map<string, Uint8Array>>} */
export async function readZip(blob, name) {
  if (blob.size > ZIP_BYTES) throw new BadProject(`${name} has ${number(blob.size)} bytes; the most is ${number(ZIP_BYTES)}.`);
  const kept = new Kept(name);
  const data = new Uint8Array(await blob.arrayBuffer());
  try {
    const entries = listed(new DataView(data.buffer), data);
    kept.count(entries.length);
    for (const entry of entries) await keep(entry, data, kept);
  } catch (error) {
    if (error instanceof BadProject) throw error;
    throw new BadProject(`${name} is no zip that can be read: ${error.message}.`);
  }
  return kept.files;
}

async function keep(entry, data, kept) {
  const { path } = entry;
  if (path.endsWith("/")) return;
  const parts = path.split("/");
  if (path.startsWith("/") || parts.includes("..") || /[\\:\0]/.test(path)) throw new BadProject(`${kept.name} names a place outside of it: '${path.slice(0, 100)}'.`);
  if (!wanted(parts.at(-1)) || parts.slice(0, -1).some(passedOver)) return;
  if (entry.flags & 1) throw new BadProject(`${kept.name} is encrypted. Unpack it, and give the folder.`);
  const found = await unpacked(entry, data);
  kept.add(path, found);
  if (crc(found) !== entry.crc) throw new Error(`${path} is damaged`);
}

/** The entries that the end of a zip lists. */
function listed(view, data) {
  let end = data.length - END_BYTES;
  for (const least = Math.max(0, end - COMMENT_BYTES); end >= least && view.getUint32(end, true) !== END; end--);
  if (end < 0 || view.getUint32(end, true) !== END) throw new Error("it has no end");
  const count = view.getUint16(end + 10, true);
  let at = view.getUint32(end + 16, true);
  if (count === 0xffff || at === 0xffffffff) throw new Error("it is of the large kind (ZIP64)");
  const found = [];
  for (let index = 0; index < count; index++) {
    if (view.getUint32(at, true) !== ENTRY) throw new Error("its list of files is cut off");
    const [nameBytes, extra, comment] = [28, 30, 32].map((offset) => view.getUint16(at + offset, true));
    found.push({
      flags: view.getUint16(at + 8, true),
      way: view.getUint16(at + 10, true),
      crc: view.getUint32(at + 16, true),
      packed: view.getUint32(at + 20, true),
      offset: view.getUint32(at + 42, true),
      path: new TextDecoder().decode(data.subarray(at + 46, at + 46 + nameBytes)),
    });
    at += 46 + nameBytes + extra + comment;
  }
  return found;
}

/** What an entry holds: of one that is too large, a little more than may be. */
async function unpacked({ way, packed, offset }, data) {
  const view = new DataView(data.buffer);
  if (view.getUint32(offset, true) !== LOCAL) throw new Error("an entry is not where the list says");
  const begins = offset + 30 + view.getUint16(offset + 26, true) + view.getUint16(offset + 28, true);
  const body = data.subarray(begins, begins + packed);
  if (way === STORED) return body;
  if (way !== DEFLATED) throw new Error("it is packed in a way that browsers can't undo");
  const reader = new Blob([body]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  const pieces = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    pieces.push(value);
    size += value.length;
    if (size > FILE_BYTES) {
      reader.cancel().catch(() => {});
      break;
    }
  }
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});
const crc = (data) => ~data.reduce((sum, byte) => TABLE[(sum ^ byte) & 255] ^ (sum >>> 8), -1) >>> 0;

/** The files of a dropped folder that matter. @param {FileSystemDirectoryEntry} folder */
export async function readFolder(folder) {
  const kept = new Kept(folder.name);
  const waiting = [[folder, ""]];
  while (waiting.length) {
    const [from, path] = waiting.pop();
    for (const entry of await entriesOf(from, kept)) {
      const at = path + entry.name;
      if (entry.isDirectory && !passedOver(entry.name)) waiting.push([entry, `${at}/`]);
      else if (entry.isFile && wanted(entry.name)) {
        const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
        kept.add(at, new Uint8Array(await file.slice(0, FILE_BYTES + 1).arrayBuffer()));
      }
    }
  }
  return kept.files;
}

/** A browser gives some at a time. */
async function entriesOf(folder, kept) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    kept.count(some.length);
    found.push(...some);
  }
}

/**
 * The one workflow of a project. Raises BadProject where there is none, or where there are several.
 *
 * @param {Map<string, Uint8Array>} files
 * @returns {{source: string, className: string, path: string, name: string, params: string | null, notes: string[]}}
 */
export function findWorkflow(files) {
  const settingsPath = settingsOf(files);
  const settings = parsed(settingsPath, textOf(files, settingsPath));
  const classes = classesOf(settings, settingsPath);
  if (classes.length > 1) throw new BadProject(`It has the workflows ${classes.join(" and ")}. Open the file of one of them.`);
  const root = parent(settingsPath);
  const path = fileOf(files, root, typeof settings.main === "string" ? settings.main : "", classes[0]);
  const source = textOf(files, path);
  return { source, className: classes[0], path, name: typeof settings.name === "string" ? settings.name : "", params: paramsOf(files, root ? `${root}/${PARAMS}` : PARAMS), notes: leftOut(files, path, source) };
}

function settingsOf(files) {
  const found = [...files.keys()].filter((path) => SETTINGS.includes(last(path)));
  if (!found.length) throw new BadProject(`There is no ${SETTINGS[0]}, ${SETTINGS[1]} or ${SETTINGS[2]} in it: it is no project of wrangler.`);
  const depth = (path) => path.split("/").length;
  const least = Math.min(...found.map(depth));
  const nearest = found.filter((path) => depth(path) === least);
  if (new Set(nearest.map(parent)).size > 1) throw new BadProject(`It holds several projects: ${nearest.sort().join(", ").slice(0, 200)}. Give one of them.`);
  return nearest.sort((a, b) => SETTINGS.indexOf(last(a)) - SETTINGS.indexOf(last(b)))[0];
}

function parsed(path, text) {
  let found;
  try {
    found = path.endsWith(".toml") ? fromToml(text) : JSON.parse(plainJson(text));
  } catch (error) {
    throw new BadProject(`${path} can't be read: ${error.message}.`);
  }
  if (found === null || typeof found !== "object" || Array.isArray(found)) throw new BadProject(`${path} holds no settings.`);
  return found;
}

const STRING = '"(?:[^"\\\\]|\\\\[^])*(?:"|$)';

/** JSON of a text that may have comments and trailing commas. */
export function plainJson(text) {
  const without = text.replace(new RegExp(`${STRING}|//[^\\n]*|/\\*(?:[^]*?\\*/|[^]*$)`, "g"), (it) => (it.startsWith('"') ? it : " "));
  return without.replace(new RegExp(`${STRING}|,(?=\\s*[}\\]])`, "g"), (it) => (it.startsWith('"') ? it : ""));
}

/** Of TOML what is asked of it here: texts at the top, and those of the tables `[[workflows]]`. */
function fromToml(text) {
  const found = { workflows: [] };
  let table = found;
  for (const line of text.split(/\r?\n/)) {
    const head = /^\s*(\[\[?)\s*([\w.-]+)\s*\]\]?\s*(?:#.*)?$/.exec(line);
    const pair = /^\s*([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)')\s*(?:#.*)?$/.exec(line);
    if (head) {
      table = {};
      if (head[1] === "[[" && head[2] === "workflows") found.workflows.push(table);
    } else if (pair) table[pair[1]] = pair[2] === undefined ? pair[3] : JSON.parse(`"${pair[2]}"`);
  }
  return found;
}

/** The classes of its own workflows; one with a `script_name` is another Worker's. */
function classesOf(settings, path) {
  const named = Array.isArray(settings.workflows) ? settings.workflows : [];
  const found = named.filter((it) => it !== null && typeof it === "object" && !("script_name" in it)).map((it) => it.class_name);
  const classes = [...new Set(found)].filter((name) => typeof name === "string" && /^[\p{L}_][\p{L}\p{N}_]*$/u.test(name));
  if (!classes.length) throw new BadProject(`${path} names no workflow: \`workflows\` has no entry with a \`class_name\`.`);
  return classes;
}

function fileOf(files, root, main, className) {
  const begins = new RegExp(`^class[ \\t]+${className}[ \\t]*[(:]`, "m");
  const first = `${root ? `${root}/` : ""}${main.replace(/^\.\//, "")}`;
  const order = (path) => [path === first ? 0 : 1, path.split("/").length];
  const sorted = [...files.keys()].filter((path) => path.endsWith(".py") && inside(path, root)).sort((a, b) => {
    const [left, right] = [order(a), order(b)];
    return left[0] - right[0] || left[1] - right[1] || (a < b ? -1 : 1);
  });
  for (const path of sorted) if (begins.test(new TextDecoder("latin1").decode(files.get(path))) || begins.test(new TextDecoder().decode(files.get(path)))) return path;
  if (main && !main.endsWith(".py")) throw new BadProject(`Its code is ${main.slice(0, 100)}, and workflows here are written in Python.`);
  throw new BadProject(`No file of it has a line \`class ${className}(…)\`.`);
}

function textOf(files, path) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(files.get(path));
  } catch {
    throw new BadProject(`${path} is not UTF-8 text; save it as UTF-8.`);
  }
}

function paramsOf(files, path) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(files.get(path));
    JSON.parse(text);
    return text.trim();
  } catch {
    return null;
  }
}

/** Other files that it imports: a workflow here is one file. */
function leftOut(files, path, source) {
  const folder = parent(path);
  const near = new Set([...files.keys()].filter((other) => other.endsWith(".py") && other !== path && inside(other, folder)).map((other) => other.slice(folder ? folder.length + 1 : 0).split("/")[0].replace(/\.py$/, "")));
  const named = new Set([...source.matchAll(/^[ \t]*(?:from[ \t]+(\.*\w*)|import[ \t]+(\w+))/gm)].map((it) => (it[1] ?? it[2]).replace(/^\.+|\.+$/g, "")));
  return [...named].filter((name) => near.has(name)).map((name) => `It imports ${name}, another file, which does not come along: a workflow here is one file.`);
}
