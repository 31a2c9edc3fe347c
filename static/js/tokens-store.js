// Control tokens of the runs that this browser started. Whoever holds one may change that run, so they never leave for an address.

import { shelf } from "./stored.js";

const MOST = 300; // runs remembered; older ones can then only be watched

const tokens = shelf("tokens", MOST, ({ token }) => typeof token === "string");

/** `title` is what the code was called when it was run. */
export const remember = (id, token, title) => tokens.put(id, { token, title });
export const tokenOf = (id) => tokens.get(id)?.token ?? null;
export const titleOf = (id) => tokens.get(id)?.title ?? null;
export const forget = (id) => tokens.drop(id);

/** The runs remembered, newest first: [{id, title, at}]. */
export const remembered = () => tokens.entries().map(([id, { title, at }]) => ({ id, title, at }));

/** Calls when another tab has changed what is remembered. */
export const onRemembered = (call) => tokens.onChange(call);
