"""What one worker may send and store: held against the limits of its instance, charged to its address, and read on only
as commits follow (back-pressure).

Log lines are stored up to a budget of bytes and of lines; beyond it only the dropped bytes are counted. So are the
values of streams, of which all executions of an instance together may take half of what it may hold.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from playground.engine import queues
from playground.engine.limits import EVENT_BYTES, StoredPerDay
from playground.sandbox import frames
from playground.store.rows import InstanceRow
from playground.workflows import events as ev
from playground.workflows.events import NewEvent, StepKey

LINE_BYTES_MIN = 64  # bytes that a line counts for at least, since it costs that much to store
VALUE_BYTES_MIN = 64  # the same for a value of a stream


class LogBudget:
    """The log bytes one instance may still store, in at most `lines` pieces.

    `dropped` counts the bytes over it, `dropped_weight` the same with `LINE_BYTES_MIN` for short lines.
    """

    def __init__(self, budget: int, lines: int) -> None:
        self.budget = max(0, budget)
        self._left = self.budget
        self._lines = lines
        self.dropped = self.dropped_weight = 0
        self._reported = 0

    def add(self, frame: frames.Log) -> tuple[NewEvent | None, int]:
        """The event for one log frame and its size in bytes, or None once the budget is used up."""
        size = len(frame.text.encode())
        counted = max(size, LINE_BYTES_MIN)
        if counted > self._left or self._lines <= 0 or self.dropped:
            self._left = 0
            self.dropped += max(size, 1)
            self.dropped_weight += counted
            return None, size
        self._left -= counted
        self._lines -= 1
        data: dict[str, Any] = {
            "stream": frame.stream,
            "level": frame.level,
            "text": frame.text,
            "replay": frame.replay,
        }
        if frame.line is not None:
            data["line"] = frame.line
        if frame.partial:
            data["partial"] = True
        return NewEvent(ev.LOG, data, frames.step_key(frame.step) if frame.step is not None else None), size

    def truncation_events(self) -> list[NewEvent]:
        """`log_truncated` with the bytes dropped so far, when there are more than were last reported."""
        if self.dropped == self._reported:
            return []
        self._reported = self.dropped
        return [NewEvent(ev.LOG_TRUNCATED, {"dropped": self.dropped})]


class StreamBudget:
    """What one execution may still append to streams: `bytes_most` of values, while the instance holds less than
    `held_most` and its journal has less than `events_most` events. Beyond that values are dropped and counted.
    """

    def __init__(self, bytes_most: int, held_most: int, events_most: int) -> None:
        self.bytes_most, self._held_most, self._events_most = bytes_most, held_most, events_most
        self._used = 0
        self.dropped_bytes = 0
        self.names: set[str] = set()  # of the streams that it has appended to
        self._unreported: Counter[str] = Counter()  # values dropped, by stream
        self._numbers: dict[tuple[str, StepKey], tuple[int, int]] = {}  # attempt, and the number of its last value

    def add(
        self, step: StepKey, attempt: int, stream: str, value: Any, size: int, held: int, events: int
    ) -> NewEvent | None:
        """The event of one value of `size` bytes, or None where it is dropped.

        The instance holds `held` bytes, and its journal has so many `events`.
        """
        counted = max(size, VALUE_BYTES_MIN)
        if (
            self.dropped_bytes
            or self._used + counted > self.bytes_most
            or held + counted > self._held_most
            or events >= self._events_most
        ):
            self.dropped_bytes += counted
            self._unreported[stream] += 1
            return None
        self._used += counted
        self.names.add(stream)
        last, number = self._numbers.get((stream, step), (attempt, 0))
        number = number + 1 if last == attempt else 1
        self._numbers[stream, step] = attempt, number
        data = {"stream": stream, "attempt": attempt, "first": number, "count": 1, "values": [value]}
        return NewEvent(ev.STREAM_APPENDED, data, step)

    def truncation_events(self) -> list[NewEvent]:
        """`stream_truncated` for each stream of which values were dropped that are not reported yet."""
        unreported, self._unreported = self._unreported, Counter()
        return [
            NewEvent(ev.STREAM_TRUNCATED, {"stream": stream, "dropped": dropped})
            for stream, dropped in unreported.items()
        ]


class Ahead(NamedTuple):
    """How far a worker may be ahead of the disk."""

    entries: int
    bytes: int
    ms: int


class Budget:
    """What one execution has used.

    `do_steps` counts steps, `stored_bytes` is what the whole instance holds, `most_events` what its journal may have.

    Args:
        limit: gives a limit of an instance.
        stored: counts bytes by address.
        ahead: how far the worker may be ahead of the disk.
        row: the instance.
    """

    most_events: int
    logs: LogBudget
    streams: StreamBudget

    def __init__(
        self,
        limit: Callable[[InstanceRow, str], Any],
        stored: StoredPerDay,
        ahead: Ahead,
        row: InstanceRow,
    ) -> None:
        self._limit, self._stored, self._ahead = limit, stored, ahead
        self.do_steps = 0
        self.stored_bytes = row.stored_bytes
        self._uncharged = self._received_bytes = 0
        self.set_limits(row)

    def set_limits(self, row: InstanceRow) -> None:
        """Apply the limits of `row` from now on."""
        self.most_events = self._limit(row, "journal_events")
        self.logs = LogBudget(self._limit(row, "log_bytes") - row.log_bytes, self.most_events // 2 - row.last_seq)
        held_most = self._limit(row, "instance_bytes") // 2
        self.streams = StreamBudget(self._limit(row, "stream_bytes"), held_most, self.most_events // 2)

    def truncation_events(self) -> list[NewEvent]:
        """What has been dropped of the log and of streams, and not been reported yet."""
        return [*self.logs.truncation_events(), *self.streams.truncation_events()]

    def count_received(self, size: int) -> None:
        """The worker has sent a frame of `size` bytes."""
        self._received_bytes += size

    def count_stored(self, size: int) -> None:
        """Something of `size` bytes goes into the journal."""
        self._uncharged += size + EVENT_BYTES

    def charge(self, row: InstanceRow) -> str | None:
        """Charge what goes into the journal to the address of an instance without a tenant.

        Returns the message when it is too much.
        """
        size, self._uncharged = self._uncharged, 0
        if size and not row.tenant and not self._stored.add(queues.billed(row.queue), size):
            return f"storage: your address has stored more than {self._stored.most:,} bytes within a day"
        return None

    def is_ahead(self, backlog: int, waiting_ms: int) -> bool:
        """Whether the worker is to be read no further until the commits have caught up.

        `backlog` entries wait for their commit, the first of them for `waiting_ms`.
        """
        ahead = self._ahead
        return backlog > ahead.entries or self._received_bytes > ahead.bytes or waiting_ms > ahead.ms

    def on_committed(self) -> None:
        """Everything that was received is committed."""
        self._received_bytes = 0
