"""What a workflow takes and gives, for programs that call it as a tool: a description, and JSON Schemas of its params
and its output, from the annotations of its class.

    class TenantWorkflow(WorkflowEntrypoint):
        \"\"\"Refund an order, once a person has agreed.\"\"\"

        async def run(self, event: WorkflowEvent[Refund], step) -> Receipt: ...

`Refund` and `Receipt` are TypedDicts or dataclasses of the module; `Params` and `Output`, classes inside the workflow's
own, do as well. The string after a field describes it. Everything else is free JSON: an annotation that is not known
here narrows nothing. Params are always an object, because the arguments of a tool are.

Classes stand once each under `$defs`, so that classes which name each other many times, or themselves, make a schema
no longer than their source. One of more than `SCHEMA_BYTES` is left out, and the description says so.
"""

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Any

from playground.analysis.workflow import Workflow

SCHEMA_BYTES = 16 * 1024  # of one schema, as JSON
DESCRIPTION_CHARACTERS = 2_000
FIELD_CHARACTERS = 300  # of a field's description
NESTED_MOST = 20  # annotations inside annotations
PARAMS, OUTPUT = "Params", "Output"  # classes inside the workflow's own

Schema = dict[str, Any]

_EVENT = "WorkflowEvent"
_EVENT_PLACE = 1  # of run's parameters, after self
_PLAIN: Mapping[str, str] = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "None": "null",
    "dict": "object",
    "Mapping": "object",
    "list": "array",
    "Sequence": "array",
}
_LISTS = frozenset({"list", "List", "Sequence"})
_MAPPINGS = frozenset({"dict", "Dict", "Mapping"})
_WRAPPERS = frozenset({"Required", "NotRequired", "ReadOnly", "Final", "ClassVar"})
_TOO_LARGE = (
    "(The declared type of its {what} is left out: it takes {size:,} bytes as a schema, the limit is {most:,}.)"
)


def signature(workflow: Workflow) -> dict[str, Any]:
    """`{"runs", "description", "input", "output"}` of the entry class; a schema is None where anything will do.

    `runs` is false where there is no `run` to call, as in code that only handles messages.
    """
    if workflow.entry is None or workflow.run is None:
        return {"runs": False}
    read = _Reader(workflow, workflow.entry)
    notes: list[str] = []
    schemas = {}
    for what, annotation in (("input", read.params()), ("output", read.output())):
        found = None if annotation is None else read.whole(annotation)
        size = 0 if found is None else len(json.dumps(found).encode())
        if size > SCHEMA_BYTES:
            notes.append(_TOO_LARGE.format(what={"input": "params"}.get(what, what), size=size, most=SCHEMA_BYTES))
            found = None
        schemas[what] = found
    if schemas["input"] is not None and schemas["input"].get("type") != "object":
        schemas["input"] = None
    text = ast.get_docstring(workflow.entry) or ast.get_docstring(workflow.source.tree) or ""
    return {"runs": True, "description": " ".join([text[:DESCRIPTION_CHARACTERS], *notes]).strip(), **schemas}


class _Reader:
    """Annotations of one module as schemas. A class becomes a definition when it is first named."""

    def __init__(self, workflow: Workflow, entry: ast.ClassDef) -> None:
        self._run = workflow.run
        self._own = {node.name: node for node in entry.body if isinstance(node, ast.ClassDef)}
        self._classes = {node.name: node for node in workflow.classes} | self._own
        self._definitions: dict[str, Schema] = {}
        self._depth = 0

    def params(self) -> ast.expr | None:
        """The annotation of the event's payload."""
        if PARAMS in self._own:
            return ast.Name(PARAMS)
        if self._run is None:
            return None
        places = [*self._run.args.posonlyargs, *self._run.args.args]
        found = _parsed(places[_EVENT_PLACE].annotation) if len(places) > _EVENT_PLACE else None
        return found.slice if isinstance(found, ast.Subscript) and _name(found.value) == _EVENT else None

    def output(self) -> ast.expr | None:
        """The annotation of what `run` returns."""
        if OUTPUT in self._own:
            return ast.Name(OUTPUT)
        return None if self._run is None else self._run.returns

    def whole(self, annotation: ast.expr) -> Schema | None:
        """A schema with the definitions that it needs; None: it says nothing."""
        self._definitions = {}
        schema = self._schema(annotation)
        name = schema.get("$ref", "").removeprefix("#/$defs/")
        if name:  # the root is an object itself, as the protocol asks
            schema = dict(self._definitions[name])
        if not schema:
            return None
        used = _referred(schema, self._definitions)
        return {**schema, "$defs": {it: self._definitions[it] for it in used}} if used else schema

    def _schema(self, annotation: ast.expr | None) -> Schema:
        annotation = _parsed(annotation)
        if annotation is None or self._depth >= NESTED_MOST:
            return {}
        self._depth += 1
        try:
            if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
                return self._union([annotation.left, annotation.right])
            if isinstance(annotation, ast.Subscript):
                return self._generic(_name(annotation.value), _arguments(annotation.slice))
            name = "None" if isinstance(annotation, ast.Constant) and annotation.value is None else _name(annotation)
            if name in self._classes:
                return self._reference(self._classes[name])
            return {"type": _PLAIN[name]} if name in _PLAIN else {}
        finally:
            self._depth -= 1

    def _generic(self, name: str, arguments: Sequence[ast.expr]) -> Schema:
        if name == "Literal":
            return _literal(arguments)
        if name == "Optional":
            return self._union([*arguments, ast.Constant(None)])
        if name == "Union":
            return self._union(arguments)
        if name in _WRAPPERS or name == "Annotated":
            schema = self._schema(arguments[0]) if arguments else {}
            text = _text(arguments[1]) if name == "Annotated" and len(arguments) > 1 else ""
            return {**schema, "description": text} if text else schema
        if name in _LISTS:
            items = self._schema(arguments[0]) if arguments else {}
            return {"type": "array", "items": items} if items else {"type": "array"}
        if name in _MAPPINGS:
            values = self._schema(arguments[1]) if len(arguments) > 1 else {}
            return {"type": "object", "additionalProperties": values} if values else {"type": "object"}
        return {"type": _PLAIN[name]} if name in _PLAIN else {}

    def _union(self, members: Sequence[ast.expr]) -> Schema:
        found: list[Schema] = []
        for member in members:
            schema = self._schema(member)
            if not schema:
                return {}
            found += schema["anyOf"] if set(schema) == {"anyOf"} else [schema]
        return {"anyOf": found} if len(found) > 1 else found[0] if found else {}

    def _reference(self, node: ast.ClassDef) -> Schema:
        if node.name not in self._definitions:
            self._definitions[node.name] = {"type": "object"}  # one that names itself finds this
            self._definitions[node.name] = self._fields_of(node)
        return {"$ref": f"#/$defs/{node.name}"} if self._definitions[node.name] else {}

    def _fields_of(self, node: ast.ClassDef) -> Schema:
        """The schema of a TypedDict or a dataclass; of any other class nothing is known."""
        lineage = self._lineage(node)
        is_typed_dict = any(_name(base) == "TypedDict" for it in lineage for base in it.bases)
        is_dataclass = any(_name(_callee(it)) == "dataclass" for it in node.decorator_list)
        if not is_typed_dict and not is_dataclass:
            return {}
        properties: dict[str, Schema] = {}
        required: list[str] = []
        for owner in lineage:
            total = not any(it.arg == "total" and _constant(it.value) is False for it in owner.keywords)
            for statement, after in zip(owner.body, [*owner.body[1:], None], strict=True):
                if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
                    continue
                name, kind = statement.target.id, _parsed(statement.annotation)
                wrapper = _name(kind.value) if isinstance(kind, ast.Subscript) else ""
                if wrapper == "ClassVar" or _name(kind) == "ClassVar":
                    continue
                schema = self._schema(kind)
                text = _text(after.value) if isinstance(after, ast.Expr) else ""
                if text:
                    schema = {**schema, "description": text}
                if statement.value is not None and isinstance(_constant(statement.value), (str, int, float, bool)):
                    schema = {**schema, "default": _constant(statement.value)}
                properties[name] = schema
                optional = statement.value is not None if not is_typed_dict else not total
                if (not optional or wrapper == "Required") and wrapper != "NotRequired" and name not in required:
                    required.append(name)
        schema = {"type": "object", "properties": properties}
        text = " ".join((ast.get_docstring(node) or "").split())[:FIELD_CHARACTERS]
        return {**schema, **({"required": required} if required else {}), **({"description": text} if text else {})}

    def _lineage(self, node: ast.ClassDef) -> list[ast.ClassDef]:
        """A class after those of the module that it extends, so that its own fields stand."""
        found, waiting = [node], [node]
        while waiting:
            for base in waiting.pop().bases:
                above = self._classes.get(_name(base))
                if above is not None and above not in found:
                    found.insert(0, above)
                    waiting.append(above)
        return found


def _referred(schema: Schema, definitions: Mapping[str, Schema]) -> list[str]:
    """The definitions that a schema needs, in the order in which it names them."""
    found: dict[str, None] = {}
    waiting: list[Any] = [schema]
    while waiting:
        tree = waiting.pop(0)
        if isinstance(tree, dict):
            name = tree.get("$ref")
            if isinstance(name, str) and (key := name.removeprefix("#/$defs/")) not in found:
                found[key] = None
                waiting.append(definitions[key])
            waiting.extend(tree.values())
        elif isinstance(tree, list):
            waiting.extend(tree)
    return list(found)


def _parsed(annotation: ast.expr | None) -> ast.expr | None:
    """An annotation that is written as a text is what the text says."""
    text = _constant(annotation)
    if not isinstance(text, str):
        return annotation
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None


def _name(node: ast.expr | None) -> str:
    """The last name of a dotted one, whatever it is imported from."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _callee(node: ast.expr) -> ast.expr:
    return node.func if isinstance(node, ast.Call) else node


def _arguments(slice: ast.expr) -> Sequence[ast.expr]:
    return slice.elts if isinstance(slice, ast.Tuple) else [slice]


def _constant(node: ast.expr | None) -> Any:
    return node.value if isinstance(node, ast.Constant) else None


def _text(node: ast.expr) -> str:
    value = _constant(node)
    return " ".join(value.split())[:FIELD_CHARACTERS] if isinstance(value, str) else ""


def _literal(arguments: Sequence[ast.expr]) -> Schema:
    values = [_constant(it) for it in arguments if isinstance(it, ast.Constant)]
    if len(values) != len(arguments) or not all(isinstance(it, (str, int, bool)) or it is None for it in values):
        return {}
    return {"enum": values}
