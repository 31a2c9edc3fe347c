"""Snippets: content-addressed code and params, and a cache of those used lately."""

import base64
import hashlib
from collections import OrderedDict

from playground.store.rows import Snippet

CACHED_CHARACTERS = 4 * 1024 * 1024  # of the snippets held in memory
ID_LENGTH = 26  # of base32, so 130 bits: nobody can find two contents with one id


def make_snippet(source: str, params: str | None, at: int) -> Snippet:
    """The snippet of this source and params text, whose id is their hash; `at` is epoch milliseconds."""
    digest = hashlib.sha256(f"{len(source)}:".encode())
    digest.update(source.encode("utf-8", "surrogatepass"))
    if params is not None:
        digest.update(b":" + params.encode("utf-8", "surrogatepass"))
    id = base64.b32encode(digest.digest()).decode().lower()[:ID_LENGTH]
    return Snippet(id, source, params, at)


class SnippetCache:
    """An LRU cache of snippets, bounded by characters.

    Valid in any number of processes: a snippet is immutable and never deleted.
    """

    def __init__(self, characters_max: int = CACHED_CHARACTERS) -> None:
        self._characters_max, self._characters = characters_max, 0
        self._snippets: OrderedDict[str, Snippet] = OrderedDict()

    def get(self, id: str) -> Snippet | None:
        """The snippet of this id, if it is cached."""
        if id in self._snippets:
            self._snippets.move_to_end(id)
        return self._snippets.get(id)

    def clear(self) -> None:
        """Drop all."""
        self._snippets.clear()
        self._characters = 0

    def put(self, snippet: Snippet) -> None:
        """Cache a snippet that is in the database."""
        if snippet.id in self._snippets:
            return
        self._snippets[snippet.id] = snippet
        self._characters += _characters(snippet)
        while self._characters > self._characters_max:
            self._characters -= _characters(self._snippets.popitem(last=False)[1])
        assert self._characters >= 0, "what is evicted was counted"


def _characters(snippet: Snippet) -> int:
    return len(snippet.source) + len(snippet.params or "")
