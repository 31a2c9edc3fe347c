// Requests to our own server. What it refuses and what never reached it are told apart; its own words are what people read.

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

/** `body` is sent as JSON; an Already is sent as it is. `allowed` is given what the answer's RateLimit fields say, by the limit's name. Raises Refused, Unreachable or, for an aborted `signal`, AbortError. */
export async function request(url, { method = "GET", body, token, signal, allowed } = {}) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (token) headers.Authorization = `Bearer ${token}`;
  let response;
  let text;
  try {
    response = await fetch(url, { method, headers, body: body instanceof Already ? body.json : body && JSON.stringify(body), signal, cache: "no-store" });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable();
  }
  const answer = parse(text);
  allowed?.(allowancesOf(response.headers));
  if (response.ok) return answer;
  throw new Refused(response.status, answer?.error ?? unexplained(response), seconds(response.headers.get("Retry-After")));
}

export const post = (url, body, options = {}) => request(url, { ...options, method: "POST", body });

/** JSON text that is sent as it stands, so that numbers keep all their digits. */
export class Already {
  constructor(json) {
    this.json = json;
  }
}

/** By the name of each limit {limit, left, reset}: so many of `limit` are left, and in `reset` seconds the first is given back. */
function allowancesOf(headers) {
  const found = {};
  for (const [, name, q] of (headers.get("RateLimit-Policy") ?? "").matchAll(/"(\w+)";q=(\d+)/g)) found[name] = { limit: Number(q) };
  for (const [, name, r, t] of (headers.get("RateLimit") ?? "").matchAll(/"(\w+)";r=(\d+);t=(\d+)/g)) Object.assign(found[name] ?? {}, { left: Number(r), reset: Number(t) });
  return found;
}

function parse(text) {
  try {
    return text ? JSON.parse(text) : null;
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
