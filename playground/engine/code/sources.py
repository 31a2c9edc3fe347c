"""Where the code of an instance comes from: its snippet, or the source registered for its workflow's name.

`Code` is what an execution runs; a `CodeSource` loads it. `DEFAULT_BINDINGS` is what all code finds in `self.env`,
whether it came as a snippet or was deployed; each binding serves any number of tenants at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from playground.engine.bindings.ai import OperatorModels
from playground.engine.bindings.approvals import Approvals
from playground.engine.bindings.batch import Batch
from playground.engine.bindings.binding import Binding
from playground.engine.bindings.effects import Effects
from playground.engine.bindings.kv import KV
from playground.engine.bindings.mcp import demo_server
from playground.engine.bindings.streams import Streams
from playground.store.protocol import Store
from playground.store.rows import InstanceRow
from playground.store.snippets import make_snippet
from playground.workflows import values
from playground.workflows.errors import InvalidName, NonRetryableError, NotSerialisable
from playground.workflows.names import CLASS_NAME, MAIN_WORKFLOW, is_handler, without_byte_order_mark

DEFAULT_BINDINGS: Mapping[str, Binding] = {
    "AI": OperatorModels(),
    "APPROVALS": Approvals(),
    "EFFECTS": Effects(),
    "KV": KV(),
    "MCP": demo_server(),
    "STREAMS": Streams(),
}
HANDLER_BINDINGS: Mapping[str, Binding] = {"BATCH": Batch()}  # what code that handles a batch of messages finds too


# The workflow's name in the rows of instances whose code a tenant has deployed over the API. That of the tenant's main
# workflow is this alone, since rows had it when a tenant had one workflow; others have their name behind it. So a
# server that knows of one only leaves the others' instances to those that know more, and no dispatcher has such a name.
DEPLOYED = "tenant-workflow"
_NAME_MARK = "/"
WORKFLOWS = "WORKFLOWS"  # the binding that starts instances
NAME_LENGTH = 100  # characters of a binding's name
LIMITS = (
    "attempt_wall_seconds",
    "value_bytes",
    "step_limit",
    "patch_limit",
    "instance_bytes",
    "log_bytes",
    "stream_bytes",
    "calls_per_execution",
)


@dataclass(frozen=True, slots=True)
class Code:
    """What an execution runs, made anew for every one of them.

    Args:
        source: a Python module that defines the workflow.
        class_name: the class in it whose `run(event, step)` is called.
        env: what the code finds in `self.env`: a `Binding`, or a plain storable value, by name.
        limits: settings that are other for this code, of those in `LIMITS`; the units are the settings'.
        version: what the journal calls this code; by default the hash of its source.
        warm: a worker that has completed a run may serve further runs of this tenant and code (engine/workers.py),
            which then see what the module has kept in its variables.

    Raises:
        ValueError, TypeError, NotSerialisable: an input can't be used; the message names it.
    """

    source: str
    class_name: str = CLASS_NAME
    env: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)
    version: str = ""
    warm: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.source, str):
            raise TypeError(f"Code takes the source as a str, not {type(self.source).__name__}")
        object.__setattr__(self, "source", without_byte_order_mark(self.source))
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
            object.__setattr__(self, "version", make_snippet(self.source, None, 0).id)


def _check_value(name: str, value: Any) -> None:
    try:
        values.encode(value)
    except NotSerialisable as refused:
        raise NotSerialisable(
            f"env.{name} is {refused.message}. It takes a Binding, or JSON, datetime, bytes and set."
        ) from None


def deployed_workflow(name: str) -> str:
    """The workflow's name in the rows of instances of a tenant's workflow."""
    return DEPLOYED if name == MAIN_WORKFLOW else f"{DEPLOYED}{_NAME_MARK}{name}"


def is_deployed(stored: str) -> bool:
    """Whether a row's workflow is one that a tenant has deployed."""
    return stored == DEPLOYED or stored.startswith(DEPLOYED + _NAME_MARK)


def shown_workflow(stored: str) -> str:
    """A row's workflow as people and programs know it."""
    return MAIN_WORKFLOW if stored == DEPLOYED else stored.removeprefix(DEPLOYED + _NAME_MARK)


def workflow_of_event(stored: str) -> str:
    """A row's workflow as its code finds it in `event`; of a main workflow the name that it has always found there."""
    return stored.removeprefix(DEPLOYED + _NAME_MARK)


class CodeSource(Protocol):
    """Loads the code of some instances."""

    async def load(self, row: InstanceRow) -> Code:
        """The code for the next execution of an instance. What it raises is shown in the instance's journal."""


class NotRegistered(Exception):
    """The instance was made through a dispatcher that this process has not made yet, so its code can't be known now."""


class Sources:
    """Finds the code of instances.

    Args:
        store: where snippets are.
        env: what code that came as a snippet finds in `self.env`.
    """

    def __init__(self, store: Store, env: Mapping[str, Any]) -> None:
        self._store, self._env = store, env
        self._registered: dict[str, CodeSource] = {}
        self._own: dict[str, Callable[[InstanceRow], Binding]] = {}

    def add_own(self, name: str, make: Callable[[InstanceRow], Binding]) -> None:
        """What code that came as a snippet finds in `self.env` as a binding of its own instance: so it can run itself
        as a child, and send messages to itself.
        """
        self._own[name] = make

    def register(self, workflow: str, source: CodeSource) -> None:
        """From now on instances of this workflow's name get their code from `source`.

        Raises InvalidName when it is taken.
        """
        if workflow in self._registered:
            raise InvalidName(
                f'There is a dispatcher named "{workflow}" on this engine already; give each its own name.'
            )
        self._registered[workflow] = source

    async def load(self, row: InstanceRow) -> Code:
        """The code of an instance.

        Raises:
            NotRegistered: its dispatcher is not here yet.
            Exception: whatever the source of the code raises.
        """
        source = self._registered.get(DEPLOYED if is_deployed(row.workflow) else row.workflow)
        if source is not None:
            return await source.load(row)
        if row.metadata is not None:
            raise NotRegistered(row.workflow)
        snippet = await self._store.snippet(row.snippet)
        if snippet is None:
            raise NonRetryableError(f'The code of instance "{row.id}" is not in the database any more.')
        env = {**{name: make(row) for name, make in self._own.items()}, **self._env}
        if is_handler(row.class_name):
            env = {**env, **HANDLER_BINDINGS}
        return Code(snippet.source, row.class_name, env=env, version=row.snippet)
