"""Functions made in a loop and run later: they read the loop's variable when they run, and by then it has moved on."""

import ast
from collections.abc import Iterator

from playground.analysis.diagnostics import Diagnostic, Fix, Span, report
from playground.analysis.tree import COMPREHENSIONS, FUNCTIONS, below
from playground.analysis.workflow import Workflow

_LOOPS = (ast.For, ast.AsyncFor)


def check(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about lambdas given to steps that a loop starts without awaiting each before the next."""
    for call in workflow.step_calls:
        callback = call.callback
        if not isinstance(callback, ast.Lambda) or isinstance(workflow.tree.parents[call.node], ast.Await):
            continue
        targets = _loop_variables(workflow, call.node)
        captured = [
            name
            for name in below(callback.body)
            if isinstance(name, ast.Name) and workflow.tree.bound(name)[:1] in targets
        ]
        if captured:
            name = captured[0].id
            line, column = workflow.source.place(callback.lineno, callback.col_offset)
            plain = not callback.args.args and not callback.args.posonlyargs and callback.args.vararg is None
            after = Span(line, column + len("lambda"), line, column + len("lambda"))
            fix = Fix(f"Bind {name}", after, f" {name}={name}") if plain and not callback.args.kwonlyargs else None
            yield report("late-variable", workflow.source.span(captured[0]), fix, name=name)


def _loop_variables(workflow: Workflow, node: ast.AST) -> list[list[ast.AST]]:
    """What the loops around a node bind, up to the function that holds them."""
    found: list[list[ast.AST]] = []
    for above in workflow.tree.above(node):
        if isinstance(above, (*FUNCTIONS, ast.Lambda)):
            break
        targets = [above.target] if isinstance(above, _LOOPS) else []
        if isinstance(above, COMPREHENSIONS):
            targets = [generator.target for generator in above.generators]
        found.extend([name] for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))
    return found
