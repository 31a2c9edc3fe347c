"""`self.env`: host objects by name. A call goes over the channel,
runs on the trusted side and comes back as a value.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from playground.worker import failures
from playground.worker.channel import Channel
from playground.worker.context import Environment, Record, step_of_caller
from playground.worker.entrypoint import NotSerialisableError
from playground.workflows import values
from playground.workflows.errors import NotSerialisable, TooLarge


class Binding:
    """One host object: its methods are coroutine functions that take and give storable values."""

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
    """A handle of an instance, as `env.WORKFLOWS` gives it."""

    def __init__(self, id: str, ask: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        self.id, self._ask = id, ask

    def __repr__(self) -> str:
        return f"<instance {self.id}>"

    async def status(self) -> Record:
        """How it stands: status, output, error, rollback."""
        return Record(await self._ask("status", self.id))

    async def pause(self) -> None:
        """Start no new step; stop timers and keep what remains of them."""
        await self._ask("pause", self.id)

    async def resume(self) -> None:
        """Go on after a pause."""
        await self._ask("resume", self.id)

    async def terminate(self, rollback: bool = False) -> None:
        """End it, with `rollback` after the handlers of its steps."""
        await self._ask("terminate", self.id, rollback=rollback)

    async def restart(self, from_step: Any = None) -> None:
        """Run it again, from the start or from a step: `{"name", "count": 1, "kind": "do"}`."""
        await self._ask("restart", self.id, from_step)

    async def send_event(self, type: Any, payload: Any = None) -> None:
        """Send it an event; `{"type", "payload"}` does too."""
        if isinstance(type, Mapping):
            type, payload = type.get("type"), type.get("payload")
        await self._ask("send_event", self.id, type, payload)


class Batch(list[Any]):
    """The instances that a `create_batch` made; `refused` are the entries left out, each with index, id and code."""

    refused: tuple[Record, ...] = ()


class Workflow:
    """Creates and finds instances of the tenant's own."""

    def __init__(self, name: str, call: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        self._name, self._call = name, call

    def __repr__(self) -> str:
        return f"<workflow binding {self._name}>"

    async def create(self, id: Any = None, params: Any = None) -> Instance:
        """Start an instance; `{"id", "params"}` does too. In a step, one without an id is found again by later
        attempts.
        """
        if isinstance(id, Mapping):
            id, params = id.get("id"), id.get("params", params)
        return Instance(await self._ask("create", id, params), self._ask)

    async def create_batch(self, batch: Any) -> Batch:
        """Start 1 to 100 instances, each given as `{"id", "params"}`, both optional."""
        answer = await self._ask("create_batch", list(batch))
        made = Batch(Instance(id, self._ask) for id in answer["ids"])
        made.refused = tuple(Record(entry) for entry in answer["refused"])
        return made

    async def get(self, id: str) -> Instance:
        """The instance of this id."""
        return Instance(await self._ask("get", id), self._ask)

    def _ask(self, method: str, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        return self._call(self._name, method, args, kwargs)


class Bindings:
    """The calls under way."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._last = 0
        self._outside: set[int] = set()  # those that the workflow's own code made

    def waited_for(self) -> bool:
        """Whether the workflow's own code, outside of steps, waits for an answer."""
        return bool(self._outside)

    def environment(self, given: Mapping[str, Any]) -> Environment:
        """`env` from what the start frame says of it: bindings by their methods, everything else a plain value."""
        return Environment({name: self._entry(name, entry) for name, entry in given.items()})

    def _entry(self, name: str, entry: Mapping[str, Any]) -> Any:
        if "workflow" in entry:
            return Workflow(name, self._call)
        return Binding(name, entry["methods"], self._call) if "methods" in entry else values.decode(entry["value"])

    def answer(self, frame: Mapping[str, Any]) -> None:
        """Take the answer to a call."""
        future = self._calls.pop(frame["call"], None)
        self._outside.discard(frame["call"])
        if future is None or future.done():
            return
        if frame.get("error"):
            error = failures.rebuild(frame["error"], None)
            error.code = frame["error"].get("code")  # type: ignore[attr-defined]
            future.set_exception(error)
        else:
            future.set_result(frame["value"])

    async def _call(self, binding: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._last += 1
        call = self._last
        frame = {
            "op": "call",
            "call": call,
            "binding": binding,
            "method": method,
            "args": self._encoded(list(args), binding, method),
            "kwargs": {name: self._encoded(value, binding, method) for name, value in kwargs.items()},
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
            self._outside.add(call)
        self._calls[call] = asyncio.get_running_loop().create_future()
        self._channel.post(frame)
        return values.decode(await self._calls[call])

    def _encoded(self, value: Any, binding: str, method: str) -> Any:
        try:
            return values.encode(value)
        except NotSerialisable as refused:
            raise NotSerialisableError(f"The arguments of env.{binding}.{method} are {refused.message}") from None
