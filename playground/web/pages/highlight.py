"""Source as highlighted HTML, for readers without JavaScript and for the first paint.

Pygments reads it, in a thread and with a deadline that is looked at between tokens: what is left when time is up is
shown plain. The classes are those of the editor (`tok-keyword` …), so one theme serves both; every line is `<span
class="line" id="L7">`.

Characters that make text look like other text than it is (control characters, and those that turn the direction of
writing: "Trojan Source", CVE-2021-42574) are shown as signs where readers are to judge what a stranger wrote. The
editor does the same (`highlightSpecialChars`).
"""

import asyncio
import html
import re
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator

from markupsafe import Markup

DEADLINE_SECONDS = 0.25  # of the thread's own processor time
HIGHLIGHTED_CHARACTERS = 200_000  # beyond it nothing is highlighted
CACHED_CHARACTERS = 2_000_000  # of HTML kept


class Highlighter:
    """Highlights Python, remembering what was asked for last by the source itself."""

    def __init__(self, deadline: float = DEADLINE_SECONDS) -> None:
        self._deadline = deadline
        self._cache: OrderedDict[str, Markup] = OrderedDict()
        self._size = 0

    def is_cached(self, source: str) -> bool:
        """Whether it is remembered, so that it costs nothing."""
        return source in self._cache

    async def highlight_python(self, source: str) -> Markup:
        """Safe HTML of the source; plain where highlighting is not possible in time."""
        known = self._cache.get(source)
        if known is not None:
            self._cache.move_to_end(source)
            return known
        shown = await asyncio.to_thread(highlight, source, self._deadline)
        self._put(source, shown)
        return shown

    def _put(self, source: str, shown: Markup) -> None:
        if source in self._cache or len(shown) > CACHED_CHARACTERS:
            return
        self._cache[source] = shown
        self._size += len(shown)
        while self._size > CACHED_CHARACTERS:
            self._size -= len(self._cache.popitem(last=False)[1])


def highlight(source: str, deadline: float = DEADLINE_SECONDS) -> Markup:
    """Highlight within `deadline` seconds of this thread's processor time; the rest stays plain."""
    found = token_runs(source, deadline) if len(source) <= HIGHLIGHTED_CHARACTERS else iter(())
    return Markup("".join(_html_lines(with_visible_controls(source), found)))


def token_runs(source: str, deadline: float = DEADLINE_SECONDS) -> Iterator[tuple[int, int, str]]:
    """(start, end, class) of every run of tokens with the same class, for `deadline` seconds of this thread's processor
    time.
    """
    limit = time.thread_time() + deadline
    from pygments.lexers.python import PythonLexer
    from pygments.token import string_to_tokentype

    classes = [(string_to_tokentype(name), shown) for name, shown in _CLASSES]
    known: dict[object, str] = {}
    begin, stop, name = 0, 0, ""
    for start, kind, text in PythonLexer().get_tokens_unprocessed(source):
        if time.thread_time() > limit:
            break
        if kind not in known:
            known[kind] = next((it for parent, it in classes if kind in parent), "")
        shown = known[kind]
        if shown == name and start == stop:
            stop += len(text)
            continue
        if name:
            yield begin, stop, name
        begin, stop, name = start, start + len(text), shown
    if name:
        yield begin, stop, name


_WHITESPACE = "\t\n\r"
_DIRECTIONS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
_VISIBLE_CONTROLS = (
    {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in _WHITESPACE}
    | {0x7F: "\u2421"}
    | dict.fromkeys((*range(0x80, 0xA0), *_DIRECTIONS), "\ufffd")
)


def with_visible_controls(text: str) -> str:
    """The text with a sign in the place of each such character, so that it has as many as before."""
    return text.translate(_VISIBLE_CONTROLS)


_LONE_RETURN = re.compile(r"\r(?!\n)")  # ends a line of Python too


def _html_lines(source: str, pieces: Iterable[tuple[int, int, str]]) -> Iterator[str]:
    number, at, source = 1, 0, _LONE_RETURN.sub("\n", source).removesuffix("\n")
    yield '<span class="line" id="L1">'
    for start, end, name in (*pieces, (len(source), len(source), "")):
        for text, kind in ((source[at:start], ""), (source[start:end], name)):
            for index, part in enumerate(text.split("\n")):
                if index:
                    number += 1
                    yield f'</span>\n<span class="line" id="L{number}">'
                if part:
                    yield f'<span class="{kind}">{html.escape(part)}</span>' if kind else html.escape(part)
        at = end
    yield "</span>"


# From the most particular to the most general; the right column is what web/src/highlight.js calls the same thing.
_CLASSES = (
    ("Operator.Word", "tok-keyword"),
    ("Keyword", "tok-keyword"),
    ("Name.Decorator", "tok-name"),
    ("Name.Class", "tok-name"),
    ("Name.Function", "tok-name"),
    ("Literal.String.Interpol", ""),
    ("Literal.String", "tok-string"),
    ("Literal.Number", "tok-number"),
    ("Comment", "tok-comment"),
)
