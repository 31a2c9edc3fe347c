"""A snippet's id: the same code and params have the same one, and no other has it."""

import base64
import hashlib
from collections import OrderedDict

from playground.store.rows import Snippet

KNOWN_CHARACTERS = 4 * 1024 * 1024  # of the snippets held in memory
ID_LENGTH = 26  # of base32, so 130 bits: two texts with one id are out of anybody's reach


def make_snippet(source: str, params: str | None, at: int) -> Snippet:
    """The snippet of this source and params text; `at` is epoch milliseconds."""
    digest = hashlib.sha256(f"{len(source)}:".encode())
    digest.update(source.encode("utf-8", "surrogatepass"))
    if params is not None:
        digest.update(b":" + params.encode("utf-8", "surrogatepass"))
    id = base64.b32encode(digest.digest()).decode().lower()[:ID_LENGTH]
    return Snippet(id, source, params, at)


class KnownSnippets:
    """Those lately stored or read, so that whoever starts one again need not ask the database.

    Right in any number of processes: a snippet never changes and is never removed.
    """

    def __init__(self, most: int = KNOWN_CHARACTERS) -> None:
        self._most, self._characters = most, 0
        self._held: OrderedDict[str, Snippet] = OrderedDict()

    def get(self, id: str) -> Snippet | None:
        """The snippet of this id, if it is held."""
        if id in self._held:
            self._held.move_to_end(id)
        return self._held.get(id)

    def clear(self) -> None:
        """Hold none."""
        self._held.clear()
        self._characters = 0

    def hold(self, snippet: Snippet) -> None:
        """Hold one that is in the database."""
        if snippet.id in self._held:
            return
        self._held[snippet.id] = snippet
        self._characters += _characters(snippet)
        while self._characters > self._most:
            self._characters -= _characters(self._held.popitem(last=False)[1])


def _characters(snippet: Snippet) -> int:
    return len(snippet.source) + len(snippet.params or "")
