// The runs that this browser knows: those that it started, with their control tokens (whoever holds one may change that run, so they never
// leave for an address), and those of others that were opened here, which can only be watched.

import { shelf } from "./stored.js";

const MOST = 300; // of each kind; older ones can then only be watched, or are found by their address

const tokens = shelf("tokens", MOST, ({ token }) => typeof token === "string");
const seen = shelf("seen-runs", MOST, ({ title }) => typeof title === "string");

/** `title` is what the code was called when it was run. */
export const remember = (id, token, title) => {
  tokens.put(id, { token, title });
  seen.drop(id);
};
export const tokenOf = (id) => tokens.get(id)?.token ?? null;
export const titleOf = (id) => (tokens.get(id) ?? seen.get(id))?.title ?? null;

/** Notes that somebody else's run was opened; one that is known keeps its place and its name. */
export function noteSeen(id, title) {
  if (!tokens.get(id) && !seen.get(id)) seen.put(id, { title });
}

/** Calls a run otherwise, in this browser. It keeps its place. */
export function rename(id, title) {
  const shelves = tokens.get(id) ? tokens : seen;
  shelves.put(id, { ...shelves.get(id), title });
}

export function forget(id) {
  tokens.drop(id);
  seen.drop(id);
}

/** The runs known, newest first: [{id, title, at, own}]; `own`: started here, so that it can be changed. */
export function remembered() {
  const known = (kept, own) => kept.entries().map(([id, { title, at }]) => ({ id, title, at, own }));
  return [...known(tokens, true), ...known(seen, false)].sort((a, b) => (b.at ?? 0) - (a.at ?? 0));
}

/** Calls when another tab has changed what is remembered. */
export function onRemembered(call) {
  tokens.onChange(call);
  seen.onChange(call);
}
