"""Exceptions as stored errors, and stored errors as exceptions again.

What code catches is always the rebuilt exception, in the first execution too, so that what is caught once is caught
again after every replay: of the same class where it can be had, else of one made for it that derives from the nearest
class that is known; with its arguments, attributes, notes, causes, the members of a group, and a traceback of the
tenant's own lines.
"""

import asyncio
import builtins
import contextlib
import contextvars
import importlib
import sys
import traceback
import types
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from playground.worker import unavailable
from playground.worker.entrypoint import NonRetryableError, StepError, WorkflowFatalError
from playground.workflows import values
from playground.workflows.errors import NotSerialisable

FILE = "workflow.py"  # what the tenant's source is called in tracebacks
NAME_LENGTH = 200  # characters kept of a class's name, its module and the path to it
MESSAGE_LENGTH = 10_000  # characters kept of a message
CODE_LENGTH = 300  # characters kept of a source line
FRAMES = 50  # innermost frames kept of a traceback
ARGS_BYTES = 10_000  # an error's args are kept up to this size, and so are its attributes
FUNCTION_LENGTH = 200  # characters kept of a function's name
BASES = 20  # classes kept that an error's class derives from
NOTES = 10  # notes kept of an error
RELATED_DEEP = 5  # levels kept of groups in groups and of causes of causes
RELATED = 50  # errors kept in all of members, causes and contexts
RELATED_FRAMES = 10  # innermost frames kept of each of those

_TYPE_NAME = type.__dict__["__name__"].__get__
_MODULE_NAME = type.__dict__["__module__"].__get__
_QUALIFIED_NAME = type.__dict__["__qualname__"].__get__
_MRO = type.__dict__["__mro__"].__get__
_SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType)
_NOT_ATTRIBUTES = frozenset({"args", "obj", "exceptions"})  # kept elsewhere, or not to be had again
_COMMON = (object, BaseException, Exception)  # what every error derives from says nothing
_own_file: contextvars.ContextVar[str] = contextvars.ContextVar("own_file", default=FILE)


def is_tenants(filename: str | None) -> bool:
    """Whether code of this file is the tenant's."""
    return filename == _own_file.get()


def take_for_tenants(filename: str) -> None:
    """Here the tenant's code is in this file instead: a class that a test hands over stays where it was written."""
    _own_file.set(filename)


# From an exception to what is stored.


class _Room:
    """How many related errors may still be kept."""

    def __init__(self) -> None:
        self.left = RELATED


def describe(error: BaseException) -> dict[str, Any]:
    """The stored form of an exception: name, message, the tenant's frames, and what is needed to raise it again.

    Whatever the exception does when it is looked at, there is a form of it.
    """
    return _described(error, RELATED_DEEP, _Room())


def _described(error: BaseException, deep: int, room: _Room) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": _text(_TYPE_NAME(type(error))), "message": message_of(error)}
    for part in (_describe_place, _describe_class, _describe_content, _describe_notes):
        try:
            part(error, shown)
        except BaseException:  # noqa: BLE001, S112 - the tenant's own properties and methods are asked here
            continue
    shown["traceback"] = shown.get("traceback", [])[-(FRAMES if deep == RELATED_DEEP else RELATED_FRAMES) :]
    try:
        _describe_related(error, shown, deep, room)
    except BaseException:  # noqa: BLE001, S110 - as above
        pass
    return shown


def _describe_place(error: BaseException, shown: dict[str, Any]) -> None:
    frames = _frames(error)
    shown["traceback"] = frames
    shown["line"] = frames[-1]["line"] if frames else None
    known: Any = error
    if issubclass(type(error), SyntaxError) and is_tenants(known.filename):
        shown["line"] = known.lineno


def _describe_class(error: BaseException, shown: dict[str, Any]) -> None:
    kind = type(error)  # not __class__, which may be the tenant's
    if issubclass(kind, NonRetryableError):
        shown["non_retryable"] = True
    if issubclass(kind, WorkflowFatalError):
        shown["fatal"] = True
    if getattr(kind, "stands_in_for", None):
        shown["module"], shown["qualname"], shown["bases"] = kind.stands_in_for  # type: ignore[attr-defined]
        return
    shown["module"], shown["qualname"] = _place_of(kind)
    bases = [_place_of(base) for base in _MRO(kind)[1:] if base not in _COMMON and issubclass(base, BaseException)]
    if bases:
        shown["bases"] = [list(place) for place in bases[:BASES]]


def _describe_content(error: BaseException, shown: dict[str, Any]) -> None:
    args = _stored(tuple(error.args))
    if args is not None:
        shown["args"] = args
    attributes, room = {}, ARGS_BYTES
    for name, value in _attributes(error):
        tree = _stored(value, room) if value is not None else None
        if tree is not None or value is None:
            attributes[name] = tree
            room -= len(name) + len(values.dumps(tree))
    if attributes:
        shown["attributes"] = attributes


def _describe_notes(error: BaseException, shown: dict[str, Any]) -> None:
    notes = [_text(str(note), MESSAGE_LENGTH) for note in getattr(error, "__notes__", ())[:NOTES]]
    if notes:
        shown["notes"] = notes
    advice = unavailable.advice(error)
    if advice is not None and advice not in notes:
        shown["notes"] = [*notes[: NOTES - 1], advice]


def _describe_related(error: BaseException, shown: dict[str, Any], deep: int, room: _Room) -> None:
    if issubclass(type(error), BaseExceptionGroup):
        members: Any = error.exceptions  # type: ignore[attr-defined]
        shown["errors"] = [_described(inner, deep - 1, room) for inner in members if _take_place(deep, room)]
    if error.__cause__ is not None:
        related, name = error.__cause__, "cause"
    elif error.__context__ is not None and not error.__suppress_context__:
        related, name = error.__context__, "context"
    else:
        return
    if _take_place(deep, room):
        shown[name] = _described(related, deep - 1, room)


def _take_place(deep: int, room: _Room) -> bool:
    if not deep or not room.left:
        return False
    room.left -= 1
    return True


def _attributes(error: BaseException) -> Iterator[tuple[str, Any]]:
    """What an exception holds besides its args: its own attributes, and the slots of built-in and other classes (errno,
    filename, …).
    """
    for kind in _MRO(type(error)):
        for name, slot in vars(kind).items():
            if isinstance(slot, _SLOTS) and _is_attribute(name):
                value = getattr(error, name, None)
                if value is not None:  # most slots are empty
                    yield name, value
    for name, value in vars(error).items():
        if _is_attribute(name):
            yield name, value


def _is_attribute(name: Any) -> bool:
    return isinstance(name, str) and not name.startswith("__") and name not in _NOT_ATTRIBUTES


def _stored(value: Any, most: int = ARGS_BYTES) -> Any:
    """The stored form of a value; None when it has none that fits."""
    try:
        tree = values.encode(value)
        values.check_size(tree, "error", most)
        return tree
    except (NotSerialisable, Exception):  # noqa: BLE001 - a tenant's own objects
        return None


def _place_of(kind: type) -> tuple[str, str]:
    module = _MODULE_NAME(kind)
    return _text(module) if isinstance(module, str) else "", _text(_QUALIFIED_NAME(kind))


def _text(text: str, length: int = NAME_LENGTH) -> str:
    return str.__str__(text)[:length].encode("utf-8", "replace").decode()


def message_of(error: BaseException) -> str:
    """`str(error)`, cut to its limit; a sentence when the exception's own `__str__` fails."""
    try:
        text = str(error)
        if type(text) is not str:
            text = str.__str__(text)
    except BaseException:  # noqa: BLE001 - the tenant's __str__ may raise anything
        return f"(the message of this {_text(_TYPE_NAME(type(error)))} could not be read: its __str__ raised)"
    return _text(text, MESSAGE_LENGTH)


def retryable(error: BaseException) -> bool:
    """Whether a failed attempt may be tried again: not where its author says so, and not for want of what no worker
    has.
    """
    if issubclass(type(error), (NonRetryableError, WorkflowFatalError)):
        return False
    try:
        return not unavailable.never_passes(error)
    except BaseException:  # noqa: BLE001 - the tenant's own properties and methods are asked there
        return True


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


# From what is stored to an exception.


def rebuild(shown: Mapping[str, Any], module: ModuleType | None) -> BaseException:
    """The exception that a stored error tells of. `module` is the tenant's."""
    try:
        error = _instance(shown, module)
    except BaseException:  # noqa: BLE001 - the tenant's module or class, asked for a name
        error = StepError(shown["message"])
    _set(error, "__traceback__", _traceback(shown.get("traceback", ())))
    if "cause" in shown:
        _set(error, "__cause__", rebuild(shown["cause"], module))
    elif "context" in shown:
        _set(error, "__context__", rebuild(shown["context"], module))
    if shown.get("notes"):
        _set(error, "__notes__", list(shown["notes"]))
    return error


def _set(error: BaseException, name: str, value: Any) -> None:
    """Set an attribute past the tenant's own `__setattr__`, where it can be set."""
    with contextlib.suppress(BaseException):
        object.__setattr__(error, name, value)


def _instance(shown: Mapping[str, Any], module: ModuleType | None) -> BaseException:
    found = _find(shown, module)
    if found is not None:
        error = _made(found, shown, module)
        if error is not None and (issubclass(found, BaseExceptionGroup) or message_of(error) == shown["message"]):
            return error
    return _stand_in(shown, module, found)


def _made(kind: type[BaseException], shown: Mapping[str, Any], module: ModuleType | None) -> BaseException | None:
    """An exception of a class, without running the tenant's `__init__`; None when that can't be."""
    try:
        args = tuple(values.decode(shown["args"])) if "args" in shown else (shown["message"],)
        if issubclass(kind, BaseExceptionGroup):
            members = [rebuild(member, module) for member in shown.get("errors", ())]
            error: BaseException = kind.__new__(
                kind, str(shown.get("attributes", {}).get("message", shown["message"])), members
            )
        else:
            error = kind.__new__(kind, *args)
            _set(error, "args", args)
        if not isinstance(error, BaseException):
            return None
    except BaseException:  # noqa: BLE001 - a tenant's own __new__ may do anything
        return None
    for name, tree in shown.get("attributes", {}).items():
        _set(error, name, values.decode(tree))
    return error


def _stand_in(shown: Mapping[str, Any], module: ModuleType | None, found: type[BaseException] | None) -> BaseException:
    """An exception of a class made for it, derived from the nearest class that is known."""
    message = shown["message"]
    known = (_class_at(base[0], base[1], module) for base in shown.get("bases", ()))
    nearest = found or next((base for base in known if base is not None), None)
    bases: tuple[type[BaseException], ...] = (NonRetryableError if shown.get("non_retryable") else StepError,)
    if nearest is not None and not issubclass(nearest, (*bases, BaseExceptionGroup)):
        bases = (nearest, *bases) if issubclass(nearest, Exception) else (nearest,)
    elif nearest is not None and not issubclass(nearest, BaseExceptionGroup):
        bases = (nearest,)
    place = (shown.get("module", ""), shown.get("qualname", shown["name"]), shown.get("bases", []))
    body: dict[str, Any] = {
        "__str__": lambda self: message,
        "__init__": lambda self, *args: None,
        "stands_in_for": place,
    }
    try:
        made: BaseException = type(shown["name"], bases, body)()
    except BaseException:  # noqa: BLE001 - a base that can't be derived from so
        made = type(shown["name"], (StepError,), body)()
    _set(made, "args", (message,))
    return made


def _find(shown: Mapping[str, Any], module: ModuleType | None) -> type[BaseException] | None:
    if "qualname" in shown:
        return _class_at(shown.get("module", ""), shown["qualname"], module)
    return _named(shown["name"], module)  # stored by an edition that knew only names, or made by the engine


def _named(name: str, module: ModuleType | None) -> type[BaseException] | None:
    for place in (module, sys.modules.get("workers"), builtins):
        found = getattr(place, name, None) if place is not None else None
        if isinstance(found, type) and issubclass(found, BaseException):
            return found
    return None


def _class_at(module_name: str, qualname: str, module: ModuleType | None) -> type[BaseException] | None:
    """An exception's class by its module and qualified name: built in, of the standard library or the product, or the
    tenant's own.
    """
    place = _module(module_name, module)
    found: Any = place
    for part in qualname.split("."):
        found = getattr(found, part, None) if found is not None else None
    if isinstance(found, type) and issubclass(found, BaseException):
        return found
    if place is not None and place is module:
        return _local(module_name, qualname)
    return None


def _module(name: str, module: ModuleType | None) -> ModuleType | None:
    if module is not None and name == module.__name__:
        return module
    if name.partition(".")[0] == "playground":
        return sys.modules.get(name)
    if name not in sys.modules and name.partition(".")[0] in sys.stdlib_module_names:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    return sys.modules.get(name)


def _local(module_name: str, qualname: str) -> type[BaseException] | None:
    """A class that no name leads to, made in a function: the last one of its place."""
    found, left = None, [BaseException]
    seen: set[type] = set()
    while left:
        for kind in type.__subclasses__(left.pop()):
            if kind not in seen:
                seen.add(kind)
                left.append(kind)
                if (
                    _QUALIFIED_NAME(kind) == qualname
                    and _MODULE_NAME(kind) == module_name
                    and not hasattr(kind, "stands_in_for")
                ):
                    found = kind
    return found


def _traceback(frames: Any) -> types.TracebackType | None:
    """A traceback of stored frames, outermost first."""
    made = None
    for frame in reversed(frames):
        made = types.TracebackType(made, _frame(frame["function"]), -1, frame["line"] or 0)
    return made


def _frame(function: str) -> types.FrameType:
    """A frame of the tenant's file and this function, in which nothing is run."""
    code = _RAISES.replace(co_filename=_own_file.get(), co_name=function)
    try:
        exec(code, {"asked": asyncio.InvalidStateError})  # noqa: S102 - a line of our own
    except asyncio.InvalidStateError as raised:
        assert raised.__traceback__ is not None and raised.__traceback__.tb_next is not None, (
            "it was raised one frame down"
        )
        return raised.__traceback__.tb_next.tb_frame
    raise AssertionError("the line raises")


_RAISES = compile("raise asked", FILE, "exec")
