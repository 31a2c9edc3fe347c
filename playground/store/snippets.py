"""Snippets: content-addressed code and params, and a cache of those used lately."""

from collections import OrderedDict

from playground.store.rows import Snippet
from playground.workflows.names import derived_id

CACHED_CHARACTERS = 4 * 1024 * 1024  # of the snippets held in memory


def make_snippet(source: str, params: str | None, at: int) -> Snippet:
    """The snippet of this source and params text, whose id is their hash; `at` is epoch milliseconds."""
    content = f"{len(source)}:{source}" if params is None else f"{len(source)}:{source}:{params}"
    return Snippet(derived_id(content), source, params, at)


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
