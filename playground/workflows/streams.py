"""Streams out of steps: which values of a journal stand, and what somebody who reads a stream receives.

An attempt of a step appends values to streams by name; several steps may append to one. Within an attempt the values
of a stream are numbered from 1 without a gap, so (step, attempt, number) names a value for good.

When a step is tried again, what its earlier attempts appended is void, whether the next one appends anything or not;
so is what a step appended that a restart does not keep. A reader receives a reset then, and drops what it has of the
step. So values are written at least once, and each that stands is read exactly once. The values of a step that failed
for good stand: they are what it gave out. A fork begins without values, since those of the steps that it copies stay
in the journal of its parent.
"""

from collections.abc import Container, Iterable, KeysView, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from playground.workflows import events as ev
from playground.workflows import values
from playground.workflows.event_rules import RULES
from playground.workflows.events import Event, StepKey

# The events that start a step: a restart from one keeps what began before it.
START_TYPES = frozenset(type for type, rule in RULES.items() if rule.begins is not None)

# The events that say what a reader of a stream receives, or when it is over.
READ_TYPES = frozenset(
    {ev.STREAM_APPENDED, ev.STREAM_TRUNCATED, ev.ATTEMPT_STARTED, ev.WORKFLOW_RESTARTED, *ev.FINAL_TYPES}
)


class StreamValue(NamedTuple):
    """A value of a stream. `seq` is that of its event in the journal, which a reader goes on after."""

    seq: int
    step: StepKey
    attempt: int
    number: int
    value: Any


class StreamReset(NamedTuple):
    """What was read of this step is void: it is tried again as `attempt`, or the workflow was restarted (None)."""

    seq: int
    step: StepKey
    attempt: int | None


@dataclass(slots=True)
class Part:
    """What one step has in a stream: how many values of which attempt."""

    attempt: int
    values: int = 0


@dataclass(slots=True)
class Stream:
    """One stream of an instance: the values that stand, by step. `dropped` are those over the limit."""

    parts: dict[StepKey, Part] = field(default_factory=dict)
    dropped: int = 0

    def append(self, step: StepKey, data: Mapping[str, Any]) -> None:
        """A `stream_appended`."""
        part = self.parts.get(step)
        if part is None or part.attempt != data["attempt"]:
            part = self.parts[step] = Part(data["attempt"])
        part.values += data["count"]

    def begin_attempt(self, step: StepKey, attempt: int) -> bool:
        """An attempt of a step begins. True: values of an earlier one are void now."""
        part = self.parts.get(step)
        if part is None or part.attempt == attempt:
            return False
        del self.parts[step]
        return True

    def restart(self, kept: Container[StepKey]) -> list[StepKey]:
        """The workflow was restarted and keeps these steps; returns those whose values are void now."""
        void = [step for step in self.parts if step not in kept]
        for step in void:
            del self.parts[step]
        self.dropped = 0
        return void

    def as_json(self, name: str) -> dict[str, Any]:
        """The stream as under `streams` in the API."""
        return {
            "name": name,
            "values": sum(part.values for part in self.parts.values()),
            "dropped": self.dropped,
            "steps": [
                {"step": step.as_json(), "attempt": part.attempt, "values": part.values}
                for step, part in self.parts.items()
            ],
        }


class StreamReader:
    """What a reader of one stream receives, event by event, from the first event of the journal on.

    It holds no more than the steps that have values, since a journal may have many readers.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._stream = Stream()

    @property
    def steps(self) -> KeysView[StepKey]:
        """The steps that have values."""
        return self._stream.parts.keys()

    def read(
        self, seq: int, type: str, step: StepKey | None, data: Mapping[str, Any], kept: Container[StepKey] = ()
    ) -> list[StreamReset]:
        """Read the next event of `READ_TYPES`; returns the resets that it means for the reader.

        `data` may lack the values. `kept`: of a restart from a step, those of `steps` that began before that step.
        """
        if type == ev.STREAM_APPENDED:
            if data["stream"] == self.name:
                assert step is not None, "a step appends"
                self._stream.append(step, data)
        elif type == ev.STREAM_TRUNCATED:
            if data["stream"] == self.name:
                self._stream.dropped += data["dropped"]
        elif type == ev.ATTEMPT_STARTED:
            assert step is not None, "an attempt is of a step"
            if self._stream.begin_attempt(step, data["attempt"]):
                return [StreamReset(seq, step, data["attempt"])]
        elif type == ev.WORKFLOW_RESTARTED:
            return [StreamReset(seq, key, None) for key in self._stream.restart(kept)]
        return []


class StreamItems:
    """The values and resets of one stream, from whole events of any type, the first of the journal on."""

    def __init__(self, name: str) -> None:
        self._reader = StreamReader(name)
        self._started: dict[StepKey, int] = {}  # by step: the seq of the event that started it

    def of_event(self, event: Event) -> list[StreamValue | StreamReset]:
        """What the next event brings, values decoded."""
        seq, type, step, data = event.seq, event.type, event.step, event.data
        if type in START_TYPES:
            self._started[event.key] = seq
        elif type == ev.WORKFLOW_RESTARTED:
            origin = data.get("from_step")
            before = self._started.get(StepKey.from_json(origin), 0) if origin else 0
            self._started = {key: at for key, at in self._started.items() if at < before}
        if type not in READ_TYPES:
            return []
        resets = self._reader.read(seq, type, step, data, self._started)
        if type != ev.STREAM_APPENDED or data["stream"] != self._reader.name:
            return [*resets]
        return [
            StreamValue(seq, event.key, data["attempt"], number, values.decode(value))
            for number, value in enumerate(data["values"], data["first"])
        ]


def standing_values(name: str, journal: Iterable[Event]) -> list[StreamValue]:
    """The values of a stream that stand at the end of a journal, in its order."""
    items, standing = StreamItems(name), list[StreamValue]()
    for event in journal:
        for item in items.of_event(event):
            if isinstance(item, StreamValue):
                standing.append(item)
            else:
                standing = [value for value in standing if value.step != item.step]
    return standing
