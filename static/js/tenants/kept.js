// Keys of tenants that this browser keeps. Whoever holds one may do all that the tenant may, so they are sent in a header and never stand in an address.

import { shelf } from "../stored.js";

const MOST = 50;

const tenants = shelf("tenants", MOST, ({ key }) => typeof key === "string");

export const keyOf = (tenant) => tenants.get(tenant)?.key ?? null;
export const keep = (tenant, key) => tenants.put(tenant, { key });
export const forget = (tenant) => tenants.drop(tenant);

/** Names of the tenants, the last used first. */
export const kept = () => tenants.entries().map(([name]) => name);

/** Calls when another tab has changed what is kept. */
export const onKept = (call) => tenants.onChange(call);
