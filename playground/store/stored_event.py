"""A journal's event read from the JSON that `events_json` gives: its data stays text, since as objects it could take twenty times as much memory."""

import msgspec

from playground.workflows.events import StepKey


class _Step(msgspec.Struct):
    kind: str
    name: str
    count: int


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
        return None if self.step is None else StepKey(self.step.kind, self.step.name, self.step.count)


read_event = msgspec.json.Decoder(StoredEvent).decode
