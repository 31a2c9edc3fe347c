// Python, with decorators told apart, its tokens as the classes that base.css colours: a theme is one attribute on <html>.

import { pythonLanguage } from "@codemirror/lang-python";
import { LanguageSupport, syntaxHighlighting } from "@codemirror/language";
import { classHighlighter, styleTags, tags } from "@lezer/highlight";

const language = pythonLanguage.configure({ props: [styleTags({ "Decorator/VariableName Decorator/.": tags.meta })] });

export const python = () => new LanguageSupport(language, syntaxHighlighting(classHighlighter));
