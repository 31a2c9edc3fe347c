// What a step has asked other hosts, in words: for its row, its drawer and the journal.

import { el } from "../dom.js";
import { lasting } from "./words.js";

const SHOWN = 3; // statuses in a row
const size = (bytes) => `${bytes.toLocaleString("en")} ${bytes === 1 ? "byte" : "bytes"}`;

/** A `fetch_called` in the journal. */
export const fetchBrief = ({ method, host, status, bytes, took_ms: took, redirects, error }) =>
  [`${method} ${host}`, error ?? `${status}`, bytes === undefined ? "" : size(bytes), redirects ? `${redirects} ${redirects === 1 ? "redirect" : "redirects"}` : "", lasting(took)].filter(Boolean).join(", ");

/** The status of an answer, or that there was none. */
export const statusWord = ({ status, error }) => (error ? "failed" : String(status));

/** Whether an answer says that something went wrong. */
export const isBad = ({ status, error }) => Boolean(error) || status >= 400;

/** What stands in a step's row: the statuses of its last answers, oldest first. Empty without any. */
export function statusesOf({ fetches = [] }) {
  const last = fetches.slice(-SHOWN).map(statusWord);
  return last.length ? `${fetches.length > SHOWN ? "… " : ""}${last.join(" ")}` : "";
}

/** All of them, a line each. */
export const fetchLines = ({ fetches = [] }) => fetches.map(fetchBrief).join("\n");

/** The part of a step's drawer about its requests. */
export function requests({ fetches = [] }) {
  if (!fetches.length) return [];
  const cells = ["Try", "Request", "Status", "Size", "Took"].map((word) => el("th", { scope: "col" }, word));
  const rows = fetches.map((one) =>
    el(
      "tr",
      {},
      el("td.num", {}, one.attempt ?? ""),
      el("td", {}, el("code", {}, `${one.method} ${one.host}`), one.error && el("p", {}, one.error)),
      el(`td${isBad(one) ? ".bad" : ""}`, {}, statusWord(one)),
      el("td.num", {}, one.bytes === undefined ? "" : `${one.bytes.toLocaleString("en")} B`),
      el("td.num", {}, lasting(one.took_ms)),
    ),
  );
  return [el("h4", {}, "Requests"), el("div.requests", { tabindex: "0", role: "group", "aria-label": "Requests" }, el("table", {}, el("thead", {}, el("tr", {}, ...cells)), el("tbody", {}, ...rows)))];
}
