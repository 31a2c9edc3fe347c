"""`self.env`: host objects by name. A call goes over the channel, runs on the trusted side and comes back as a value."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from playground.worker import failures
from playground.worker.channel import Channel
from playground.worker.records import Record
from playground.worker.steps import current_step
from playground.workflows import values


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


class Bindings:
    """The calls under way."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._last = 0

    def environment(self, given: Mapping[str, Any]) -> Record:
        """`env` from what the start frame says of it: bindings by their methods, everything else a plain value."""
        return Record(
            {
                name: Binding(name, entry["methods"], self._call) if "methods" in entry else values.decode(entry["value"])
                for name, entry in given.items()
            }
        )

    def answer(self, frame: Mapping[str, Any]) -> None:
        """Take the answer to a call."""
        future = self._calls.pop(frame["call"], None)
        if future is None or future.done():
            return
        if frame.get("error"):
            future.set_exception(failures.rebuild(frame["error"], None))
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
            "args": values.encode(list(args)),
            "kwargs": {name: values.encode(value) for name, value in kwargs.items()},
        }
        if current_step.get() is not None:
            frame["step"] = current_step.get()
        self._calls[call] = asyncio.get_running_loop().create_future()
        self._channel.post(frame)
        return values.decode(await self._calls[call])
