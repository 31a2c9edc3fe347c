"""Steps that nothing awaits: the run goes on without them, and an error in them stops nothing."""

import ast
from collections.abc import Iterator

from playground.analysis.diagnostics import Diagnostic, Fix, Span, report
from playground.analysis.tree import COMPREHENSIONS, FUNCTIONS, Function
from playground.analysis.workflow import DO, SLEEP, WAIT, Workflow

_LOSSES = {
    DO: "its result and its error are lost",
    SLEEP: "nothing sleeps",
    WAIT: "nothing waits for the event",
}
_GATHERS = frozenset({"asyncio.gather", "asyncio.wait", "asyncio.wait_for", "asyncio.shield"})


def check(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about steps that are started and dropped, or never started."""
    for node in workflow.tree.of[ast.Call]:
        kind = _awaitable(workflow, node)
        if kind is not None and _is_dropped(workflow, node):
            place = workflow.source.span(node)
            call = workflow.words_of(node.func)
            yield report(
                "not-awaited",
                place,
                _await(workflow, node, place),
                call=f"{call}(…)" if node.args else f"{call}()",
                loss=_LOSSES[kind],
            )
    yield from _never_run(workflow)


def _awaitable(workflow: Workflow, node: ast.Call) -> str | None:
    """The kind of step a call gives an awaitable for; None when it does not or that can't be told."""
    call = workflow.by_node.get(node)
    if call is not None:
        return call.kind if call.kind != DO or call.callback is not None else None
    if workflow.step_function(node.func) is not None:
        return DO
    if workflow.tree.dotted(node.func) in _GATHERS:
        kinds = [_awaitable(workflow, part) for part in node.args if isinstance(part, ast.Call)]
        return next((kind for kind in kinds if kind is not None), None)
    return None


def _is_dropped(workflow: Workflow, node: ast.Call) -> bool:
    """Whether nothing can await what a call gives.

    It is a statement of its own, is what `run` returns, stands where only its result could, or is kept in a name that
    is never used, or used only where a result could be.
    """
    parent = workflow.tree.parents[node]
    if isinstance(parent, ast.Return):
        return workflow.tree.enclosing(node) is workflow.run and isinstance(workflow.run, ast.AsyncFunctionDef)
    if isinstance(parent, ast.Expr) or _needs_a_result(parent, node):
        return True
    if isinstance(parent, ast.Assign) and len(parent.targets) == 1 and isinstance(parent.targets[0], ast.Name):
        target = parent.targets[0]
        if target.id in workflow.tree.escaped or len(workflow.tree.bound(target)) != 1:
            return False
        if isinstance(workflow.tree.scope[target], (ast.Module, ast.ClassDef)):
            return False
        return all(_needs_a_result(workflow.tree.parents[use], use) for use in workflow.tree.uses(target))
    return False


def _needs_a_result(parent: ast.AST, node: ast.AST) -> bool:
    """Whether a coroutine in this place is a mistake: formatted, indexed or calculated with."""
    if isinstance(parent, (ast.Subscript, ast.FormattedValue)):
        return parent.value is node
    return isinstance(parent, (ast.BinOp, ast.Compare))


def _await(workflow: Workflow, node: ast.Call, place: Span) -> Fix | None:
    if not isinstance(workflow.tree.enclosing(node), ast.AsyncFunctionDef):
        return None
    if any(isinstance(above, ast.GeneratorExp) for above in workflow.tree.above(node)):
        return None
    if isinstance(workflow.tree.parents[node], (ast.Expr, ast.Assign, ast.Return, ast.FormattedValue, ast.Compare)):
        return Fix("Put await before it", Span(place.line, place.column, place.line, place.column), "await ")
    return Fix("Await it", place, f"(await {workflow.words_of(node)})")


def _never_run(workflow: Workflow) -> Iterator[Diagnostic]:
    """Decorated steps whose name is read nowhere: not called, not passed on, not a parameter of another step."""
    for function in workflow.decorated:
        if len(function.decorator_list) != 1 or workflow.tree.loads.get(function.name):
            continue
        if not workflow.wanted.isdisjoint(workflow.names_of(function)):
            continue
        if function.name in workflow.tree.escaped or isinstance(
            workflow.tree.scope[function], (ast.ClassDef, *COMPREHENSIONS)
        ):
            continue
        if isinstance(workflow.tree.scope[function], FUNCTIONS):
            place = workflow.source.find(function.name, function)
            yield report("never-run", place, _await_after(workflow, function), name=function.name)


def _await_after(workflow: Workflow, function: Function) -> Fix | None:
    """Below the step, where nothing but its own line ends."""
    if not isinstance(workflow.tree.scope[function], ast.AsyncFunctionDef):
        return None
    line, column = workflow.source.end(function)
    text = workflow.source.lines[line - 1]
    if text[column - 1 :].strip().startswith(";"):
        return None
    indent = _indent(workflow, function)
    return Fix("Await it", Span(line, len(text) + 1, line, len(text) + 1), f"\n\n{indent}await {function.name}()")


def _indent(workflow: Workflow, node: ast.stmt) -> str:
    """The indentation of a statement."""
    return workflow.source.lines[node.lineno - 1][: node.col_offset]
