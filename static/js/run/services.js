// What a step's calls of models and tools came to, in words: for its row, its drawer and the journal.

import { el } from "../dom.js";
import { lasting } from "./words.js";

const number = (n) => n.toLocaleString("en");
const times = (n, word) => `${number(n)} ${word}${n === 1 ? "" : "s"}`;

/** An `ai_called` in the journal. */
export const aiBrief = ({ model, tokens_in: sent, tokens_out: received, took_ms: took, error }) => `${model}, ${error ? `no answer (${error})` : `${times(sent, "token")} in, ${number(received)} out`}, ${lasting(took)}`;

/** An `mcp_called` in the journal. */
export function mcpBrief({ server, tool, took_ms: took, task, status, error }) {
  const where = server === "default" ? tool : `${tool} of ${server}`;
  return `${where}, ${lasting(took)}${task && status === "working" ? ", goes on there as a task" : ""}${error ? `: failed (${error})` : ""}`;
}

/** What stands in a step's row beside its time: how many tokens its calls of models took. */
export const tokensWords = ({ ai }) => (ai && ai.tokens_in + ai.tokens_out ? `${times(ai.tokens_in + ai.tokens_out, "token")}` : "");

/** The part of a step's drawer about models and tools. */
export function calls({ ai, mcp }) {
  const made = [];
  if (ai) made.push(el("h4", {}, "Model"), el("p.calls", {}, el("code", {}, ai.model), ` ${[...counted(ai), `${times(ai.tokens_in, "token")} in, ${number(ai.tokens_out)} out`, lasting(ai.took_ms)].join(" · ")}`));
  if (mcp) made.push(el("h4", {}, "Tool"), el("p.calls", {}, el("code", {}, mcp.tool), ` ${[...(mcp.server === "default" ? [] : [`of ${mcp.server}`]), ...counted(mcp), lasting(mcp.took_ms)].join(" · ")}`));
  return made;
}

const counted = ({ calls: count, failed }) => [...(count > 1 ? [times(count, "call")] : []), ...(failed ? [`${number(failed)} failed`] : [])];
