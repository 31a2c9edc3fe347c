// Values of two runs side by side: what is opened becomes a tree, whether the server has drawn it as text or compare.js has.

import { el } from "./dom.js";
import { parse } from "./exact.js";
import { ValueTree } from "./run/value-tree.js";
import { toast } from "./toast.js";

export function asTree(pre) {
  const value = read(pre.textContent);
  if (value === undefined || !pre.isConnected) return;
  const tree = new ValueTree({ value, name: "value", label: "Value", copy });
  pre.replaceWith(el("div.tree-head", {}, ...tree.tools), el("div.tree-card", {}, tree.node));
}

function read(text) {
  try {
    return parse(text);
  } catch {
    return undefined; // it stays as it is
  }
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied");
  } catch {
    toast("Not copied: this browser does not let the page use the clipboard.", "i-warn");
  }
}
