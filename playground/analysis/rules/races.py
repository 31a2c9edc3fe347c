"""Code that goes on with the step that is done first, or gives up on one after a time: replay does as it did."""

import ast
from collections.abc import Iterator

from playground.analysis.diagnostics import Diagnostic, report
from playground.analysis.rules.step_config import spoken
from playground.analysis.workflow import DO, WAIT, Workflow
from playground.workflows import durations

LOOKED_AT = 100  # nodes of what a timeout stands around, to learn which kinds of steps are there

_FIRST = frozenset({"asyncio.FIRST_COMPLETED", "asyncio.FIRST_EXCEPTION"})
_TIMEOUTS = frozenset({"asyncio.timeout", "asyncio.timeout_at"})
_OF_TASKS = frozenset({"asyncio.create_task", "asyncio.ensure_future", "asyncio.shield"})
_FOLLOWED = 3  # names looked behind, each made of the next


def check(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about races between steps, and about timeouts around steps that are not the step's own."""
    for node in workflow.tree.of[ast.Call]:
        owner = workflow.tree.enclosing(node)
        if owner in workflow.inside or owner not in workflow.leading:
            continue
        name = workflow.tree.dotted(node.func)
        if name == "asyncio.as_completed":
            yield report("first-come", workflow.source.span(node.func), call="asyncio.as_completed")
        elif name == "asyncio.wait":
            when = _keyword(node, "return_when")
            if when is not None and _is_first(workflow, when):
                yield report("first-come", workflow.source.span(when), call=workflow.words_of(when))
            elif (seconds := _keyword(node, "timeout")) is not None and not _is_none(seconds):
                yield _timeout(workflow, node, node.args[:1], seconds)
        elif name == "asyncio.wait_for":
            seconds = node.args[1] if len(node.args) > 1 else _keyword(node, "timeout")
            waited = node.args[:1] or [given.value for given in node.keywords if given.arg == "fut"]
            if (
                seconds is not None
                and not _is_none(seconds)
                and any(_leads_to_steps(workflow, part) for part in waited)
            ):
                yield _timeout(workflow, node, waited, seconds)
        elif name in _TIMEOUTS:
            item = workflow.tree.parents[node]
            around = workflow.tree.parents[item] if isinstance(item, ast.withitem) else None
            body = around.body if isinstance(around, ast.AsyncWith) and node.args and not _is_none(node.args[0]) else []
            if any(workflow.makes_steps(statement) for statement in body):
                yield _timeout(workflow, node, body, node.args[0] if name == "asyncio.timeout" else None)


def _timeout(
    workflow: Workflow, node: ast.Call, around: list[ast.expr] | list[ast.stmt], seconds: ast.expr | None
) -> Diagnostic:
    """The finding, with the step's own timeout written out where there is one kind of step and a plain number."""
    inside = [call for part in around for call in _calls(workflow, part)]
    value = seconds.value if isinstance(seconds, ast.Constant) else None
    plain = (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and 0 < value <= durations.LONGEST / durations.SECOND
    )
    text = spoken(value * durations.SECOND) if plain and isinstance(value, (int, float)) else '"…"'
    kinds = {workflow.by_node[call].kind for call in inside}
    own = [f'`config={{"timeout": {text}}}` (for each attempt)'] if not kinds or DO in kinds else []
    own += [f"`wait_for_event(…, timeout={text})`"] if not kinds or WAIT in kinds else []
    cure = f" The step's own timeout is stored: {' or '.join(own)}." if own else ""
    return report("timeout-around-step", workflow.source.span(node), call=workflow.words_of(node.func), cure=cure)


def _calls(workflow: Workflow, part: ast.AST) -> list[ast.Call]:
    """The calls of the step object in a piece of code, as far as is looked."""
    waiting, found = [part], []
    for _ in range(LOOKED_AT):
        if not waiting:
            break
        node = waiting.pop()
        if not workflow.makes_steps(node):
            continue
        if isinstance(node, ast.Call) and node in workflow.by_node:
            found.append(node)
        else:
            waiting.extend(ast.iter_child_nodes(node))
    return found


def _leads_to_steps(workflow: Workflow, node: ast.AST, followed: int = 0) -> bool:
    """Whether what is waited for makes a step: it stands there, or is kept in a name."""
    if workflow.makes_steps(node):
        return True
    if isinstance(node, ast.Call) and workflow.tree.dotted(node.func) in _OF_TASKS:
        return any(_leads_to_steps(workflow, part, followed) for part in node.args)
    value = workflow.tree.value(node)
    return value is not None and followed < _FOLLOWED and _leads_to_steps(workflow, value, followed + 1)


def _is_first(workflow: Workflow, when: ast.expr) -> bool:
    return workflow.tree.dotted(when) in _FIRST or (
        isinstance(when, ast.Constant) and when.value in ("FIRST_COMPLETED", "FIRST_EXCEPTION")
    )


def _keyword(node: ast.Call, name: str) -> ast.expr | None:
    return next((given.value for given in node.keywords if given.arg == name), None)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
