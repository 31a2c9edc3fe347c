// A new workflow: a dialog that asks for its name and what it begins with, and the same ways without it, from the first screen, a key, or
// a file that is dropped anywhere on the page. Loaded when one of them is wanted.

import { dialogHead, el, icon } from "./dom.js";
import { UNTITLED } from "./names.js";
import { keysText } from "./keys.js";
import { close, notice } from "./notices.js";
import { TEMPLATES, fromTemplate, fromText, whyNot } from "./starts.js";
import { toast } from "./toast.js";

const FILES = ".py,.pyi,.txt,.md,.zip,.jsonl,text/x-python,text/plain,application/x-ndjson";
const NO_CODE = "There is no code in that.";

let made = null;

/** @param {{begin: (code: {source: string, name: string, params?: string | null}) => void, showRun: (file: {name: string, head: object, events: object[]}) => void, most: number, selectAll: () => void}} how `begin` puts the code into the editor; `showRun` shows the run of a file; `most` is the most bytes of a source; `selectAll` selects what is there, to be pasted over */
export function makeNew(how) {
  made ??= new New(how);
  return made;
}

class New {
  constructor({ begin, showRun, most, selectAll }) {
    Object.assign(this, { begin, showRun, most, selectAll, dialog: null });
    this.files = el("input", { type: "file", accept: FILES, hidden: true, "aria-label": "A Python file, or a run’s file", onchange: () => this.take(this.files.files[0]) });
    document.body.append(this.files);
  }

  /** The dialog. */
  ask() {
    this.dialog ??= this.build();
    this.name.value = "";
    this.dialog.showModal();
    this.name.focus();
  }

  build() {
    const way = (does, shape, words, say, keys = "") =>
      el("button.start-way", { type: "button", onclick: () => this.start(does, this.name.value.trim()) }, icon(shape), el("b", {}, words), keys && el("kbd.key.only-wide", {}, keysText(keys)), el("small", {}, say));
    this.name = el("input.field", { id: "new-name", maxlength: "60", placeholder: UNTITLED, autocomplete: "off", onkeydown: (event) => event.key === "Enter" && this.start("skeleton", this.name.value.trim()) });
    const dialog = el(
      "dialog.dialog.small.new",
      { id: "new", "aria-labelledby": "new-title" },
      dialogHead("new-title", "New workflow"),
      el(
        "div",
        {},
        el("label.named", {}, "Name", this.name),
        el("p.dim", {}, "It becomes the first line of the code’s docstring, and is what runs and links are called."),
        el(
          "div.ways-new",
          {},
          Object.entries(TEMPLATES).map(([does, { words, say }]) => way(does, does === "blank" ? "i-file" : "i-journal", words, say)),
          way("paste", "i-copy", "Paste", "Code from the clipboard, without the fences of a chat"),
          way("open", "i-folder", "Open a file", "Python, a run that was saved, or a zip of a project for Cloudflare. Or drop it anywhere on the page, a folder too", "mod O"),
        ),
        el("p.dim", {}, "What you have changed so far is kept as a draft."),
      ),
    );
    document.body.append(dialog);
    return dialog;
  }

  /** Begins in one of the ways: blank, skeleton, paste, open. */
  async start(does, name = "") {
    if (does === "open") return this.files.click();
    const code = does === "paste" ? await this.pasted(name) : fromTemplate(does, name);
    if (code) this.done(code);
  }

  async pasted(name) {
    try {
      return fromText(await navigator.clipboard.readText(), { name }) ?? this.refuse("There is no code on the clipboard.");
    } catch {
      this.dialog?.close();
      this.selectAll();
      return this.refuse(`Press ${keysText("mod V")}: what you paste takes the place of this code.`);
    }
  }

  /** A file that was chosen or dropped. */
  async take(file) {
    this.files.value = "";
    close("run-file");
    if (!file) return;
    if (file.isDirectory || /\.zip$/i.test(file.name)) return this.takeProject(file);
    const { isRunFile } = await import("./run-file.js");
    if (await isRunFile(file)) return this.opened(file);
    const tooLarge = whyNot({ name: file.name, size: file.size }, this.most);
    if (tooLarge) return this.refuse(tooLarge);
    const text = await file.text();
    const code = fromText(text, { name: file.name });
    const why = whyNot({ name: file.name, size: file.size, text }, this.most) || (code ? "" : NO_CODE);
    if (why) this.refuse(why);
    else this.done(code);
  }

  /** A zip, or a dropped folder, of a project for Cloudflare. */
  async takeProject(place) {
    const { BadProject, findWorkflow, readFolder, readZip } = await import("./project.js");
    try {
      const found = findWorkflow(place.isDirectory ? await readFolder(place) : await readZip(place, place.name));
      const why = whyNot({ name: found.path, size: new Blob([found.source]).size, text: found.source }, this.most);
      if (why) return this.refuse(why);
      this.done({ ...fromText(found.source, { name: found.name }), source: found.source, params: found.params });
      toast(found.notes[0] ?? `${found.className} of ${place.name}`, found.notes.length ? "i-warn" : "i-info");
    } catch (error) {
      this.refuse(error instanceof BadProject ? error.message : `${place.name} can’t be read: ${error.message}`);
    }
  }

  /** A file that has a run. */
  async opened(file) {
    const { BadRunFile, readRunFile } = await import("./run-file.js");
    try {
      const run = await readRunFile(file);
      this.dialog?.close();
      this.showRun({ name: file.name, ...run });
    } catch (error) {
      if (!(error instanceof BadRunFile)) throw error;
      this.dialog?.close();
      notice("run-file", { icon: "i-warn", strong: "This file was not opened.", text: error.message, tone: "bad" });
    }
  }

  refuse(words) {
    toast(words, "i-info");
    return null;
  }

  done(code) {
    this.dialog?.close();
    this.begin(code);
  }
}
