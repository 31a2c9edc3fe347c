"""A test written from a run: a pytest file that pins what the run did, for `playground.testing.recorded`.

It holds the run's code and says of each step how its attempts went and what it returned, what came from outside
(events, killed workers, a termination) after which point of the journal, and how the run ended. A fault comes again by
plan: an attempt whose worker died hangs until the test kills the worker there, one that timed out hangs until its
timeout, and an error of a break is raised anew. Everything else runs, so that a change of the code shows.

A step is not run but given its recorded outcome where another try could end otherwise, whatever the code: it has asked
a host, a model or a tool, its result is redacted, a fork or a person gave it, it is a child, or the text of its lines
names chance, the time or the machine (`_CHANCE`). The text is looked at, never parsed: it is the tenant's. Where such a
word stands outside of the steps' own lines, any step may depend on it, and all are given.

Limits: one journal in memory, whose size the caller bounds. A run that was restarted from a step, that handles
messages, that a limit ended, or whose code a program has, can't be a test, and the refusal says so.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from playground.runfiles.facts import (
    ERROR,
    LOST,
    NOTHING,
    OK,
    OPEN,
    TIMED_OUT,
    Outcome,
    StepFacts,
    facts_of,
    milestone,
    patches_of,
    tags_at_begin,
)
from playground.runfiles.format import Head
from playground.runfiles.python_literals import Call, Name, identifier, render, text_of_lines
from playground.workflows import events as ev
from playground.workflows import values
from playground.workflows.errors import CannotBeATest
from playground.workflows.events import Event, StepKey
from playground.workflows.names import is_handler
from playground.workflows.state import State, fold
from playground.workflows.step_bytes import stored_size

DAY_MS = 86_400_000
ID_CHARACTERS = 8  # of the run's id in names
TITLE_CHARACTERS = 80
_CALLED = frozenset({ev.FETCH_CALLED, ev.AI_CALLED, ev.MCP_CALLED})
_CHANCE = re.compile(
    r"\b(?:random|uuid\d?|secrets|time|datetime|date|os|sys|socket|platform|subprocess|threading|urllib|http|hash|id"
    r"|open|fetch|input|urandom|getpid|token_hex|randint|shuffle|choice|monotonic|perf_counter|env\.(?!EFFECTS|STREAMS)"
    r"\w+)\s*[.(]"
)
_IMPORT = re.compile(r"\s*(?:import|from)\s")
_TIME_TEXT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d[0-9:.]*(?:Z|[+-]\d\d:?\d\d)?\Z")

_HEADER = '''"""{title}

Written by playground {product} from run {id}, {when} UTC. On a machine with nothing:

    pip install dynamic-workflows-playground pytest
    pytest {file}

It passes while the code goes the way of that run. Change SOURCE, or put your own code
in its place, and it says what has become different. A step that is `ran` runs; one
that is `given` does not, since it depends on more than the code.
"""

from playground.testing import recorded

SOURCE = {source}


def test_{name}() -> None:
    {call}
'''


@dataclass(frozen=True, slots=True)
class _Move:
    """What came from outside, after a point of the journal; None: before the code began."""

    function: str
    after: str | None
    arguments: tuple[Any, ...] = ()
    named: tuple[tuple[str, Any], ...] = ()


def file_name(head: Head) -> str:
    """What a run's test is called."""
    return f"test_{_name(head)}.py"


def write_test(head: Head, events: Sequence[Event]) -> str:
    """The text of a pytest file that pins a run.

    Raises:
        CannotBeATest: it can't be one; the message says why.
    """
    source = head.code.source
    if source is None:
        raise CannotBeATest("The code of this run comes from a program; a test holds its code.")
    if is_handler(head.class_name) or _handles_messages(events):
        raise CannotBeATest("This run handles messages of a queue; `deliver` of the test kit is for that.")
    whole, events = events, _last_generation(events)
    state = fold(events)
    if not state.steps and head.status not in ev.FINAL_STATUSES:
        raise CannotBeATest("This run has not come to a step yet. Wait until it has.")
    if any(event.type == ev.EXECUTION_ENDED and event.data.get("reason") == ev.LIMIT for event in events):
        raise CannotBeATest("A limit of the server ended this run, and a test has other limits.")
    call = render(_check_call(head, source, state, events, has_all=events is whole), 1, 4)
    when = datetime.fromtimestamp(head.written_at / 1000, UTC)
    return _HEADER.format(
        title=_one_line(head.title),
        product=_one_line(head.product),
        id=_one_line(head.id),
        when=when.strftime("%Y-%m-%d %H:%M"),
        file=file_name(head),
        source=text_of_lines(source),
        name=_name(head),
        call=call,
    )


def _name(head: Head) -> str:
    return f"{identifier(head.title)}_{identifier(head.id, ID_CHARACTERS)}"


def _one_line(text: str) -> str:
    """Words of somebody else in a docstring: nothing that could end it, or that does not print."""
    plain = "".join(it if it.isprintable() and it not in '\\"' else " " for it in text)
    return " ".join(plain.split())[:TITLE_CHARACTERS] or "A run"


def _handles_messages(events: Sequence[Event]) -> bool:
    trigger = events[0].data.get("trigger") if events else None
    return isinstance(trigger, dict) and trigger.get("kind") == "queue"


def _last_generation(events: Sequence[Event]) -> Sequence[Event]:
    """The events since the last restart from the top, after the one that queued the run."""
    for index in range(len(events) - 1, 0, -1):
        if events[index].type == ev.WORKFLOW_RESTARTED:
            if events[index].data.get("from_step") is not None:
                raise CannotBeATest("This run was restarted from a step. Fork it there, and make a test of the fork.")
            return [events[0], *events[index + 1 :]]
    return events


def _check_call(head: Head, source: str, state: State, events: Sequence[Event], *, has_all: bool) -> Call:
    given = _given_steps(source, state, events)
    window = (events[0].at - DAY_MS, events[-1].at + DAY_MS)
    facts = [it for it in facts_of(state) if not any(around in given for around in _around(it.key))]
    moves = _moves(events, facts, state)
    named: dict[str, Any] = {"id": head.id, "began": events[0].at}
    if head.class_name != "TenantWorkflow":
        named["class_name"] = head.class_name
    named["params"] = values.decode(state.params)
    named["steps"] = [_step_call(it, it.key in given, window) for it in facts]
    if state.status in ev.FINAL_STATUSES:
        named |= _found_by(state, events) if has_all else {}  # after a restart a tag that is there is not given again
        if state.patches:
            named["patches"] = patches_of(state)
    if moves:
        named["moves"] = [Call(f"recorded.{it.function}", it.arguments, dict(it.named) | _after(it)) for it in moves]
    if state.status == ev.COMPLETE:
        named["output"] = _without_times(values.decode(state.output), window)
    elif state.status in ev.FINAL_STATUSES:
        named["status"] = state.status
        if state.error is not None:
            named["error"] = _error_call(state.error)
    else:
        named["status"] = None
    return Call("recorded.check", (Name("SOURCE"),), named)


def _found_by(state: State, events: Sequence[Event]) -> dict[str, Any]:
    """The tags that it was created with, and those that its code has given it."""
    given = tags_at_begin(events)
    by_code = [tag for tag in state.tags if tag not in given]
    return ({"tags": given} if given else {}) | ({"tagged": by_code} if by_code else {})


def _after(move: _Move) -> dict[str, Any]:
    return {} if move.after is None else {"after": move.after}


def _around(key: StepKey) -> list[StepKey]:
    found, outer = [], key.parent
    while outer is not None:
        found.append(outer)
        outer = outer.parent
    return found


# Which steps are given.


def _given_steps(source: str, state: State, events: Sequence[Event]) -> set[StepKey]:
    called = {event.step for event in events if event.type in _CALLED and event.step is not None}
    lines = source.splitlines()
    inside: dict[StepKey, range] = {}
    for key, step in state.steps.items():
        if key.kind == ev.DO:
            inside[key] = _lines_of(lines, step.line)
    marked = {
        number
        for number, line in enumerate(lines, 1)
        if _CHANCE.search(line) and not _IMPORT.match(line) and not line.lstrip().startswith("#")
    }
    elsewhere = marked.difference(*inside.values()) if inside else marked
    given = set()
    for key, step in state.steps.items():
        if key.kind != ev.DO:
            continue
        doubtful = bool(elsewhere) or not inside[key] or any(number in inside[key] for number in marked)
        hidden = ev.REDACTED in repr((step.output, step.error))
        by_others = step.copied is not None or step.edited
        if doubtful or hidden or by_others or key in called:
            given.add(key)
    return given


def _lines_of(lines: Sequence[str], first: int | None) -> range:
    """The lines of a decorated step, by their indentation; none where its callback stands elsewhere."""
    if first is None or not 0 < first <= len(lines) or not lines[first - 1].lstrip().startswith("@"):
        return range(0)
    depth, last, has_body = _depth(lines[first - 1]), first, False
    for number, line in enumerate(lines[first:], first + 1):
        words = line.lstrip()
        if not words or _depth(line) > depth:
            continue
        if _depth(line) < depth or not words.startswith((")",) if has_body else (")", "@", "def ", "async def ")):
            break
        has_body, last = has_body or "def " in words, number
    else:
        number = len(lines) + 1
    return range(first, max(last + 1, number))


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


# What the file says of a step.


def _step_call(step: StepFacts, is_given: bool, window: tuple[int, int]) -> Call:
    key = step.key
    named: dict[str, Any] = {}
    if key.count > 1:
        named["count"] = key.count
    if key.parent is not None:
        named["inside"] = str(key.parent)
    if step.rollback is not None:
        named["rollback"] = step.rollback
    arguments: list[Any] = [key.name]
    if key.kind == ev.DO:
        if step.result is not NOTHING:
            if is_given and stored_size(step.result) is not None:
                raise CannotBeATest(
                    f'Step "{key.label}" returned large bytes, which are not in the journal, and a test would have to '
                    "give them: its code depends on more than itself."
                )
            result = values.decode(step.result)
            arguments.append(result if is_given else _without_times(result, window))
        if step.attempts and [it.how for it in step.attempts] != [OK]:
            named["attempts"] = [_outcome(it, planted=is_given) for it in step.attempts]
        elif not step.attempts and step.error is not None:
            named["attempts"] = [_error_call({**step.error, "non_retryable": True}, planted=True)]
        if is_given and step.attempts and step.attempts[-1].took_ms >= TOOK_MS:
            named["took"] = step.attempts[-1].took_ms
        return Call("recorded.given" if is_given else "recorded.ran", arguments, named)
    if step.status != "completed":
        named["status"] = step.status
    if key.kind == ev.SLEEP:
        return Call("recorded.slept", arguments, named)
    if key.kind == ev.WAIT:
        named = {"event": step.event_type} | named
        if step.schema is not None:
            named["schema"] = step.schema
        if step.result is not NOTHING:
            named["payload"] = values.decode(step.result)
        return Call("recorded.waited", arguments, named)
    if step.result is not NOTHING:
        arguments.append(values.decode(step.result))
    if step.error is not None:
        named["error"] = _error_call(step.error, planted=True)
    return Call("recorded.child", arguments, named)


TOOK_MS = 50  # what a given step took is kept from here on: it may decide a race


def _outcome(outcome: Outcome, *, planted: bool) -> Any:
    names = {OK: "OK", LOST: "LOST", TIMED_OUT: "TIMED_OUT", OPEN: "OPEN"}
    if outcome.how == ERROR and outcome.error is not None:
        return _error_call(outcome.error, planted=planted or outcome.injected is not None, broken=outcome.injected)
    return Name(f"recorded.{names[outcome.how]}")


def _error_call(error: dict[str, Any], *, planted: bool = False, broken: str | None = None) -> Call:
    """An error by name and message; one that is planted, with what the code may catch it by."""
    named: dict[str, Any] = {}
    if planted:
        if error.get("module") not in (None, "builtins", "workers") and "playground" not in error["module"]:
            named = {name: error[name] for name in ("module", "qualname", "bases") if name in error}
        if error.get("non_retryable"):
            named["non_retryable"] = True
    if broken is not None:
        named["planted"] = True
    return Call("recorded.error", (str(error.get("name")), str(error.get("message"))), named)


def _without_times(value: Any, window: tuple[int, int]) -> Any:
    """The value, with ANY for what looks like a time of about this run: the test has its own."""
    if isinstance(value, dict):
        return {name: _without_times(item, window) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_times(item, window) for item in value]
    return Name("recorded.ANY") if _is_time(value, *window) else value


def _is_time(value: Any, begin: int, end: int) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, (int, float)):
        return begin <= value <= end or begin / 1000 <= value <= end / 1000
    if isinstance(value, str) and _TIME_TEXT.match(value):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return False
    if isinstance(value, datetime):
        return begin <= (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1000 <= end
    return False


# What came from outside.


def _moves(events: Sequence[Event], facts: Sequence[StepFacts], state: State) -> list[_Move]:
    found: list[_Move] = []
    after: str | None = None
    open_attempts: set[StepKey] = set()
    lost = False
    for event in events:
        if event.type == ev.ATTEMPT_STARTED:
            open_attempts.add(event.key)
        elif event.type in (ev.ATTEMPT_COMPLETED, ev.ATTEMPT_ERRORED):
            open_attempts.discard(event.key)
            lost = lost or (event.type == ev.ATTEMPT_ERRORED and event.data["error"]["name"] == "WorkerLost")
        elif event.type == ev.EVENT_RECEIVED:
            found.append(_Move("sent", after, (event.data["type"], values.decode(event.data.get("payload")))))
        elif event.type == ev.EXECUTION_STARTED:
            lost = False
        elif event.type == ev.EXECUTION_ENDED and event.data.get("reason") in _KILLS:
            waits = after is not None and after.endswith(" started") and not open_attempts
            if lost or open_attempts or waits:
                found.append(_Move("killed", after))
        elif event.type == ev.WORKFLOW_TERMINATED:
            asked = state.rollback is not None and state.error is None
            found.append(_Move("terminated", after, (), (("rollback", True),) if asked else ()))
        after = milestone(event) or after
    return [*_events_of_copies(facts, state), *found]


_KILLS = (ev.KILLED, ev.CRASHED, ev.LOST, ev.EVICTED)


def _events_of_copies(facts: Sequence[StepFacts], state: State) -> list[_Move]:
    """The events of waits that a fork or a person has ended: no event is in the journal for them."""
    found = []
    for it in facts:
        step = state.steps[it.key]
        if it.key.kind == ev.WAIT and it.result is not NOTHING and (step.copied is not None or step.edited):
            type = (it.event_type or "").partition(",")[0]
            found.append(_Move("sent", f"wait {it.key} started", (type, values.decode(it.result))))
    return found
