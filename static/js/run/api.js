// Requests about one instance. A failure comes back as words for people, never as an exception.

import { Already, Refused, Unreachable, request } from "../http.js";

const UNREACHABLE = "No answer: the connection or the server is gone. Nothing was sent.";

/** @returns {Promise<{ok: boolean, status: number, data: any, words: string, network: boolean, retryAfter: number}>} seconds; never rejects */
export async function call(method, path, { token = null, body } = {}) {
  const none = { ok: false, status: 0, data: null, words: "", network: false, retryAfter: 0 };
  try {
    const data = await request(path, { method, token, body: body === undefined ? undefined : new Already(JSON.stringify(body)) });
    return { ...none, ok: true, status: 200, data };
  } catch (error) {
    if (error instanceof Unreachable) return { ...none, network: true, words: UNREACHABLE };
    if (error instanceof Refused) return { ...none, status: error.status, words: error.message, retryAfter: error.retryAfter ?? 0 };
    throw error;
  }
}

export const instancePath = (id) => `/api/instances/${encodeURIComponent(id)}`;
