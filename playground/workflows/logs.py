"""Joins the `log` events of a journal into the texts that were printed.

A long or unfinished line comes in pieces: after a `log` with `partial`, the line continues in the next `log` of the
same execution, stream and step. The text of one such source is `text` after `text`, with a newline after each that is
not partial. `static/js/run/fold-run.js` does the same in the browser.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from playground.workflows import events as ev
from playground.workflows.events import Event, StepKey

MAX_CHARACTERS = 16_000  # of one joined text; what follows begins another, since nobody reads a longer line


@dataclass(slots=True)
class LogText:
    """Text that one step, or code outside steps, printed to one stream. `seq`, `at` and `line` are those of its first
    piece.

    `replay` is true where all of it was printed again during a replay.
    """

    seq: int
    at: int
    execution: int | None
    step: StepKey | None
    stream: str | None
    level: str | None
    text: str
    replay: bool
    line: int | None


class LogJoiner:
    """Joins events one by one; `texts` are the texts so far, in the order in which they began."""

    def __init__(self, most: int = MAX_CHARACTERS) -> None:
        self.texts: list[LogText] = []
        self._most = most
        self._open: dict[Any, LogText] = {}

    def add(self, event: Event) -> None:
        """Add the next event of a journal; events of other types are ignored."""
        if event.type != ev.LOG:
            return
        data = event.data
        text, replay = str(data.get("text", "")), bool(data.get("replay"))
        source = event.execution, data.get("stream"), event.step
        begun = self._open.pop(source, None)
        if begun is not None and len(begun.text) + len(text) <= self._most:
            begun.text += text
            begun.replay = begun.replay and replay
        else:
            stream, level, line = data.get("stream"), data.get("level"), data.get("line")
            begun = LogText(event.seq, event.at, event.execution, event.step, stream, level, text, replay, line)
            self.texts.append(begun)
        if data.get("partial"):
            self._open[source] = begun


def join_log(journal: Iterable[Event], most: int = MAX_CHARACTERS) -> list[LogText]:
    """The texts that the events of a journal printed, each of at most `most` characters, in the order in which they
    began.
    """
    joiner = LogJoiner(most)
    for event in journal:
        joiner.add(event)
    return joiner.texts
