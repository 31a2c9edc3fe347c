"""What a fold over a journal is made of: the steps, attempts and executions of an instance as people see them."""

from dataclasses import dataclass, field
from typing import Any

from playground.workflows import events as ev
from playground.workflows.event_rules import COMPLETED, ERRORED, OPEN_STATUSES
from playground.workflows.events import StepKey


@dataclass(slots=True)
class Attempt:
    """One attempt of a step or of its rollback handler.

    `error` is None while open and after success; `injected` is what a person made it do.
    """

    attempt: int
    execution: int | None
    started_at: int
    ended_at: int | None = None
    error: dict[str, Any] | None = None
    retry_delay_ms: int | None = None
    took_us: int | None = None  # by the worker's own clock
    virtual: bool = False
    injected: str | None = None


@dataclass(slots=True)
class Rollback:
    """What became of a step's rollback handler. `attempt` is the number of the latest, `until` when the next is due."""

    status: str
    attempts: list[Attempt] = field(default_factory=list)
    error: dict[str, Any] | None = None
    attempt: int = 0
    until: int | None = None


@dataclass(slots=True)
class Step:
    """A do, sleep or wait of the current generation.

    `attempt` is the number of the latest attempt. `copied` says how it went in the instance that this one was forked
    from.
    """

    key: StepKey
    status: str
    line: int | None
    started_at: int
    ended_at: int | None = None
    until: int | None = None
    event_type: str | None = None
    config: dict[str, Any] | None = None
    has_output: bool = False
    output: Any = None
    error: dict[str, Any] | None = None
    attempt: int = 0
    attempts: list[Attempt] = field(default_factory=list)
    rollback: Rollback | None = None
    virtual: bool = False
    started_seq: int = 0
    cut_short: bool = False  # it was open when the run ended
    copied: dict[str, Any] | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more becomes of it or of its rollback handler, unless the instance is restarted."""
        return self.status not in OPEN_STATUSES and (
            self.rollback is None or self.rollback.status in (COMPLETED, ERRORED)
        )

    def as_json(self) -> dict[str, Any]:
        """As it stands under `steps` in the API."""
        shown: dict[str, Any] = {
            **self.key.as_json(),
            "line": self.line,
            "status": self.status,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
        }
        for name in ("until", "event_type", "config", "error"):
            if getattr(self, name) is not None:
                shown[name] = getattr(self, name)
        if self.has_output:
            shown["output"] = self.output
        if self.virtual:
            shown["virtual"] = True
        if self.copied is not None:
            shown["copied"] = self.copied
        if self.key.kind == ev.DO:
            shown["attempts"] = [_attempt_json(attempt) for attempt in self.attempts]
        if self.rollback is not None:
            shown["rollback"] = {
                "status": self.rollback.status,
                "attempts": [_attempt_json(a) for a in self.rollback.attempts],
            }
            if self.rollback.error is not None:
                shown["rollback"]["error"] = self.rollback.error
        return shown


@dataclass(slots=True)
class Execution:
    """One life of a worker for the instance."""

    execution: int
    worker: str | None
    replayed: int
    code_version: str | None
    started_at: int
    ended_at: int | None = None
    reason: str | None = None


def _attempt_json(attempt: Attempt) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "attempt": attempt.attempt,
        "execution": attempt.execution,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
    }
    for name in ("error", "retry_delay_ms", "took_us", "injected"):
        if getattr(attempt, name) is not None:
            shown[name] = getattr(attempt, name)
    if attempt.virtual:
        shown["virtual"] = True
    return shown
