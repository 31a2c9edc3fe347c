"""The steps of a running execution as the trusted side keeps them, and the timers that go with them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from playground.engine.clock import Timer
from playground.store.protocol import History
from playground.store.rows import STEP_CANCELLED, STEP_COMPLETED, STEP_ERRORED, STEP_OPEN, StepRow
from playground.workflows import step_config as configs
from playground.workflows.breaks import Break
from playground.workflows.events import DO, SLEEP, StepKey

RUNNING = "running"
RETRYING = "retrying"
OPEN = "open"
OVER = "over"


# Statuses that a worker is given; all others are open.
_SHOWN = frozenset({STEP_COMPLETED, STEP_ERRORED, STEP_CANCELLED})
replace = msgspec.structs.replace

_NOTHING: Mapping[str, Any] = {}


def _none() -> Mapping[str, Any]:
    return _NOTHING


@dataclass(slots=True)
class OpenStep:
    """One step: `failures` counts attempts that failed by themselves, `until` is a deadline in epoch milliseconds."""

    key: StepKey
    status: str
    line: int | None = None
    config: Mapping[str, Any] = field(default_factory=_none)  # of a `do`
    attempt: int = 0
    failures: int = 0
    until: int | None = None
    timeout: int = 0
    completed: bool = False
    output: Any = None  # kept where a rollback handler may want it
    rollback: str | None = None
    rollback_config: Mapping[str, Any] = field(default_factory=_none)  # where it has a handler
    rollback_attempt: int = 0
    rollback_failures: int = 0
    rollback_until: int | None = None
    timer: Timer | None = None
    late: bool = False
    broken: Break | None = None  # what its open attempt falls under
    reply: Mapping[str, Any] | None = None

    def stop_timer(self) -> None:
        """Forget the deadline that was armed."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


ENDED = OpenStep(StepKey(SLEEP, "", 0), OVER)
"""Stands for every sleep and wait that has ended and of which the code knows: one may sleep thousands of times, and
nothing more is asked of those.
"""
ENDED_DO = OpenStep(StepKey(DO, "", 0), OVER)
"""The same of every `do` that had ended before this execution began and has no handler."""


def from_snapshot(snapshot: History) -> dict[StepKey, OpenStep]:
    """The steps an execution begins with, in the order they started."""
    rows = sorted(snapshot.steps.values(), key=lambda row: row.started_seq)
    return {row.key: _live(row) for row in rows}


def replay_order(steps: Iterable[StepRow], clock: int) -> tuple[list[StepRow], int]:
    """The steps by start, with the clock at which the code learns of each end, and the last time that the workflow's
    clock has shown.

    The clock never goes back: what ended without a time, since no worker was there to tell it, comes at the time
    before. `clock` is what it showed when a worker last had nothing left but to wait.
    """
    rows = sorted(steps, key=lambda row: row.started_seq)
    times: list[tuple[int, int, int]] = [(row.started_seq, row.started_clock or 0, -1) for row in rows]
    times += [
        (row.ended_seq or row.started_seq, row.clock or 0, place)
        for place, row in enumerate(rows)
        if row.is_over or row.status == STEP_CANCELLED
    ]
    times.sort()
    now = 0
    for _, time, place in times:
        now = max(now, time)
        if place >= 0 and rows[place].clock != now:
            rows[place] = replace(rows[place], clock=now)
    return rows, max(now, clock)


def start_frame_step(row: StepRow) -> dict[str, Any]:
    """A stored step as the worker receives it; `ended` orders those that are over."""
    shown: dict[str, Any] = {"key": row.key, "status": row.status if row.status in _SHOWN else "open"}
    if row.is_over:
        shown.update(ended=row.ended_seq or row.started_seq, clock=row.clock)
    if row.status == STEP_COMPLETED:
        shown["value"] = row.result
    elif row.status == STEP_ERRORED:
        shown["error"] = row.error
    elif row.key.kind == DO:
        shown["config"] = row.config
    return shown


def retry_delay(config: Mapping[str, Any], failures: int, computed: int | None) -> int:
    """Milliseconds until the next attempt, after the given number of failed ones."""
    retries = config["retries"]
    base = retries["delay"] if isinstance(retries["delay"], int) else (computed or 0)
    return configs.backoff_delay(retries["backoff"], base, failures)


def _live(row: StepRow) -> OpenStep:
    if row.is_over and row.rollback is None:
        return ENDED_DO if row.key.kind == DO else ENDED
    status = OVER if row.is_over or row.status == STEP_CANCELLED else OPEN if row.status == STEP_OPEN else RETRYING
    return OpenStep(
        key=row.key,
        status=status,
        line=row.line,
        config=row.config or _NOTHING,
        attempt=row.attempt,
        failures=row.failures,
        until=row.until,
        completed=row.status == STEP_COMPLETED and row.key.kind == DO,
        output=row.result if row.rollback is not None else None,
        rollback=row.rollback,
        rollback_config=row.rollback_config or _NOTHING,
        rollback_attempt=row.rollback_attempt,
        rollback_failures=row.rollback_failures,
        rollback_until=row.rollback_until,
    )
