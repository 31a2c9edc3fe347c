// Requests about one instance. A failure comes back as words for people, never as an exception.

import { Refused, Unreachable, request } from "../http.js";

const UNREACHABLE = "No answer: the connection or the server is gone. Nothing was sent.";

/**
 * `body` is sent as JSON, with the digits that it has.
 * @returns {Promise<{ok: boolean, status: number, data: any, words: string, network: boolean, retryAfter: number, code: string, details: object}>}
 *   seconds; never rejects; `code` and `details` are those of a refusal
 */
export async function call(method, path, { token = null, body } = {}) {
  const none = { ok: false, status: 0, data: null, words: "", network: false, retryAfter: 0, code: "", details: {} };
  try {
    const data = await request(path, { method, token, body });
    return { ...none, ok: true, status: 200, data };
  } catch (error) {
    if (error instanceof Unreachable) return { ...none, network: true, words: UNREACHABLE };
    if (error instanceof Refused) return { ...none, status: error.status, words: error.message, retryAfter: error.retryAfter ?? 0, code: error.code, details: error.details };
    throw error;
  }
}

/** Asks for a stream only to learn what the server says to that: EventSource does not tell. The answer is as of `call`. */
export async function probe(path, token = null) {
  const none = { ok: false, status: 0, data: null, words: "", network: false, retryAfter: 0 };
  const stop = new AbortController();
  try {
    const response = await fetch(path, { headers: { Accept: "text/event-stream, application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) }, cache: "no-store", signal: stop.signal });
    const { status } = response;
    if (response.ok) return { ...none, ok: true, status };
    const data = await response.json().catch(() => null);
    return { ...none, status, words: data?.error?.message ?? `The server answered ${status}.`, retryAfter: Number(response.headers.get("Retry-After")) || 0 };
  } catch {
    return { ...none, network: true, words: UNREACHABLE };
  } finally {
    stop.abort();
  }
}
