"""Names that nothing in the source defines, most often an import that was forgotten."""

import ast
import sys
from collections.abc import Iterator

from playground.analysis.diagnostics import Diagnostic, Fix, Span, report
from playground.analysis.rules.step_calls import nearest
from playground.analysis.workflow import Workflow

SUGGESTIONS = 20  # undefined names that get a "did you mean": looking for them is slow
KNOWN = 500  # names among which is looked

_FROM_WORKERS = ("WorkflowEntrypoint", "NonRetryableError")
_FROM_ELSEWHERE = {
    "datetime": "from datetime import datetime",
    "timedelta": "from datetime import timedelta",
    "uuid4": "from uuid import uuid4",
}
_OF_MODULES = frozenset({
    "__file__", "__name__", "__doc__", "__builtins__", "__annotations__", "__class__", "__spec__", "__loader__",
    "__package__", "__dict__", "__module__", "__qualname__", "__debug__", "__path__", "__cached__",
})  # fmt: skip
_DYNAMIC = frozenset({"builtins.exec", "builtins.globals", "builtins.eval", "builtins.vars", "builtins.locals"})


def check(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about names bound nowhere in the file; quiet where names may come from somewhere unseen."""
    tree = workflow.tree
    if tree.star_import or any(tree.dotted(call.func) in _DYNAMIC for call in tree.of[ast.Call]):
        return
    anywhere = {name for names in tree.bindings.values() for name in names} | tree.escaped
    suggestions = SUGGESTIONS if len(anywhere) <= KNOWN else 0
    for name, loads in tree.loads.items():
        if name in anywhere or name in _OF_MODULES or tree.dotted(loads[0]) is not None:
            continue
        load = min(loads, key=lambda node: (node.lineno, node.col_offset))
        place = workflow.source.span(load)
        line = _import_line(name)
        if line is not None:
            yield report("undefined-name", place, _add_import(workflow, line), name=name, cure=f" Add `{line}`.")
            continue
        meant = nearest(name, anywhere) if len(name) > 3 and suggestions > 0 else None
        suggestions -= 1
        fix = Fix(f"Make it {meant}", place, meant) if meant else None
        yield report("undefined-name", place, fix, name=name, cure=f" Did you mean `{meant}`?" if meant else "")


def _import_line(name: str) -> str | None:
    if name in _FROM_WORKERS:
        return f"from workers import {name}"
    if name in _FROM_ELSEWHERE:
        return _FROM_ELSEWHERE[name]
    return f"import {name}" if name in sys.stdlib_module_names and not name.startswith("_") else None


def _add_import(workflow: Workflow, line: str) -> Fix:
    """Above the first statement that is neither the docstring nor a `__future__` import."""
    body = workflow.source.tree.body
    place = 0
    for statement in body:
        docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and place == 0
        if not docstring and not (isinstance(statement, ast.ImportFrom) and statement.module == "__future__"):
            break
        place += 1
    at = body[place].lineno if place < len(body) else body[-1].end_lineno
    decorators = getattr(body[place], "decorator_list", []) if place < len(body) else []
    at = min([at, *(decorator.lineno for decorator in decorators)])
    return Fix(f"Add {line}", Span(at, 1, at, 1), line + "\n")
