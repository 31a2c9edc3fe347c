// Sentences of lessons and hints: text in which code stands between backticks.

import { el } from "./dom.js";

export const lowered = (text) => text.charAt(0).toLowerCase() + text.slice(1);

/** Text in which code stands between backticks, in parts. */
export const spoken = (text) => text.split("`").map((piece, index) => (index % 2 ? { code: piece } : piece)).filter((piece) => piece !== "");

/** The same as nodes of the page. */
export const spokenNodes = (text) => spoken(text).map((part) => (part.code ? el("code", {}, part.code) : part));
