// What stands at a place of the source, as the tenant API knows it.

import { ensureSyntaxTree, syntaxTree } from "@codemirror/language";
import { CALLS, MEMBERS } from "./api.js";

const BACK = 400; // characters looked at before a place, for the dict it may stand in

const PARSE_MS = 50; // for what was typed just now

const nodeAt = (state, pos) => (ensureSyntaxTree(state, pos, PARSE_MS) ?? syntaxTree(state)).resolveInner(pos, -1).name;
export const inString = (state, pos) => /String$/.test(nodeAt(state, pos));
export const inComment = (state, pos) => nodeAt(state, pos) === "Comment";

/** What an object is: "step", "event", "EFFECTS" …; by its name, by what was assigned to it, or by how its function is used. */
export function kindOf(state, object) {
  const last = object.replace(/^self\.env\./, "").split(".").at(-1);
  if (object === "self.env") return "env";
  if (object in MEMBERS || object === "step") return object;
  if (object.startsWith("self.env.")) return last;
  if (object.includes(".") || !/^\w+$/.test(object)) return null;
  const text = state.doc.toString();
  const bound = new RegExp(`\\b${object}\\s*=\\s*self\\.env\\b(?:\\.(\\w+))?`).exec(text);
  if (bound) return bound[1] ?? "env";
  if (new RegExp(`\\b${object}\\s*=\\s*await\\s+step\\.wait_for_event\\b`).test(text)) return "received";
  if (new RegExp(`\\b${object}\\s*=\\s*await\\s+self\\.env\\.WORKFLOWS\\.(create|get)\\b`).test(text)) return "handle";
  for (const [use, kind] of [
    [/\brollback\s*=\s*(\w+)/g, "rollback"],
    [/["']delay["']\s*:\s*([A-Za-z_]\w*)/g, "delay"],
  ]) {
    for (const [, handler] of text.matchAll(use)) if (new RegExp(`\\bdef\\s+${handler}\\s*\\(\\s*${object}\\b`).test(text)) return kind;
  }
  return null;
}

/** The call of the tenant API whose name ends a text: "@step.do", "step.sleep", "EFFECTS.charge" …, or null. */
export function callNamed(state, text) {
  const [, at, object, method] = /(@?)((?:\w+\.)*)(\w+)$/.exec(text) ?? [];
  if (!method) return null;
  if (!object) return method in CALLS ? method : null;
  const kind = kindOf(state, object.slice(0, -1));
  const name = `${at && method === "do" ? "@" : ""}${kind}.${method}`;
  return name in CALLS ? name : null;
}

/** The call of the tenant API whose brackets a place is in, and which parameter it is at: {name, pos, parameter}, or null. */
export function callAround(state, head) {
  for (let node = syntaxTree(state).resolveInner(head, -1); node; node = node.parent) {
    if (node.name !== "ArgList" || head <= node.from) continue;
    if (head >= node.to && state.sliceDoc(node.to - 1, node.to) === ")") continue;
    const name = callNamed(state, state.sliceDoc(Math.max(0, node.from - 80), node.from).trimEnd());
    return name && { name, pos: node.from, parameter: parameterAt(state, node, head, CALLS[name].params) };
  }
  return null;
}

function parameterAt(state, list, head, params) {
  let place = 0;
  let keyword = null;
  for (let child = list.firstChild; child && child.from < head; child = child.nextSibling) {
    if (child.name === ",") {
      place++;
      keyword = null;
    } else if (child.name === "VariableName" && child.nextSibling?.name === "AssignOp") keyword = state.sliceDoc(child.from, child.to);
  }
  if (keyword) return params.findIndex(([written]) => nameOf(written) === keyword);
  const star = params.findIndex(([written]) => written === "*");
  return place < (star < 0 ? params.length : star) ? place : -1;
}

export const nameOf = (written) => /^\**(\w*)/.exec(written)[1];

/** Whether a place in a text is in a dict of retries or of a config: "retries", "config" or null. */
export function dictAround(state, pos) {
  const before = state.sliceDoc(Math.max(0, pos - BACK), pos);
  if (/["']retries["']\s*:\s*\{[^{}]*$/.test(before)) return "retries";
  return /(config\s*=\s*|^[A-Z_]+\s*=\s*)\{(?:[^{}]|\{[^{}]*\})*$/m.test(before) ? "config" : null;
}
