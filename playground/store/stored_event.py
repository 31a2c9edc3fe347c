"""A journal's event read from the JSON that `events_json` gives: its data stays text, since as objects it could take
twenty times as much memory.
"""

import msgspec

from playground.workflows.events import StepKey


class _Step(msgspec.Struct):
    kind: str
    name: str
    count: int
    parent: "_Step | None" = None

    def key(self) -> StepKey:
        return StepKey(self.kind, self.name, self.count, None if self.parent is None else self.parent.key())


class StoredEvent(msgspec.Struct):
    """See `Event`."""

    seq: int
    at: int
    type: str
    execution: int | None
    data: msgspec.Raw
    step: _Step | None = None

    @property
    def step_key(self) -> StepKey | None:
        """The step that it is about."""
        return None if self.step is None else self.step.key()


read_event = msgspec.json.Decoder(StoredEvent).decode
