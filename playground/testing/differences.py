"""What a recorded run did, as a test says it, and the sentences that say where another run differs from it."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from playground.runfiles import facts
from playground.runfiles.facts import NOTHING, StepFacts
from playground.workflows import events as ev
from playground.workflows import values
from playground.workflows.errors import WORKER_LOST
from playground.workflows.events import StepKey

VALUE_CHARACTERS = 120  # of a value in a sentence
SENTENCES = 12  # in one message


class _Any:
    def __repr__(self) -> str:
        return "ANY"


ANY = _Any()  # in a result or an output: whatever it is, such as a time


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one attempt went. `planted`: the test makes it go so."""

    how: str
    name: str = ""
    message: str = ""
    planted: bool = False
    stored: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        match self.how:
            case facts.ERROR:
                return f"{self.name}: {self.message}" if self.message else self.name
            case facts.OK:
                return "success"
            case facts.LOST:
                return f"{WORKER_LOST}"
            case facts.TIMED_OUT:
                return "a timeout"
        return "no end"


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """A step of the recorded run."""

    kind: str
    name: str
    count: int
    inside: str
    status: str | None  # None: completed, or errored where its last attempt failed
    result: Any = NOTHING
    attempts: tuple[Attempt, ...] = ()
    is_given: bool = False
    error: Attempt | None = None
    rollback: str | None = None
    took_ms: int = 0
    schema: Any = None  # of a wait; None: the test says nothing of it

    @property
    def path(self) -> str:
        """Its name and count after those of the steps that it was called in, as `str(StepKey)`."""
        own = f"{self.name}-{self.count}"
        return f"{self.inside}/{own}" if self.inside else own

    @property
    def final_status(self) -> str:
        """The status that it has in the end."""
        if self.status is not None:
            return self.status
        last = self.attempts[-1].how if self.kind == ev.DO and self.attempts else facts.OK
        return "completed" if last == facts.OK else "running" if last == facts.OPEN else "errored"


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended; `status` None: it had not."""

    status: str | None
    output: Any
    error: Attempt | None


def step_differences(expected: Sequence[RecordedStep], actual: Sequence[StepFacts]) -> list[str]:
    """A sentence for each difference of the steps, in their order."""
    before = [(step.kind, step.path) for step in expected]
    now = [(step.key.kind, str(step.key)) for step in actual if not _is_inside_given(expected, step.key)]
    facts_by_key = {(step.key.kind, str(step.key)): step for step in actual}
    found: list[str] = []
    for what, i1, i2, j1, j2 in difflib.SequenceMatcher(None, before, now, autojunk=False).get_opcodes():
        if what == "equal":
            for index in range(i1, i2):
                found += _of_step(index + 1, expected[index], facts_by_key[before[index]])
            continue
        pairs = min(i2 - i1, j2 - j1)
        for index in range(pairs):
            found.append(f"step {i1 + index + 1} was {_called(before[i1 + index])}, is {_called(now[j1 + index])}")
        for index in range(i1 + pairs, i2):
            moved = " comes later or earlier" if before[index] in now else " is gone"
            found.append(f"step {index + 1} {_called(before[index])}{moved}")
        for index in range(j1 + pairs, j2):
            if now[index] not in before:
                place = f"before step {i2 + 1} {_called(before[i2])}" if i2 < len(before) else "at the end"
                found.append(f"{_called(now[index])} is new, {place}")
    return found


def _is_inside_given(expected: Sequence[RecordedStep], key: StepKey) -> bool:
    given_paths = {step.path for step in expected if step.is_given}
    outer = key.parent
    while outer is not None:
        if str(outer) in given_paths:
            return True
        outer = outer.parent
    return False


_KIND_WORDS = {ev.SLEEP: "the sleep ", ev.WAIT: "the wait ", ev.CHILD: "the child ", ev.DO: ""}


def _called(step: tuple[str, str]) -> str:
    kind, path = step
    return f"{_KIND_WORDS[kind]}`{path.removesuffix('-1')}`"


def _of_step(number: int, before: RecordedStep, now: StepFacts) -> list[str]:
    which = f"step {number} {_called((before.kind, before.path))}"
    found = _attempt_differences(which, before, now) if before.kind == ev.DO else []
    status = before.final_status
    if found:  # what follows from them is no news
        return found
    if status != now.status:
        found.append(f"{which} was {status}, is {now.status}")
    elif before.result is not NOTHING and now.result is not NOTHING:
        at = _first_difference(before.result, values.decode(now.result))
        if at is not None:
            what = "had the payload" if before.kind == ev.WAIT else "returned"
            found.append(f"{which} {what} {at}")
    if before.schema is not None:
        at = _first_difference(before.schema, now.schema, verb="asks for")
        if at is not None:
            found.append(f"the schema of {which} asked for {at}")
    if before.rollback != now.rollback:
        found.append(f"the rollback of {which} was {before.rollback or 'none'}, is {now.rollback or 'none'}")
    return found


def _attempt_differences(which: str, before: RecordedStep, now: StepFacts) -> list[str]:
    attempts = [_attempt_of(it) for it in now.attempts]
    for number, (was, is_) in enumerate(zip(before.attempts, attempts, strict=False), 1):
        if str(was) != str(is_):
            return [f"{which}: attempt {number} ended with {was}, ends with {is_}"]
    if len(before.attempts) != len(attempts):
        return [f"{which} had {_attempts(len(before.attempts))}, has {_attempts(len(attempts))}"]
    return []


def _attempts(number: int) -> str:
    return f"{number} attempt{'' if number == 1 else 's'}"


def _attempt_of(outcome: facts.Outcome) -> Attempt:
    if outcome.how == facts.ERROR and outcome.error is not None:
        return Attempt(facts.ERROR, str(outcome.error["name"]), str(outcome.error["message"]))
    return Attempt(outcome.how)


def end_differences(end: End, state: Any) -> list[str]:
    """A sentence where a run ends in another way; none while it goes on."""
    if state.status not in ev.FINAL_STATUSES:
        return []
    if end.status != state.status:
        more = f": {state.error['name']}: {state.error['message']}" if state.error else ""
        return [f"the run ended {end.status}, ends {state.status}{more}"]
    if end.error is not None and state.error is not None:
        was, is_ = str(end.error), f"{state.error['name']}: {state.error['message']}".removesuffix(": ")
        if was != is_:
            return [f"the run ended with {was}, ends with {is_}"]
    if end.output is not NOTHING:
        at = _first_difference(end.output, values.decode(state.output))
        if at is not None:
            return [f"the run returned {at}"]
    return []


def mark_differences(
    tags: Sequence[str], tagged: Sequence[str] | None, patches: Mapping[str, bool] | None, state: Any
) -> list[str]:
    """A sentence for each tag that the code gives no more, or gives now, and for each patch that it asks for likewise.

    None: the test says nothing of them. A patch that the recorded run had gone past is one that a new run takes.
    """
    found: list[str] = []
    if tagged is not None:
        by_code = [tag for tag in state.tags if tag not in tags]
        found += [f"the run was tagged {tag!r}, is not any more" for tag in tagged if tag not in by_code]
        found += [f"the run is tagged {tag!r}, which is new" for tag in by_code if tag not in tagged]
    if patches is not None:
        found += [
            f"the code asked for the patch `{it}`, does not any more" for it in patches if it not in state.patches
        ]
        found += [f"the code asks for the patch `{it}`, which is new" for it in state.patches if it not in patches]
    return found


def _first_difference(was: Any, is_: Any, path: str = "", *, verb: str = "returns") -> str | None:
    """Where two values differ first, in words; None: they don't."""
    if was is ANY:
        return None
    if isinstance(was, dict) and isinstance(is_, dict):
        for name, item in was.items():
            if name not in is_:
                return _words(f"{path}[{name!r}]", item, NOTHING, verb)
            found = _first_difference(item, is_[name], f"{path}[{name!r}]", verb=verb)
            if found is not None:
                return found
        extra = next((name for name in is_ if name not in was), NOTHING)
        return None if extra is NOTHING else _words(f"{path}[{extra!r}]", NOTHING, is_[extra], verb)
    if isinstance(was, (list, tuple)) and isinstance(is_, (list, tuple)):
        for index, (left, right) in enumerate(zip(was, is_, strict=False)):
            found = _first_difference(left, right, f"{path}[{index}]", verb=verb)
            if found is not None:
                return found
        if len(was) == len(is_):
            return None
        return f"{len(was)} items{f' in {path}' if path else ''}, {verb} {len(is_)}"
    same = type(was) is type(is_) and was == is_ if isinstance(was, bool) or isinstance(is_, bool) else was == is_
    return None if same else _words(path, was, is_, verb)


def _words(path: str, was: Any, is_: Any, verb: str) -> str:
    place = f" at {path}" if path else ""
    return f"{_short(was)}{place}, {verb} {_short(is_)}"


def _short(value: Any) -> str:
    if value is NOTHING:
        return "nothing"
    text = repr(value)
    return text if len(text) <= VALUE_CHARACTERS else text[: VALUE_CHARACTERS - 1] + "…"


def message(id: str, found: Sequence[str]) -> str:
    """The whole message of a test that fails."""
    more = [f"… and {len(found) - SENTENCES} more"] if len(found) > SENTENCES else []
    lines = "".join(f"\n  {sentence}" for sentence in [*found[:SENTENCES], *more])
    return (
        f"The code does not do what run {id} did:{lines}\n"
        "Where that is meant, change what the test says of the run, or record a new one."
    )
