"""How much one worker may say and store: held against the limits of its instance, counted to its address, and read on
only as commits follow.

What is kept of a tenant's output: lines up to a budget of bytes, then only a count of what was dropped.
"""

from collections.abc import Callable
from typing import Any

from playground.engine import queues
from playground.engine.limits import EVENT_BYTES, StoredPerDay
from playground.sandbox import frames
from playground.store.rows import InstanceRow
from playground.workflows import events as ev
from playground.workflows.events import NewEvent

LEAST = 64  # bytes that a line counts for, however short it is, since it costs that much to keep


class LogBudget:
    """The log bytes one instance may still have kept, in at most `lines` pieces.

    `dropped` counts the bytes over it, `flood` what they weigh.
    """

    def __init__(self, budget: int, lines: int) -> None:
        self.budget = max(0, budget)
        self._left = self.budget
        self._lines = lines
        self.dropped = self.flood = 0
        self._told = 0

    def take(self, frame: frames.Log) -> tuple[NewEvent | None, int]:
        """The event for one log frame and its size in bytes, or None once the budget is used up."""
        size = len(frame.text.encode())
        counted = max(size, LEAST)
        if counted > self._left or self._lines <= 0 or self.dropped:
            self._left = 0
            self.dropped += max(size, 1)
            self.flood += counted
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

    def truncated(self) -> list[NewEvent]:
        """`log_truncated` with the bytes dropped so far, when there are more than were last told."""
        if self.dropped == self._told:
            return []
        self._told = self.dropped
        return [NewEvent(ev.LOG_TRUNCATED, {"dropped": self.dropped})]


class Budget:
    """What one execution has used.

    `dos` are steps, `stored_bytes` what the whole instance holds, `most_events` what its journal may have. `limit`
    gives a limit of an instance, `stored` counts bytes by address, `ahead` is how far the worker may be ahead of the
    disk: entries, bytes and milliseconds.
    """

    most_events: int
    logs: LogBudget

    def __init__(
        self,
        limit: Callable[[InstanceRow, str], Any],
        stored: StoredPerDay,
        ahead: tuple[int, int, int],
        row: InstanceRow,
    ) -> None:
        self._limit, self._stored, self._ahead = limit, stored, ahead
        self.dos = 0
        self.stored_bytes = row.stored_bytes
        self._unbilled = self._said = 0
        self.take_limits(row)

    def take_limits(self, row: InstanceRow) -> None:
        """Go by the limits of `row` from now on."""
        self.most_events = self._limit(row, "journal_events")
        self.logs = LogBudget(self._limit(row, "log_bytes") - row.log_bytes, self.most_events // 2 - row.last_seq)

    def said(self, size: int) -> None:
        """A frame of `size` bytes has come."""
        self._said += size

    def owe(self, size: int) -> None:
        """Something of `size` bytes goes into the journal."""
        self._unbilled += size + EVENT_BYTES

    def bill(self, row: InstanceRow) -> str | None:
        """Count what goes into the journal to whoever has nobody else to answer for it.

        Gives what is said when it is too much.
        """
        owed, self._unbilled = self._unbilled, 0
        if owed and not row.tenant and not self._stored.add(queues.billed(row.queue), owed):
            return f"storage: your address has stored more than {self._stored.most:,} bytes within a day"
        return None

    def is_ahead(self, backlog: int, waiting_ms: int) -> bool:
        """Whether the worker is to wait for the disk: `backlog` entries wait for their commit, the first of them for so
        many milliseconds.
        """
        return backlog > self._ahead[0] or self._said > self._ahead[1] or waiting_ms > self._ahead[2]

    def caught_up(self) -> None:
        """All that was said is committed."""
        self._said = 0
