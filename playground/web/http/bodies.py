"""Reading request bodies: JSON of a limited size and depth, strict (RFC 8259: no NaN, no lone surrogates), each fault
its own sentence.

Numbers in an address's query, and the header that names a trace.
"""

import asyncio
import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request

from playground.engine.tracing import TRACEPARENT, read_traceparent
from playground.store.rows import InstanceRow
from playground.web.http.errors import BadBody, BadQuery, NotAnObject, NotJson
from playground.workflows import values
from playground.workflows.errors import TooLarge
from playground.workflows.names import without_byte_order_mark
from playground.workflows.values import deeper_than


def seq_of_query(request: Request, row: InstanceRow) -> int | None:
    """The seq that `at` of the address's query names, or None. Raises BadQuery."""
    if "at" not in request.query_params:
        return None
    try:
        return integer_of_query(request, "at", 0, least=1, most=row.last_seq)
    except BadQuery:
        raise BadQuery(
            f"`at` takes the seq of an event of this instance: a whole number from 1 to {row.last_seq}, its newest."
        ) from None


def integer_of_query(request: Request, name: str, default: int, *, least: int = 0, most: int = 2**53) -> int:
    """A number of the address's query. Raises BadQuery."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and least <= int(text) <= most):
        raise BadQuery(f"`{name}` takes a whole number from {least} to {most}.")
    return int(text)


def traceparent_of(request: Request) -> str | None:
    """The trace that the request is part of. One that has not W3C's form, or comes twice, is to be ignored."""
    found = request.headers.getlist(TRACEPARENT)
    return found[0] if len(found) == 1 and read_traceparent(found[0]) is not None else None


EVENT_CHARGE_BYTES = 64 * 1024  # a payload counts once for each so many
FORM_FIELDS = 10  # of a page's own form
FORM_ESCAPE_FACTOR = 3  # bytes that one byte may take in a form (%00)
SCOPE_BODY_BYTES = "playground.body_bytes"  # where the ASGI scope has the most that any body may have
OVERHEAD_BYTES = 16 * 1024  # what a body may have beside the values it carries: names, quotes, escapes of short fields

THREAD_BYTES = 64 * 1024  # a larger body is read on another thread

Body = TypeVar("Body", bound=msgspec.Struct)
T = TypeVar("T")


class SourceBody(msgspec.Struct, forbid_unknown_fields=True):
    """A body whose field `source`, if given, is code: it loses the byte order mark that some editors write first."""

    def __post_init__(self) -> None:
        source = getattr(self, "source", None)
        if isinstance(source, str):
            msgspec.structs.force_setattr(self, "source", without_byte_order_mark(source))


# A number that Python converts no more (values.INT_DIGITS). Texts are passed over, as their digits are no number; one
# without an end goes to the end of all, so that no place is looked at twice.
_LONG_NUMBER = re.compile(rb'(?s)"(?:[^"\\]|\\(?:.|\Z))*+(?:"|\Z)|(-?[0-9]{%d,})' % (values.INT_DIGITS + 1))

# With as many digits, or with such an exponent, a number may be past the largest there is (1.8e308).
_OVERFLOW_DIGITS = 200
_FOLD_DIGITS = bytes.maketrans(b"123456789E", b"000000000e")
_OVERFLOW_MARKS = (b"0" * _OVERFLOW_DIGITS, b"e000", b"e+000")
_LARGE_EXPONENT = re.compile(rb"[\[:,\s]-?0[0.]*e\+?000")  # not within a word such as a UUID
_SEARCH_BYTES = 256 * 1024  # looked through in one go, so that other threads have their turns
_BYTE_OFFSET = re.compile(r"\(byte (\d+)\)")
_JSON_TYPES = {b"[": "an array", b'"': "a string", b"t": "true or false", b"f": "true or false", b"n": "null"}
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")


async def read_bytes(request: Request, most: int) -> bytes:
    """The request's body.

    Raises:
        TooLarge: it has more than `most` bytes, or than any body may have; nothing beyond them was kept.
    """
    most = min(most, request.scope.get(SCOPE_BODY_BYTES, most))
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise _too_large(most)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > most:
            raise _too_large(most)
        chunks.append(chunk)
    return b"".join(chunks)


async def read_form(request: Request, most: int, fields: int = FORM_FIELDS) -> dict[str, str]:
    """The fields of a form that a browser sends by itself; lines end as in the page's fields, with a line feed alone.

    Raises:
        TooLarge: see `read_bytes`.
        BadBody: it is no such form.
    """
    raw = await read_bytes(request, most)
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, max_num_fields=fields, errors="strict")
    except ValueError:
        raise BadBody("The body is no form that the page sends (application/x-www-form-urlencoded, UTF-8).") from None
    return {name: value.replace("\r\n", "\n") for name, value in pairs}


async def read_json(request: Request, most: int) -> msgspec.Raw:
    """The JSON text of a body of at most `most` bytes, which is strict.

    Raises:
        TooLarge: it has more bytes.
        NotJson: it is not JSON, nested too deeply, or holds a number or string that can't be kept.
    """
    return await check_json_body(await read_bytes(request, most))


async def check_json_body(raw: bytes) -> msgspec.Raw:
    """The text of a body that was read before, as `read_json` gives it. Raises NotJson."""
    return await _off_the_loop(raw, check_json)


async def read_object(request: Request, kind: type[Body], most: int, *, may_be_empty: bool = False) -> Body:
    """The body as a `kind`, whose fields are the only ones allowed.

    With `may_be_empty`, no body at all is an empty object.

    Raises:
        TooLarge, NotJson: see `read_json`.
        NotAnObject: it is JSON of another type.
        BadBody: a field is unknown, missing or of the wrong type.
    """
    raw = await read_bytes(request, most)
    if may_be_empty and not raw.strip():
        raw = b"{}"
    return await _off_the_loop(raw, partial(_decode_object, kind=kind))


async def read_short(request: Request, kind: type[Body]) -> Body:
    """The body of an operation, as `read_object`: a few short fields, or nothing at all."""
    return await read_object(request, kind, OVERHEAD_BYTES, may_be_empty=True)


def check_json(raw: bytes, what: str = "body") -> msgspec.Raw:
    """The same text, once it is known to be strict JSON; no value of it is made.

    Raises NotJson, with line and column where that is known.
    """
    _check_text(raw, what)
    _decode(raw, msgspec.Raw, what)
    return msgspec.Raw(raw)


async def _off_the_loop(raw: bytes, read: Callable[[bytes], T]) -> T:
    """What `read` gives, without the event loop standing still for it where the body is large."""
    return await asyncio.to_thread(read, raw) if len(raw) > THREAD_BYTES else read(raw)


def _decode_object(raw: bytes, kind: type[Body]) -> Body:
    """Read in one pass: fields that are values (`msgspec.Raw`) stay text, which is looked at by whoever stores it."""
    _check_text(raw, "body")
    try:
        body: Body = _decode(raw, kind, "body")
        return body
    except msgspec.ValidationError as error:
        _decode(raw, msgspec.Raw, "body")  # what is no JSON at all is told so first
        first = raw.lstrip()[:1]
        if first != b"{":
            raise NotAnObject(
                f"The body is {_JSON_TYPES.get(first, 'a number')}; this call takes a JSON object with "
                f"{_field_names(kind)}."
            ) from None
        raise BadBody(f"The body does not fit: {error}. This call takes {_field_names(kind)}.") from None


def _check_text(raw: bytes, what: str) -> None:
    """Refuse what the parser does not look at in text that it passes over: bytes that are no characters, and numbers
    that no number can hold.
    """
    if not raw.strip():
        raise NotJson(f"The {what} is empty; this call takes JSON.")
    if not raw.isascii():
        try:
            raw.decode()
        except UnicodeDecodeError as error:
            raise NotJson(f"The {what} is not UTF-8 (byte {error.start}); JSON has to be.") from None
    if deeper_than(raw, values.MAX_DEPTH):
        raise _too_deep(what)
    if _may_overflow(raw):
        _decode(raw, Any, what)


def _may_overflow(raw: bytes) -> bool:
    """Whether there may be a number in it that is out of range."""
    alike = raw.translate(_FOLD_DIGITS)
    many, *exponents = (large in alike for large in _OVERFLOW_MARKS)
    if many or not any(exponents):
        return many
    alike = b" " + alike
    return any(
        _LARGE_EXPONENT.search(alike, begin, begin + _SEARCH_BYTES + 3 * _OVERFLOW_DIGITS)
        for begin in range(0, len(alike), _SEARCH_BYTES)
    )


def _decode(raw: bytes, kind: Any, what: str) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind)
    except RecursionError:
        raise _too_deep(what) from None
    except msgspec.ValidationError as error:
        if kind is Any:
            raise _syntax_error(raw, what, error) from None  # a number that is out of range
        raise
    except msgspec.DecodeError as error:
        raise _syntax_error(raw, what, error) from None


def _syntax_error(raw: bytes, what: str, error: msgspec.DecodeError) -> NotJson:
    """What is wrong, with a place.

    The strict parser knows bytes only, so the standard library's is asked for line and column of what is short.
    """
    if len(raw) > THREAD_BYTES:
        return _error_at_byte(raw, what, error)
    try:
        json.loads(raw, parse_constant=_reject_constant)
    except json.JSONDecodeError as place:
        return NotJson(
            f"The {what} is not JSON: {place.msg} (line {place.lineno}, column {place.colno}).",
            line=place.lineno,
            column=place.colno,
        )
    except (ValueError, RecursionError) as refusal:
        return _long_number_error(raw, what) or NotJson(f"The {what} can't be kept as JSON: {refusal}.")
    if _SURROGATE_ESCAPE.search(raw):
        return NotJson(
            f"The {what} has a string with half of a surrogate pair (\\ud800 to \\udfff alone), which is not a "
            "character."
        )
    return _long_number_error(raw, what) or NotJson(f"The {what} is not JSON that can be kept: {error}.")


def _long_number_error(raw: bytes, what: str) -> NotJson | None:
    """What is said of the first number with too many digits, if there is one."""
    found = next((number for number in _LONG_NUMBER.finditer(raw) if number[1]), None)
    if found is None:
        return None
    digits = len(found[1].lstrip(b"-"))
    before = raw[: found.start()].decode("utf-8", "replace")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return NotJson(
        f"The {what} has a number of {digits:,} digits (line {line}, column {column}); "
        f"the most is {values.INT_DIGITS:,}. Send it as a text, in quotes.",
        line=line,
        column=column,
    )


def _error_at_byte(raw: bytes, what: str, error: msgspec.DecodeError) -> NotJson:
    """The same for what is long, without a second parser: from the byte that the first one names."""
    found = _BYTE_OFFSET.search(str(error))
    if found is None:
        return NotJson(f"The {what} is not JSON that can be kept: {error}.")
    before = raw[: int(found[1])]
    line, column = before.count(b"\n") + 1, len(before[before.rfind(b"\n") + 1 :].decode(errors="replace")) + 1
    said = str(error)[: found.start()].strip().removeprefix("JSON is malformed: ")
    return NotJson(f"The {what} is not JSON: {said} (line {line}, column {column}).", line=line, column=column)


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _too_deep(what: str) -> NotJson:
    return NotJson(f"The {what} is nested more than {values.MAX_DEPTH} levels deep.")


def _too_large(most: int) -> TooLarge:
    return TooLarge(
        f"The body is larger than {most:,} bytes, the limit of this call. Keep large data elsewhere and send its "
        "address.",
        limit=most,
        setting="body_bytes",
    )


def _field_names(kind: type[msgspec.Struct]) -> str:
    names = [f"`{it.encode_name}`" + ("" if it.required else " (optional)") for it in msgspec.structs.fields(kind)]
    return ", ".join(names) or "no fields"
