"""Handlers around steps that catch too much: an execution is stopped by an exception that is not an `Exception`."""

import ast
from collections.abc import Iterator

from playground.analysis.diagnostics import Diagnostic, Fix, Span, report
from playground.analysis.tree import below
from playground.analysis.workflow import Workflow

_ALL = "builtins.BaseException"


def check(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about `except:` and `except BaseException` around awaited steps that do not raise again."""
    for handler in workflow.tree.within((ast.ExceptHandler,), workflow.replayed):
        place = _catches_all(workflow, handler)
        around = workflow.tree.parents[handler]
        if (
            place is not None
            and isinstance(around, (ast.Try, ast.TryStar))
            and _awaits(around.body)
            and not _raises(handler)
        ):
            clause = "except:" if handler.type is None else f"except {workflow.words_of(handler.type)}"
            fix = Fix("Catch Exception", place, "except Exception" if handler.type is None else "Exception")
            yield report("catches-all", place, fix, clause=clause)


def _catches_all(workflow: Workflow, handler: ast.ExceptHandler) -> Span | None:
    if handler.type is None:
        line, column = workflow.source.place(handler.lineno, handler.col_offset)
        return Span(line, column, line, column + len("except"))
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    found = [kind for kind in kinds if workflow.tree.dotted(kind) == _ALL]
    return workflow.source.span(found[0]) if found else None


def _awaits(body: list[ast.stmt]) -> bool:
    return any(
        isinstance(node, (ast.Await, ast.AsyncWith, ast.AsyncFor)) for statement in body for node in below(statement)
    )


def _raises(handler: ast.ExceptHandler) -> bool:
    return any(isinstance(node, ast.Raise) for statement in handler.body for node in below(statement))
