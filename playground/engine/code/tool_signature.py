"""What a workflow is as a tool: its description, and the schemas of its params and output (analysis/signature.py).

A child in the sandbox finds it in a tenant's source, so it is read like all that comes from there: into a few known
keywords of JSON Schema, within limits, or not at all.

Arguments and outputs are held against a schema here, in a few steps for each value. A schema of unions that hold each
other could take steps without end, so that after `STEPS_MOST` the rest passes: the code looks at its params itself.
"""

from collections.abc import Mapping
from typing import Any, Literal, Union

import msgspec

DESCRIPTION_CHARACTERS = 4_000
SCHEMA_BYTES = 20 * 1024  # of one schema, as JSON; the sandbox leaves out what is over 16 KB
STEPS_MOST = 20_000  # of holding one value against a schema
DEEPEST = 100  # values inside values

Type = Literal["string", "integer", "number", "boolean", "null", "object", "array"]
_UNSET = msgspec.UNSET
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
    "object": (dict,),
    "array": (list,),
}


class Schema(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """The keywords of JSON Schema that a signature may have."""

    type: Type | msgspec.UnsetType = _UNSET
    description: str | msgspec.UnsetType = _UNSET
    default: str | int | float | bool | msgspec.UnsetType = _UNSET
    enum: list[str | int | float | bool | None] | msgspec.UnsetType = _UNSET
    properties: dict[str, "Schema"] | msgspec.UnsetType = _UNSET
    required: list[str] | msgspec.UnsetType = _UNSET
    items: Union["Schema", msgspec.UnsetType] = _UNSET
    additional: Union["Schema", msgspec.UnsetType] = msgspec.field(default=_UNSET, name="additionalProperties")
    any_of: list["Schema"] | msgspec.UnsetType = msgspec.field(default=_UNSET, name="anyOf")
    ref: str | msgspec.UnsetType = msgspec.field(default=_UNSET, name="$ref")
    definitions: dict[str, "Schema"] | msgspec.UnsetType = msgspec.field(default=_UNSET, name="$defs")


class ToolSignature(msgspec.Struct, frozen=True, omit_defaults=True):
    """`input` and `output` are None where anything will do; `runs`: there is a `run` to call."""

    runs: bool = True
    description: str = ""
    input: Schema | None = None
    output: Schema | None = None

    def as_json(self) -> dict[str, Any]:
        """As it is stored and shown."""
        shown: dict[str, Any] = msgspec.to_builtins(self)
        return shown


NO_SIGNATURE = ToolSignature()


def read_signature(found: Mapping[str, Any]) -> ToolSignature:
    """What the sandbox, or the database, says; the empty signature where it is nothing that can be one."""
    try:
        read = msgspec.convert(found, ToolSignature)
        for schema in (read.input, read.output):
            if schema is not None and len(msgspec.json.encode(schema)) > SCHEMA_BYTES:
                return ToolSignature(read.runs, read.description[:DESCRIPTION_CHARACTERS])
    except (msgspec.ValidationError, RecursionError, UnicodeEncodeError):
        return NO_SIGNATURE
    return msgspec.structs.replace(read, description=read.description[:DESCRIPTION_CHARACTERS])


def mismatch(schema: Schema, value: Any) -> str | None:
    """Where a value is not as a schema has it, in words; None: it is."""
    return _Comparison(schema).mismatch(schema, value, "", 0)


class _Comparison:
    def __init__(self, root: Schema) -> None:
        self._definitions = root.definitions or {}
        self._left = STEPS_MOST

    def mismatch(self, schema: Schema, value: Any, path: str, depth: int) -> str | None:
        self._left -= 1
        if self._left < 0 or depth > DEEPEST:
            return None
        if isinstance(schema.ref, str):
            named = self._definitions.get(schema.ref.removeprefix("#/$defs/"))
            return None if named is None else self.mismatch(named, value, path, depth + 1)
        if isinstance(schema.any_of, list):
            found = [self.mismatch(it, value, path, depth + 1) for it in schema.any_of]
            return None if None in found or not found else found[0]
        if isinstance(schema.enum, list) and not any(it == value and type(it) is type(value) for it in schema.enum):
            return f"{_place(path)} takes one of {_shown(schema.enum)}, not {_shown(value)}"
        if isinstance(schema.type, str) and not _is_of(schema.type, value):
            return f"{_place(path)} takes {_with_article(schema.type)}, not {_shown(value)}"
        if isinstance(value, dict):
            return self._of_object(schema, value, path, depth)
        if isinstance(value, list) and isinstance(schema.items, Schema):
            for index, item in enumerate(value):
                if self._left < 0:
                    return None
                wrong = self.mismatch(schema.items, item, f"{path}[{index}]", depth + 1)
                if wrong is not None:
                    return wrong
        return None

    def _of_object(self, schema: Schema, value: dict[str, Any], path: str, depth: int) -> str | None:
        known = schema.properties or {}
        for name in schema.required or ():
            if name not in value:
                return f"{_place(path)} lacks `{name}`"
        for name, item in value.items():
            below = known.get(name, schema.additional)
            if isinstance(below, Schema):
                wrong = self.mismatch(below, item, f"{path}.{name[:60]}" if path else name[:60], depth + 1)
                if wrong is not None:
                    return wrong
        return None


def _is_of(type: str, value: Any) -> bool:
    if isinstance(value, bool):
        return type == "boolean"
    return isinstance(value, _TYPES[type]) or (type == "integer" and isinstance(value, float) and value.is_integer())


def _place(path: str) -> str:
    return f"`{path}`" if path else "the value"


def _with_article(type: str) -> str:
    return type if type == "null" else f"{'an' if type[0] in 'aio' else 'a'} {type}"


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else text[:77] + "..."
