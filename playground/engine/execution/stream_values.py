"""Values of streams: appended by a step's code, or by a binding that a step calls, within the limits of streams.

A value of an attempt that is over meanwhile is dropped: it has timed out, and what it appended is void.
"""

from typing import Any, Protocol

from playground.engine.execution.context import ExecutionContext
from playground.engine.metrics import owner_of_limit
from playground.sandbox import frames
from playground.workflows import events as ev
from playground.workflows.events import StepKey

STREAM_FLOOD_BYTES = 64 * 1024 * 1024  # who appends more than this past the budget is ended


class Appending(ExecutionContext, Protocol):
    """An execution whose steps append to streams."""

    @property
    def is_rolling_back(self) -> bool:
        """Whether its rollback handlers run."""


def append_value(execution: Appending, step: StepKey, attempt: int, stream: str, value: Any) -> None:
    """Append an encoded value to a stream of a step's attempt; ends an execution that breaks a limit."""
    if execution.closing or execution.is_rolling_back or execution.open_attempt(step) != attempt:
        return
    streams, value_bytes = execution.budget.streams, frames.size_of(value)
    names_most = execution.services.settings.stream_names
    if stream not in streams.names and len(streams.names) >= names_most:
        execution.break_limit(f"streams: more than {names_most:,} of them in one execution", "stream_names")
        return
    value_most = execution.services.settings.call_bytes
    if value_bytes > value_most:
        execution.break_limit(f"streams: a value of more than {value_most:,} bytes", "call_bytes")
        return
    if execution.steps[step].config.get("sensitive"):
        value = ev.REDACTED
    dropped = streams.dropped_bytes
    event = streams.add(
        step, attempt, stream, value, value_bytes, execution.budget.stored_bytes, execution.journal_events
    )
    if event is not None:
        execution.budget.stored_bytes += value_bytes
        execution.budget.count_stored(value_bytes)
        execution.pipeline.add_value(event, value_bytes)
    elif not dropped:
        execution.services.counts.limit("stream_bytes", owner_of_limit(execution.row), instance=execution.row.key)
        execution.pipeline.add(*streams.truncation_events())
    elif streams.dropped_bytes > STREAM_FLOOD_BYTES:
        execution.break_limit(
            f"streams: the worker appended more than {STREAM_FLOOD_BYTES:,} bytes past its {streams.bytes_most:,}"
        )
