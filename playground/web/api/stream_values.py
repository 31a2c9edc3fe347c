"""The values of one stream that steps append to (workflows/streams.py), live as Server-Sent Events.

    retry: 1000   event: hello      {server_time, last_seq, status}           at once
    id: 41        event: values     [{seq, step, attempt, number, value}, …]  values, in the order of the journal
    id: 57        event: reset      {step, attempt}                           drop what you have of this step: it is
                                                                              tried again as this attempt (null: the
                                                                              workflow was restarted); step null: drop
                                                                              all, the reader was ahead of the journal
    id: 60        event: truncated  {dropped}                                 so many values were over the limit
                  event: ping       {server_time}                             every 15 s
    id: 99        event: end        {status, last_seq}                        the run is over; asked again with nothing
                                                                              new: 204
    retry: 500    event: restart    {}                                        the server stops; come again

`seq` is that of the event in the journal, `number` counts the values of an attempt from 1 without a gap: no value comes
twice, across reconnects (by `Last-Event-ID`) and restarts of the server. A stream that nothing was appended to yet is
no error: its first value comes when there is one.

Which values stand depends on the journal from its beginning, so a reader who goes on reads it from there: of what comes
before `after`, only the events that count. Which steps a restart keeps is looked up when one comes, so that a reader
need not hold every step of a long run.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from playground.store.encoding import StoredEvent, encode_step, read_event
from playground.store.protocol import Store
from playground.store.rows import InstanceRow
from playground.web.api.stream_source import BATCH_EVENTS, Batch, data_message, message
from playground.workflows import events as ev
from playground.workflows.events import StepKey
from playground.workflows.streams import READ_TYPES, START_TYPES, StreamReader

_NO_DATA: dict[str, Any] = {}


class _Appended(msgspec.Struct):
    """The data of a `stream_appended`, whose values stay JSON text."""

    stream: str
    attempt: int
    first: int
    count: int
    values: list[msgspec.Raw]


_read_appended = msgspec.json.Decoder(_Appended).decode
_read_data = msgspec.json.Decoder(dict[str, Any]).decode
_WITH_DATA = frozenset({ev.ATTEMPT_STARTED, ev.WORKFLOW_RESTARTED, ev.STREAM_TRUNCATED})


class Values:
    """The values of one stream after a seq."""

    def __init__(self, store: Store, row: InstanceRow, name: str, after: int) -> None:
        self._store, self._key = store, row.key
        ahead = after > row.last_seq
        self.beginning = message("reset", {"step": None, "attempt": None}, id=0) if ahead else b""
        self._sent_through = 0 if ahead else after
        self._history_ends = row.last_seq  # up to here only the events that count are read
        self._reader = StreamReader(name)
        self.after = 0

    async def read(self) -> Batch:
        """See `Source`."""
        in_history = self.after < self._history_ends
        rows = await self._store.events_json(
            self._key, after=self.after, limit=BATCH_EVENTS, types=READ_TYPES if in_history else None
        )
        if not rows:
            self.after = max(self.after, self._history_ends)
            return Batch(b"", read_any=False, final="", more=in_history)
        self.after = rows[-1][0]
        text = await self._messages([read_event(text) for _, type, text in rows if type in READ_TYPES])
        more = in_history or len(rows) == BATCH_EVENTS
        return Batch(text, read_any=True, final=ev.FINAL_STATUS_OF.get(rows[-1][1], ""), more=more)

    def end_message(self, status: str) -> bytes:
        """See `Source`. Its id says that the reader has everything."""
        return message("end", {"status": status, "last_seq": self.after}, id=self.after)

    async def _messages(self, events: Iterable[StoredEvent]) -> bytes:
        parts: list[bytes] = []
        values: list[bytes] = []
        values_seq = 0

        def close_values() -> None:
            if values:
                parts.append(data_message("values", values_seq, b",".join(values)))
                values.clear()

        for event in events:
            shown = event.seq > self._sent_through
            key = event.step_key
            if event.type == ev.STREAM_APPENDED:
                appended = _read_appended(event.data)
                self._reader.read(
                    event.seq, event.type, key,
                    {"stream": appended.stream, "attempt": appended.attempt, "count": appended.count},
                )  # fmt: skip
                if shown and appended.stream == self._reader.name:
                    assert key is not None, "a step appends"
                    values += _value_texts(event.seq, key, appended)
                    values_seq = event.seq
                continue
            data = _read_data(event.data) if event.type in _WITH_DATA else _NO_DATA
            kept = await self._kept(event.seq, data) if event.type == ev.WORKFLOW_RESTARTED else ()
            for reset in self._reader.read(event.seq, event.type, key, data, kept):
                if shown:
                    close_values()
                    parts.append(
                        message("reset", {"step": reset.step.as_json(), "attempt": reset.attempt}, id=event.seq)
                    )
            if shown and event.type == ev.STREAM_TRUNCATED and data["stream"] == self._reader.name:
                close_values()
                parts.append(message("truncated", {"dropped": data["dropped"]}, id=event.seq))
        close_values()
        return b"".join(parts)

    async def _kept(self, restarted: int, data: Mapping[str, Any]) -> set[StepKey]:
        """The steps with values that a restart keeps: those that began before the step from which it runs again."""
        origin = data.get("from_step")
        if origin is None or not self._reader.steps:
            return set()
        first, started, after = StepKey.from_json(origin), dict[StepKey, int](), 0
        wanted = {first, *self._reader.steps}
        while rows := await self._store.events_json(self._key, after=after, limit=BATCH_EVENTS, types=START_TYPES):
            for seq, _, text in rows:
                key = read_event(text).step_key
                if seq < restarted and key in wanted:
                    assert key is not None, "such an event names its step"
                    started[key] = seq
            after = rows[-1][0]
            if after >= restarted:
                break
        return {key for key, seq in started.items() if seq < started.get(first, 0)}


def _value_texts(seq: int, step: StepKey, appended: _Appended) -> list[bytes]:
    head = b'{"seq":%d,"step":%s,"attempt":%d,"number":' % (seq, encode_step(step).encode(), appended.attempt)
    return [
        head + b'%d,"value":%s}' % (number, bytes(value))
        for number, value in enumerate(appended.values, appended.first)
    ]
