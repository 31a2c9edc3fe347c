// Python's tokens as the few classes that base.css colours, so that a theme is one attribute on <html>.

import { syntaxHighlighting } from "@codemirror/language";
import { tagHighlighter, tags as t } from "@lezer/highlight";

export const highlight = syntaxHighlighting(
  tagHighlighter([
    {
      tag: [t.keyword, t.controlKeyword, t.operatorKeyword, t.definitionKeyword, t.moduleKeyword, t.modifier, t.bool, t.null, t.self],
      class: "tok-keyword",
    },
    { tag: [t.string, t.special(t.string), t.escape], class: "tok-string" },
    { tag: [t.number], class: "tok-number" },
    { tag: [t.function(t.definition(t.variableName)), t.definition(t.className), t.meta], class: "tok-name" },
    { tag: [t.comment, t.lineComment], class: "tok-comment" },
    { tag: [t.invalid], class: "tok-invalid" },
  ]),
);
