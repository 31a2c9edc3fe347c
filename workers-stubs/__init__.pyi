"""Types of `workers`, the module that workflows import: for editors and type checkers only.

The module itself exists inside a worker (playground/worker/api.py) and in tests (playground.testing). What a workflow
is given may be left without types; `event: WorkflowEvent[Order]` and `step: WorkflowStep` say more.
"""

from builtins import bytes as _bytes
from collections.abc import Awaitable, Callable, Coroutine, ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import (
    Any,
    Generic,
    Literal,
    Never,
    NotRequired,
    Protocol,
    TypeAlias,
    TypedDict,
    overload,
    type_check_only,
)

from typing_extensions import TypeVar

_Payload = TypeVar("_Payload", default=Any)
_Result = TypeVar("_Result", bound=_Storable)
_Result_co = TypeVar("_Result_co", covariant=True)
_Function = TypeVar("_Function", bound=Callable[..., Any])

# What a step may return, a run be given and give. Of a dict only the outside is checked: TypedDicts are dicts too.
_Storable: TypeAlias = (
    bool
    | int
    | float
    | str
    | _bytes
    | datetime
    | Sequence[_Storable]
    | Mapping[str, object]
    | AbstractSet[_Storable]
    | None
)
# "30 seconds", milliseconds, or a timedelta.
_Duration: TypeAlias = str | int | float | timedelta
_Rollback: TypeAlias = Callable[..., Any]

# What a workflow is.

class WorkflowEntrypoint:
    """The base class of a workflow: `self.env` holds its bindings, `self.ctx` the execution context."""

    env: Any
    ctx: Any
    def __init__(self, ctx: Any = None, env: Any = None) -> None: ...
    async def run(self, event: WorkflowEvent[Any], step: WorkflowStep) -> Any:
        """Override this. Called from the top in every execution; its return value is the instance's output."""

class WorkerEntrypoint:
    """The base class of a Worker. None runs here, but a file that defines one besides its workflow loads."""

    env: Any
    ctx: Any
    def __init__(self, ctx: Any = None, env: Any = None) -> None: ...

class DurableObject(WorkerEntrypoint):
    """The base class of a Durable Object, which does not run here either."""

# What `run` is given. Each is a dict whose keys are attributes too; a key that there is not is an error.

class WorkflowEvent(Generic[_Payload]):
    """The inputs of the instance: its params are the `payload`."""

    payload: _Payload
    timestamp: datetime
    instanceId: str
    instance_id: str
    workflowName: str
    workflow_name: str
    schedule: Any
    @overload
    def __getitem__(self, key: Literal["payload"], /) -> _Payload: ...
    @overload
    def __getitem__(self, key: Literal["timestamp"], /) -> datetime: ...
    @overload
    def __getitem__(self, key: Literal["instanceId", "instance_id", "workflowName", "workflow_name"], /) -> str: ...
    @overload
    def __getitem__(self, key: Literal["schedule"], /) -> Any: ...
    def get(self, key: str, default: Any = None, /) -> Any: ...
    def keys(self) -> KeysView[str]: ...
    def items(self) -> ItemsView[str, Any]: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...

class WorkflowStepEvent(Generic[_Payload]):
    """What a wait gives: the event that came."""

    payload: _Payload
    timestamp: datetime
    type: str
    @overload
    def __getitem__(self, key: Literal["payload"], /) -> _Payload: ...
    @overload
    def __getitem__(self, key: Literal["timestamp"], /) -> datetime: ...
    @overload
    def __getitem__(self, key: Literal["type"], /) -> str: ...
    def get(self, key: str, default: Any = None, /) -> Any: ...
    def __contains__(self, key: object, /) -> bool: ...
    def reply(self, value: _Storable = None) -> Awaitable[None]:
        """Replies to whoever sent the event and waits for a reply. The first reply to an event stands."""
    def reject(self, message: str) -> Awaitable[None]:
        """Refuses the event: whoever waits for a reply gets an error with this message."""

class _StepName(TypedDict):
    """Which step an attempt is of."""

    name: str
    count: int

class WorkflowStepContext:
    """`ctx` of a step: the number of this attempt, from 1, the step's name and count, and its config."""

    attempt: int
    step: _StepName
    config: dict[str, Any]
    @overload
    def __getitem__(self, key: Literal["attempt"], /) -> int: ...
    @overload
    def __getitem__(self, key: Literal["step"], /) -> _StepName: ...
    @overload
    def __getitem__(self, key: Literal["config"], /) -> dict[str, Any]: ...
    def get(self, key: str, default: Any = None, /) -> Any: ...

# Steps.

class _Retries(TypedDict):
    """How often and when a failed attempt is tried again; `delay` may be a function of `ctx` and `error`."""

    limit: int
    delay: _Duration | Callable[[Any], _Duration | Awaitable[_Duration]]
    backoff: NotRequired[Literal["constant", "linear", "exponential"]]

class WorkflowStepConfig(TypedDict, total=False):
    """The config of a step; `timeout` is of one attempt."""

    retries: _Retries
    timeout: _Duration
    sensitive: Literal["output"]

# A constant without a type is a plain dict; its keys are checked by the lint, and when the step starts.
_Config: TypeAlias = WorkflowStepConfig | dict[str, Any] | None

@type_check_only
class _Step(Protocol[_Result_co]):
    """A decorated step. It is called without arguments; each call is a step of its own."""

    def __call__(self) -> Coroutine[Any, Any, _Result_co]: ...

@type_check_only
class _StepDecorator(Protocol):
    @overload
    def __call__(self, function: Callable[..., Awaitable[_Result]], /) -> _Step[_Result]: ...
    @overload
    def __call__(self, function: Callable[..., _Result], /) -> _Step[_Result]: ...

class WorkflowStep:
    """Makes steps. Their results are stored in the journal; code outside of steps runs again in every execution."""

    @overload
    def do(
        self,
        name: str,
        callback: Callable[..., Awaitable[_Result]],
        *,
        config: _Config = None,
        rollback: _Rollback | None = None,
        rollback_config: _Config = None,
    ) -> Coroutine[Any, Any, _Result]: ...
    @overload
    def do(
        self,
        name: str,
        callback: Callable[..., _Result],
        *,
        config: _Config = None,
        rollback: _Rollback | None = None,
        rollback_config: _Config = None,
    ) -> Coroutine[Any, Any, _Result]: ...
    @overload
    def do(self, name: Callable[..., Awaitable[_Result]], /) -> _Step[_Result]: ...
    @overload
    def do(self, name: Callable[..., _Result], /) -> _Step[_Result]: ...
    @overload
    def do(
        self,
        name: str | None = None,
        *,
        depends: Sequence[_Step[Any]] | None = None,
        concurrent: bool = False,
        config: _Config = None,
        rollback: _Rollback | None = None,
        rollback_config: _Config = None,
    ) -> _StepDecorator: ...
    def sleep(self, name: str, duration: _Duration) -> Coroutine[Any, Any, None]:
        """Sleeps durably: "30 seconds", milliseconds or a timedelta; at most 365 days."""
    def sleep_until(self, name: str, when: datetime | float) -> Coroutine[Any, Any, None]:
        """Sleeps durably until a datetime (a naive one is UTC) or epoch milliseconds."""
    @overload
    def wait_for_event(
        self, name: str, event_type: str | Sequence[str], /, timeout: _Duration = "24 hours", schema: Any = None
    ) -> Coroutine[Any, Any, WorkflowStepEvent[Any]]:
        """Waits durably for an event of a type, or of the first of several."""
    @overload
    def wait_for_event(
        self, name: str, /, *, event_type: str | Sequence[str], timeout: _Duration = "24 hours", schema: Any = None
    ) -> Coroutine[Any, Any, WorkflowStepEvent[Any]]: ...
    @overload
    def wait_for_event(
        self, name: str, /, *, type: str | Sequence[str], timeout: _Duration = "24 hours", schema: Any = None
    ) -> Coroutine[Any, Any, WorkflowStepEvent[Any]]: ...
    def patched(self, name: str) -> bool:
        """Whether this run takes the new way at a change of the code."""
    def deprecate_patch(self, name: str) -> None:
        """Stands in the place of `patched` once its old way is removed."""
    def tag(self, *tags: str) -> None:
        """Gives the run tags, by which it is found in lists."""

# Asking other hosts.

class Headers(Mapping[str, str]):
    """Headers, whose names may be written in any case."""

    def __init__(self, headers: Any = ...) -> None: ...
    def __getitem__(self, name: str) -> str: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...
    def get_all(self, name: str) -> list[str]: ...

class Response:
    """What a Worker answers; it can be made and read here, and nothing sends it."""

    status: int
    status_text: str
    headers: Headers
    body: Any
    def __init__(self, body: Any = None, status: int = 200, headers: Any = None, status_text: str = "") -> None: ...
    @classmethod
    def json(cls, data: Any, **options: Any) -> Response: ...
    @property
    def ok(self) -> bool: ...
    async def bytes(self) -> _bytes: ...
    async def text(self) -> str: ...

class FetchResponse:
    """The answer to a `fetch`."""

    status: int
    status_text: str
    headers: Headers
    url: str
    redirected: bool
    @property
    def ok(self) -> bool: ...
    async def bytes(self) -> _bytes: ...
    async def buffer(self) -> _bytes: ...
    async def text(self) -> str: ...
    async def string(self) -> str: ...
    async def json(self) -> Any: ...
    def raise_for_status(self) -> None: ...
    def clone(self) -> FetchResponse: ...

class _FetchOptions(TypedDict, total=False):
    """The options of `fetch`, which may stand in a dict or by their names."""

    method: str
    headers: Mapping[str, str] | Iterable[tuple[str, str]]
    body: str | _bytes | None
    redirect: Literal["follow", "manual", "error"]

def fetch(
    resource: str,
    options: _FetchOptions | None = None,
    /,
    *,
    method: str = ...,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = ...,
    body: str | _bytes | None = ...,
    redirect: Literal["follow", "manual", "error"] = ...,
) -> Coroutine[Any, Any, FetchResponse]:
    """Asks a host that is allowed. In a step; outside it is a step of its own."""

def handler(function: _Function) -> _Function:
    """Marks a Worker's handler in Cloudflare's runtime; here it does nothing."""

# The bindings of the run that asks. A binding has the types that you give it.
env: Any

# Errors.

class NonRetryableError(Exception):
    """Raise it in a step to fail at once: the step is not tried again."""

class WorkflowTimeoutError(Exception):
    """An attempt, or a wait for an event, took longer than its timeout."""

class NonRetryableDelayError(NonRetryableError):
    """A step's delay function failed, timed out or returned something that is no delay."""

class AIError(Exception):
    """A model has given no usable answer."""

class AIRateLimitError(AIError):
    """The endpoint takes no more calls now."""

    retry_after: float | None

class AIUnavailableError(AIError):
    """The endpoint could not be reached, failed, was too slow or gave something that is no answer."""

class AIRequestError(AIError, NonRetryableError):
    """The call can't succeed as it is."""

class AIBudgetError(AIRequestError):
    """The call may take more tokens than are left."""

class MCPError(Exception):
    """A server of tools has given no usable answer."""

class MCPUnavailableError(MCPError):
    """The server could not be reached, failed, was too slow or gave something that is no answer."""

class MCPRequestError(MCPError, NonRetryableError):
    """The call can't succeed as it is."""

class StepError(Exception):
    """A stored error whose own type is no longer in the code."""

class WorkflowFatalError(Exception):
    """The workflow broke a rule of the platform. Never retried."""

class NotSerialisableError(WorkflowFatalError):
    """A value can't be stored; the message names its path and type."""

class WorkerLost(Exception):
    """An attempt was lost with its worker."""

class InjectedError(Exception):
    """A person injected this failure into an attempt."""

# Types of Cloudflare's Workers, which can be named here and not made.

class _OfWorkers:
    def __init__(self, never: Never, /) -> None: ...
    def __getattr__(self, name: str) -> Any: ...

class Blob(_OfWorkers): ...
class BlobEnding(_OfWorkers): ...
class BlobValue(_OfWorkers): ...
class Body(_OfWorkers): ...
class Context(_OfWorkers): ...
class FetchKwargs(_OfWorkers): ...
class File(_OfWorkers): ...
class FormData(_OfWorkers): ...
class FormDataValue(_OfWorkers): ...
class JSBody(_OfWorkers): ...
class Request(_OfWorkers): ...
class RequestInitCfProperties(_OfWorkers): ...
