// What a new workflow begins with, pure: blank, a skeleton, what was pasted, a file.

import { UNTITLED, edited, nameIn, renaming } from "./names.js";

const BLANK = `from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return None
`;

const SKELETON = `from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        # Inside a step: whatever touches the world. It runs once, and its result is kept.
        @step.do("first step")
        async def first():
            return {"params": event["payload"]}

        result = await first()

        await step.sleep("wait a moment", "2 seconds")
        answer = await step.wait_for_event("wait for an answer", "answer", timeout="1 hour")

        @step.do("second step", config={"retries": {"limit": 3, "delay": "1 second", "backoff": "exponential"}})
        async def second():
            return {**result, "answer": answer["payload"]}

        return await second()
`;

/** @type {Record<string, {words: string, say: string, source: string}>} */
export const TEMPLATES = {
  blank: { words: "Blank", say: "A class and an empty run", source: BLANK },
  skeleton: { words: "Skeleton", say: "Two steps, a sleep, a wait for an event", source: SKELETON },
};

/** A template under a name. */
export function fromTemplate(which, name) {
  const { source } = TEMPLATES[which];
  return { name: name || UNTITLED, source: edited(source, renaming(source, name || UNTITLED)) };
}

/**
 * Code that comes from elsewhere: without the fences of a chat, with one kind of line end. It keeps the name that it has, else that of
 * its file; null where there is no code in it.
 */
export function fromText(text, { name = "" } = {}) {
  const source = unfenced(text.replace(/^\ufeff/, "").replace(/\r\n?/g, "\n"));
  if (!source.trim()) return null;
  return { name: nameIn(source) ?? (name.replace(/\.[^.]*$/, "").replace(/[_-]+/g, " ").trim() || UNTITLED), source: source.endsWith("\n") ? source : `${source}\n` };
}

/** What stands between the first fences of a text, if it has any; else the text. The largest of several pieces is the code. */
function unfenced(text) {
  const pieces = [];
  let open = null;
  for (const line of text.split("\n")) {
    const fence = /^\s*(`{3,}|~{3,})\s*([\w+-]*)\s*$/.exec(line);
    if (open && fence && !fence[2] && fence[1].startsWith(open.mark)) {
      pieces.push(open.lines);
      open = null;
    } else if (open) open.lines.push(line);
    else if (fence) open = { mark: fence[1], lines: [] };
  }
  if (open?.lines.length) pieces.push(open.lines); // cut off before its end
  if (!pieces.length) return text;
  return pieces.reduce((most, piece) => (piece.length > most.length ? piece : most)).join("\n");
}

/** Why a file cannot be opened here, or "". */
export function whyNot({ name, size, text = "" }, most) {
  if (size > most) return `${name} has ${size.toLocaleString("en")} bytes; the most is ${most.toLocaleString("en")}.`;
  if (text.includes("\0")) return `${name} is no text.`;
  return "";
}
