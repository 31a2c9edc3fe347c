"""What is kept of a tenant's output: lines up to a budget of bytes, then only a count of what was dropped."""

from typing import Any

from playground.sandbox import frames
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
        return NewEvent(ev.LOG, data, frames.key(frame.step) if frame.step is not None else None), size

    def truncated(self) -> list[NewEvent]:
        """`log_truncated` with the bytes dropped so far, when there are more than were last told."""
        if self.dropped == self._told:
            return []
        self._told = self.dropped
        return [NewEvent(ev.LOG_TRUNCATED, {"dropped": self.dropped})]
