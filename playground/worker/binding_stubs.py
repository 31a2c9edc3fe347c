"""`self.env`: stubs of the host objects, by name.

A call is sent over the channel, runs on the trusted side and returns a value.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from playground.worker import failures
from playground.worker.channel import Channel
from playground.worker.context import Environment, Record, step_of_caller
from playground.worker.entrypoint import NotSerialisableError, WorkflowFatalError
from playground.worker.fetching import Fetcher
from playground.worker.service_stubs import Models, Tools, ToolServers
from playground.worker.streams import Streams
from playground.workflows import values
from playground.workflows.errors import NotSerialisable, TooLarge
from playground.workflows.flow import FIELDS
from playground.workflows.tags import TAGS


class Binding:
    """The stub of one host object: its methods are coroutine functions that take and return storable values."""

    def __init__(self, name: str, methods: Mapping[str, Any], call: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        self._name, self._methods, self._call = name, methods, call

    def __getattr__(self, method: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        if method.startswith("_") or method not in self._methods:
            raise AttributeError(f"env.{self._name} has no method {method!r}; it has: {', '.join(self._methods)}")

        def bound(*args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
            return self._call(self._name, method, args, kwargs)

        return bound

    def __repr__(self) -> str:
        return f"<binding {self._name}: {', '.join(self._methods)}>"


class Instance:
    """A handle of an instance, as the methods of `env.WORKFLOWS` return it."""

    def __init__(self, id: str, ask: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        self.id, self._call_method = id, ask

    def __repr__(self) -> str:
        return f"<instance {self.id}>"

    async def status(self) -> Record:
        """Its status, output, error and rollback."""
        return Record(await self._call_method("status", self.id))

    async def pause(self) -> None:
        """Start no new step; stop timers and keep what remains of them."""
        await self._call_method("pause", self.id)

    async def resume(self) -> None:
        """Go on after a pause."""
        await self._call_method("resume", self.id)

    async def terminate(self, rollback: bool = False) -> None:
        """End it, with `rollback` after the handlers of its steps."""
        await self._call_method("terminate", self.id, rollback=rollback)

    async def restart(self, from_step: Any = None) -> None:
        """Run it again, from the start or from a step: `{"name", "count": 1, "kind": "do"}`."""
        await self._call_method("restart", self.id, from_step)

    async def delete(self) -> None:
        """Remove it and its journal, whatever it does. Code that removes its own instance ends here."""
        await self._call_method("delete", self.id)

    async def send_event(self, type: Any, payload: Any = None, reply: bool = False) -> Any:
        """Send it an event; `{"type", "payload"}` does too. With `reply`, wait for what it replies, and give that."""
        if isinstance(type, Mapping):
            type, payload = type.get("type"), type.get("payload")
        if not reply:
            await self._call_method("send_event", self.id, type, payload)
            return None
        return await self._call_method("send_event", self.id, type, payload, True)


class Batch(list[Any]):
    """The instances that `create_batch` started, which are `created` too. `errors` are the entries left out, each with
    index, id, code and message; `refused` are the same with codes in words.
    """

    refused: tuple[Record, ...] = ()
    errors: tuple[Record, ...] = ()

    @property
    def created(self) -> list[Any]:
        """The instances."""
        return list(self)


_CLOUDFLARES_SPELLING: Mapping[str, str] = {"createBatch": "create_batch", "deleteBatch": "delete_batch"}


class RunChild(Protocol):
    """Runs another workflow as a step: `Steps.run_child`."""

    def __call__(
        self, binding: str, params: Any, id: Any, name: Any, *, workflow: Any, cascade: bool,
        asked: Mapping[str, Any], tags: Any,
    ) -> Coroutine[Any, Any, Any]: ...  # fmt: skip


class Children:
    """Runs children: all that code may do which is nobody's."""

    def __init__(self, name: str, run_child: RunChild) -> None:
        self._name, self._run_child = name, run_child

    def __repr__(self) -> str:
        return f"<workflow binding {self._name}>"

    def __getattr__(self, method: str) -> Any:
        raise AttributeError(
            f"env.{self._name} has no method {method!r} here; it has: run. Instances are created and controlled by "
            "code that a tenant has deployed."
        )

    def run(
        self,
        params: Any = None,
        *,
        id: Any = None,
        name: Any = None,
        workflow: Any = None,
        cascade: bool = True,
        key: Any = None,
        delay: Any = None,
        priority: Any = None,
        limits: Any = None,
        tags: Any = (),
    ) -> Coroutine[Any, Any, Any]:
        """Run the workflow with other params and wait durably for its end: a step, which gives the child's output or
        raises its error.

        Args:
            id: the child's; by default one that belongs to this step.
            name: the step's; by default the id, or "child".
            workflow: another of the tenant's workflows, by its name; by default the one that runs.
            cascade: whether the child is terminated when nobody waits for it any more.
            key, delay, priority, limits: when it may start, as of a create.
            tags: texts that the child is found by.
        """
        given = {"key": key, "delay": delay, "priority": priority, "limits": limits}
        asked = {name: value for name, value in given.items() if value is not None}
        return self._run_child(
            self._name, params, id, name, workflow=workflow, cascade=bool(cascade), asked=asked, tags=tags
        )


class Workflow(Children):
    """Creates and finds instances of the tenant's own."""

    def __init__(self, name: str, call: Callable[..., Coroutine[Any, Any, Any]], run_child: RunChild) -> None:
        super().__init__(name, run_child)
        self._call = call

    async def create(
        self, id: Any = None, params: Any = None, workflow: str | None = None, retention: Any = None, **asked: Any
    ) -> Instance:
        """Start an instance; `{"id", "params", "workflow", "retention"}` does too. In a step, one without an id is
        found again by later attempts.

        `workflow` names another of the tenant's workflows; without it the instance is of the caller's own. `retention`
        is how long it is kept once it has ended: `{"success_retention", "error_retention"}`, both optional. `key`,
        `delay`, `priority`, `singleton`, `debounce` and `limits` say when it may start; by `tags` it is found.
        """
        if isinstance(id, Mapping):
            asked = {name: id[name] for name in (FIELDS | {TAGS}) & id.keys()} | asked
            workflow, retention = id.get("workflow", workflow), id.get("retention", retention)
            id, params = id.get("id"), id.get("params", params)
        more = {"workflow": workflow, "retention": retention, "asked": asked or None}
        told = {name: value for name, value in more.items() if value is not None}
        return Instance(await self._call_method("create", id, params, **told), self._call_method)

    async def create_batch(self, batch: Any) -> Batch:
        """Start 1 to 100 instances: a list of `{"id", "params", "retention"}`, all optional, `{"instances": [...]}`, or
        `{"count", "params", "retention"}`.
        """
        response = await self._call_method("create_batch", batch if isinstance(batch, Mapping) else list(batch))
        made = Batch(Instance(id, self._call_method) for id in response["ids"])
        made.refused = tuple(Record(entry) for entry in response["refused"])
        made.errors = tuple(Record(entry) for entry in response["errors"])
        return made

    async def delete_batch(self, ids: Any) -> Record:
        """Remove 1 to 100 instances and their journals: `deleted` and `errors` have an entry for each id."""
        response = await self._call_method("delete_batch", list(ids))
        return Record({name: [Record(entry) for entry in entries] for name, entries in response.items()})

    def __getattr__(self, name: str) -> Any:
        if name in _CLOUDFLARES_SPELLING:
            return getattr(self, _CLOUDFLARES_SPELLING[name])
        raise AttributeError(f"env.{self._name} has no method {name!r}")

    async def get(self, id: str) -> Instance:
        """The instance of this id."""
        return Instance(await self._call_method("get", id), self._call_method)

    def _call_method(self, method: str, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        return self._call(self._name, method, args, kwargs)


class Queue:
    """Sends messages into one queue."""

    def __init__(self, binding: str, queue: str, call: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        self._binding, self._queue, self._call = binding, queue, call

    def __repr__(self) -> str:
        return f"<queue {self._queue}>"

    async def send(
        self, body: Any, options: Any = None, *, content_type: str | None = None, delay_seconds: Any = None, **more: Any
    ) -> None:
        """Send a message. In a step it is sent with the step's result."""
        entry = _message({"body": body, "content_type": content_type, "delay_seconds": delay_seconds, **more}, options)
        await self._call(self._binding, "send", (self._queue, [entry]), {})

    async def send_batch(self, messages: Any, options: Any = None, *, delay_seconds: Any = None, **more: Any) -> None:
        """Send 1 to 100 messages, each as `{"body", "content_type", "delay_seconds"}`."""
        common = _message({"body": None, "delay_seconds": delay_seconds, **more}, options)["delay_seconds"]
        entries = [_message(message) for message in messages]
        for entry in entries:
            entry["delay_seconds"] = common if entry["delay_seconds"] is None else entry["delay_seconds"]
        await self._call(self._binding, "send", (self._queue, entries), {})

    def __getattr__(self, name: str) -> Any:
        if name == "sendBatch":
            return self.send_batch
        raise AttributeError(f"a queue has no method {name!r}")


def _message(message: Mapping[str, Any], options: Any = None) -> dict[str, Any]:
    """A message in our spelling; `contentType` and `delaySeconds` are Cloudflare's."""
    given = {**message, **{name: value for name, value in (options or {}).items() if value is not None}}
    unknown = given.keys() - {"body", "content_type", "contentType", "delay_seconds", "delaySeconds"}
    if unknown:
        raise TypeError(f"a message has body, content_type and delay_seconds, not {min(unknown)!r}")
    content_type = given.get("content_type")
    delay = given.get("delay_seconds")
    return {
        "body": given.get("body"),
        "content_type": given.get("contentType") if content_type is None else content_type,
        "delay_seconds": given.get("delaySeconds") if delay is None else delay,
    }


class Queues:
    """All queues of the tenant."""

    def __init__(self, binding: str, call: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        self._binding, self._call = binding, call

    def get(self, name: str) -> Queue:
        """The queue of this name."""
        return Queue(self._binding, name, self._call)


class Bindings:
    """Sends calls of bindings and hands each response to its caller."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.run_child: RunChild  # set before there is an environment
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._last_call = 0
        self._outside_steps: set[int] = set()  # calls made by the workflow's own code
        self._closed = False

    def close(self) -> None:
        """The run is over: what its module has kept of `self.env` cannot be called in another."""
        self._closed = True

    def workflow_is_waiting(self) -> bool:
        """Whether the workflow's own code, outside of steps, waits for a response."""
        return bool(self._outside_steps)

    def environment(self, entries: Mapping[str, Any], streams: Streams) -> Environment:
        """`self.env` from the entries of the start frame: a stub where an entry lists methods, else a plain value."""
        return Environment({name: self._binding_or_value(name, entry, streams) for name, entry in entries.items()})

    def _binding_or_value(self, name: str, entry: Mapping[str, Any], streams: Streams) -> Any:
        if "streams" in entry:
            return streams
        if "workflow" in entry:
            runs_only = entry["workflow"] == "run"
            return Children(name, self.run_child) if runs_only else Workflow(name, self.call, self.run_child)
        if "ai" in entry:
            return Models(name, self.call)
        if "mcp" in entry:
            return Tools(name, entry["mcp"], self.call)
        if "mcps" in entry:
            return ToolServers(name, self.call)
        if "queue" in entry:
            return Queue(name, entry["queue"], self.call)
        if "fetch" in entry:
            return Fetcher(name, self.call)
        if "queues" in entry:
            return Queues(name, self.call)
        return Binding(name, entry["methods"], self.call) if "methods" in entry else values.decode(entry["value"])

    def handle_response(self, frame: Mapping[str, Any]) -> None:
        """Resolve the call that a response frame belongs to."""
        future = self._calls.pop(frame["call"], None)
        self._outside_steps.discard(frame["call"])
        if future is None or future.done():
            return
        if frame.get("error"):
            error = failures.rebuild(frame["error"], None)
            error.code = frame["error"].get("code")  # type: ignore[attr-defined]
            future.set_exception(error)
        else:
            future.set_result(frame["value"])

    def post(self, binding: str, method: str, *args: Any) -> None:
        """Send a call of the code outside steps, without waiting for its response; none once the run is over."""
        if self._closed:
            return
        self._last_call += 1
        self._outside_steps.add(self._last_call)
        encoded = self._encode_arguments(list(args), binding, method)
        call = {"op": "call", "call": self._last_call, "binding": binding, "method": method}
        self._channel.post({**call, "args": encoded, "kwargs": {}})
        self._channel.flush()

    async def call(self, binding: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a method of a binding and wait for its response. Raises what it was refused with."""
        if self._closed:
            raise WorkflowFatalError(
                f"env.{binding} is of a run that has ended: this worker is warm, and the module has kept it. Use "
                "`self.env` of the run."
            )
        self._last_call += 1
        call = self._last_call
        frame = {
            "op": "call",
            "call": call,
            "binding": binding,
            "method": method,
            "args": self._encode_arguments(list(args), binding, method),
            "kwargs": {name: self._encode_arguments(value, binding, method) for name, value in kwargs.items()},
        }
        try:
            values.check_size(
                [frame["args"], frame["kwargs"]], f"arguments of env.{binding}.{method}", values.VALUE_BYTES
            )
        except TooLarge as refused:
            raise NotSerialisableError(refused.message) from None
        step = step_of_caller()
        if step is not None:
            frame["step"] = step
        else:
            self._outside_steps.add(call)
        self._calls[call] = asyncio.get_running_loop().create_future()
        self._channel.post(frame)
        return values.decode(await self._calls[call])

    def _encode_arguments(self, value: Any, binding: str, method: str) -> Any:
        try:
            return values.encode(value)
        except NotSerialisable as refused:
            raise NotSerialisableError(f"The arguments of env.{binding}.{method} are {refused.message}") from None
