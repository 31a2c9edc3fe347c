"""Control flow around steps: steps that nothing awaits, steps inside another step, and handlers that catch too much.

The run goes on without a step that is not awaited, and an error in it stops nothing. A step inside another step's
callback is a step of its own, counted in its parent's namespace. A child that a callback runs keeps its parent's worker
until it has ended: where parents have all slots, no child gets one. An execution is stopped by an exception that is not
an `Exception`, which a broad handler would catch.
"""

import ast
from collections.abc import Iterator

from playground.analysis.diagnostics import Diagnostic, Fix, Span, report
from playground.analysis.syntax import COMPREHENSIONS, FUNCTIONS, Function, below
from playground.analysis.workflow import Callback, Workflow, runs_child
from playground.workflows.events import DO, SLEEP, WAIT

_RUNS_ON = " The timeout of the attempt around it goes on meanwhile."
_KINDS = {DO: ("step", ""), SLEEP: ("sleep", _RUNS_ON), WAIT: ("wait", _RUNS_ON)}


def check_nested(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about steps inside steps, each at the call that makes the inner one."""
    named = {
        function: _name(workflow, call.name if call is not None else None, function)
        for call, function in workflow.callbacks
    }
    for node in workflow.tree.nodes_by_type[ast.Call]:
        owner = workflow.tree.enclosing(node)
        if owner not in workflow.in_steps:
            continue
        shared = owner in workflow.replayed
        callback = workflow.in_steps[owner]
        parent = (named.get(callback, "") if callback is not None else "") or "another step"
        if runs_child(node) and not shared:
            yield report("child-in-step", workflow.source.span(node.func), parent=parent)
            continue
        kind = _made_by(workflow, node, shared)
        if kind is not None:
            word, more = _KINDS[kind]
            yield report("step-in-step", workflow.source.span(node.func), kind=word, parent=parent, more=more)


def _made_by(workflow: Workflow, node: ast.Call, shared: bool) -> str | None:
    """The kind of step that a call makes. One in a helper that steps and other code call is reported where a
    step calls it.
    """
    step = workflow.by_node.get(node)
    if step is not None:
        return (
            step.kind
            if step.decorated is None and (step.kind != DO or step.callback is not None) and not shared
            else None
        )
    if workflow.step_function(node.func) is not None:
        return DO if not shared else None
    called = workflow.called(node.func)
    return DO if called in workflow.step_makers and called in workflow.replayed else None


def _name(workflow: Workflow, name: ast.expr | None, callback: Callback) -> str:
    """The name of a callback's step, as far as the source has it."""
    if isinstance(name, ast.Constant) and isinstance(name.value, str):
        return f"`{name.value}`"
    if name is not None and not isinstance(name, ast.Constant):
        return f"`{workflow.one_line(name)}`"
    return f"`{getattr(callback, 'name', '')}`" if getattr(callback, "name", "") else ""


_LOSSES = {
    DO: "its result and its error are lost",
    SLEEP: "nothing sleeps",
    WAIT: "nothing waits for the event",
}
_GATHERS = frozenset({"asyncio.gather", "asyncio.wait", "asyncio.wait_for", "asyncio.shield"})


def check_unawaited(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about steps that are started and dropped, or never started."""
    for node in workflow.tree.nodes_by_type[ast.Call]:
        kind = _awaitable(workflow, node)
        if kind is not None and _is_dropped(workflow, node):
            place = workflow.source.span(node)
            call = workflow.one_line(node.func)
            yield report(
                "not-awaited",
                place,
                _await(workflow, node, place),
                call=f"{call}(…)" if node.args else f"{call}()",
                loss=_LOSSES[kind],
            )
    yield from _never_run(workflow)


def _awaitable(workflow: Workflow, node: ast.Call) -> str | None:
    """The kind of step of which a call returns an awaitable; None when it does not, or that is unknown."""
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
    """Whether nothing can await the result of a call.

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
    return Fix("Await it", place, f"(await {workflow.one_line(node)})")


def _never_run(workflow: Workflow) -> Iterator[Diagnostic]:
    """Decorated steps whose name is read nowhere: not called, not passed on, not a parameter of another step."""
    for function in workflow.decorated:
        if len(function.decorator_list) != 1 or workflow.tree.loads.get(function.name):
            continue
        if not workflow.step_parameters.isdisjoint(workflow.names_of(function)):
            continue
        if function.name in workflow.tree.escaped or isinstance(
            workflow.tree.scope[function], (ast.ClassDef, *COMPREHENSIONS)
        ):
            continue
        if isinstance(workflow.tree.scope[function], FUNCTIONS):
            place = workflow.source.find_word(function.name, function)
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


_ALL = "builtins.BaseException"


def check_broad_handlers(workflow: Workflow) -> Iterator[Diagnostic]:
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
            clause = "except:" if handler.type is None else f"except {workflow.one_line(handler.type)}"
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
