"""A batch of messages in a worker: `queue(batch)` of the tenant's class is called, and what it says of each message is
sent before the run ends, whether it returns or raises.

A message's own call beats the batch's, and of a message the first call counts. What is not marked is acknowledged when
the handler returns, and comes again when it raises. `step` is there as for any workflow: as `ctx.step`, or as a
parameter of that name.

A message's own call is also sent at once, without waiting for a reply, so that it stands though a limit stops the
handler later: calls that follow within `JOINED_SECONDS` are sent together, in the loop's next turn. Those of a replay
have been sent before. The batch's own calls are sent at the end only, since a message's may still beat them.
"""

import asyncio
import inspect
import time
from collections.abc import Callable, Mapping
from typing import Any

from playground.worker.context import Record, utc_datetime
from playground.worker.entrypoint import WorkerEntrypoint

DEFAULT_CLASS = "Default"
JOINED_SECONDS = 0.01

SendMarks = Callable[[list[str], list[dict[str, Any]]], None]  # ids that are acknowledged, and what comes again


class Message:
    """A message: `id`, `timestamp` (when it was sent), `body`, and `attempts`, the deliveries so far, from 1."""

    def __init__(self, given: Mapping[str, Any], on_mark: Callable[["Message"], None]) -> None:
        self._on_mark = on_mark
        self.id, self.body, self.attempts = given["id"], given["body"], given["attempts"]
        self.timestamp = utc_datetime(given["timestamp"])
        self.mark: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"<message {self.id}>"

    def ack(self) -> None:
        """It is done with, whatever becomes of the others."""
        self._set_mark({"acked": True})

    def retry(self, options: Any = None, *, delay_seconds: Any = None) -> None:
        """It is to come again, after `{"delaySeconds": n}` if that is given."""
        self._set_mark(_retry(options, delay_seconds))

    def _set_mark(self, mark: dict[str, Any]) -> None:
        if self.mark is None:
            self.mark = mark
            self._on_mark(self)


class MessageBatch:
    """A batch: `queue`, the queue's name, and `messages`."""

    def __init__(self, payload: Mapping[str, Any], on_mark: Callable[[Message], None]) -> None:
        self.queue = payload["queue"]
        self.messages = [Message(given, on_mark) for given in payload["messages"]]
        self.mark: dict[str, Any] | None = None

    def ack_all(self) -> None:
        """All are done with, but for those that say otherwise themselves."""
        self.mark = self.mark or {"acked": True}

    def retry_all(self, options: Any = None, *, delay_seconds: Any = None) -> None:
        """All come again, but for those that say otherwise themselves."""
        self.mark = self.mark or _retry(options, delay_seconds)

    ackAll, retryAll = ack_all, retry_all

    def outcome(self, *, returned: bool) -> tuple[list[str], list[dict[str, Any]]]:
        """The ids that are acknowledged, and what comes again."""
        default = {"acked": True} if returned else {"delay_seconds": None}
        marks = {message.id: message.mark or self.mark or default for message in self.messages}
        return _sorted(marks)


class EarlyMarks:
    """Sends what messages were marked as while the handler goes on."""

    def __init__(self, send: SendMarks) -> None:
        self._send = send
        self._waiting: dict[str, dict[str, Any]] = {}
        self._sent_at = -JOINED_SECONDS
        self._over = False

    def add(self, message: Message) -> None:
        """A message was marked."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # in a thread of the tenant's: it is sent at the end
        if self._over or message.mark is None:
            return
        self._waiting[message.id] = message.mark
        if time.monotonic() - self._sent_at >= JOINED_SECONDS:
            self._send_waiting()
        elif len(self._waiting) == 1:
            loop.call_soon(self._send_waiting)

    def close(self) -> None:
        """The end comes, with all marks."""
        self._over = True
        self._waiting.clear()

    def _send_waiting(self) -> None:
        if self._waiting:
            marks, self._waiting = self._waiting, {}
            self._send(*_sorted(marks))
            self._sent_at = time.monotonic()


class QueueRun:
    """A handler of batches as something with `run(event, step)`, which is what a worker runs."""

    def __init__(self, handler: Any, env: Any, ctx: Record, send_marks: SendMarks) -> None:
        self._handler, self._env, self._ctx = handler, env, ctx
        self._early = EarlyMarks(send_marks)

    async def run(self, event: Any, step: Any) -> Any:
        """Handle the batch in the event's payload; returns how many were acknowledged and how many come again."""
        batch = MessageBatch(event["payload"], self._early.add)
        self._ctx["step"] = step
        try:
            done = self._handler.queue(*self._arguments(batch), **self._keywords(step))
            if inspect.isawaitable(done):
                await done
        except (Exception, SystemExit, asyncio.CancelledError):
            self._early.close()
            if batch.mark or any(message.mark for message in batch.messages):
                await self._env.BATCH.mark(*batch.outcome(returned=False))
            raise
        self._early.close()
        acked, again = batch.outcome(returned=True)
        await self._env.BATCH.mark(acked, again)
        return {"acked": len(acked), "retried": len(again)}

    def _arguments(self, batch: MessageBatch) -> list[Any]:
        wanted = [
            name
            for name, parameter in inspect.signature(self._handler.queue).parameters.items()
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD) and name != "step"
        ]
        return [batch, self._env, self._ctx][: max(1, len(wanted))]

    def _keywords(self, step: Any) -> dict[str, Any]:
        return {"step": step} if "step" in inspect.signature(self._handler.queue).parameters else {}


def handler_of(module: Any, class_name: str) -> type | None:
    """The class of a module that handles batches: the one of this name if it does, else `Default`, else the only one
    that extends `WorkerEntrypoint`.
    """
    for name in (class_name, DEFAULT_CLASS):
        value = getattr(module, name, None)
        if isinstance(value, type) and _handles(value):
            return value
    classes = {value for value in list(vars(module).values()) if isinstance(value, type)}
    found = [value for value in classes if issubclass(value, WorkerEntrypoint) and _handles(value)]
    return found[0] if len(found) == 1 else None


def _handles(value: type) -> bool:
    return callable(getattr(value, "queue", None))


def _sorted(marks: Mapping[str, dict[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
    """The ids that are acknowledged, and what comes again."""
    acked = [id for id, mark in marks.items() if mark.get("acked")]
    return acked, [{"id": id, **mark} for id, mark in marks.items() if not mark.get("acked")]


def _retry(options: Any, delay_seconds: Any) -> dict[str, Any]:
    if isinstance(options, Mapping):
        delay_seconds = options.get("delaySeconds", options.get("delay_seconds", delay_seconds))
    return {"delay_seconds": delay_seconds}
