"""Exceptions as stored errors, and stored errors as exceptions again.

Tenant code always catches the rebuilt exception, in the first execution too, so that what is caught once is caught
again in every replay. It has the same class where that can be found, else one made for it that derives from the nearest
known base; and its arguments, attributes, notes, causes, group members, and a traceback of the tenant's own lines.
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
RELATED_LEVELS = 5  # levels kept of nested groups and of chained causes
RELATED_ERRORS = 50  # errors kept in all of members, causes and contexts
RELATED_FRAMES = 10  # innermost frames kept of each of those

_TYPE_NAME = type.__dict__["__name__"].__get__
_MODULE_NAME = type.__dict__["__module__"].__get__
_QUALIFIED_NAME = type.__dict__["__qualname__"].__get__
_MRO = type.__dict__["__mro__"].__get__
_SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType)
_NOT_ATTRIBUTES = frozenset({"args", "obj", "exceptions"})  # stored elsewhere, or not storable
_COMMON = (object, BaseException, Exception)  # bases of every error, which tell nothing
_tenant_file: contextvars.ContextVar[str] = contextvars.ContextVar("own_file", default=FILE)


def is_tenant_file(filename: str | None) -> bool:
    """Whether code of this file is the tenant's."""
    return filename == _tenant_file.get()


def set_tenant_file(filename: str) -> None:
    """Treat this file as the tenant's in this context: a class passed in by a test stays in the test's file."""
    _tenant_file.set(filename)


# From an exception to what is stored.


class _RelatedErrorsLeft:
    """How many related errors may still be stored, of all levels together."""

    def __init__(self) -> None:
        self.left = RELATED_ERRORS


def describe(error: BaseException) -> dict[str, Any]:
    """The stored form of an exception: name, message, the tenant's frames, and what is needed to rebuild it.

    Never raises, whatever the exception's own properties and methods do.
    """
    return _describe(error, RELATED_LEVELS, _RelatedErrorsLeft())


def _describe(error: BaseException, deep: int, room: _RelatedErrorsLeft) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": _text(_TYPE_NAME(type(error))), "message": message_of(error)}
    for part in (_describe_place, _describe_class, _describe_content, _describe_notes):
        try:
            part(error, shown)
        except BaseException:  # noqa: BLE001, S112 - the tenant's own properties and methods run here
            continue
    shown["traceback"] = shown.get("traceback", [])[-(FRAMES if deep == RELATED_LEVELS else RELATED_FRAMES) :]
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
    if issubclass(type(error), SyntaxError) and is_tenant_file(known.filename):
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
    args = _encoded_or_none(tuple(error.args))
    if args is not None:
        shown["args"] = args
    attributes, room = {}, ARGS_BYTES
    for name, value in _attributes(error):
        tree = _encoded_or_none(value, room) if value is not None else None
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


def _describe_related(error: BaseException, shown: dict[str, Any], deep: int, room: _RelatedErrorsLeft) -> None:
    if issubclass(type(error), BaseExceptionGroup):
        members: Any = error.exceptions  # type: ignore[attr-defined]
        shown["errors"] = [_describe(inner, deep - 1, room) for inner in members if _reserve_related(deep, room)]
    if error.__cause__ is not None:
        related, name = error.__cause__, "cause"
    elif error.__context__ is not None and not error.__suppress_context__:
        related, name = error.__context__, "context"
    else:
        return
    if _reserve_related(deep, room):
        shown[name] = _describe(related, deep - 1, room)


def _reserve_related(deep: int, room: _RelatedErrorsLeft) -> bool:
    if not deep or not room.left:
        return False
    room.left -= 1
    return True


def _attributes(error: BaseException) -> Iterator[tuple[str, Any]]:
    """The attributes of an exception besides its args: its own, and the slots of its classes (errno, filename, …)."""
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


def _encoded_or_none(value: Any, most: int = ARGS_BYTES) -> Any:
    """The stored form of a value; None when it cannot be stored or is too large."""
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
    """Whether a failed attempt may be retried: not if its author said so, nor if no worker has what the code needs."""
    if issubclass(type(error), (NonRetryableError, WorkflowFatalError)):
        return False
    try:
        return not unavailable.never_passes(error)
    except BaseException:  # noqa: BLE001 - the tenant's own properties and methods run there
        return True


def _frames(error: BaseException) -> list[dict[str, Any]]:
    try:
        summary = traceback.extract_tb(error.__traceback__)
    except Exception:  # noqa: BLE001 - a traceback that tenant code has altered
        return []
    frames = []
    for frame in summary:
        if is_tenant_file(frame.filename):
            code = (frame.line or "")[:CODE_LENGTH]
            frames.append({"line": frame.lineno, "function": frame.name[:FUNCTION_LENGTH], "code": code})
    return frames[-FRAMES:]


# From the stored form to an exception.


def rebuild(shown: Mapping[str, Any], module: ModuleType | None) -> BaseException:
    """The exception of a stored error. `module` is the tenant's."""
    try:
        error = _rebuild(shown, module)
    except BaseException:  # noqa: BLE001 - the tenant's module or class, asked for a name
        error = StepError(shown["message"])
    _set_attribute(error, "__traceback__", _traceback(shown.get("traceback", ())))
    if "cause" in shown:
        _set_attribute(error, "__cause__", rebuild(shown["cause"], module))
    elif "context" in shown:
        _set_attribute(error, "__context__", rebuild(shown["context"], module))
    if shown.get("notes"):
        _set_attribute(error, "__notes__", list(shown["notes"]))
    return error


def _set_attribute(error: BaseException, name: str, value: Any) -> None:
    """Set an attribute without the tenant's own `__setattr__`, if possible."""
    with contextlib.suppress(BaseException):
        object.__setattr__(error, name, value)


def _rebuild(shown: Mapping[str, Any], module: ModuleType | None) -> BaseException:
    found = _original_class(shown, module)
    if found is not None:
        error = _instance_of(found, shown, module)
        if error is not None and (issubclass(found, BaseExceptionGroup) or message_of(error) == shown["message"]):
            return error
    return _stand_in(shown, module, found)


def _instance_of(
    kind: type[BaseException], shown: Mapping[str, Any], module: ModuleType | None
) -> BaseException | None:
    """An exception of a class, made without running the tenant's `__init__`; None when that fails."""
    try:
        args = tuple(values.decode(shown["args"])) if "args" in shown else (shown["message"],)
        if issubclass(kind, BaseExceptionGroup):
            members = [rebuild(member, module) for member in shown.get("errors", ())]
            error: BaseException = kind.__new__(
                kind, str(shown.get("attributes", {}).get("message", shown["message"])), members
            )
        else:
            error = kind.__new__(kind, *args)
            _set_attribute(error, "args", args)
        if not isinstance(error, BaseException):
            return None
    except BaseException:  # noqa: BLE001 - a tenant's own __new__ may do anything
        return None
    for name, tree in shown.get("attributes", {}).items():
        _set_attribute(error, name, values.decode(tree))
    return error


def _stand_in(shown: Mapping[str, Any], module: ModuleType | None, found: type[BaseException] | None) -> BaseException:
    """An exception of a class made for it, derived from the nearest known base."""
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
    except BaseException:  # noqa: BLE001 - a base that can't be subclassed like this
        made = type(shown["name"], (StepError,), body)()
    _set_attribute(made, "args", (message,))
    return made


def _original_class(shown: Mapping[str, Any], module: ModuleType | None) -> type[BaseException] | None:
    if "qualname" in shown:
        return _class_at(shown.get("module", ""), shown["qualname"], module)
    return _class_by_name(shown["name"], module)  # stored by a version that knew only names, or made by the engine


def _class_by_name(name: str, module: ModuleType | None) -> type[BaseException] | None:
    for place in (module, sys.modules.get("workers"), builtins):
        found = getattr(place, name, None) if place is not None else None
        if isinstance(found, type) and issubclass(found, BaseException):
            return found
    return None


def _class_at(module_name: str, qualname: str, module: ModuleType | None) -> type[BaseException] | None:
    """An exception's class by module and qualified name: built-in, the standard library's, ours or the tenant's."""
    place = _module(module_name, module)
    found: Any = place
    for part in qualname.split("."):
        found = getattr(found, part, None) if found is not None else None
    if isinstance(found, type) and issubclass(found, BaseException):
        return found
    if place is not None and place is module:
        return _local_class(module_name, qualname)
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


def _local_class(module_name: str, qualname: str) -> type[BaseException] | None:
    """A class defined in a function, which no name leads to: the last one of this qualified name."""
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
    """A traceback made of stored frames, which are ordered outermost first."""
    made = None
    for frame in reversed(frames):
        made = types.TracebackType(made, _frame(frame["function"]), -1, frame["line"] or 0)
    return made


def _frame(function: str) -> types.FrameType:
    """A frame named after the tenant's file and this function, which runs none of the tenant's code."""
    code = _RAISES.replace(co_filename=_tenant_file.get(), co_name=function)
    try:
        exec(code, {"asked": asyncio.InvalidStateError})  # noqa: S102 - a line of our own
    except asyncio.InvalidStateError as raised:
        assert raised.__traceback__ is not None and raised.__traceback__.tb_next is not None, (
            "it was raised one frame down"
        )
        return raised.__traceback__.tb_next.tb_frame
    raise AssertionError("the line raises")


_RAISES = compile("raise asked", FILE, "exec")
