// Drafts: what you changed and have not run or shared, kept in this browser. One that belongs to an opened example or link is offered,
// never put in its place; at the bare address the latest one is simply there again.

import { notice } from "./notices.js";
import { read, remove, shelf, write } from "./stored.js";
import { moment } from "./when.js";

const MOST = 20;
const LATEST = "draft";

const isDraft = (kept) => typeof kept?.source === "string" && typeof kept.params === "string";
const drafts = shelf("drafts", MOST, isDraft);

/** The name under which a page's draft is kept. */
function baseOf(page) {
  if (page.tenant) return `tenant:${page.tenant}:${page.instance.snippet}`;
  if (page.snippet) return `snippet:${page.snippet.id}`;
  return page.example ? `example:${page.example.slug}` : "blank";
}

/** @param {{page: object, text: () => string, params: () => string, restore: (draft: object) => void, say: (words: string) => void}} how */
export function makeDrafts({ page, text, params, restore, say }) {
  let base = baseOf(page);

  function differs(draft) {
    return isDraft(draft) && (draft.source !== page.source || draft.params.trim() !== page.params.trim());
  }

  /** Called once at the start: puts the latest draft back at the bare address, offers one elsewhere. */
  function open() {
    if (page.kind === "start") {
      const latest = read(LATEST);
      if (!differs(latest)) return;
      base = latest.base;
      restore(latest);
      const shown = notice("draft", {
        icon: "i-undo",
        tone: "calm",
        text: `Your draft from ${moment(latest.at)} is back.`,
        actions: [{ name: "Start from the example", act: () => (clear(), (base = baseOf(page)), restore(page), shown.close()) }],
      });
      return;
    }
    if (page.kind === "new") return; // a draft is of what is stored; edits of this become one at the bare address
    const draft = drafts.get(base);
    if (!differs(draft)) return;
    const what = page.kind === "example" ? "the example" : page.kind === "instance" ? "what this run ran" : "the shared version";
    const shown = notice("draft", {
      icon: "i-undo",
      tone: "calm",
      text: `You have a draft of this from ${moment(draft.at)}. Restore it, or keep ${what}.`,
      actions: [
        { name: "Restore", act: () => (restore(draft), shown.close()) },
        { name: "Discard", act: () => (clear(), shown.close()) },
      ],
    });
  }

  function keep() {
    const draft = { source: text(), params: params(), title: document.getElementById("title").textContent, base };
    if (!differs(draft)) return clear();
    const kept = drafts.put(base, draft) && (page.tenant ? true : write(LATEST, { ...draft, at: Date.now() })); // what is a tenant's stays with it
    say(kept ? "Draft kept in this browser" : "This browser keeps no drafts");
  }

  function clear() {
    drafts.drop(base);
    if (read(LATEST)?.base === base) remove(LATEST);
    say("");
  }

  /** The code is stored under a link now: that is what later edits are a draft of. */
  function stored(snippet, source, paramsText) {
    drafts.drop(base);
    base = page.tenant ? `tenant:${page.tenant}:${snippet}` : `snippet:${snippet}`;
    Object.assign(page, { source, params: paramsText });
    keep(); // what was typed while it was on its way
  }

  return { open, keep, stored };
}
