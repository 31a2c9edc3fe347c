"""Steps that are called inside another step's callback: steps of their own, counted in their parent's namespace."""

import ast
from collections.abc import Iterator

from playground.analysis.diagnostics import Diagnostic, report
from playground.analysis.workflow import DO, SLEEP, WAIT, Callback, Workflow

_RUNS_ON = " The timeout of the attempt around it goes on meanwhile."
_KINDS = {DO: ("step", ""), SLEEP: ("sleep", _RUNS_ON), WAIT: ("wait", _RUNS_ON)}


def check(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about steps inside steps, each at the call that makes it there."""
    named = {
        function: _name(workflow, call.name if call is not None else None, function)
        for call, function in workflow.callbacks
    }
    for node in workflow.tree.of[ast.Call]:
        owner = workflow.tree.enclosing(node)
        if owner not in workflow.inside:
            continue
        kind = _made_by(workflow, node, shared=owner in workflow.replayed)
        if kind is not None:
            word, more = _KINDS[kind]
            callback = workflow.inside[owner]
            parent = named.get(callback, "") if callback is not None else ""
            yield report(
                "step-in-step", workflow.source.span(node.func), kind=word, parent=parent or "another step", more=more
            )


def _made_by(workflow: Workflow, node: ast.Call, shared: bool) -> str | None:
    """The kind of step that a call makes. One in a helper that steps and others call is told where a step calls it."""
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
    return DO if called in workflow.leading and called in workflow.replayed else None


def _name(workflow: Workflow, name: ast.expr | None, callback: Callback) -> str:
    """What the step of a callback is called, as far as it stands there."""
    if isinstance(name, ast.Constant) and isinstance(name.value, str):
        return f"`{name.value}`"
    if name is not None and not isinstance(name, ast.Constant):
        return f"`{workflow.words_of(name)}`"
    return f"`{getattr(callback, 'name', '')}`" if getattr(callback, "name", "") else ""
