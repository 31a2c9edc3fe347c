"""Bindings: host objects that tenant code calls as `self.env.NAME`.

`Binding` is the base class, whose public coroutine methods can be called. `Host` is one execution as the bindings
shipped here see it: it reads the store's tables, and writes with the calling step's commit, or at once outside steps.
"""

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

from playground.engine.clock import Clock
from playground.engine.execution.budget import Budget
from playground.engine.limits import UncommittedWrites
from playground.engine.redaction import Redactor, secret_in_name
from playground.engine.tracing import ExecutionTrace
from playground.outbound.client import Outbound
from playground.store.encoding import Encoded
from playground.store.protocol import Store
from playground.store.rows import Awaited, InstanceRow
from playground.store.tables import Scope, scope_of
from playground.workflows import values
from playground.workflows.errors import BindingError
from playground.workflows.events import NewEvent, StepKey

CALL = "call"  # the parameter that receives the CallContext


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What one execution may ask of a binding; None leaves it to the setting of the server.

    Args:
        calls: calls in all.
        in_flight: calls under way at once.
        bytes: size of the arguments, and of the result, when stored.
        seconds: how long one call may take.
        settings: other settings than those of all bindings, by the names above, for what is None.
        factor: how many times as much as its settings say a call may have of `bytes` and `seconds`: for a binding that
            keeps to them itself, and says more about it.
    """

    calls: int | None = None
    in_flight: int | None = None
    bytes: int | None = None
    seconds: float | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    factor: int = 1


@dataclass(frozen=True, slots=True)
class Method:
    """A method that tenants may call: its signature as they see it."""

    signature: inspect.Signature
    takes_call: bool

    def bind(self, shown: str, args: list[Any], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        """Fit arguments to it. Raises BindingError, in the words of Python's TypeError."""
        if self.takes_call and CALL in kwargs:
            raise BindingError(f"{shown}{self.signature}: got an unexpected keyword argument '{CALL}'")
        try:
            return self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise BindingError(f"{shown}{self.signature}: {error}") from None


class Binding:
    """Derive from it; every public `async def` is callable from tenant code as `await self.env.NAME.method(...)`, but
    those that `internal` names. A worker may send any name and any arguments, whatever the stub in it offers.

    Arguments and results are storable values (`workflows/values.py`). A parameter named `call` is not the caller's: it
    receives the `CallContext`. Raise `BindingError` or `NonRetryableError` to send the tenant a message; of any other
    exception the tenant receives only that the call failed, and the server's log has the rest. One instance may serve
    any number of tenants and calls at once.
    """

    limits: ClassVar[CallLimits] = CallLimits()
    ends_with_worker: ClassVar[bool] = False  # whether a call is cancelled when nobody waits for its result any more
    internal: ClassVar[frozenset[str]] = frozenset()  # public coroutines that are not for tenants
    methods: ClassVar[Mapping[str, Method]] = {}  # those that tenants may call, by name

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        names = [name for name in dir(cls) if not name.startswith("_") and name not in cls.internal]
        functions = {name: inspect.getattr_static(cls, name) for name in names}
        cls.methods = {name: _method(it) for name, it in functions.items() if inspect.iscoroutinefunction(it)}

    def describe(self) -> Mapping[str, Any]:
        """What the worker receives, from which it makes `self.env.NAME`."""
        return {"methods": sorted(self.methods)}

    def hidden(self) -> Sequence[str]:
        """Secrets that it holds, to be redacted wherever the instance is shown."""
        return ()

    def target(self) -> "Binding":
        """The object whose methods tenants call."""
        return self


def _method(function: Callable[..., Any]) -> Method:
    _self, *parameters = inspect.signature(function).parameters.values()
    shown = [
        parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters if parameter.name != CALL
    ]
    return Method(inspect.Signature(shown), len(shown) < len(parameters))


@dataclass(frozen=True, slots=True)
class NewChild:
    """A child that an instance runs. `is_chosen`: its code chose the id; `workflow`: one that it names, or its own;
    `depth_left`: how deep its own children may go; `asked`: when it may start, as the arguments of `checked_flow`;
    `tags`: what it is found by; `traceparent`: the context of the step that runs it, where there are spans.
    """

    id: str
    is_chosen: bool
    workflow: str | None
    params: Encoded
    awaited: Awaited
    parent: InstanceRow
    depth_left: int
    events: Sequence[NewEvent]
    injected: Mapping[str, Any] | None
    asked: Mapping[str, Any] | None = None
    tags: Sequence[str] = ()
    traceparent: str | None = None


@runtime_checkable
class ChildStarter(Protocol):
    """A binding whose workflow may be run as a child."""

    @property
    def tenant(self) -> str:
        """Whose instances its children are."""

    async def start_child(self, child: NewChild) -> int:
        """Create a child; returns its key. Raises InstanceAlreadyExists, and what else refuses a new instance."""


class Bound(Protocol):
    """What a binding needs of the execution that calls it: its instance, what it may store, and its journal."""

    row: InstanceRow
    closing: bool
    calls_on_timers: int  # calls of bindings that do nothing but wait for the clock
    trace: ExecutionTrace | None  # what makes its spans, where there are any

    @property
    def journal_events(self) -> int:
        """How many events the journal has, or will have soon."""

    def runs_attempt(self, step: StepKey, attempt: int) -> bool:
        """Whether this attempt of a step, not of its rollback handler, runs now."""

    async def commit(self, event: NewEvent) -> None:
        """Commit one event in order with the worker's own, and wait until it is durable. Raises Fenced."""

    def note(self, event: NewEvent) -> None:
        """Commit one event in order with the worker's own, without waiting; none once the execution has ended."""


class Host:
    """One execution as its bindings see it.

    Args:
        execution: the execution that calls.
        budget: what its instance may still store.
        store: the store, for its tables.
        limit: a limit of the instance, by name.
        clock: the engine's.
        trusted: the connections to addresses that the operator, or the program, has named: private ones too.
        append: appends an encoded value to a stream of a step's attempt.
        uncommitted: the writes of this node's open attempts.
        redactor: knows the secrets of this execution's code.
        outbound: the connections to the world.
    """

    def __init__(
        self,
        execution: Bound,
        *,
        budget: Budget,
        store: Store,
        limit: Callable[[str], Any],
        clock: Clock,
        append: Callable[[StepKey, int, str, Any], None],
        uncommitted: UncommittedWrites,
        redactor: Callable[[], Redactor],
        outbound: Outbound,
        trusted: Outbound,
    ) -> None:
        self._execution, self._budget, self._redactor = execution, budget, redactor
        self.store, self.limit, self._uncommitted = store, limit, uncommitted
        self.now, self.elapsed, self._clock = clock.now, clock.elapsed, clock
        self.outbound, self.trusted, self._append = outbound, trusted, append
        self._buffers: dict[StepKey, list[NewEvent]] = {}
        self._counts: dict[StepKey | None, Counter[str]] = {}
        self._committing = 0  # events on their way to the journal, outside steps
        self._held_bytes: Counter[StepKey | None] = Counter()  # bytes of KV not committed yet; None: outside steps

    @property
    def row(self) -> InstanceRow:
        """The instance."""
        return self._execution.row

    @property
    def scope_name(self) -> str:
        """Whose connections to the world it uses: the tenant's, or those of its own queue."""
        return self.row.tenant or self.row.queue

    def traceparent(self, step: StepKey | None, attempt: int | None) -> str | None:
        """The context to pass on with what an attempt asks for, or the code outside steps; None: there are no spans."""
        trace = self._execution.trace
        return None if trace is None else str(trace.context(step, attempt))

    @property
    def scope(self) -> Scope:
        """Whose keys and effects it has."""
        return scope_of(self._execution.row)

    def check_name(self, what: str, text: object) -> None:
        """Let a name pass that will be shown; `what` is the kind of name, with its article.

        Raises BindingError: it holds a secret.
        """
        if isinstance(text, str) and self._redactor().contains_secret(text):
            raise BindingError(secret_in_name(what))

    def redact(self, tree: Any) -> Any:
        """An encoded value without the secrets in it."""
        return self._redactor().redact(tree)

    def buffered_writes(self, step: StepKey | None) -> Sequence[NewEvent]:
        """What the step's running attempt has written so far."""
        return self._buffers.get(step, ()) if step is not None else ()

    @property
    def uncommitted_bytes(self) -> int:
        """See `BufferedWrites`."""
        return 0 if self._execution.closing else self._held_bytes.total()

    def uncommitted_bytes_of_scope(self) -> int:
        """What the open attempts of this node have written to the scope's keys, and not committed yet."""
        return self._uncommitted.bytes(self.scope)

    async def write(self, event: NewEvent, size: int = 0, key_bytes: int = 0) -> None:
        """Commit an event that stores `size` bytes with the step it names, or, when it names none, now.

        `key_bytes` is what that takes of `kv_bytes`.

        Raises:
            BindingError: the instance holds as much as it may.
        """
        execution = self._execution
        self.check_room(event.step, size)
        self._budget.stored_bytes += size
        self._held_bytes[event.step] += key_bytes
        self._uncommitted.add(self)
        if event.step is not None:
            self._buffers.setdefault(event.step, []).append(event)
        else:
            self._committing += 1
            try:
                await execution.commit(event)
            finally:
                self._committing -= 1
                self._held_bytes[None] -= key_bytes

    def runs_attempt(self, step: StepKey, attempt: int) -> bool:
        """Whether this attempt of a step runs now, and may return what is kept beside the journal."""
        return self._execution.runs_attempt(step, attempt)

    def hold_bytes(self, step: StepKey, size: int) -> None:
        """Count bytes that are stored beside the journal. Raises BindingError, as `check_room`."""
        self.check_room(step, size)
        self._budget.stored_bytes += size
        self._budget.count_stored(size)

    def release_bytes(self, size: int) -> None:
        """Bytes that were counted are dropped."""
        self._budget.stored_bytes -= size

    def check_room(self, step: StepKey | None, size: int = 0) -> None:
        """Raises BindingError: the journal has as many events as it may, or the instance as many bytes."""
        most = self.limit("instance_bytes")
        if self._budget.stored_bytes + size > most:
            raise BindingError(f"The instance holds {most:,} bytes, which is the limit. Keep large data elsewhere.")
        if (
            self._execution.journal_events + self._committing + len(self.buffered_writes(step))
            >= self._budget.most_events
        ):
            raise BindingError(
                f"The instance's journal has {self._budget.most_events:,} events, which is the limit. Write less often."
            )

    def note(self, event: NewEvent) -> None:
        """Commit an event that says what has happened, also if the attempt fails later; nobody waits for it."""
        self._execution.note(event)

    async def record(self, event: NewEvent) -> None:
        """Commit an event now, though it names a step: what it says stays true if the step's attempt fails.

        Raises:
            BindingError: the journal is full.
            Fenced: the execution has ended.
        """
        self.check_room(event.step)
        self._budget.count_stored(0)
        self._committing += 1
        try:
            await self._execution.commit(event)
        finally:
            self._committing -= 1

    def append(self, step: StepKey, attempt: int, stream: str, value: Any) -> None:
        """Append a value to a stream of an attempt, as its code can; once the attempt is over it has no effect."""
        self._append(step, attempt, stream, values.encode(value))

    async def pause(self, milliseconds: int) -> None:
        """Wait, by the engine's clock."""
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self._clock.call_at(self.now() + milliseconds, _settle, over)
        self._execution.calls_on_timers += 1
        try:
            await over
        finally:
            self._execution.calls_on_timers -= 1
            timer.cancel()

    def next_number(self, step: StepKey | None, what: str = "") -> int:
        """Count something that the step's running attempt does, or the execution outside steps, from 1."""
        counts = self._counts.setdefault(step, Counter())
        counts[what] += 1
        return counts[what]

    def take_writes(self, step: StepKey) -> list[NewEvent]:
        """What the attempt that has just succeeded wrote, to be committed with its result."""
        self._counts.pop(step, None)
        self._held_bytes.pop(step, None)
        return self._buffers.pop(step, [])

    def discard_writes(self, step: StepKey) -> None:
        """An attempt failed: what it wrote goes."""
        self._counts.pop(step, None)
        self._held_bytes.pop(step, None)
        self._buffers.pop(step, None)


def _settle(over: "asyncio.Future[None]") -> None:
    if not over.done():
        over.set_result(None)


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
