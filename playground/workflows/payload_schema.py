"""The schema of what a wait for an event asks for, and whether a payload fits it.

It is the part of JSON Schema that a form can be made of: types, allowed values, limits, objects and lists. A payload is
checked where it is sent, by the trusted side, before it is stored. So what a schema can make that side do is bounded:

- There is no regular expression (`pattern`, `format`): one is code, which may take for ever, and a tenant's code runs
  in the sandbox only. What needs one is checked by the workflow, once the wait has ended.
- There is no `$ref`, `anyOf` or the like. Each value is held against one schema, so a check takes as many steps as
  the payload has values, and at most `STEPS_MOST` for one event, whatever number of waits it is held against.
- A schema has at most `SCHEMA_BYTES` as JSON, `DEPTH_MOST` levels and `ENUM_MOST` values in one `enum`.

Standard library only: the worker checks a schema where the code names it, and the trusted side once more.
"""

import json
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

SCHEMA_BYTES = 8 * 1024
DEPTH_MOST = 8
ENUM_MOST = 100
STEPS_MOST = 20_000
NUMBER_MOST = 2**53
TEXT_SHOWN = 60  # characters of a value in a sentence

TYPES = ("string", "number", "integer", "boolean", "null", "object", "array")
TYPES = ("string", "number", "integer", "boolean", "null", "object", "array")
STRING, NUMBER, INTEGER, BOOLEAN, NULL, OBJECT, ARRAY = TYPES
_CLASSES: Mapping[str, type] = {STRING: str, BOOLEAN: bool, NULL: type(None), OBJECT: dict, ARRAY: list}
_COMPARISONS: tuple[tuple[str, Callable[[float, float], bool], str], ...] = (
    ("minimum", operator.ge, "{} or more"),
    ("maximum", operator.le, "{} or less"),
    ("exclusiveMinimum", operator.gt, "more than {}"),
    ("exclusiveMaximum", operator.lt, "less than {}"),
)
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems")
_BOUNDS = tuple(name for name, _, _ in _COMPARISONS)
_TEXTS = ("title", "description")
KEYWORDS = (
    "type", *_TEXTS, "default", "enum", "const", "properties", "required", "additionalProperties", "items",
    *_COUNTS, *_BOUNDS,
)  # fmt: skip
_REGEX = "a regular expression would be run by the server, which runs no code of yours. Check it after the wait"
_ONE = "each value is held against one schema"
_REFUSED: Mapping[str, str] = {
    **dict.fromkeys(("pattern", "patternProperties", "format", "propertyNames"), _REGEX),
    **dict.fromkeys(("$ref", "$dynamicRef", "$defs", "definitions"), f"{_ONE}. Write what it refers to in its place"),
    **dict.fromkeys(("anyOf", "oneOf", "allOf", "not", "if"), f"{_ONE}. `type` takes a list, and `enum` any values"),
}


class InvalidSchema(ValueError):
    """The schema can't be used; the message says where and why."""


def check_schema(schema: object) -> dict[str, Any]:
    """A schema as plain JSON, which shares nothing with the one given. Raises InvalidSchema."""
    if not isinstance(schema, Mapping):
        raise InvalidSchema(f"a schema is a dict, not {type(schema).__name__}")
    try:
        text = json.dumps(dict(schema), allow_nan=False, ensure_ascii=False)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as refused:  # of text that is no Unicode a ValueError, too
        raise InvalidSchema(f"a schema is JSON: {str(refused)[:200]}") from None
    if size > SCHEMA_BYTES:
        raise InvalidSchema(f"it has {size:,} bytes as JSON, and may have {SCHEMA_BYTES:,}")
    plain: dict[str, Any] = json.loads(text)
    _check(plain, "", 1)
    return plain


def types_of(schema: Mapping[str, Any]) -> tuple[str, ...]:
    """The types that a schema names; none where any will do."""
    named = schema.get("type", ())
    return (named,) if isinstance(named, str) else tuple(named)


def _check(schema: Any, path: str, depth: int) -> None:
    where = f" at {path}" if path else ""
    if not isinstance(schema, dict):
        raise InvalidSchema(f"{_place(path)} is no schema: it is a dict such as {{'type': 'string'}}")
    if depth > DEPTH_MOST:
        raise InvalidSchema(f"it is nested more than {DEPTH_MOST} levels deep{where}")
    for keyword in schema:
        if keyword in _REFUSED:
            raise InvalidSchema(f"`{keyword}`{where} can't be used: {_REFUSED[keyword]}")
        if keyword not in KEYWORDS:
            raise InvalidSchema(f"there is no keyword `{keyword[:TEXT_SHOWN]}`{where}; it takes {', '.join(KEYWORDS)}")
    named = schema.get("type")
    if named is not None and not (
        named in TYPES if isinstance(named, str) else _is_list(named, least=1) and all(it in TYPES for it in named)
    ):
        raise InvalidSchema(f"`type`{where} takes {', '.join(TYPES)}, or a list of these")
    if not all(isinstance(schema.get(name, ""), str) for name in _TEXTS):
        raise InvalidSchema(f"`title` and `description`{where} take text")
    _check_values(schema, where)
    for name in _COUNTS:
        if name in schema and not (_is_int(schema[name]) and 0 <= schema[name] <= NUMBER_MOST):
            raise InvalidSchema(f"`{name}`{where} takes a whole number from 0")
    for name in _BOUNDS:
        if name in schema and not (_is_number(schema[name]) and abs(schema[name]) <= NUMBER_MOST):
            raise InvalidSchema(f"`{name}`{where} takes a number")
    _check_parts(schema, path, where, depth)


def _check_values(schema: Mapping[str, Any], where: str) -> None:
    if "enum" in schema and not (_is_list(schema["enum"], least=1) and all(_is_scalar(it) for it in schema["enum"])):
        raise InvalidSchema(f"`enum`{where} takes a list of text, numbers, true, false or null")
    if len(schema.get("enum", ())) > ENUM_MOST:
        raise InvalidSchema(f"`enum`{where} has more than {ENUM_MOST} values")
    if not _is_scalar(schema.get("const")):
        raise InvalidSchema(f"`const`{where} takes text, a number, true, false or null")


def _check_parts(schema: Mapping[str, Any], path: str, where: str, depth: int) -> None:
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        raise InvalidSchema(f"`properties`{where} takes a dict of schemas")
    for name, below in properties.items():
        _check(below, f"{path}.{name[:TEXT_SHOWN]}", depth + 1)
    required = schema.get("required", [])
    if not (_is_list(required) and all(isinstance(it, str) for it in required)):
        raise InvalidSchema(f"`required`{where} takes a list of names")
    if "items" in schema:
        _check(schema["items"], f"{path}[]", depth + 1)
    if not isinstance(schema.get("additionalProperties", True), bool):
        _check(schema["additionalProperties"], f"{path}.*", depth + 1)


class PayloadCheck:
    """The check of one event's payload, against as many schemas as there are waits for it."""

    def __init__(self) -> None:
        self._left = STEPS_MOST

    def mismatch(self, schema: Mapping[str, Any], payload: Any) -> str | None:
        """Where the payload is not as the schema has it, in words; None: it is.

        A payload that takes more steps than are left does not fit.
        """
        return self._mismatch(schema, payload, "$")

    def _mismatch(self, schema: Mapping[str, Any], value: Any, path: str) -> str | None:
        self._left -= 1 + len(schema.get("enum", ())) + len(schema.get("required", ()))
        if self._left < 0:
            return f"it has more values than are checked ({STEPS_MOST:,} steps)"
        named = types_of(schema)
        if named and not any(_is_of(one, value) for one in named):
            return f"{path} takes {' or '.join(_with_article(one) for one in named)}, not {_shown(value)}"
        if "const" in schema and not _same(schema["const"], value):
            return f"{path} takes {_shown(schema['const'])}, not {_shown(value)}"
        if "enum" in schema and not any(_same(one, value) for one in schema["enum"]):
            return f"{path} takes one of {', '.join(map(_shown, schema['enum']))}, not {_shown(value)}"
        if isinstance(value, str):
            return _of_length(schema, len(value), path, "Length", "characters")
        if _is_number(value):
            return _of_number(schema, value, path)
        if isinstance(value, list):
            return self._of_list(schema, value, path)
        return self._of_object(schema, value, path) if isinstance(value, dict) else None

    def _of_list(self, schema: Mapping[str, Any], value: list[Any], path: str) -> str | None:
        wrong = _of_length(schema, len(value), path, "Items", "items")
        if wrong is not None or "items" not in schema:
            return wrong
        found = (self._mismatch(schema["items"], item, f"{path}[{index}]") for index, item in enumerate(value))
        return next((it for it in found if it is not None), None)

    def _of_object(self, schema: Mapping[str, Any], value: dict[str, Any], path: str) -> str | None:
        for name in schema.get("required", ()):
            if name not in value:
                return f"{path} lacks `{name[:TEXT_SHOWN]}`"
        known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        for name, item in value.items():
            below = known.get(name, others)
            if below is False:
                return f"{path} takes no `{name[:TEXT_SHOWN]}`; it takes {', '.join(known) or 'nothing'}"
            wrong = None if below is True else self._mismatch(below, item, f"{path}.{name[:TEXT_SHOWN]}")
            if wrong is not None:
                return wrong
        return None


def _of_length(schema: Mapping[str, Any], length: int, path: str, of: str, unit: str) -> str | None:
    if length < schema.get(f"min{of}", 0):
        return f"{path} takes {schema[f'min{of}']:,} {unit} or more, not {length:,}"
    if length > schema.get(f"max{of}", length):
        return f"{path} takes {schema[f'max{of}']:,} {unit} or less, not {length:,}"
    return None


def _of_number(schema: Mapping[str, Any], value: float, path: str) -> str | None:
    for name, fits, words in _COMPARISONS:
        if name in schema and not fits(value, schema[name]):
            return f"{path} takes {words.format(schema[name])}, not {_shown(value)}"
    return None


def _is_of(named: str, value: Any) -> bool:
    if named == INTEGER:
        return _is_number(value) and math.isfinite(value) and value == int(value)
    if named == NUMBER:
        return _is_number(value)
    return isinstance(value, _CLASSES[named])


def _same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: 1 and 1.0 are, 1 and true are not."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, (str, bool)) or (_is_number(value) and abs(value) <= NUMBER_MOST)


def _is_list(value: Any, least: int = 0) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) >= least


def _place(path: str) -> str:
    return f"what stands at {path}" if path else "it"


def _with_article(type: str) -> str:
    return type if type == NULL else f"{'an' if type[0] in 'aio' else 'a'} {type}"


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return _with_article(OBJECT if isinstance(value, dict) else ARRAY)
    text = json.dumps(value[:TEXT_SHOWN] if isinstance(value, str) else value, ensure_ascii=False)
    return text[: TEXT_SHOWN - 1] + "…" if len(text) > TEXT_SHOWN else text
