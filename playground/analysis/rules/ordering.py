"""The order of steps: orders that depend on memory addresses (a set's, `hash()`, `id()`), and races between steps.

Replay repeats a race, or a timeout around a step, from the journal.
"""

import ast
from collections.abc import Iterator

from playground.analysis.diagnostics import Diagnostic, Fix, report
from playground.analysis.rules.step_calls import duration_text
from playground.analysis.syntax import COMPREHENSIONS
from playground.analysis.workflow import Workflow
from playground.workflows import durations
from playground.workflows.events import DO, WAIT

MAX_NODES_SEARCHED = 100  # nodes inside a timeout, to find the kinds of its steps

_FIRST = frozenset({"asyncio.FIRST_COMPLETED", "asyncio.FIRST_EXCEPTION"})
_TIMEOUTS = frozenset({"asyncio.timeout", "asyncio.timeout_at"})
_OF_TASKS = frozenset({"asyncio.create_task", "asyncio.ensure_future", "asyncio.shield"})
_RACES_FOLLOWED = 3  # names resolved, each assigned from the next


def check_races(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about races between steps, and about timeouts around steps that are not the step's own."""
    for node in workflow.tree.nodes_by_type[ast.Call]:
        owner = workflow.tree.enclosing(node)
        if owner in workflow.in_steps or owner not in workflow.step_makers:
            continue
        name = workflow.tree.dotted(node.func)
        if name == "asyncio.as_completed":
            yield report("first-come", workflow.source.span(node.func), call="asyncio.as_completed")
        elif name == "asyncio.wait":
            when = _keyword(node, "return_when")
            if when is not None and _is_first(workflow, when):
                yield report("first-come", workflow.source.span(when), call=workflow.one_line(when))
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
    text = duration_text(value * durations.SECOND) if plain and isinstance(value, (int, float)) else '"…"'
    kinds = {workflow.by_node[call].kind for call in inside}
    own = [f'`config={{"timeout": {text}}}` (for each attempt)'] if not kinds or DO in kinds else []
    own += [f"`wait_for_event(…, timeout={text})`"] if not kinds or WAIT in kinds else []
    cure = f" The step's own timeout is stored: {' or '.join(own)}." if own else ""
    return report("timeout-around-step", workflow.source.span(node), call=workflow.one_line(node.func), cure=cure)


def _calls(workflow: Workflow, part: ast.AST) -> list[ast.Call]:
    """The calls of the step object in a piece of code, up to the limit."""
    waiting, found = [part], []
    for _ in range(MAX_NODES_SEARCHED):
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
    return value is not None and followed < _RACES_FOLLOWED and _leads_to_steps(workflow, value, followed + 1)


def _is_first(workflow: Workflow, when: ast.expr) -> bool:
    return workflow.tree.dotted(when) in _FIRST or (
        isinstance(when, ast.Constant) and when.value in ("FIRST_COMPLETED", "FIRST_EXCEPTION")
    )


def _keyword(node: ast.Call, name: str) -> ast.expr | None:
    return next((given.value for given in node.keywords if given.arg == name), None)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


_SETS_FOLLOWED = 5  # names resolved, each assigned from the next
_MAKE_SETS = frozenset({"builtins.set", "builtins.frozenset"})
_GIVE_SETS = frozenset({"union", "intersection", "difference", "symmetric_difference", "copy"})
_OF_SETS = (ast.BitOr, ast.BitAnd, ast.Sub, ast.BitXor)
_VIEWS = frozenset({"keys", "items"})  # of a dict: in order themselves, but what `&` or `-` makes of two is a set
_KEEP_THE_ORDER = frozenset(
    f"builtins.{name}" for name in ("list", "tuple", "iter", "enumerate", "reversed", "zip", "map", "filter")
)
_TAKE_A_FUNCTION = frozenset({"builtins.map", "builtins.filter"})
_ANNOTATIONS = frozenset({
    "builtins.set", "builtins.frozenset", "typing.Set", "typing.FrozenSet", "typing.AbstractSet", "collections.abc.Set"
})  # fmt: skip
HASH = "hash-of-object"
_NUMBERS = {"builtins.hash": HASH, "builtins.id": "id-of-object"}
_BRANCHES = (ast.If, ast.While, ast.IfExp, ast.Match)


def check_set_order(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about steps in the order of a set, and about steps that `hash()` or `id()` name or choose."""
    yield from _Sets(workflow).findings()
    for call in workflow.tree.nodes_by_type[ast.Call]:
        code = _NUMBERS.get(workflow.tree.dotted(call.func) or "")
        if code is None or not call.args or workflow.tree.enclosing(call) in workflow.in_steps:
            continue
        is_text = isinstance(
            call.args[0], (ast.Constant, ast.JoinedStr)
        )  # hashed alike everywhere: all workers have one seed
        if not (is_text and code == HASH) and _decides(workflow, call):
            yield report(code, workflow.source.span(call), call=workflow.one_line(call))
    for given in workflow.tree.nodes_by_type[ast.keyword]:
        code = _NUMBERS.get(workflow.tree.dotted(given.value) or "")
        if code is not None and given.arg == "key" and workflow.tree.enclosing(given) in workflow.step_makers:
            yield report(code, workflow.source.span(given), call=workflow.one_line(given))


class _Sets:
    """Finds sets, and values made from them that keep their order."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.tree = workflow.tree
        self.known: dict[
            ast.expr, ast.expr | None
        ] = {}  # what names are assigned, and the part of it that is to be sorted

    def findings(self) -> Iterator[Diagnostic]:
        for loop in (*self.tree.nodes_by_type[ast.For], *self.tree.nodes_by_type[ast.AsyncFor]):
            if any(self.workflow.makes_steps(statement) for statement in loop.body):
                yield from self.report(loop.iter)
        for kind in COMPREHENSIONS:
            for node in self.tree.nodes_by_type[kind]:
                yield from self.comprehension(node)
        for call in self.tree.nodes_by_type[ast.Call]:
            if (
                len(call.args) > 1
                and self.tree.dotted(call.func) == "builtins.map"
                and self.workflow.makes_steps(call.args[0])
            ):
                for given in call.args[1:]:
                    yield from self.report(given)

    def comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> Iterator[Diagnostic]:
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        makes = any(self.workflow.makes_steps(part) for part in parts)
        for generator in reversed(node.generators):
            makes = makes or any(self.workflow.makes_steps(condition) for condition in generator.ifs)
            if makes:
                yield from self.report(generator.iter)
            makes = makes or self.workflow.makes_steps(generator.iter)

    def report(self, over: ast.expr) -> Iterator[Diagnostic]:
        if self.tree.enclosing(over) in self.workflow.in_steps:
            return
        unordered = self.unordered(over)
        if unordered is not None:
            place = self.workflow.source.span(unordered)
            text = self.workflow.source.text_of(unordered)
            bracketed = isinstance(unordered, ast.GeneratorExp) and text.startswith("(")
            yield report("set-order", place, Fix("Sort it", place, f"sorted{text}" if bracketed else f"sorted({text})"))

    def unordered(self, node: ast.expr, followed: int = 0) -> ast.expr | None:
        """The part of an expression to be sorted, when what it gives comes in the order of a set."""
        if self.is_set(node, followed):
            return node
        if isinstance(node, ast.Starred):
            return self.unordered(node.value, followed)
        if isinstance(node, ast.Call) and self.tree.dotted(node.func) in _KEEP_THE_ORDER:
            given = node.args[1:] if self.tree.dotted(node.func) in _TAKE_A_FUNCTION else node.args
            return self.first([part for part in given if not isinstance(part, (ast.Constant, ast.Lambda))], followed)
        if isinstance(node, (ast.ListComp, ast.GeneratorExp)):
            return node if self.unordered(node.generators[0].iter, followed) is not None else None
        if isinstance(node, (ast.List, ast.Tuple)):
            return self.first([part for part in node.elts if isinstance(part, ast.Starred)], followed)
        if isinstance(node, ast.Name):
            return node if self.behind(node, followed) is not None else None
        return None

    def first(self, parts: list[ast.expr], followed: int) -> ast.expr | None:
        return next((found for part in parts if (found := self.unordered(part, followed)) is not None), None)

    def behind(self, name: ast.Name, followed: int) -> ast.expr | None:
        """What is to be sorted of the value that a name stands for."""
        value = self.tree.value(name)
        if value is None or followed >= _SETS_FOLLOWED:
            return None
        if value not in self.known:
            self.known[value] = None  # names made of each other end here
            self.known[value] = self.unordered(value, followed + 1)
        return self.known[value]

    def is_set(self, node: ast.expr, followed: int) -> bool:
        sides: list[ast.expr] = []
        while isinstance(node, ast.BinOp) and isinstance(node.op, _OF_SETS):
            sides.append(node.right)
            node = node.left
        if sides:
            return any(_is_view(side) or self.is_set(side, followed) for side in (node, *sides))
        if isinstance(node, ast.Call):
            method = node.func.attr if isinstance(node.func, ast.Attribute) else None
            made = self.tree.dotted(node.func) in _MAKE_SETS and (
                bool(node.args) or followed > 0
            )  # an empty one may be filled later
            return made or (
                method in _GIVE_SETS and isinstance(node.func, ast.Attribute) and self.is_set(node.func.value, followed)
            )
        if isinstance(node, ast.Name):
            bound = self.tree.bound(node)
            return (len(bound) == 1 and self.is_annotated(bound[0])) or self.behind(node, followed) is self.tree.value(
                node
            ) is not None
        return isinstance(node, (ast.Set, ast.SetComp))

    def is_annotated(self, binding: ast.AST) -> bool:
        """Whether a parameter says that it is a set."""
        annotation = binding.annotation if isinstance(binding, ast.arg) else None
        if isinstance(annotation, ast.Subscript):
            annotation = annotation.value
        return annotation is not None and self.tree.dotted(annotation) in _ANNOTATIONS


def _is_view(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in _VIEWS
        and not node.args
    )


def _decides(workflow: Workflow, node: ast.AST, traced: int = 2) -> bool:
    """Whether a number names a step, or stands in a condition on which steps depend."""
    child = node
    for parent in workflow.tree.above(node):
        step = workflow.by_node.get(parent) if isinstance(parent, ast.Call) else None
        if step is not None and step.name is child:
            return True
        if isinstance(parent, _BRANCHES) and child is (
            parent.subject if isinstance(parent, ast.Match) else parent.test
        ):
            return workflow.makes_steps(parent)
        if isinstance(parent, (ast.Assign, ast.AnnAssign, ast.NamedExpr)) and traced and parent.value is child:
            targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target]
            if len(targets) == 1 and isinstance(targets[0], ast.Name) and len(workflow.tree.bound(targets[0])) == 1:
                return any(_decides(workflow, use, traced - 1) for use in workflow.tree.uses(targets[0]))
        if isinstance(parent, (ast.stmt, ast.Lambda)):
            return False
        child = parent
    return False
