"""What a binding is told of the call that it answers."""

from dataclasses import dataclass, field

from playground.engine.bindings.host import Host
from playground.workflows.events import StepKey


@dataclass(frozen=True, slots=True)
class CallContext:
    """Who calls. It is known from the worker's socket alone, so tenant code can't pretend to be another.

    `step` and `attempt` are None outside steps. `idempotency_key` is the same for every attempt of a step: with it, what a lost
    attempt has done already can be found instead of done again. `host` is for the bindings shipped here.
    """

    tenant: str
    instance: str
    workflow: str
    execution: int
    step: StepKey | None
    attempt: int | None
    idempotency_key: str | None
    host: Host = field(repr=False)
