// Requests to our own server. What it refuses and what never reached it are told apart; its own words are what people read.

import { parse, stringify } from "./exact.js";

export class Refused extends Error {
  /** The server answered and said no. `code` is stable; `retryAfter` is in seconds, or null; `details` is the rest of the error. */
  constructor(status, { code, message, ...details }, retryAfter) {
    super(message);
    Object.assign(this, { status, code, details, retryAfter });
  }
}

export class Unreachable extends Error {
  /** No answer came: the server is down, or the connection is. */
  constructor() {
    super("No connection to the server.");
  }
}

/** `body` is sent as JSON, with the digits that it has; fields of a form (URLSearchParams) as a form. `allowed` is given what the answer's RateLimit fields say, by the limit's name. Raises Refused, Unreachable or, for an aborted `signal`, AbortError. */
export async function request(url, { method = "GET", body, token, signal, allowed } = {}) {
  const headers = { Accept: "application/json" };
  const isForm = body instanceof URLSearchParams;
  if (body !== undefined && !isForm) headers["Content-Type"] = "application/json";
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  let text;
  try {
    response = await fetch(url, { method, headers, body: body === undefined || isForm ? body : stringify(body), signal, cache: "no-store" });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable();
  }
  const answer = answerOf(text);
  allowed?.(allowancesOf(response.headers));
  if (response.ok) return answer;
  throw new Refused(response.status, answer?.error ?? unexplained(response), seconds(response.headers.get("Retry-After")));
}

export const post = (url, body, options = {}) => request(url, { ...options, method: "POST", body });

/** By the name of each limit {limit, left, reset}: so many of `limit` are left, and in `reset` seconds the first is given back. */
function allowancesOf(headers) {
  const found = {};
  for (const [, name, q] of (headers.get("RateLimit-Policy") ?? "").matchAll(/"(\w+)";q=(\d+)/g)) found[name] = { limit: Number(q) };
  for (const [, name, r, t] of (headers.get("RateLimit") ?? "").matchAll(/"(\w+)";r=(\d+);t=(\d+)/g)) Object.assign(found[name] ?? {}, { left: Number(r), reset: Number(t) });
  return found;
}

function answerOf(text) {
  try {
    return text ? parse(text) : null;
  } catch {
    return null;
  }
}

function unexplained(response) {
  const message = response.status >= 500 ? `The server could not answer (${response.status}).` : `The server refused this (${response.status}).`;
  return { code: "unknown", message };
}

function seconds(header) {
  const number = Number(header);
  return header && Number.isFinite(number) ? Math.max(1, Math.ceil(number)) : null;
}
