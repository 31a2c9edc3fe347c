"""The name of a workflow: the first line of its module's docstring, read without running or parsing the code.

The page reads and writes it in the same way (static/js/names.js); tests/test_titles.py holds the two against each
other. It stands in titles of pages, cards and frames, so it is one line, short, and without control characters. Code
is hostile: this takes time that grows with its length only, and parses nothing.
"""

import re
import unicodedata

NAME_CHARACTERS = 60

_OPENING = re.compile(r"\ufeff?(?:[ \t]*(?:#[^\n]*)?\r?\n)*")
_QUOTE = re.compile(r"[rRuU]?(\"\"\"|'''|\"|')")


def title_of(source: str) -> str | None:
    """The name that a source gives itself, or None."""
    opening = _OPENING.match(source)
    assert opening is not None
    quote = _QUOTE.match(source, opening.end())
    if quote is None:
        return None
    mark = quote[1]
    at, end = quote.end(), len(source)
    if len(mark) == 1:
        line_end = source.find("\n", at)
        end = end if line_end < 0 else line_end
    while at < end:
        if source[at] == "\\":
            at += 2
        elif source.startswith(mark, at):
            break
        else:
            at += 1
    if at >= end:
        return None
    rest = source[at + len(mark) :].partition("\n")[0].strip()
    if rest and rest[0] not in "#;":
        return None  # part of an expression
    lines = (line for line in source[quote.end() : at].split("\n") if line.strip())
    return _shorten(next(lines, "")) or None


def _shorten(text: str) -> str:
    """A name as it is shown: one line, without a full stop at its end, cut."""
    plain = "".join(" " if it.isspace() or unicodedata.category(it) in ("Cc", "Cf") else it for it in text)
    name = " ".join(plain.split())
    if name.endswith(".") and not name.endswith(".."):
        name = name[:-1]
    return name if len(name) <= NAME_CHARACTERS else name[: NAME_CHARACTERS - 1].rstrip() + "…"
