// Whose runs this page starts and shows: this browser's own, each with its control token. A tenant's, all with its key: tenants/run.js.

import { JsonText } from "./exact.js";
import { post } from "./http.js";
import { remember, rename, titleOf, tokenOf } from "./tokens-store.js";

/**
 * @typedef {{tenant: string | null, tokenOf: (id: string) => string | null, titleOf: (id: string) => string | null, rename: ((id: string, title: string) => void) | null,
 *   made: (instance: object, title: string) => {id: string, token: string, path: string, snippet: string},
 *   create: (asked: {source: string, params: string | null, breaks: object[], breakpoints: object[], skips: boolean, schedule?: string | null, results?: object[]}, options: object) => Promise<object | null>}} Whose
 *   `rename` calls a run otherwise in this browser; `made` notes a run that was started; `create` asks for one, null when the person thought better of it; `params` are JSON text
 */

/** @type {Whose} */
export const ours = {
  tenant: null,
  tokenOf,
  titleOf,
  rename,
  made(instance, title) {
    remember(instance.id, instance.control_token, title);
    return { id: instance.id, token: instance.control_token, path: instance.url, snippet: instance.snippet };
  },
  create({ source, params, breaks, breakpoints = [], skips = false, schedule = null, results = [] }, options) {
    const body = { source, ...(params === null ? {} : { params: new JsonText(params) }), ...(breaks.length ? { breaks } : {}), ...(breakpoints.length ? { breakpoints } : {}), ...(skips ? { skip_sleeps: true } : {}), ...(schedule ? { schedule } : {}), ...(results.length ? { results } : {}) };
    return post("/api/instances", body, options);
  },
};
