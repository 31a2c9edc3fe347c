"""`self.env` of one execution: its bindings are described to the worker, and the worker's calls are run within limits.

A call waits until everything that the worker sent before it is durable. A call over a limit gets an error, which the
code may catch; a worker that is refused more than `REFUSALS` times is ended.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol

from playground.engine import messages
from playground.engine.bindings.binding import Binding, CallContext, CallLimits, ChildStarter, Host
from playground.engine.bindings.step_bytes import NAME as STEP_BYTES
from playground.engine.bindings.step_bytes import StepBytes
from playground.engine.bindings.streams import Streams
from playground.engine.code.metadata import TENANT
from playground.engine.code.sources import Code
from playground.engine.execution.stream_values import Appending, append_value
from playground.engine.execution.watchdog import IdleTimeout
from playground.engine.metrics import owner_of_limit
from playground.engine.redaction import Redactor, secret_in_name
from playground.sandbox import frames
from playground.store.rows import InstanceRow
from playground.workflows import values
from playground.workflows.errors import BindingError, NonRetryableError, NotSerialisable, WorkflowError
from playground.workflows.events import NewEvent, StepKey

_NAMING = (
    frames.Do,
    frames.Did,
    frames.Sleep,
    frames.Wait,
    frames.Child,
)  # frames that start a step or a wait, with its name

# Which setting holds where a binding has no limit of its own.
_SETTINGS = {
    "calls": "calls_per_execution",
    "in_flight": "calls_in_flight",
    "bytes": "call_bytes",
    "seconds": "call_seconds",
}
REFUSALS = 1_000  # calls refused for a limit before the worker is ended

_TOO_MANY = (
    "env.{name}: {most:,} calls in one execution, which is the limit. Call it less often, or inside steps, which "
    "replay without calling."
)
_TOO_MANY_AT_ONCE = "env.{name}: {most:,} calls under way at once, which is the limit. Await some before making more."
_TOO_LARGE = (
    "{called}: the {what} is {size:,} bytes; the limit of a call is {most:,}. Keep large data elsewhere and pass its "
    "address."
)
_TOO_SLOW = "{called} did not answer within {seconds:g} s, which is the limit of a call. Ask for less at once."
_FAILED = "{called} failed on the server; its log says why."
_OVER = "{called}: step {step} is over, so nothing can be done in its name. Await calls before the step returns."


class _Limits(NamedTuple):
    """The limits of a binding; `own` are those of its class, without a setting."""

    calls: int
    in_flight: int
    bytes: int
    seconds: float
    own: CallLimits

    def refusal(self, sentence: str, limit: str) -> BindingError:
        """The error of a call over a limit."""
        if getattr(self.own, limit):
            return BindingError(sentence)
        return BindingError(sentence, setting={**_SETTINGS, **self.own.settings}[limit])


def describe_env(env: Mapping[str, Any]) -> dict[str, Any]:
    """An env as the worker receives it: `{name: {"methods": [...]}}`, `{name: {"workflow": true}}` or `{name: {"value":
    encoded}}`.
    """
    return {
        name: dict(value.describe()) if isinstance(value, Binding) else {"value": values.encode(value)}
        for name, value in env.items()
    }


class Calling(Appending, Protocol):
    """An execution whose worker may make calls."""

    idle_timeout: IdleTimeout

    def runs_attempt(self, key: StepKey, attempt: int) -> bool:
        """Whether this attempt of a step, not of its rollback handler, runs now."""


class ExecutionEnvironment:
    """The bindings of one execution's code, and the calls to them."""

    def __init__(self, execution: Calling) -> None:
        self._execution = execution
        self._env: dict[str, Any] = {}
        self._step_bytes = StepBytes()
        self.has_streams = False  # whether the code has a binding through which it appends to streams
        self._redactor = Redactor(())
        services = execution.services
        self._host = Host(
            execution,
            budget=execution.budget,
            store=services.store,
            limit=lambda name: services.limit(execution.row, name),
            clock=services.clock,
            append=partial(append_value, execution),
            uncommitted=services.uncommitted,
            redactor=lambda: self._redactor,
            outbound=services.outbound,
            trusted=services.trusted,
        )
        self._calls: Counter[str] = Counter()
        self._in_flight: Counter[str] = Counter()
        self._refused = 0
        self._running: dict[asyncio.Task[None], frames.Call] = {}  # calls that end with the worker

    def starter(self, name: str) -> ChildStarter | None:
        """The binding of this name, where its workflow may be run as a child."""
        found = self._env.get(name)
        return found if isinstance(found, ChildStarter) else None

    def begin(self, code: Code) -> None:
        """Set the env of the code that is about to run."""
        self._env = {STEP_BYTES: self._step_bytes, **code.env}
        self.has_streams = any(isinstance(value, Streams) for value in self._env.values())
        secrets = [value.hidden() for value in self._env.values() if isinstance(value, Binding)]
        self._redactor = Redactor(secret for hidden in secrets for secret in hidden)
        self._execution.pipeline.redact = self._redactor.redact_event if self._redactor.has_secrets else None

    def redact(self, event: NewEvent) -> NewEvent:
        """An event without the secrets of the code."""
        return self._redactor.redact_event(event)

    def name_refusal(self, frame: frames.WorkerFrame) -> dict[str, Any] | None:
        """The error that ends an instance whose worker announces a new step with a secret in its names, appends to a
        stream whose name holds one, or gives such a tag; else None. It does not show the secret.
        """
        if not self._redactor.has_secrets:
            return None
        if isinstance(frame, frames.Append) and self._redactor.contains_secret(frame.stream):
            return messages.error(BindingError.__name__, secret_in_name("The name of a stream"))
        if isinstance(frame, frames.Tagged) and self._redactor.contains_secret(frame.name):
            return messages.error(BindingError.__name__, secret_in_name("A tag"))
        if not isinstance(frame, _NAMING):
            return None
        key = frames.step_key(frame.step)
        if key in self._execution.steps:
            return None
        if self._redactor.contains_secret(key.name):
            what = "A step's name"
        elif isinstance(frame, frames.Wait) and self._redactor.contains_secret(frame.event_type):
            what = "An event's type"
        elif isinstance(frame, frames.Child) and self._redactor.contains_secret(frame.id or ""):
            what = "An instance's id"
        else:
            return None
        step = f"{self._redactor.redact(key.name)}-{key.count}"
        return messages.error(BindingError.__name__, f'Step "{step}": {secret_in_name(what)}', frame.line)

    def bytes_refusal(self, step: StepKey, attempt: int, value: Any) -> str | None:
        """Why the result of an attempt can't be taken: it stands for bytes that are not stored. Else None."""
        return self._step_bytes.refusal(step, attempt, value)

    def take_writes(self, step: StepKey) -> list[NewEvent]:
        """The writes of an attempt that has just succeeded, to be committed with its result."""
        return self._host.take_writes(step)

    def discard_writes(self, step: StepKey) -> None:
        """An attempt of the step failed: its writes are lost, and nobody waits for its calls."""
        self._host.discard_writes(step)
        self._cancel_calls(step)

    def close(self) -> None:
        """The worker is gone: nobody waits for its calls."""
        self._cancel_calls(None)

    def _cancel_calls(self, step: StepKey | None) -> None:
        for task, frame in list(self._running.items()):
            if step is None or (frame.step is not None and frames.step_key(frame.step) == step):
                task.cancel()

    def on_call(self, frame: frames.Call, size: int) -> None:
        """Run a call of `size` bytes in the background; ends a worker that keeps calling over its limits."""
        execution = self._execution
        execution.calls += 1
        self._calls[self._counter_key(frame.binding)] += 1
        self._in_flight[self._counter_key(frame.binding)] += 1
        refusal = self._refusal(frame, size)
        if refusal is not None:
            self._refused += 1
            if self._refused > REFUSALS:
                execution.break_limit(f"calls: {REFUSALS:,} calls of bindings over their limits")
        task = execution.spawn(self._run_call(frame, refusal))
        binding = self._env.get(frame.binding)
        if isinstance(binding, Binding) and binding.target().ends_with_worker:
            self._running[task] = frame
            task.add_done_callback(lambda ended: self._running.pop(ended, None))

    async def _run_call(self, frame: frames.Call, refusal: BindingError | None) -> None:
        execution = self._execution
        reply: dict[str, Any] = {"op": "answer", "call": frame.call}
        try:
            if refusal is not None:
                raise refusal
            await execution.pipeline.wait_until_durable()  # no call before its attempt is in the journal
            reply["value"] = await self._call(frame)
        except WorkflowError as refused:
            reply["error"] = _call_error(refused)
            if "setting" in refused.details:
                row = execution.row
                execution.services.counts.limit(refused.details["setting"], owner_of_limit(row), instance=row.key)
        finally:
            execution.calls -= 1
            self._in_flight[self._counter_key(frame.binding)] -= 1
        if not execution.closing:
            execution.send(reply)
            execution.idle_timeout.check_idle()

    def _limits(self, name: str) -> "_Limits":
        """The limits of a binding, its own before the settings'."""
        execution = self._execution
        settings, binding = execution.services.settings, self._env.get(name)
        own = binding.target().limits if isinstance(binding, Binding) else CallLimits()
        names = {**_SETTINGS, **own.settings}
        return _Limits(
            own.calls or execution.services.limit(execution.row, names["calls"]),
            own.in_flight or getattr(settings, names["in_flight"]),
            own.bytes or getattr(settings, names["bytes"]) * own.factor,
            own.seconds or getattr(settings, names["seconds"]) * own.factor,
            own,
        )

    def _refusal(self, frame: frames.Call, size: int) -> BindingError | None:
        """Why a call may not be made, or None."""
        name, limits = frame.binding, self._limits(frame.binding)
        if self._calls[self._counter_key(name)] > limits.calls:
            return limits.refusal(_TOO_MANY.format(name=name, most=limits.calls), "calls")
        if self._in_flight[self._counter_key(name)] > limits.in_flight:
            return limits.refusal(_TOO_MANY_AT_ONCE.format(name=name, most=limits.in_flight), "in_flight")
        if size > limits.bytes:
            return _too_large(f"env.{name}.{frame.method}", "call", size, limits)
        return None

    def _counter_key(self, name: str) -> str:
        """The name to count calls under: one for all bindings that do not exist, whatever names a worker invents."""
        return name if name in self._env else ""

    async def _call(self, frame: frames.Call) -> Any:
        name, called = frame.binding, f"env.{frame.binding}.{frame.method}"
        binding = self._env.get(name)
        if not isinstance(binding, Binding):
            raise BindingError(f"There is no binding env.{name}.")
        target = binding.target()
        method = target.methods.get(frame.method)
        if method is None:
            raise BindingError(f"env.{name} has no method {frame.method!r}.")
        try:
            args, kwargs = values.decode(frame.args), values.decode(frame.kwargs)
        except Exception:  # noqa: BLE001 - a hostile worker may send any tree
            raise BindingError(f"{called}: the arguments can't be read.") from None
        bound = method.bind(called, args, kwargs)
        context = {"call": self._context(frame, called)} if method.takes_call else {}
        limits = self._limits(name)
        try:
            async with asyncio.timeout(limits.seconds) as within:
                result = await getattr(target, frame.method)(*bound.args, **bound.kwargs, **context)
            tree = _encoded(called, result)
        except WorkflowError:
            raise
        except Exception as failed:  # noqa: BLE001 - whatever a binding raises is its author's business, not the tenant's
            if isinstance(failed, TimeoutError) and within.expired():
                raise limits.refusal(_TOO_SLOW.format(called=called, seconds=limits.seconds), "seconds") from None
            execution = self._execution
            execution.services.log("binding_failed", instance=execution.row.key, call=called, exc_info=failed)
            raise BindingError(_FAILED.format(called=called)) from None
        size = frames.size_of(tree)
        if size > limits.bytes:
            raise _too_large(called, "result", size, limits)
        return tree

    def _context(self, frame: frames.Call, called: str) -> CallContext:
        execution = self._execution
        row, key, attempt, idempotency_key = execution.row, None, None, None
        if frame.step is not None:
            key = frames.step_key(frame.step)
            attempt = execution.open_attempt(key)
            if attempt is None:
                raise NonRetryableError(_OVER.format(called=called, step=key))
            idempotency_key = f"{row.tenant}/{idempotency_name(row)}/{row.generation}/{key.kind}/{key}"
        metadata = values.decode(row.metadata) if isinstance(row.metadata, dict) else {}
        tenant = row.tenant if metadata.get(TENANT) is None else metadata[TENANT]
        return CallContext(
            tenant, metadata, row.id, row.workflow, row.execution, key, attempt, idempotency_key, self._host
        )


def idempotency_name(row: InstanceRow) -> str:
    """An instance in its idempotency keys: its number, which another database may have too, and its random part."""
    return f"{row.key}" if row.nonce is None else f"{row.key}-{row.nonce}"


def _too_large(called: str, what: str, size: int, limits: _Limits) -> BindingError:
    return limits.refusal(_TOO_LARGE.format(called=called, what=what, size=size, most=limits.bytes), "bytes")


def _encoded(called: str, result: Any) -> Any:
    try:
        return values.encode(result)
    except NotSerialisable as refused:
        raise NotSerialisable(
            f"{called}: the result is {refused.message}. A binding gives JSON, datetime, bytes and set."
        ) from None


def _call_error(refused: WorkflowError) -> dict[str, Any]:
    error = {**messages.error(type(refused).__name__, refused.message), "code": refused.code}
    if isinstance(refused, NonRetryableError):
        error["non_retryable"] = True
    if isinstance(refused, BindingError) and refused.attributes:
        error["attributes"] = {name: refused.details.get(name) for name in refused.attributes}
    return error
