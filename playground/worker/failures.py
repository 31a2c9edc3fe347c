"""Exceptions as stored errors, and stored errors as exceptions again: same type where it can be had, same name and message."""

import builtins
import contextvars
import traceback
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from playground.worker.entrypoint import NonRetryableError, StepError, WorkflowFatalError
from playground.workflows import values
from playground.workflows.errors import NotSerialisable

FILE = "workflow.py"  # what the tenant's source is called in tracebacks
NAME_LENGTH = 200  # characters kept of a class's name
MESSAGE_LENGTH = 10_000  # characters kept of a message
CODE_LENGTH = 300  # characters kept of a source line
FRAMES = 50  # innermost frames kept of a traceback
ARGS_BYTES = 10_000  # an error's args are kept up to this size
FUNCTION_LENGTH = 200  # characters kept of a function's name
GROUPS_DEEP = 1  # levels of groups in groups that are kept
GROUP_SIZE = 10  # errors kept of each


_TYPE_NAME = type.__dict__["__name__"].__get__
_own_file: contextvars.ContextVar[str] = contextvars.ContextVar("own_file", default=FILE)


def is_tenants(filename: str | None) -> bool:
    """Whether code of this file is the tenant's."""
    return filename == _own_file.get()


def take_for_tenants(filename: str) -> None:
    """Here the tenant's code is in this file instead: a class that a test hands over stays where it was written."""
    _own_file.set(filename)


def describe(error: BaseException, deep: int = GROUPS_DEEP) -> dict[str, Any]:
    """The stored form of an exception: name, message, the tenant's frames, and what is needed to raise it again.

    Whatever the exception does when it is looked at, there is a form of it. Of a group, `deep` levels are kept.
    """
    shown: dict[str, Any] = {"name": _name(error), "message": message_of(error)}
    try:
        _describe(error, shown, deep)
    except BaseException:  # noqa: BLE001 - the tenant's own properties and methods are asked here
        shown.setdefault("traceback", [])
    return shown


def _describe(error: BaseException, shown: dict[str, Any], deep: int) -> None:
    kind = type(error)  # not __class__, which may be the tenant's
    known: Any = error  # for what `kind` says that it has
    frames = _frames(error)
    shown["traceback"] = frames
    shown["line"] = frames[-1]["line"] if frames else None
    if issubclass(kind, NonRetryableError):
        shown["non_retryable"] = True
    if issubclass(kind, WorkflowFatalError):
        shown["fatal"] = True
    if issubclass(kind, SyntaxError) and is_tenants(known.filename):
        shown["line"] = known.lineno
    args = _args(error)
    if args is not None:
        shown["args"] = args
    if issubclass(kind, BaseExceptionGroup) and deep:
        shown["errors"] = [describe(inner, deep - 1) for inner in known.exceptions[:GROUP_SIZE]]


def rebuild(shown: Mapping[str, Any], module: ModuleType | None) -> BaseException:
    """An exception of the stored type, name and message; of a type made for it when the code no longer has one."""
    found = _find(shown["name"], module)
    message = shown["message"]
    if found is not None:
        try:
            args = tuple(values.decode(shown["args"])) if "args" in shown else (message,)
            error = found.__new__(found, *args)
            error.args = args
            if isinstance(error, BaseException) and message_of(error) == message:
                return error
        except Exception:  # noqa: BLE001, S110 - a tenant's constructor may do anything
            pass
    base: type[Exception] = NonRetryableError if shown.get("non_retryable") else StepError
    if found is not None and issubclass(found, Exception) and not issubclass(found, BaseExceptionGroup):
        base = found
    made = type(shown["name"], (base,), {"__str__": lambda self: message, "__init__": lambda self: None})
    stand_in: Exception = made()
    stand_in.args = (message,)
    return stand_in


def retryable(error: BaseException) -> bool:
    """Whether a failed attempt may be tried again."""
    return not issubclass(type(error), (NonRetryableError, WorkflowFatalError))


def message_of(error: BaseException) -> str:
    """`str(error)`, cut to its limit; a sentence when the exception's own `__str__` fails."""
    try:
        text = str(error)
        if type(text) is not str:
            text = str.__str__(text)
    except BaseException:  # noqa: BLE001 - the tenant's __str__ may raise anything
        return f"(the message of this {_name(error)} could not be read: its __str__ raised)"
    return text[:MESSAGE_LENGTH].encode("utf-8", "replace").decode()


def _name(error: BaseException) -> str:
    name: str = _TYPE_NAME(type(error))  # past any property of a tenant's metaclass
    return name[:NAME_LENGTH].encode("utf-8", "replace").decode()


def _frames(error: BaseException) -> list[dict[str, Any]]:
    try:
        summary = traceback.extract_tb(error.__traceback__)
    except Exception:  # noqa: BLE001 - a traceback that a tenant bent
        return []
    frames = []
    for frame in summary:
        if is_tenants(frame.filename):
            code = (frame.line or "")[:CODE_LENGTH]
            frames.append({"line": frame.lineno, "function": frame.name[:FUNCTION_LENGTH], "code": code})
    return frames[-FRAMES:]


def _args(error: BaseException) -> Any:
    try:
        tree = values.encode(tuple(error.args))
        values.check_size(tree, "error", ARGS_BYTES)
        return tree
    except (NotSerialisable, Exception):  # noqa: BLE001 - a tenant's own objects
        return None


def _find(name: str, module: ModuleType | None) -> type[BaseException] | None:
    import workers

    for place in (module, workers, builtins):
        found = getattr(place, name, None) if place is not None else None
        if isinstance(found, type) and issubclass(found, BaseException):
            return found
    return None
