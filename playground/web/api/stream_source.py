"""What one reader of Server-Sent Events is sent of a journal, batch by batch, and the messages as the format has them.

`Journal` is all of it, as it is stored; `stream_values.py` has the source of one stream's values.
"""

from typing import Any, NamedTuple, Protocol

import msgspec

from playground.store.protocol import Store
from playground.store.rows import InstanceRow
from playground.workflows import events as ev

BATCH_EVENTS = 500  # in one message
# What the format takes as it is, but many a client for an end of a line (Python's splitlines, and so httpx): a tenant
# could speak to it in our name.
_LINE_ENDS = ((b"\xc2\x85", rb"\u0085"), (b"\xe2\x80\xa8", rb"\u2028"), (b"\xe2\x80\xa9", rb"\u2029"))


class Batch(NamedTuple):
    """What comes next: messages, perhaps none. `final`: the status in which the last event that was read ends the
    instance; "": it does not.
    """

    text: bytes
    read_any: bool
    final: str
    more: bool  # the journal has more that can be read at once


class Source(Protocol):
    """What one reader is sent. `beginning` comes first; `after` is the seq up to which the journal has been read."""

    beginning: bytes
    after: int

    async def read(self) -> Batch:
        """Read on in the journal."""

    def end_message(self, status: str) -> bytes:
        """The last message, of an instance that has ended."""


class Journal:
    """The events after a seq: all, or those of the types `wanted`. `view` is set when the reader is ahead: it begins
    anew from it.
    """

    def __init__(
        self, store: Store, row: InstanceRow, after: int, view: dict[str, Any] | None, wanted: frozenset[str] | None
    ) -> None:
        self._store, self._key, self._wanted = store, row.key, wanted
        self.after = after if view is None else view["last_seq"]
        self.beginning = b"" if view is None else message("reset", view, id=self.after)

    async def read(self) -> Batch:
        """See `Source`."""
        rows = await self._store.events_json(self._key, after=self.after, limit=BATCH_EVENTS)
        if not rows:
            return Batch(b"", read_any=False, final="", more=False)
        self.after = rows[-1][0]
        sent = rows if self._wanted is None else [row for row in rows if row[1] in self._wanted]
        text = data_message("journal", sent[-1][0], b",".join(text for _, _, text in sent)) if sent else b""
        return Batch(text, read_any=True, final=ev.FINAL_STATUS_OF.get(rows[-1][1], ""), more=len(rows) == BATCH_EVENTS)

    def end_message(self, status: str) -> bytes:
        """See `Source`. With `wanted`, its id says that the reader has everything."""
        return message(
            "end", {"status": status, "last_seq": self.after}, id=None if self._wanted is None else self.after
        )


def data_message(event: str, id: int, items: bytes) -> bytes:
    """A message whose data is a JSON array of items that are JSON text already."""
    return b"id: %d\nevent: %s\ndata: [%s]\n\n" % (id, event.encode(), _on_one_line(items))


def message(event: str, data: dict[str, Any], *, id: int | None = None, retry: int | None = None) -> bytes:
    """A message of ours."""
    head = (f"retry: {retry}\n" if retry is not None else "") + (f"id: {id}\n" if id is not None else "")
    return f"{head}event: {event}\ndata: ".encode() + _on_one_line(msgspec.json.encode(data)) + b"\n\n"


def _on_one_line(data: bytes) -> bytes:
    for end, escaped in _LINE_ENDS:
        data = data.replace(end, escaped)
    return data
