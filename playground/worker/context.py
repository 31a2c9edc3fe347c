"""Which code runs now (the workflow's own, the callback of a step, or the worker's machinery), and the records that it
is passed.

Which code runs is a context variable, so that every task and timer inherits it. A record is a dict whose keys are also
attributes: the workflow's event, a step's context, a received event, `self.env`.
"""

import contextvars
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from typing import Any

from playground.workflows.unavailable import similar_binding


class Record(dict[str, Any]):
    """A dict whose keys can also be read as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{name!r}; there are: {', '.join(map(str, self))}") from None


class Replied:
    """What `event.reply` gives: it need not be awaited, and may be."""

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


class ReceivedEvent(Record):
    """The event of a wait, to which the code may reply once. In a replay the first reply stands; nothing is sent."""

    def __init__(self, send: Callable[[Any, str | None], None], **fields: Any) -> None:
        super().__init__(**fields)
        object.__setattr__(self, "_send", send)

    def reply(self, value: Any = None) -> Replied:
        """Answer whoever sent it with `reply=True`. Of several replies the first stands."""
        self.__dict__["_send"](value, None)
        return Replied()

    def reject(self, message: Any) -> Replied:
        """Refuse it: whoever sent it with `reply=True` gets an error with this message."""
        self.__dict__["_send"](None, str(message))
        return Replied()


class Environment(Record):
    """`self.env`: bindings by name. The error for a missing name lists the names there are."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        common = similar_binding(name)
        cure = f" In its place there may be `self.env.{common}`." if common in self else ""
        there = ", ".join(sorted(map(str, self))) or "nothing"
        raise AttributeError(
            f"`self.env` has no `{name}`; it has: {there}.{cure} The operator of the server adds others."
        )


def utc_datetime(milliseconds: int) -> datetime:
    """The aware datetime of epoch milliseconds."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


Key = tuple[Any, ...]
"""The key of a step: (kind, name, count), and the key of the step in whose callback it was called, if any."""

MACHINERY: Key = ("", "", 0)  # the worker's own code: the event loop and the handlers of frames
current_step: contextvars.ContextVar[Key | None] = contextvars.ContextVar("current_step", default=None)


def step_of_caller() -> Key | None:
    """The step whose callback calls, or None outside of steps."""
    step = current_step.get()
    return None if step is MACHINERY else step


def context_of(step: Key | None) -> contextvars.Context:
    """A copy of the caller's context in which code of this step runs (None: the workflow's own)."""
    context = contextvars.copy_context()
    context.run(current_step.set, step)
    return context


def parse_key(step: Any) -> Key:
    """The key of a step from its JSON form."""
    kind, name, count, *parent = step
    return (kind, name, count, parse_key(parent[0])) if parent and parent[0] is not None else (kind, name, count)


def parent_of(key: Key) -> Key | None:
    """The step in whose callback this one was called."""
    return key[3] if len(key) > 3 else None


def label_of(key: Key) -> str:
    """A step's name for people: its count is appended from the second on, as on the page."""
    return f"{key[1]}-{key[2]}" if key[2] > 1 else str(key[1])
