"""Reading source into a tree, and places in that tree as people count them: lines and columns from 1, in characters.

CPython gives columns of tree nodes and of late errors in UTF-8 bytes, those of parser errors in characters.
"""

import ast
import re
import warnings
from dataclasses import dataclass, field
from typing import Protocol

from playground.analysis.diagnostics import Diagnostic, Fix, Span, report

FILENAME = "<workflow>"

_LINE_END = re.compile(r"\r\n|\r|\n")
_UNREADABLE = re.compile("[\x00\ud800-\udfff]")


class Placed(Protocol):
    """A node that says where it stands: nearly all do."""

    @property
    def lineno(self) -> int: ...

    @property
    def col_offset(self) -> int: ...

    @property
    def end_lineno(self) -> int | None: ...

    @property
    def end_col_offset(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Source:
    """A source that parses: its lines without their ends, and its tree."""

    text: str
    tree: ast.Module
    lines: list[str] = field(repr=False)

    def span(self, node: Placed) -> Span:
        """Where a node stands; its end is the place after its last character."""
        start, end = self.place(node.lineno, node.col_offset), self.end(node)
        return Span(*start, *(end if end > start else (start[0], start[1] + 1)))

    def place(self, line: int, byte_offset: int) -> tuple[int, int]:
        """The line and column of a byte offset in a line."""
        return line, _characters(self.lines, line, byte_offset) + 1

    def end(self, node: Placed) -> tuple[int, int]:
        """The line and column after a node's last character."""
        assert node.end_lineno is not None and node.end_col_offset is not None, "the parser says where a node ends"
        return self.place(node.end_lineno, node.end_col_offset)

    def exact(self, node: Placed) -> str:
        """The text of a node as it stands, for a fix that keeps it."""
        span = self.span(node)
        lines = self.lines[span.line - 1 : span.end_line]
        lines[-1] = lines[-1][: span.end_column - 1]
        lines[0] = lines[0][span.column - 1 :]
        return "\n".join(lines)

    def words(self, node: Placed) -> str:
        """The text of a node on one line."""
        return " ".join(self.exact(node).split())

    def find(self, word: str, node: Placed) -> Span:
        """The first `word` on the first line of a node, as for the name after `class` or `def`."""
        line, column = self.place(node.lineno, node.col_offset)
        text = self.lines[line - 1]
        found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text[column - 1 :])
        if found is None:
            return Span(line, column, line, max(len(text), column) + 1)
        return Span(line, column + found.start(), line, column + found.end())


def read(text: str) -> tuple[Source | None, list[Diagnostic]]:
    """Parse a source; without a tree the diagnostics say why."""
    lines = _LINE_END.split(text)
    unreadable = _UNREADABLE.search(text)
    if unreadable:
        return None, [_at_character(text, unreadable.start())]
    tree = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            tree = ast.parse(text, FILENAME)
            compile(tree, FILENAME, "exec", dont_inherit=True)
        except SyntaxError as error:
            return None, [_syntax_error(error, lines, in_bytes=tree is not None)]
        except (RecursionError, MemoryError):
            return None, [_too_deep(text)]
        except (ValueError, OverflowError, SystemError) as error:
            return None, [report("syntax", Span(1, 1, 1, 2), words=_sentence(str(error)))]
    return Source(text, tree, lines), _said_by_python(caught, lines)


def _at_character(text: str, index: int) -> Diagnostic:
    before = _LINE_END.split(text[:index])
    line, column = len(before), len(before[-1]) + 1
    what = "null character" if text[index] == "\x00" else "lone surrogate"
    return report(
        "syntax", Span(line, column, line, column + 1), words=f"There is a {what} here, which Python can't read."
    )


def _syntax_error(error: SyntaxError, lines: list[str], in_bytes: bool) -> Diagnostic:
    line, end_line = error.lineno or 1, error.end_lineno or error.lineno or 1
    column, end_column = error.offset or 1, error.end_offset or 0
    if in_bytes:
        column = _characters(lines, line, column - 1) + 1
        end_column = _characters(lines, end_line, end_column - 1) + 1
    line = min(max(line, 1), len(lines))
    # What is missing at the end of a line shows at its last character.
    column = min(max(column, 1), max(len(lines[line - 1]), 1))
    end_line = min(end_line, len(lines))
    end_column = min(end_column, len(lines[end_line - 1]) + 1)
    if (end_line, end_column) <= (line, column):
        end_line, end_column = line, column + 1
    span = Span(line, column, end_line, end_column)
    return report("syntax", span, _mend(error, lines, span) if not in_bytes else None, words=_sentence(error.msg))


def _mend(error: SyntaxError, lines: list[str], span: Span) -> Fix | None:
    """The cure of what Python names so well that it is mechanical."""
    text = lines[span.line - 1]
    said = error.msg or ""
    if said == "expected ':'" and (error.offset or 0) > len(text.rstrip()):
        end = len(text.rstrip()) + 1
        return Fix("Add the colon", Span(span.line, end, span.line, end), ":")
    if said.startswith("Missing parentheses in call to 'print'") and span.line == span.end_line:
        words = text[span.column - 1 : span.end_column - 1]
        if words.startswith("print "):
            return Fix("Add them", span, f"print({words[len('print ') :].strip()})")
    return None


def _too_deep(text: str) -> Diagnostic:
    """The tree is deeper than Python can hold; the compiler, which builds no Python objects, may still manage."""
    try:
        compile(text, FILENAME, "exec", dont_inherit=True)
    except Exception:  # noqa: BLE001 - whatever it is, the worker would fail in the same way
        return report("syntax", Span(1, 1, 1, 2), words="This is nested too deeply for Python to read.")
    return report("too-deep", Span(1, 1, 1, 2))


def _said_by_python(caught: list[warnings.WarningMessage], lines: list[str]) -> list[Diagnostic]:
    said = {}
    for warning in caught:
        if issubclass(warning.category, SyntaxWarning) and 1 <= warning.lineno <= len(lines):
            text = lines[warning.lineno - 1]
            column = len(text) - len(text.lstrip()) + 1
            span = Span(warning.lineno, column, warning.lineno, max(len(text), column) + 1)
            said[span, str(warning.message)] = report("syntax-warning", span, words=_sentence(str(warning.message)))
    return list(said.values())


def _characters(lines: list[str], line: int, byte_offset: int) -> int:
    if not 1 <= line <= len(lines):
        return 0
    text = lines[line - 1]
    if text.isascii():
        return min(max(byte_offset, 0), len(text))
    return len(text.encode()[: max(byte_offset, 0)].decode(errors="ignore"))


def _sentence(words: str | None) -> str:
    words = (words or "invalid syntax").strip()
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "?", "!")) else ".")
