"""Characters that nobody sees, in step names, and in the source, where they make a line look other than it runs."""

import ast
import io
import re
import tokenize
import unicodedata
from collections.abc import Iterator

from playground.analysis.diagnostics import Diagnostic, Fix, Span, report
from playground.analysis.workflow import Workflow
from playground.workflows import names

MOST = 50  # places in the source that are told of

# Embeddings, overrides and isolates: they reorder what follows (CVE-2021-42574).
_REORDERING = re.compile("[\u202a-\u202e\u2066-\u2069]")
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
_JOINERS = re.compile("[\u200c\u200d]")
_JOINED_FROM = "\u0300"  # below it are scripts that join nothing: there a joiner is only invisible
_FLAG, _TAGS = (
    "\U0001f3f4",
    "\U000e0020",
)  # a flag of tags begins with the first, then come invisible ones from the second on


def check(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about step names with invisible characters, and about characters that reorder the source."""
    named: list[Span] = []
    for call in workflow.step_calls:
        name = workflow.tree.value(call.name) if isinstance(call.name, ast.Name) else call.name
        texts = [text[: names.STEP_NAME_LENGTH] for text in _texts(name)]
        found = [letter for text in texts for letter in hidden(text)]
        if name is not None and found:
            place = workflow.source.span(name)
            named.append(place)
            kept = _without_hidden(texts[0])
            fix = Fix("Leave them out", place, _literal(kept)) if isinstance(name, ast.Constant) and kept else None
            yield report("invisible-name", place, fix, name="…".join(map(visible, texts)), what=_what(found[0]))
    yield from _reordered(workflow, named)


def _texts(name: ast.expr | None) -> list[str]:
    """What is known of a name: the whole of a text, or the fixed parts of one that is computed."""
    parts = name.values if isinstance(name, ast.JoinedStr) else [name]
    return [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]


def hidden(text: str) -> list[str]:
    """The characters of a text that are not seen. Joiners that shape letters or emoji, and the tags of a flag, are."""
    flag = text.find(_FLAG)
    found = [each for each in _INVISIBLE.finditer(text) if each[0] < _TAGS or not 0 <= flag < each.start()]
    for each in _JOINERS.finditer(text):
        before, after = text[each.start() - 1 : each.start()], text[each.end() : each.end() + 1]
        if before < _JOINED_FROM or after < _JOINED_FROM:
            found.append(each)
    return [each[0] for each in found]


def visible(text: str) -> str:
    """A text with its invisible characters written as escapes."""
    unseen = set(hidden(text))
    return "".join(_escape(letter) if letter in unseen else letter for letter in text)


def _reordered(workflow: Workflow, named: list[Span]) -> Iterator[Diagnostic]:
    if _REORDERING.search(workflow.source.text) is None:
        return
    raw = None
    count = 0
    for number, line in enumerate(workflow.source.lines, start=1):
        for found in _REORDERING.finditer(line):
            place = Span(number, found.start() + 1, number, found.end() + 1)
            if any(
                (span.line, span.column) <= (number, place.column) < (span.end_line, span.end_column)
                for span in named[:MOST]
            ):
                continue
            if raw is None:
                raw = _not_escaped_in(workflow.source.text)
            kind = raw.get((number, found.start()), "")
            fix = Fix("Write it as an escape", place, _escape(found[0])) if kind == "text" else None
            fix = Fix("Leave it out", place, "") if kind == "comment" else fix
            yield report("reordered-source", place, fix, what=_what(found[0]))
            count += 1
            if count >= MOST:
                return


def _not_escaped_in(source: str) -> dict[tuple[int, int], str]:
    """Where each reordering character stands: in a comment, or in a text that takes an escape for it."""
    found: dict[tuple[int, int], str] = {}
    raw = [False]
    try:
        for token in tokenize.generate_tokens(io.StringIO(source, newline="").readline):
            name = tokenize.tok_name[token.type]
            if name == "FSTRING_START":
                raw.append("r" in token.string.lower().rstrip("\"'"))
            elif name == "FSTRING_END":
                raw.pop()
            prefix = token.string.partition('"')[0].partition("'")[0].lower() if name == "STRING" else ""
            takes = (name == "STRING" and "r" not in prefix) or (name == "FSTRING_MIDDLE" and not raw[-1])
            kind = "comment" if name == "COMMENT" else "text" if takes else ""
            if kind:
                line, column = token.start
                for text in token.string.split("\n"):
                    for each in _REORDERING.finditer(text):
                        found[line, column + each.start()] = kind
                    line, column = line + 1, 0
    except (tokenize.TokenError, SyntaxError):  # it parses, so this is a matter of line ends; what is left has no fix
        pass
    return found


def _escape(letter: str) -> str:
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"


def _what(letter: str) -> str:
    name = unicodedata.name(letter, "").lower()
    return f"U+{ord(letter):04X}" + (f" ({name})" if name else "")


def _without_hidden(text: str) -> str:
    unseen = set(hidden(text))
    return "".join(letter for letter in text if letter not in unseen)


def _literal(text: str) -> str:
    """A text as source."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"'
