"""Results and outputs that can't be stored; playground/workflows/values.py defines what can."""

import ast
from collections.abc import Iterator

from playground.analysis.diagnostics import Diagnostic, Fix, report
from playground.analysis.syntax import FUNCTIONS
from playground.analysis.workflow import Workflow

# What known calls return, and the expression that makes it storable ({} is the text of the call).
_TO_LIST = "list({})"
_TO_TEXT = "str({})"
_RETURN_TYPES: dict[str, tuple[str, str | None]] = {
    "builtins.map": ("a map iterator", _TO_LIST),
    "builtins.filter": ("a filter iterator", _TO_LIST),
    "builtins.zip": ("a zip iterator", _TO_LIST),
    "builtins.enumerate": ("an enumerate iterator", _TO_LIST),
    "builtins.reversed": ("a reversed iterator", _TO_LIST),
    "builtins.range": ("a range", _TO_LIST),
    "builtins.iter": ("an iterator", _TO_LIST),
    "builtins.object": ("an object", None),
    "builtins.complex": ("a complex number", _TO_TEXT),
    **{f"uuid.{name}": ("a UUID", _TO_TEXT) for name in ("uuid1", "uuid3", "uuid4", "uuid5", "UUID")},
    "decimal.Decimal": ("a Decimal", _TO_TEXT),
    "fractions.Fraction": ("a Fraction", _TO_TEXT),
    "pathlib.Path": ("a Path", _TO_TEXT),
    "datetime.date.today": ("a date", "{}.isoformat()"),
    "datetime.date": ("a date", "{}.isoformat()"),
    "datetime.timedelta": ("a timedelta", "{}.total_seconds()"),
    "asyncio.create_task": ("a task", None),
    "re.compile": ("a compiled pattern", None),
    "re.match": ("a match", None),
    "re.search": ("a match", None),
    "collections.deque": ("a deque", _TO_LIST),
}


def check(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about what functions of steps and `run` return."""
    functions: dict[ast.AST, str] = {function: "unstorable-result" for _, function in workflow.callbacks}
    if workflow.run is not None:
        functions[workflow.run] = "unstorable-output"
    for function, code in functions.items():
        if isinstance(function, ast.Lambda):
            yield from _check_stored(workflow, function.body, code)
    generators = {workflow.tree.enclosing(node) for node in workflow.tree.within((ast.Yield, ast.YieldFrom), functions)}
    for function in generators:
        if isinstance(function, FUNCTIONS):
            place = workflow.source.find_word(function.name, function)
            yield report(
                functions[function],
                place,
                what="a generator, because the function yields",
                cure=" Collect a list and return it.",
            )
    for node in workflow.tree.within((ast.Return,), functions.keys() - generators):
        if node.value is not None:
            yield from _check_stored(workflow, node.value, functions[workflow.tree.enclosing(node)])


def _check_stored(workflow: Workflow, value: ast.expr, code: str) -> Iterator[Diagnostic]:
    """Findings in an expression whose value is to be stored, and in the parts of it that are seen to be stored with
    it.
    """
    if isinstance(value, ast.IfExp):
        parts = [value.body, value.orelse]
    elif isinstance(value, ast.BoolOp):
        parts = list(value.values)
    elif isinstance(value, (ast.List, ast.Tuple, ast.Set)):
        parts = list(value.elts)
    elif isinstance(value, ast.Dict):
        yield from _keys(workflow, value, code)
        parts = [member for key, member in zip(value.keys, value.values, strict=True) if key is not None]
    elif isinstance(value, (ast.ListComp, ast.SetComp)):
        parts = [value.elt]
    elif isinstance(value, ast.DictComp):
        parts = [value.value]
    else:
        found = _unstorable(workflow, value)
        if found is not None:
            what, cure, text = found
            place = workflow.source.span(value)
            fix = Fix(cure, place, text.format(workflow.one_line(value))) if text else None
            yield report(code, place, fix, what=what, cure=f" {cure}." if cure else "")
        return
    for part in parts:
        yield from _check_stored(workflow, part, code)


def _unstorable(workflow: Workflow, value: ast.expr) -> tuple[str, str, str | None] | None:
    """What a value is, the correction as a sentence, and the corrected text; None when it may be storable."""
    if isinstance(value, ast.Lambda):
        return "a function", "", None
    if isinstance(value, ast.GeneratorExp):
        return (
            "a generator",
            "Make it a list",
            "["
            + workflow.one_line(value).removeprefix("(").removesuffix(")").replace("{", "{{").replace("}", "}}")
            + "]",
        )
    if isinstance(value, ast.Constant):
        return _unstorable_constant(value.value)
    if isinstance(value, ast.Name):
        return _unstorable_name(workflow, value)
    if not isinstance(value, ast.Call):
        return None
    gives = _RETURN_TYPES.get(workflow.tree.dotted(value.func) or "")
    if gives is not None:
        what, text = gives
        cures = {_TO_LIST: "Make it a list", _TO_TEXT: "Make it text", None: ""}
        return what, cures.get(text, "Store a plain value of it"), text
    if isinstance(value.func, ast.Name):
        bound = workflow.tree.bound(value.func)
        if len(bound) == 1 and isinstance(bound[0], ast.ClassDef) and _is_plain_class(workflow, bound[0]):
            return f"an object of class {bound[0].name}", "Return a dict of what matters in it", None
    return None


def _unstorable_constant(value: object) -> tuple[str, str, str | None] | None:
    if isinstance(value, complex):
        return "a complex number", "Make it text", _TO_TEXT
    if value is Ellipsis:
        return "an Ellipsis", "", None
    return None


def _unstorable_name(workflow: Workflow, name: ast.Name) -> tuple[str, str, str | None] | None:
    bound = workflow.tree.bound(name)
    if not bound:
        return None
    if all(isinstance(binding, FUNCTIONS) for binding in bound):
        return "a function", "Call it", None
    if all(isinstance(binding, ast.ClassDef) for binding in bound):
        return "a class", "", None
    value = workflow.tree.value(name)
    if isinstance(value, (ast.Lambda, ast.GeneratorExp)):
        return (
            ("a function", "Call it", None)
            if isinstance(value, ast.Lambda)
            else ("a generator", "Make it a list", _TO_LIST)
        )
    if isinstance(value, ast.Call) and not isinstance(workflow.tree.parents.get(value), ast.Await):
        return _unstorable(workflow, value)
    return None


def _keys(workflow: Workflow, value: ast.Dict, code: str) -> Iterator[Diagnostic]:
    for key in value.keys:
        if isinstance(key, ast.Tuple) or (isinstance(key, ast.Constant) and not isinstance(key.value, str)):
            kind = type(key.value).__name__ if isinstance(key, ast.Constant) else "tuple"
            yield report(
                code, workflow.source.span(key), what=f"a dict with a key of type {kind}", cure=" Keys must be str."
            )


def _is_plain_class(workflow: Workflow, node: ast.ClassDef) -> bool:
    """Whether objects of a class are surely none of the kinds that can be stored."""
    line, unknown = workflow.lineage(node)
    return not unknown and not any(workflow.extends(current) for current in line)
