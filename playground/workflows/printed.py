"""What an instance printed, as lines again: a `partial` log goes on in the next of its execution, stream and step.

The text of one such source is `text` after `text`, with a newline behind each that is not partial.
`static/js/run/fold-run.js` is the same in the browser.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from playground.workflows import events as ev
from playground.workflows.events import Event, StepKey

MOST_CHARACTERS = 16_000  # of one joined text; what goes on after it begins another, as nobody looks at a line so long


@dataclass(slots=True)
class Printed:
    """Text that one step, or code outside steps, printed to one stream. `seq`, `at` and `line` are of its beginning.

    `replay` is true where all of it was printed again while the journal was read.
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


class Joiner:
    """Takes events one by one; `printed` are the texts so far, in the order in which they began."""

    def __init__(self, most: int = MOST_CHARACTERS) -> None:
        self.printed: list[Printed] = []
        self._most = most
        self._open: dict[Any, Printed] = {}

    def take(self, event: Event) -> None:
        """Take the next event of a journal; those that are no `log` change nothing."""
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
            begun = Printed(event.seq, event.at, event.execution, event.step, stream, level, text, replay, line)
            self.printed.append(begun)
        if data.get("partial"):
            self._open[source] = begun


def joined(journal: Iterable[Event], most: int = MOST_CHARACTERS) -> list[Printed]:
    """What the events of a journal printed, texts of at most `most` characters, in the order in which they began."""
    joiner = Joiner(most)
    for event in journal:
        joiner.take(event)
    return joiner.printed
