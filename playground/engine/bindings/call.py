"""What a binding is told of the call that it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from playground.engine.bindings.host import Host
from playground.workflows.events import StepKey


@dataclass(frozen=True, slots=True)
class CallContext:
    """Who calls. It is known from the worker's socket alone, so tenant code can't pretend to be another.

    `tenant` is as the program named it in the dispatcher's metadata (`{"tenant": 5}`: the number 5), else a name made
    of the metadata; "" for nobody's. `metadata` is a copy of that metadata, {} for nobody's. `step` and `attempt` are
    None outside steps. `idempotency_key` is the same for every attempt of a step: with it, what a lost attempt has done
    already can be found instead of done again. `host` is for the bindings shipped here.
    """

    tenant: Any
    metadata: Mapping[str, Any]
    instance: str
    workflow: str
    execution: int
    step: StepKey | None
    attempt: int | None
    idempotency_key: str | None
    host: Host = field(repr=False)
