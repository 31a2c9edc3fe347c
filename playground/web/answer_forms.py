"""Forms made of schemas, for people who answer a wait: their fields, and the payload that a filled-in form is.

A form is data (`Form`), so that a page without scripts, the inbox and a terminal show the same one. What a form cannot
show is one field of JSON: a schema without types, an object within an object within an object. Whether a payload fits
is checked where it is sent.
"""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from starlette.requests import Request

from playground.web.http import bodies
from playground.web.http.bodies import check_json
from playground.web.http.errors import BadBody
from playground.workflows import payload_schema

PAYLOAD = "payload"  # the name of the field of a payload that is one value; a part of an object is payload.NAME
TYPE = "type"  # the name of the field with the event's type, where a wait takes several
FIELDS_MOST = 1_000  # of a form that is sent; a schema has room for fewer
LONG_TEXT = 200  # characters from which a text has lines
BUTTONS_MOST = 2  # values that are buttons, not a list to choose from
APPROVAL_NAMES = frozenset({"approve", "approved", "accept", "accepted"})

Kind = Literal["text", "lines", "number", "integer", "choice", "list", "json"]


class Option(msgspec.Struct, frozen=True):
    """A value to choose: `value` is JSON text."""

    value: str
    label: str


class Field(msgspec.Struct, frozen=True):
    """A field. `name`: the path of its value, `payload` or `payload.amount`; `group`: the title of its object.

    `nullable`: left empty it is null, where it is required.
    """

    name: str
    label: str
    kind: Kind
    help: str = ""
    required: bool = False
    nullable: bool = False
    value: str = ""
    options: Sequence[Option] = ()
    least: float | None = None
    most: float | None = None
    group: str = ""


class Form(msgspec.Struct, frozen=True):
    """The fields, and the buttons that send it: each stands for a value of `decides`, the field that they answer.

    Without `decides` there is one button, and several types are one more choice.
    """

    title: str
    help: str
    fields: Sequence[Field]
    decides: str = ""
    buttons: Sequence[Option] = ()
    types: Sequence[str] = ()


def form_of(schema: Mapping[str, Any] | None, types: Sequence[str]) -> Form:
    """The form for a payload of this schema, which a wait for these types of events takes."""
    schema = schema or {}
    title, help = schema.get("title", ""), schema.get("description", "")
    options = _options(schema)
    if 0 < len(options) <= BUTTONS_MOST and len(types) == 1:
        return Form(title, help, (), PAYLOAD, options, types)
    if not _is_flat(schema):
        fields = [_field(PAYLOAD, {**schema, "title": "Answer", "description": ""}, required=bool(schema))]
        return Form(title, help, fields, types=types)
    properties, required = schema["properties"], schema.get("required", ())
    decisions = [name for name, it in properties.items() if name in required and 0 < len(_options(it)) <= BUTTONS_MOST]
    if len(decisions) != 1 or len(types) != 1:
        return Form(title, help, _fields(properties, required), types=types)
    (decides,) = decisions
    others = {name: it for name, it in properties.items() if name != decides}
    buttons = _options(properties[decides], decides)
    asked = properties[decides].get("description", "")
    return Form(title or properties[decides].get("title", ""), " ".join(filter(None, (help, asked))),
                _fields(others, required), f"{PAYLOAD}.{decides}", buttons, types)  # fmt: skip


def _is_flat(schema: Mapping[str, Any]) -> bool:
    """Whether a schema is of an object whose parts can be fields, at most one level down."""
    return payload_schema.types_of(schema) == ("object",) and bool(schema.get("properties"))


def _fields(properties: Mapping[str, Any], required: Sequence[str], within: str = "", group: str = "") -> list[Field]:
    found = []
    for name, schema in properties.items():
        path = f"{within or PAYLOAD}.{name}"
        if not within and _is_flat(schema) and name in required and "." not in name:
            inner = schema.get("required", ())
            found += _fields(schema["properties"], inner, path, schema.get("title") or _words(name))
        else:
            found.append(_field(path, schema, name in required, group))
    return found


def _field(path: str, schema: Mapping[str, Any], required: bool, group: str = "") -> Field:
    kinds = [it for it in payload_schema.types_of(schema) if it != payload_schema.NULL]
    kind = kinds[0] if len(kinds) == 1 else ""
    options, items = _options(schema), schema.get("items", {})
    shown: Kind = "json"
    if options:
        shown = "choice"
    elif kind == payload_schema.STRING:
        shown = "lines" if schema.get("maxLength", 0) > LONG_TEXT else "text"
    elif kind == payload_schema.NUMBER:
        shown = "number"
    elif kind == payload_schema.INTEGER:
        shown = "integer"
    elif kind == payload_schema.ARRAY and payload_schema.types_of(items) == (payload_schema.STRING,):
        shown = "list"
    return Field(
        path,
        schema.get("title") or _words(path.rpartition(".")[2]),
        shown,
        schema.get("description", ""),
        required,
        payload_schema.NULL in payload_schema.types_of(schema),
        _initial(schema.get("default"), shown),
        options,
        schema.get("minimum"),
        schema.get("maximum"),
        group,
    )


def _options(schema: Mapping[str, Any], name: str = "") -> list[Option]:
    """The values of what takes only some."""
    types = payload_schema.types_of(schema)
    if types == (payload_schema.BOOLEAN,) and not {"enum", "const"} & schema.keys():
        approves = not name or name.lower() in APPROVAL_NAMES
        yes, no = ("Approve", "Reject") if approves else ("Yes", "No")
        return [Option("true", yes), Option("false", no)]
    values = [schema["const"]] if "const" in schema else schema.get("enum", ())
    return [Option(json.dumps(it), it if isinstance(it, str) else json.dumps(it)) for it in values]


def _initial(default: Any, kind: Kind) -> str:
    if default is None:
        return ""
    if kind in ("text", "lines") and isinstance(default, str):
        return default
    if kind == "list" and isinstance(default, list) and all(isinstance(it, str) for it in default):
        return "\n".join(default)
    return json.dumps(default, ensure_ascii=False)


def _words(name: str) -> str:
    spaced = name.replace("_", " ").replace("-", " ").strip()
    return (spaced[:1].upper() + spaced[1:]) or "Answer"


@dataclass(frozen=True, slots=True)
class Sent:
    """What came as an answer: the fields of a form as they were filled in, or a payload as JSON text."""

    fields: Mapping[str, str]
    payload: msgspec.Raw | None = None


async def read_sent(request: Request, most: int) -> Sent:
    """The answer in a request's body, of at most `most` bytes as JSON. Raises TooLarge, NotJson, BadBody."""
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return Sent(await bodies.read_form(request, most * bodies.FORM_ESCAPE_FACTOR, FIELDS_MOST))
    return Sent({}, await bodies.read_json(request, most))


def event_sent(request: Request, form: Form, sent: Sent) -> tuple[str, Any]:
    """The event that an answer is: its type, which the query names for a payload as JSON, and its payload.

    Raises BadBody, NotJson.
    """
    if sent.payload is None:
        return event_of(form, sent.fields)
    return request.query_params.get(TYPE, form.types[0]), sent.payload


def event_of(form: Form, sent: Mapping[str, str]) -> tuple[str, Any]:
    """The event that a filled-in form is: its type and its payload.

    Raises BadBody, NotJson: a field does not hold what it takes.
    """
    type = sent.get(TYPE, form.types[0]) if len(form.types) > 1 else form.types[0]
    if type not in form.types:
        raise BadBody(f"`{TYPE}` takes {', '.join(form.types)}.")
    if form.decides == PAYLOAD:
        return type, _choice(sent.get(PAYLOAD, ""), form.buttons, "an answer")
    if len(form.fields) == 1 and form.fields[0].name == PAYLOAD:
        return type, _value(form.fields[0], sent.get(PAYLOAD, ""))
    payload: dict[str, Any] = {}
    if form.decides:
        payload[form.decides.partition(".")[2]] = _choice(sent.get(form.decides, ""), form.buttons, "an answer")
    for field in form.fields:
        text = sent.get(field.name, "")
        if text == "" and not field.required:
            continue
        outer, _, inner = field.name.partition(".")[2].partition(".") if field.group else ("", "", "")
        if field.group:
            payload.setdefault(outer, {})[inner] = _value(field, text)
        else:
            payload[field.name.partition(".")[2]] = _value(field, text)
    return type, payload


def in_words(form: Form, reason: str) -> str:
    """Why a payload does not fit, with the label of a field in place of its path."""
    path, _, rest = reason.partition(" ")
    label = next((it.label for it in form.fields if it.name == PAYLOAD + path[1:]), None)
    return reason if label is None else f"“{label}” {rest}"


def _value(field: Field, text: str) -> Any:
    if text == "" and field.nullable:
        return None
    if field.kind in ("text", "lines"):
        return text.replace("\r\n", "\n")
    if field.kind == "choice":
        return _choice(text, field.options, f"“{field.label}”")
    if field.kind == "list":
        return [line for line in text.replace("\r\n", "\n").split("\n") if line]
    if field.kind in ("number", "integer"):
        return _number(field, text)
    if text.strip() == "":
        return None
    return json.loads(bytes(check_json(text.encode("utf-8", "surrogatepass"), f"“{field.label}”")))


def _number(field: Field, text: str) -> float:
    """The number that was typed, with all its digits where it is whole."""
    for read in (int, float):
        with suppress(ValueError):
            number = read(text)
            if math.isfinite(number):
                return number
    raise BadBody(f"“{field.label}” takes a number.")


def _choice(text: str, options: Sequence[Option], what: str) -> Any:
    if text not in [it.value for it in options]:
        raise BadBody(f"Choose {what}: {', '.join(it.label for it in options)}.")
    return json.loads(text)
