"""A tenant's code as an execution takes it, and where it may come from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from playground.engine.bindings.binding import Binding
from playground.store.protocol import InstanceRow
from playground.store.snippets import snippet_of
from playground.workflows import values
from playground.workflows.errors import NotSerialisable
from playground.workflows.source_text import CLASS_NAME, without_mark

DEPLOYED = "tenant-workflow"  # what the workflow of code is called that a tenant has deployed over the API
NAME_LENGTH = 100  # characters of a binding's name
LIMITS = ("attempt_wall_seconds", "value_bytes", "step_limit", "instance_bytes", "log_bytes", "calls_per_execution")


@dataclass(frozen=True, slots=True)
class Code:
    """What an execution runs, made anew for every one of them.

    Args:
        source: a Python module that defines the workflow.
        class_name: the class in it whose `run(event, step)` is called.
        env: what the code finds in `self.env`: a `Binding`, or a plain storable value, by name.
        limits: settings that are other for this code, of those in `LIMITS`; the units are the settings'.
        version: what the journal calls this code; by default the hash of its source.

    Raises:
        ValueError, TypeError, NotSerialisable: something given can't be used; the message names it.
    """

    source: str
    class_name: str = CLASS_NAME
    env: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    version: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.source, str):
            raise TypeError(f"Code takes the source as a str, not {type(self.source).__name__}")
        object.__setattr__(self, "source", without_mark(self.source))
        for name, value in self.env.items():
            if not isinstance(name, str) or not name.isidentifier() or name.startswith("_") or len(name) > NAME_LENGTH:
                raise ValueError(
                    f"env has the name {name!r}; it takes names that code can write after a dot, not beginning with _"
                )
            if isinstance(value, type) and issubclass(value, Binding):
                raise TypeError(f"env.{name} is the class {value.__name__}; give an instance of it")
            if not isinstance(value, Binding):
                _check_value(name, value)
        for name, value in self.limits.items():
            if name not in LIMITS or not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"limits has {name!r}: {value!r}; it takes whole numbers from 1 for {', '.join(LIMITS)}"
                )
        if not self.version:
            object.__setattr__(self, "version", snippet_of(self.source, None, 0).id)


def _check_value(name: str, value: Any) -> None:
    try:
        values.encode(value)
    except NotSerialisable as refused:
        raise NotSerialisable(
            f"env.{name} is {refused.message}. It takes a Binding, or JSON, datetime, bytes and set."
        ) from None


class CodeSource(Protocol):
    """Whatever knows the code of some instances."""

    async def load(self, row: InstanceRow) -> Code:
        """The code for the next execution of an instance. What it raises is shown in the instance's journal."""
