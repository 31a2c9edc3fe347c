"""A batch of messages in a worker: `queue(batch)` of the tenant's class is called, and what it says of each message is
sent before the run ends, whether it returns or raises.

A message's own call beats the batch's, and of a message the first call counts. What is not marked is acknowledged when
the handler returns, and comes again when it raises. `step` is there as for any workflow: as `ctx.step`, or as a
parameter of that name.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from playground.worker.context import Record, utc_datetime
from playground.worker.entrypoint import WorkerEntrypoint

DEFAULT_CLASS = "Default"


class Message:
    """A message: `id`, `timestamp` (when it was sent), `body`, and `attempts`, the deliveries so far, from 1."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.id, self.body, self.attempts = given["id"], given["body"], given["attempts"]
        self.timestamp = utc_datetime(given["timestamp"])
        self.mark: dict[str, Any] | None = None

    def __repr__(self) -> str:
        return f"<message {self.id}>"

    def ack(self) -> None:
        """It is done with, whatever becomes of the others."""
        self.mark = self.mark or {"acked": True}

    def retry(self, options: Any = None, *, delay_seconds: Any = None) -> None:
        """It is to come again, after `{"delaySeconds": n}` if that is given."""
        self.mark = self.mark or _retry(options, delay_seconds)


class MessageBatch:
    """A batch: `queue`, the queue's name, and `messages`."""

    def __init__(self, payload: Mapping[str, Any]) -> None:
        self.queue = payload["queue"]
        self.messages = [Message(given) for given in payload["messages"]]
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
        acked = [id for id, mark in marks.items() if mark.get("acked")]
        return acked, [{"id": id, **mark} for id, mark in marks.items() if not mark.get("acked")]


class QueueRun:
    """A handler of batches as something with `run(event, step)`, which is what a worker runs."""

    def __init__(self, handler: Any, env: Any, ctx: Record) -> None:
        self._handler, self._env, self._ctx = handler, env, ctx

    async def run(self, event: Any, step: Any) -> Any:
        """Handle the batch in the event's payload; returns how many were acknowledged and how many come again."""
        batch = MessageBatch(event["payload"])
        self._ctx["step"] = step
        try:
            done = self._handler.queue(*self._arguments(batch), **self._keywords(step))
            if inspect.isawaitable(done):
                await done
        except Exception:
            if batch.mark or any(message.mark for message in batch.messages):
                await self._env.BATCH.mark(*batch.outcome(returned=False))
            raise
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


def _retry(options: Any, delay_seconds: Any) -> dict[str, Any]:
    if isinstance(options, Mapping):
        delay_seconds = options.get("delaySeconds", options.get("delay_seconds", delay_seconds))
    return {"delay_seconds": delay_seconds}
