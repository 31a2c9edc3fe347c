"""What a workflow says of itself as a tool, found in its source and held against what callers send."""

import json
from typing import Any

import pytest

from playground import analysis
from playground.analysis.signature import SCHEMA_BYTES
from playground.engine.code.tool_signature import NO_SIGNATURE, STEPS_MOST, Schema, mismatch, read_signature

HEAD = (
    "from __future__ import annotations\nfrom dataclasses import dataclass, field\n"
    "from typing import *\nfrom workers import WorkflowEntrypoint, WorkflowEvent\n\n"
)


def found(classes: str, takes: str = "WorkflowEvent[T]", gives: str = "", inside: str = "") -> dict[str, Any]:
    returns = f" -> {gives}" if gives else ""
    run = f"    async def run(self, event: {takes}, step){returns}:\n        return None\n"
    text = f'{HEAD}{classes}\n\nclass TenantWorkflow(WorkflowEntrypoint):\n    """What it does."""\n{inside}{run}'
    return dict(analysis.check(text)["tool"])


FIELDS = {
    "a text": ("x: str", {"type": "string"}),
    "a number": ("x: float", {"type": "number"}),
    "a list": ("x: list[int]", {"type": "array", "items": {"type": "integer"}}),
    "a mapping": ("x: dict[str, bool]", {"type": "object", "additionalProperties": {"type": "boolean"}}),
    "one of some words": ('x: Literal["a", "b"]', {"enum": ["a", "b"]}),
    "perhaps nothing": ("x: str | None", {"anyOf": [{"type": "string"}, {"type": "null"}]}),
    "perhaps nothing, by its name": ("x: Optional[int]", {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
    "with a text beside": ('x: Annotated[str, "which one"]', {"type": "string", "description": "which one"}),
    "with a text below": ('x: int\n    "how many"', {"type": "integer", "description": "how many"}),
    "anything": ("x: Any", {}),
    "something unknown": ("x: Decimal", {}),
    "written as a text": ('x: "list[str]"', {"type": "array", "items": {"type": "string"}}),
}


@pytest.mark.parametrize("what", FIELDS)
def test_a_field_becomes_a_schema(what: str) -> None:
    line, schema = FIELDS[what]
    tool = found(f"class T(TypedDict):\n    {line}")
    assert tool["input"] == {"type": "object", "properties": {"x": schema}, "required": ["x"]}
    assert read_signature(tool).as_json()["input"] == tool["input"], "the trusted side knows every keyword"


def test_what_need_not_be_given_is_not_required() -> None:
    assert found("class T(TypedDict):\n    a: str\n    b: NotRequired[str]")["input"]["required"] == ["a"]
    assert "required" not in found("class T(TypedDict, total=False):\n    a: str")["input"]
    shown = found("@dataclass\nclass T:\n    a: str\n    b: int = 3\n    c: list[str] = field(default_factory=list)")
    assert shown["input"]["required"] == ["a"] and shown["input"]["properties"]["b"]["default"] == 3
    base = "class B(TypedDict):\n    a: str\nclass T(B):\n    b: str"
    assert found(base)["input"]["required"] == ["a", "b"], "fields that a class has from another"


def test_params_and_output_may_stand_inside_the_workflow_and_an_output_need_be_no_object() -> None:
    inside = "    class Params(TypedDict):\n        a: str\n    class Output(TypedDict):\n        b: int\n"
    tool = found("", takes="Any", inside=inside)
    assert (tool["description"], list(tool["input"]["properties"]), list(tool["output"]["properties"])) == (
        "What it does.", ["a"], ["b"]
    )  # fmt: skip
    assert found("", takes="Any", gives="list[str]")["output"] == {"type": "array", "items": {"type": "string"}}
    assert found("", takes="Any") == {"runs": True, "description": "What it does.", "input": None, "output": None}
    assert found("class T: pass")["input"] is None, "nothing is known of an ordinary class"
    assert found("T = list[int]", takes="WorkflowEvent[list[int]]")["input"] is None, "arguments are an object"


def test_classes_that_hold_each_other_stand_once_each() -> None:
    tree = found("class T(TypedDict):\n    name: str\n    below: list[T]")["input"]
    assert tree["properties"]["below"]["items"] == {"$ref": "#/$defs/T"} and list(tree["$defs"]) == ["T"]
    doubling = "\n".join(f"class T{n}(TypedDict):\n    a: T{n + 1}\n    b: T{n + 1}" for n in range(30))
    whole = found(f"{doubling}\nclass T30(TypedDict):\n    x: int", takes="WorkflowEvent[T0]")["input"]
    assert len(json.dumps(whole)) < 5_000, "2**30 leaves, were they written out"


def test_a_schema_over_its_limit_is_left_out_and_the_description_says_so() -> None:
    many = "class T(TypedDict):\n" + "\n".join(f"    a_field_with_a_long_name_{n}: str" for n in range(500))
    tool = found(many)
    assert tool["input"] is None and f"the limit is {SCHEMA_BYTES:,}" in tool["description"]


def test_code_without_run_is_no_tool() -> None:
    text = (
        "from workers import WorkerEntrypoint\nclass Default(WorkerEntrypoint):\n    async def queue(self, batch): ..."
    )
    assert analysis.check(text)["tool"] == {"runs": False}
    assert analysis.check("def (")["tool"] == {}


@pytest.mark.parametrize(
    "said",
    [
        {"input": {"type": "object", "pattern": "(a+)+$"}},
        {"input": {"type": "objekt"}},
        {"input": []},
        {"runs": 3},
        {"input": {"type": "object", "properties": {str(n): {"type": "string"} for n in range(2_000)}}},
    ],
)
def test_what_no_check_of_ours_says_is_not_believed(said: dict[str, Any]) -> None:
    assert read_signature(said) == NO_SIGNATURE


WRONG = {
    "the value lacks `order`": {},
    "`order` takes a string, not 1": {"order": 1},
    "`items[1].count` takes an integer, not true": {"order": "a", "items": [{"count": 1}, {"count": True}]},
    '`how` takes one of ["slow","fast"], not "no"': {"order": "a", "how": "no"},
}


@pytest.mark.parametrize("message", WRONG)
def test_arguments_that_do_not_fit_are_told_where(message: str) -> None:
    classes = (
        "class Item(TypedDict, total=False):\n    count: int\n"
        "class T(TypedDict):\n    order: str\n    items: NotRequired[list[Item]]\n"
        '    how: NotRequired[Literal["slow", "fast"]]'
    )
    schema = read_signature(found(classes)).input
    assert schema is not None
    assert mismatch(schema, WRONG[message]) == message
    assert mismatch(schema, {"order": "a", "items": [{"count": 2.0}], "more": [1]}) is None


def test_a_schema_that_explodes_is_given_up_on() -> None:
    leaf = Schema(type="integer")
    either = Schema(any_of=[Schema(type="array", items=Schema(ref="#/$defs/T")) for _ in range(8)] + [leaf])
    root = Schema(ref="#/$defs/T", definitions={"T": either})
    value: Any = "no integer"
    for _ in range(60):
        value = [value]
    assert mismatch(root, value) is None, f"8**60 ways to look; {STEPS_MOST} were gone"
