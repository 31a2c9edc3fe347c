// What is typed to find a tenant's runs, and the filter that it stands for: `vip error:ValueError waiting:go since:"2 hours"`. A word alone is a
// tag. The filter is in the page's address, so that a list is a link.

const FIELDS = { tag: "tag", error: "error", text: "text", waiting: "waiting_for", workflow: "workflow", version: "version", since: "since", until: "until" };
const WORD = /(?:([a-z]+):)?(?:"([^"]*)"|(\S+))/g;

/** The filter of a text: a list of [field, value]; only tags come several times. */
export function filterOf(text) {
  const found = [];
  for (const [whole, name, quoted, plain] of text.matchAll(WORD)) {
    const field = FIELDS[name];
    const value = field || name === undefined ? (quoted ?? plain) : whole; // what looks like a field and is none is a tag: order:7
    if (!value) continue;
    const pair = [field ?? "tag", value];
    if (pair[0] === "tag" ? found.some(([other, same]) => other === "tag" && same === value) : false) continue;
    const before = pair[0] === "tag" ? -1 : found.findIndex(([other]) => other === pair[0]);
    if (before >= 0) found[before] = pair;
    else found.push(pair);
  }
  return found;
}

/** The text of a filter. */
export function textOf(filter) {
  const word = (value) => (/[\s"]/.test(value) ? `"${value.replaceAll('"', "")}"` : value);
  const names = Object.fromEntries(Object.entries(FIELDS).map(([name, field]) => [field, name]));
  return filter.map(([field, value]) => (field === "tag" && !/^[a-z]+:/.test(value) ? word(value) : `${names[field]}:${word(value)}`)).join(" ");
}

/** The filter that an address has. */
export function filterOfAddress(query) {
  return Object.values(FIELDS).flatMap((field) => (field === "tag" ? query.getAll(field) : query.getAll(field).slice(0, 1)).map((value) => [field, value]));
}

/** Puts a filter into an address's query, in place of the one that was there. */
export function intoAddress(query, filter) {
  for (const field of Object.values(FIELDS)) query.delete(field);
  for (const [field, value] of filter) query.append(field, value);
}

/** The filter as the API takes it in a body. */
export function asBody(filter, status) {
  const body = status ? { status } : {};
  for (const [field, value] of filter) {
    if (field === "tag") body.tag = [...(body.tag ?? []), value];
    else body[field] = value;
  }
  return body;
}

/** What is asked before an operation on many runs. */
export function question(verb, { matched, unchanged }, already) {
  const runs = matched === 1 ? "1 run" : `${matched.toLocaleString("en")} runs`;
  if (!unchanged) return { title: `${verb} ${runs}?`, words: "They are chosen now: runs that fit later are left alone." };
  return { title: `${verb} ${runs}?`, words: `${unchanged.toLocaleString("en")} of them ${unchanged === 1 ? "is" : "are"} ${already} already, and stay${unchanged === 1 ? "s" : ""} so.` };
}

/** How an operation on many runs stands, in words. */
export function standing({ state, matched, done, unchanged, failed, rate }) {
  const over = done + unchanged + failed;
  const n = (number) => number.toLocaleString("en");
  if (state === "running") return `${n(over)} of ${n(matched)}${over ? `, ${n(Math.round(rate))} a second` : ""}`;
  const parts = [`${n(done)} done`];
  if (unchanged) parts.push(`${n(unchanged)} were so already`);
  if (failed) parts.push(`${n(failed)} could not be`);
  return `${state === "stopped" ? `stopped after ${n(over)} of ${n(matched)}: ` : ""}${parts.join(", ")}`;
}
