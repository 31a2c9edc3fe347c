"""Calls of `step.patched` and `step.deprecate_patch`: where they can't be asked, and answers that change nothing."""

import ast
from collections.abc import Iterator

from playground.analysis.diagnostics import Diagnostic, Fix, report
from playground.analysis.workflow import Workflow
from playground.workflows.unavailable import PATCH_METHODS

PATCHED = "patched"


def check(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about patches asked for inside steps, awaited, or asked for in vain."""
    for node in workflow.tree.nodes_by_type[ast.Call]:
        if not (
            isinstance(node.func, ast.Attribute)
            and node.func.attr in PATCH_METHODS
            and workflow.is_step(node.func.value)
        ):
            continue
        place, parent = workflow.source.span(node), workflow.tree.parents[node]
        if workflow.tree.enclosing(node) in workflow.in_steps:
            yield report("patch-in-step", place, call=workflow.one_line(node.func))
        if isinstance(parent, ast.Await):
            whole = workflow.source.span(parent)
            fix = Fix("Remove await", whole, workflow.one_line(node))
            yield report("patch-awaited", whole, fix, call=workflow.one_line(node.func))
        elif isinstance(parent, ast.Expr) and node.func.attr == PATCHED:
            yield report("patch-unused", place)
