// Drafts: what you changed and have not run or shared, kept in this browser, each tab's apart. One that belongs to an opened example or link
// is offered, never put in its place; at the bare address the tab's latest one is simply there again, or that of a tab which was closed.

import { DraftStore } from "./draft-store.js";
import { close, notice } from "./notices.js";
import { moment } from "./when.js";

const CLOSED_MS = 86_400_000; // a closed tab's draft comes back by itself for a day, the newest of all whenever

/** The name under which a page's draft is kept. */
function baseOf(page) {
  if (page.tenant) return `tenant:${page.tenant}:${page.instance.snippet}`;
  if (page.snippet) return `snippet:${page.snippet.id}`;
  return page.example ? `example:${page.example.slug}` : "blank";
}

const isTenants = ({ base }) => base.startsWith("tenant:"); // what is a tenant's stays with it

/**
 * @param {{page: object, text: () => string, params: () => string, stops: () => object[], restore: (draft: object) => void, restoreStops: (stops: object[]) => void, say: (words: string) => void}} how
 *   `stops` are the breakpoints, which are kept with a draft, or alone where nothing else was changed
 */
export function makeDrafts({ page, text, params, stops, restore, restoreStops, say }) {
  const store = new DraftStore();
  let base = baseOf(page);
  let touched = false; // something was typed here already
  let turn = Promise.resolve(); // what is kept is kept in order

  const isEdited = (draft) => draft.source !== page.source || draft.params.trim() !== page.params.trim();
  const differs = (draft) => isEdited(draft) || Boolean(draft.stops?.length);

  /** Called once at the start: puts the latest draft back at the bare address, offers one elsewhere. */
  async function open() {
    if (page.kind === "new") return; // a draft is of what is stored; edits of this become one at the bare address
    const bare = page.kind === "start";
    const found = bare ? await latest() : await draftOf(base);
    if (!found) return;
    if (!isEdited(found)) {
      base = found.base;
      store.adopt(found, !isTenants(found));
      if (!touched) restoreStops(found.stops);
    } else if (bare && !touched) comesBack(found);
    else offer(found);
  }

  /** The draft that this tab had, else that of one that was closed. */
  async function latest() {
    const of = (draft) => !isTenants(draft) && differs(draft) && !(draft.plain && isEdited(draft));
    const mine = await store.mine();
    if (mine) return of(mine) ? mine : null;
    const [newest] = store.all().filter((draft) => !isTenants(draft));
    const [closed] = (await store.orphans()).filter(of);
    return closed && (closed.id === newest?.id || Date.now() - closed.at < CLOSED_MS) ? closed : null;
  }

  async function draftOf(wanted) {
    const mine = await store.mine(wanted);
    if (mine && differs(mine)) return mine;
    return (await store.orphans()).find((draft) => draft.base === wanted && differs(draft)) ?? null;
  }

  function take(draft) {
    base = draft.base;
    store.adopt(draft, !isTenants(draft));
    restore(draft);
  }

  function comesBack(draft) {
    take(draft);
    const again = () => {
      store.drop(draft.id);
      store.dropMine(base);
      base = baseOf(page);
      restore(page);
      shown.close();
    };
    const shown = notice("draft", {
      icon: "i-undo",
      tone: "calm",
      text: `Your draft from ${moment(draft.at)} is back.`,
      actions: [{ name: "Start from the example", act: again }],
    });
  }

  function offer(draft) {
    const what = page.kind === "instance" ? "what this run ran" : page.kind === "snippet" ? "the shared version" : "the example";
    const shown = notice("draft", {
      icon: "i-undo",
      tone: "calm",
      text: `You have a draft of this from ${moment(draft.at)}. Restore it, or keep ${what}.`,
      actions: [
        { name: "Restore", act: () => (take(draft), shown.close()) },
        { name: "Discard", act: () => (store.drop(draft.id), shown.close(), say("")) },
      ],
    });
  }

  function keep() {
    touched = true;
    const draft = { source: text(), params: params(), title: document.getElementById("title").textContent, base, stops: stops() };
    draft.plain = !isEdited(draft); // only breakpoints: what is stored under its address is the same
    turn = turn.then(() => (differs(draft) ? put(draft) : clear(draft.base)));
  }

  async function put(draft) {
    const { kept, gone } = await store.put(draft, !page.tenant);
    if (!kept) say("Not kept: this browser’s storage is full or closed");
    else say(gone ? `Draft kept in this browser; one from ${moment(gone.at)} gave way` : "Draft kept in this browser");
  }

  function clear(of) {
    store.dropMine(of);
    say("");
  }

  /** The code is stored under a link now: that is what later edits are a draft of. */
  function stored(snippet, source, paramsText) {
    const before = base;
    turn = turn.then(() => store.dropMine(before));
    base = page.tenant ? `tenant:${page.tenant}:${snippet}` : `snippet:${snippet}`;
    Object.assign(page, { source, params: paramsText });
    keep(); // what was typed while it was on its way
  }

  /** What is typed from now on is a draft of something new; what was kept so far stays. */
  function fresh() {
    close("draft");
    base = `new:${Date.now().toString(36)}`;
  }

  return { open, keep, stored, fresh };
}
