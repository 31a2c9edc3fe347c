"""Spans of what runs, made from the events of a journal once they are durable. Pure: engine/span_export.py sends them.

A span per execution, in it one for each step that the execution worked on, in that one for each attempt; a step of
another step's callback is in the attempt that called it. All executions of an instance are of one trace: the one whose
`traceparent` came with the create, and each is then a child of the span that it names; otherwise one of its own. Each
has links to the create's context and to the execution before.

What is told: names, ids, times, statuses, and of an error its class and message as the journal has them, without
secrets. Never params, results, events or other values.

Ids follow from the instance, the number of the execution, the step and the attempt, so that `fetch` can send the
context of an attempt whose span is made later, and any node knows the id of the execution before. A span is made when
its end is durable. The node that ran an execution tells of it: if that node dies, the spans that it had not sent are
lost, and no other node tells them in its place, so that none is told twice. A step that an execution does not end (a
sleep for which it is suspended) has a span up to the execution's end, with the status `open`, and one more in the next.

`traceparent` has the form of W3C Trace Context, level 1; `tracestate` is not passed on.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from playground.store.rows import InstanceRow
from playground.workflows import events as ev
from playground.workflows.events import Event, StepKey

TRACEPARENT = "traceparent"  # the header, and where it stands among an instance's limits
ERROR_CHARACTERS = 1_000  # of an error's message in a span
ROLLBACK = "rollback "  # before the name of a step that is undone
OPEN, OK, FAILED, CANCELLED = "open", "completed", "errored", "cancelled"  # how a step's or an attempt's span ended

_FORM = re.compile(r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})")
_LONGEST = 200  # characters of a version to come, which may append to the form
_SAMPLED = 1

_BEGINS = frozenset({ev.STEP_STARTED, ev.SLEEP_STARTED, ev.WAIT_STARTED, ev.CHILD_STARTED, ev.ROLLBACK_STEP_STARTED})
_ATTEMPT_BEGINS = frozenset({ev.ATTEMPT_STARTED, ev.ROLLBACK_ATTEMPT_STARTED})
_ATTEMPT_ENDS = {
    ev.ATTEMPT_COMPLETED: OK, ev.ATTEMPT_ERRORED: FAILED,
    ev.ROLLBACK_ATTEMPT_COMPLETED: OK, ev.ROLLBACK_ATTEMPT_ERRORED: FAILED,
}  # fmt: skip
_ENDS = {
    ev.STEP_COMPLETED: OK, ev.STEP_ERRORED: FAILED, ev.SLEEP_COMPLETED: OK, ev.SLEEP_CANCELLED: CANCELLED,
    ev.WAIT_COMPLETED: OK, ev.WAIT_TIMED_OUT: FAILED, ev.WAIT_CANCELLED: CANCELLED, ev.CHILD_COMPLETED: OK,
    ev.CHILD_ERRORED: FAILED, ev.CHILD_CANCELLED: CANCELLED, ev.ROLLBACK_STEP_COMPLETED: OK,
    ev.ROLLBACK_STEP_ERRORED: FAILED,
}  # fmt: skip
_STATUSES = {**ev.FINAL_STATUS_OF, ev.WORKFLOW_PAUSED: ev.PAUSED, ev.WORKFLOW_WAITING: ev.WAITING}


class TraceContext(NamedTuple):
    """One span as others refer to it."""

    trace_id: int
    span_id: int
    sampled: bool

    def __str__(self) -> str:
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{int(self.sampled):02x}"


@dataclass(frozen=True, slots=True)
class Span:
    """A span that has ended. Times are epoch milliseconds; `error` is the description of a failure."""

    name: str
    context: TraceContext
    parent: TraceContext | None
    began: float
    ended: float
    attributes: Mapping[str, str | int]
    error: str | None = None
    links: Sequence[TraceContext] = ()


class Tracing(Protocol):
    """Where the spans of a node go."""

    def samples(self, trace_id: int, parent: TraceContext | None) -> bool:
        """Whether the spans of this trace are to be told."""

    def export(self, span: Span) -> None:
        """Take a span. Never waits, and never raises."""

    async def close(self) -> None:
        """Send what is left, within some seconds."""


def read_traceparent(text: str | None) -> TraceContext | None:
    """The context in a `traceparent`, or None where it has not W3C's form, which is to be ignored then."""
    found = _FORM.match(text[:_LONGEST]) if text else None
    if text is None or found is None or found["version"] == "ff":
        return None
    rest = text[found.end() :]
    if rest and (found["version"] == "00" or not rest.startswith("-")):
        return None
    context = TraceContext(int(found["trace"], 16), int(found["span"], 16), bool(int(found["flags"], 16) & _SAMPLED))
    return context if context.trace_id and context.span_id else None


def checked_traceparent(text: str) -> str:
    """A `traceparent` as it is kept. Raises ValueError: it has not W3C's form."""
    context = read_traceparent(text)
    if context is None:
        raise ValueError(
            "`traceparent` takes the form 00-TRACE-SPAN-FLAGS of W3C Trace Context, in hexadecimal digits."
        )
    return str(context)


def traced(row: InstanceRow, workflow: str, tracing: Tracing) -> "ExecutionTrace":
    """The trace of an instance's execution that is about to start; `workflow` is its name for people."""
    created = read_traceparent((row.limits or {}).get(TRACEPARENT))
    seed = f"{row.tenant}/{row.key}/{row.nonce}/{row.created_at}"
    trace_id = created.trace_id if created is not None else _derived_id(seed, 16)
    attributes: dict[str, str | int] = {
        "workflow.instance.id": row.id,
        "workflow.tenant": row.tenant,
        "workflow.name": workflow,
        "workflow.version": row.snippet,
        "workflow.execution": row.execution,
    }
    sampled = tracing.samples(trace_id, created)
    return ExecutionTrace(seed, trace_id, row.execution, created, sampled, attributes, tracing.export)


def _derived_id(text: str, size: int) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=size).digest()
    return int.from_bytes(digest) or 1  # zero is no id


@dataclass(slots=True)
class _OpenStep:
    began: float
    attempts: dict[int, float] = field(default_factory=dict)  # when those began that are open


_Key = tuple[bool, StepKey]  # whether it is the step's rollback


class ExecutionTrace:
    """Turns the durable events of one execution into spans.

    Args:
        seed: what the ids follow from.
        created: the context that came with the create.
        sampled: whether its spans are told; its context is passed on in any case.
        attributes: of the execution's span.
        export: takes each span.
    """

    def __init__(
        self,
        seed: str,
        trace_id: int,
        execution: int,
        created: TraceContext | None,
        sampled: bool,
        attributes: Mapping[str, str | int],
        export: Callable[[Span], None],
    ) -> None:
        self._seed, self._trace_id, self._execution = seed, trace_id, execution
        self._created, self._sampled, self._export = created, sampled, export
        self._attributes, self._error = dict(attributes), None
        self._open: dict[_Key, _OpenStep] = {}
        self._began: float | None = None
        self._last: float = 0

    def context(self, step: StepKey | None = None, attempt: int | None = None) -> TraceContext:
        """The context of the execution, of a step in it, or of an attempt of the step."""
        return self._context(None if step is None else (False, step), attempt)

    def read(self, events: Sequence[Event]) -> None:
        """Take durable events, in order. What stands before the execution's start is not its own."""
        for event in events:
            if self._began is not None:
                self._last = max(self._last, event.at)
                self._read_event(event)
            elif event.type == ev.EXECUTION_STARTED and event.data["execution"] == self._execution:
                self._began = self._last = event.at
                if event.data.get("code_version"):
                    self._attributes["workflow.version"] = event.data["code_version"]

    def end(self) -> None:
        """The execution is over, and its last event has been read."""
        if self._began is None:
            return
        for key, step in list(self._open.items()):
            for attempt in list(step.attempts):
                self._end_attempt(key, attempt, self._last, OPEN, {})
            self._end_step(key, self._last, OPEN, {})
        context, before = self._context(None), self._execution - 1
        links = [] if self._created is None else [self._created]
        if before:
            links.append(TraceContext(self._trace_id, self._span_id(before), self._sampled))
        name = f"run {self._attributes['workflow.name']}"
        self._tell(name, context, self._created, self._began, self._last, self._attributes, self._error, links)
        self._began = None

    def _read_event(self, event: Event) -> None:
        type, data = event.type, event.data
        if event.step is None:
            if type == ev.EXECUTION_ENDED:
                self._attributes["workflow.execution.end"] = data["reason"]
            if type in _STATUSES:
                self._attributes["workflow.status"] = _STATUSES[type]
                self._error = data.get("error")
            return
        self._attributes.pop("workflow.status", None)  # it waited or was paused, and has gone on
        key = (type.startswith("rollback_"), event.step)
        if type in _BEGINS:
            self._open[key] = _OpenStep(event.at)
        elif type in _ATTEMPT_BEGINS:
            self._open.setdefault(key, _OpenStep(event.at)).attempts[data["attempt"]] = event.at
        elif type in _ATTEMPT_ENDS:
            self._end_attempt(key, data["attempt"], event.at, _ATTEMPT_ENDS[type], data)
        elif type in _ENDS:
            self._end_step(key, event.at, _ENDS[type], data)

    def _end_attempt(self, key: _Key, attempt: int, at: float, status: str, data: Mapping[str, Any]) -> None:
        assert self._began is not None, "nothing is read before the start"
        step = self._open.setdefault(key, _OpenStep(self._began))
        # The start of a quick attempt is committed with its end, and the worker's clock says how long it took.
        began = max(self._began, min(step.attempts.pop(attempt, at), at - data.get("took_us", 0) / 1_000))
        step.began = min(step.began, began)
        attributes: dict[str, str | int] = {"workflow.attempt": attempt, "workflow.attempt.status": status}
        context, parent = self._context(key, attempt), self._context(key)
        self._tell(f"{_name(key)} attempt {attempt}", context, parent, began, at, attributes, data.get("error"))

    def _end_step(self, key: _Key, at: float, status: str, data: Mapping[str, Any]) -> None:
        assert self._began is not None, "nothing is read before the start"
        began = self._open.pop(key, _OpenStep(self._began)).began
        step = key[1]
        attributes: dict[str, str | int] = {
            "workflow.step.kind": step.kind,
            "workflow.step.name": step.name,
            "workflow.step.count": step.count,
            "workflow.step.status": status,
        }
        self._tell(_name(key), self._context(key), self._parent(step), began, at, attributes, data.get("error"))

    def _parent(self, step: StepKey) -> TraceContext:
        """What a step's span is in: the execution, or the attempt of the step that called it."""
        if step.parent is None:
            return self._context(None)
        outer = self._open.get((False, step.parent))
        return self._context((False, step.parent), max(outer.attempts) if outer and outer.attempts else None)

    def _context(self, key: _Key | None, attempt: int | None = None) -> TraceContext:
        of_step = "" if key is None else f"/{'rollback/' if key[0] else ''}{key[1].kind}/{key[1]}/{attempt or ''}"
        return TraceContext(self._trace_id, self._span_id(self._execution, of_step), self._sampled)

    def _span_id(self, execution: int, of_step: str = "") -> int:
        return _derived_id(f"{self._seed}/{execution}{of_step}", 8)

    def _tell(
        self,
        name: str,
        context: TraceContext,
        parent: TraceContext | None,
        began: float,
        ended: float,
        attributes: dict[str, str | int],
        error: Mapping[str, Any] | None,
        links: Sequence[TraceContext] = (),
    ) -> None:
        if not self._sampled:
            return
        description = None
        if error is not None:
            attributes = {**attributes, "error.type": str(error.get("name", ""))}
            description = f"{error.get('name')}: {error.get('message')}"[:ERROR_CHARACTERS]
        self._export(Span(name, context, parent, began, ended, attributes, description, links))


def _name(key: _Key) -> str:
    return f"{ROLLBACK if key[0] else ''}{key[1].label}"
