"""The steps of a running execution as the trusted side keeps them, their timers, and the form in which replay begins.

`OpenStep` is folded by hand, frame by frame: it is ahead of the journal by what is not committed yet. Once all is
committed it says what the step's row says (tests/test_open_steps.py), and the next execution begins from that row.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from playground.engine.clock import Timer
from playground.store.protocol import History
from playground.store.rows import STEP_CANCELLED, STEP_COMPLETED, STEP_ERRORED, STEP_OPEN, StepRow
from playground.workflows import step_config as configs
from playground.workflows.breaks import Break
from playground.workflows.events import CHILD, DO, SLEEP, StepKey

RUNNING = "running"
RETRYING = "retrying"
OPEN = "open"
OVER = "over"


# Statuses that a worker is sent; all others are sent as open.
_ENDED_STATUSES = frozenset({STEP_COMPLETED, STEP_ERRORED, STEP_CANCELLED})
replace = msgspec.structs.replace

_NOTHING: Mapping[str, Any] = {}


def _none() -> Mapping[str, Any]:
    return _NOTHING


@dataclass(slots=True)
class OpenStep:
    """One step.

    `failures` counts attempts that failed by themselves, not those that were lost with a worker. `until` is a deadline
    in epoch milliseconds. `late`: the open attempt has timed out and the worker was asked to cancel it.
    """

    key: StepKey
    status: str
    line: int | None = None
    config: Mapping[str, Any] = field(default_factory=_none)  # of a `do`
    attempt: int = 0
    failures: int = 0
    until: int | None = None
    timeout: int = 0
    completed: bool = False
    output: Any = None  # kept for a step with a rollback handler, which receives it
    rollback: str | None = None
    rollback_config: Mapping[str, Any] = field(default_factory=_none)  # where it has a handler
    rollback_attempt: int = 0
    rollback_failures: int = 0
    rollback_until: int | None = None
    timer: Timer | None = None
    late: bool = False
    broken: Break | None = None  # the break that its open attempt falls under
    reply: Mapping[str, Any] | None = None
    child: str | None = None  # the id of the instance that it runs
    started_seq: int = 0  # of a child, once it is known

    def stop_timer(self) -> None:
        """Cancel the timer."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class _NoTimer:
    """Stands for the timer of a step that the code waits for without a deadline."""

    def cancel(self) -> None:
        """There is nothing to cancel."""


NO_TIMER: Timer = _NoTimer()

ENDED = OpenStep(StepKey(SLEEP, "", 0), OVER)
"""Stands for every sleep and wait that has ended and whose end the code has received: there may be thousands, and none
is needed any more.
"""
ENDED_DO = OpenStep(StepKey(DO, "", 0), OVER)
"""The same for every `do` that had ended before this execution started and has no rollback handler."""


def from_snapshot(snapshot: History) -> dict[StepKey, OpenStep]:
    """The steps that an execution starts with, in the order in which they started."""
    rows = sorted(snapshot.steps.values(), key=lambda row: row.started_seq)
    return {row.key: _from_row(row) for row in rows}


def replay_order(steps: Iterable[StepRow], clock: int) -> tuple[list[StepRow], int]:
    """The steps by start, each with the workflow clock at which replay releases its end, and the last time on that
    clock.

    The clock never goes back: an end without a time, since no worker was there to report it, comes at the time before
    it. `clock` is the last time that a worker reported when it had nothing left but to wait.
    """
    rows = sorted(steps, key=lambda row: row.started_seq)
    times: list[tuple[int, int, int]] = [(row.started_seq, row.started_clock or 0, -1) for row in rows]
    times += [
        (row.ended_seq or row.started_seq, row.clock or 0, place)
        for place, row in enumerate(rows)
        if row.status in _ENDED_STATUSES
    ]
    times.sort()
    now = 0
    for _, time, place in times:
        now = max(now, time)
        if place >= 0 and rows[place].clock != now:
            rows[place] = replace(rows[place], clock=now)
    return rows, max(now, clock)


class StartFrameStep(msgspec.Struct, omit_defaults=True, gc=False):
    """A stored step as the worker receives it; `ended` orders those that are over."""

    key: StepKey
    status: str
    ended: int | msgspec.UnsetType = msgspec.UNSET
    clock: int | None | msgspec.UnsetType = msgspec.UNSET
    value: Any = msgspec.UNSET
    error: Any = msgspec.UNSET
    config: Any = msgspec.UNSET


def start_frame_step(row: StepRow) -> StartFrameStep:
    """A stored step as the worker receives it."""
    status = row.status
    if status == STEP_COMPLETED:
        return StartFrameStep(row.key, status, row.ended_seq or row.started_seq, row.clock, row.result)
    if status == STEP_ERRORED:
        ended = row.ended_seq or row.started_seq
        return StartFrameStep(row.key, status, ended, row.clock, msgspec.UNSET, row.error)
    step = StartFrameStep(row.key, status if status in _ENDED_STATUSES else "open")
    if row.key.kind == DO:
        step.config = row.config
    return step


def retry_delay(config: Mapping[str, Any], failures: int, computed: int | None) -> int:
    """Milliseconds until the next attempt, after the given number of failed ones."""
    retries = config["retries"]
    base = retries["delay"] if isinstance(retries["delay"], int) else (computed or 0)
    return configs.backoff_delay(retries["backoff"], base, failures)


def _from_row(row: StepRow) -> OpenStep:
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
        child=row.event_type if row.key.kind == CHILD else None,
        started_seq=row.started_seq if row.key.kind == CHILD else 0,
    )
