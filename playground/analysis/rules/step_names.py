"""Step names: a stored result is found by kind, name and count, so a name must be the same in every execution."""

import ast
from collections.abc import Iterator

from playground.analysis.diagnostics import Diagnostic, Fix, report
from playground.analysis.rules import determinism
from playground.analysis.syntax import below
from playground.analysis.workflow import DO, SLEEP, WAIT, StepCall, Workflow
from playground.workflows import names
from playground.workflows.errors import InvalidEventType

_VARYING = frozenset({determinism.TIME, determinism.RANDOM, determinism.ID})
_WORDS = {DO: "step", SLEEP: "sleep", WAIT: "wait"}
_LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break)


def check(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about the names of steps, sleeps and waits, and about event types."""
    first: dict[tuple[ast.AST | None, str, str], StepCall] = {}
    for call in workflow.step_calls:
        name = call.name
        if isinstance(name, ast.Constant):
            if name.value is not None and not names.step_name_fits(name.value):
                yield report("bad-name", workflow.source.span(name))
        elif name is not None and _varies(workflow, name):
            yield report("unstable-name", workflow.source.span(name))
        yield from _event_type(workflow, call)
        text = constant_name(workflow, call)
        if text is not None:
            parent = workflow.tree.enclosing(call.node)  # a step inside a step is counted there
            earlier = first.setdefault((parent if parent in workflow.inside else None, call.kind, text), call)
            if earlier is not call and not _apart(workflow, earlier.node, call.node):
                place = name if name is not None else call.node
                yield report(
                    "duplicate-name",
                    workflow.source.span(place),
                    line=earlier.node.lineno,
                    kind=_WORDS[call.kind],
                    name=text,
                )


def constant_name(workflow: Workflow, call: StepCall) -> str | None:
    """The name of a step when it is the same text each time."""
    name = call.name
    if name is None:
        return call.decorated.name if call.decorated is not None and not call.open_ended else None
    if isinstance(name, ast.Name):
        name = workflow.tree.value(name)
    if isinstance(name, ast.Constant):
        if name.value is None and call.decorated is not None:
            return call.decorated.name
        return name.value if isinstance(name.value, str) else None
    return None


def _varies(workflow: Workflow, name: ast.expr) -> bool:
    """Whether a name is made from something that every execution answers anew."""
    for node in below(name):
        if determinism.kind_of(workflow, node) in _VARYING:
            return True
        value = workflow.tree.value(node)
        if value is not None and any(
            determinism.kind_of(workflow, part) in _VARYING for part in _not_in_steps(workflow, value)
        ):
            return True
    return False


def _not_in_steps(workflow: Workflow, value: ast.expr) -> Iterator[ast.AST]:
    """The parts of an expression; none when a step computes it, since its result is stored."""
    parts = list(below(value))
    return iter(()) if any(isinstance(part, (ast.Await, ast.Lambda)) for part in parts) else iter(parts)


def _event_type(workflow: Workflow, call: StepCall) -> Iterator[Diagnostic]:
    given = call.argument(1, "event_type") if call.kind == WAIT else None
    if not isinstance(given, ast.Constant):
        return
    try:
        names.check_event_type(given.value)
    except InvalidEventType:
        fix = None
        if isinstance(given.value, str):
            better = "".join(
                letter if letter.isascii() and (letter.isalnum() or letter in "_-") else "-" for letter in given.value
            )
            better = better.strip("-")[: names.EVENT_TYPE_LENGTH]
            fix = Fix(f'Make it "{better}"', workflow.source.span(given), f'"{better}"') if better else None
        yield report("bad-event-type", workflow.source.span(given), fix)


def _apart(workflow: Workflow, one: ast.AST, other: ast.AST) -> bool:
    """Whether two calls never share a run: they stand in two arms of a branch, after an early return, or in two
    functions.
    """
    path, other_path = _path(workflow, one), _path(workflow, other)
    shared = next(node for node in path if node in other_path)
    ours, theirs = _below(path, shared), _below(other_path, shared)
    if isinstance(shared, (ast.ClassDef, ast.Module)):
        return True
    if isinstance(shared, ast.Match):
        return ours is not theirs
    if isinstance(shared, (ast.If, ast.IfExp, ast.Try)) and _arm(shared, ours) != _arm(shared, theirs):
        return not isinstance(shared, ast.Try) or "body" not in (_arm(shared, ours), _arm(shared, theirs))
    return any(_leaves(branch, _arm(branch, _below(path, branch))) for branch in path[1 : path.index(shared)])


def _leaves(branch: ast.AST, arm: str) -> bool:
    """Whether an arm of a branch ends by leaving, so that what comes after the branch does not run with it."""
    body = getattr(branch, arm, None) if isinstance(branch, (ast.If, ast.ExceptHandler, ast.match_case)) else None
    return isinstance(body, list) and isinstance(body[-1], _LEAVES)


def _path(workflow: Workflow, node: ast.AST) -> list[ast.AST]:
    return [node, *workflow.tree.above(node)]


def _below(path: list[ast.AST], shared: ast.AST) -> ast.AST:
    place = path.index(shared)
    return path[place - 1] if place else shared


def _arm(branch: ast.AST, node: ast.AST) -> str:
    """The part of a branch that a node directly below stands in; each handler of a `try` is one of its own."""
    for field, value in ast.iter_fields(branch):
        if isinstance(value, list) and node in value:
            return f"{field}{value.index(node)}" if field == "handlers" else field
        if value is node:
            return field
    return ""
