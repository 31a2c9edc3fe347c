"""The outline: the steps, sleeps and waits that a run will reach, in that order, as far as the source shows them.

A decorated step is at its first call (or where another step's parameter requests it), with the line of its decorator,
which is its line in the journal. Calls of helper functions are followed. Conditions are labelled by their source. A
name that is computed at run time becomes a pattern: `step.do(f"item {i}")` is `item {i}`, and its node has
`pattern: true`.
"""

import ast
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playground.analysis.syntax import COMPREHENSIONS, FUNCTIONS, Function, Placed, below, children
from playground.analysis.workflow import StepCall, Workflow
from playground.workflows.events import DO, SLEEP, WAIT

MAX_TEXT = 60  # characters of a condition or of a computed part of a name
PARTS = 50  # pieces of a name that are read: variables made of variables, twice each, would be endless


Part = tuple[str, bool]  # a piece of a name, and whether it is known; else it is a placeholder


class Labels:
    """The labels of an outline. Inside a helper it knows the texts that a call passes as arguments."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow
        self._arguments: dict[ast.AST, list[Part]] = {}

    @contextmanager
    def inside(self, call: ast.Call, helper: Function) -> Iterator[None]:
        """Enter the helper of a call, where parameters with texts as arguments are known."""
        parameters = [*helper.args.posonlyargs, *helper.args.args][isinstance(call.func, ast.Attribute) :]
        filled: dict[ast.AST, ast.expr] = dict(zip(parameters, call.args, strict=False))
        filled |= {
            parameter: given.value for given in call.keywords for parameter in parameters if parameter.arg == given.arg
        }
        parts = {parameter: self._first_parts(value) for parameter, value in filled.items()}
        known_parts = {parameter: pieces for parameter, pieces in parts.items() if any(known for _, known in pieces)}
        outer, self._arguments = self._arguments, {**self._arguments, **known_parts}
        try:
            yield
        finally:
            self._arguments = outer

    def name(self, name: ast.expr, default: str) -> dict[str, Any]:
        """The name of a step, with `pattern: true` when parts of it are placeholders;
        `default` where None is written.
        """
        if isinstance(name, ast.Constant) and name.value is None:
            return {"name": default}
        parts = self._first_parts(name)
        text = "".join(part for part, _ in parts)
        return {"name": text} if all(known for _, known in parts) else {"name": text, "pattern": True}

    def text(self, node: Placed) -> str:
        """The source of a node, cut to what can be shown."""
        text = self._workflow.source.one_line(node)
        return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"

    def _first_parts(self, name: ast.expr) -> list[Part]:
        return list(itertools.islice(self._parts(name), PARTS))

    def _parts(self, name: ast.expr, followed: tuple[str, ...] = ()) -> Iterator[Part]:
        """The pieces of a name. `followed` are the variables resolved so far, since two may be made of each other."""
        if isinstance(name, ast.Name):
            yield from self._of_variable(name, followed)
        elif isinstance(name, ast.Constant) and isinstance(name.value, (str, int, float)):
            yield str(name.value), True
        elif isinstance(name, ast.JoinedStr):
            for value in name.values:
                yield from self._parts(value, followed)
        elif (
            isinstance(name, ast.FormattedValue)
            and name.format_spec is None
            and isinstance(name.value, (ast.Name, ast.Constant))
        ):
            yield from self._parts(name.value, followed)
        elif isinstance(name, ast.BinOp) and isinstance(name.op, ast.Add):
            yield from self._parts(name.left, followed)
            yield from self._parts(name.right, followed)
        else:
            yield "{" + self.text(name.value if isinstance(name, ast.FormattedValue) else name) + "}", False

    def _of_variable(self, name: ast.Name, followed: tuple[str, ...]) -> Iterator[Part]:
        bound = self._workflow.tree.bound(name)
        value = self._workflow.tree.value(name) if name.id not in followed else None
        if len(bound) == 1 and bound[0] in self._arguments:
            yield from self._arguments[bound[0]]
        elif isinstance(value, (ast.Constant, ast.JoinedStr)):
            yield from self._parts(value, (*followed, name.id))
        else:
            yield "{" + name.id + "}", False


NODES = 500  # nodes at most; a longer outline is not read
MAX_HELPER_CALLS = 500  # calls that are followed: a chain of helpers that each call the next one twice is exponential

_GATHERS = {"asyncio.gather": "gather", "asyncio.wait": "wait", "asyncio.as_completed": "as_completed"}
_TASK_GROUP = "asyncio.TaskGroup"

Node = dict[str, Any]


def outline(workflow: Workflow) -> list[Node]:
    """The outline of the entry class's `run`."""
    nodes: list[Node] = []
    if workflow.run is not None:
        outliner = _Outliner(workflow)
        outliner.function(workflow.run, nodes)
        outliner.unreached(workflow.run, nodes)
    return nodes


class _Outliner:
    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.tree = workflow.tree
        self.labels = Labels(workflow)
        self.count = 0
        self.helper_calls = 0
        self.shown: set[Function] = set()  # decorated steps, each of which has one node for all its calls
        self.named = {name: step for step in workflow.decorated for name in workflow.names_of(step)[1:]}
        self.inside: list[Function] = []  # helpers being followed, against recursion
        self.filled: set[str] = set()  # lists that the current loop appends awaitables to
        self.held: dict[str, list[Node]] = {}  # nodes of awaitables that a name holds until they are awaited

    def function(self, function: Function, into: list[Node]) -> None:
        self.inside.append(function)
        # Each call creates them again.
        self.shown -= {step for step in self.workflow.decorated if self.tree.scope[step] is function}
        outer, self.held = self.held, {}
        self.statements(function.body, into)
        for nodes in self.held.values():
            into.extend(nodes)
        self.held = outer
        self.inside.pop()

    def unreached(self, function: Function, into: list[Node]) -> None:
        """Add the decorated steps without a known call, at the end."""
        for step in sorted(self.workflow.decorated, key=lambda step: step.lineno):
            if step not in self.shown and function in self.tree.above(step):
                self.decorated(step, into)

    def statements(self, body: list[ast.stmt], into: list[Node]) -> None:
        for place, statement in enumerate(body):
            self.statement(statement, into)
            left = (
                isinstance(statement, ast.If)
                and not statement.orelse
                and isinstance(statement.body[-1], (ast.Return, ast.Raise))
            )
            if left and place == len(body) - 2 and into and into[-1]["line"] == statement.lineno:
                self.group("branch", "else", body[-1], [body[-1]], into)
                return

    def statement(self, node: ast.stmt, into: list[Node]) -> None:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            return
        if isinstance(node, ast.If):
            self.branches(node, into)
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            self.visit(node.iter, into)
            self.loop(f"for {self.labels.text(node.target)} in {self.labels.text(node.iter)}", node, node.body, into)
        elif isinstance(node, ast.While):
            self.loop(f"while {self.labels.text(node.test)}", node, [node.test, *node.body], into)
        elif isinstance(node, ast.Match):
            self.visit(node.subject, into)
            for case in node.cases:
                self.group(
                    "branch",
                    f"case {self.labels.text(case.pattern)}",
                    case.pattern,
                    [case.guard, *case.body],
                    into,
                    case.body[-1],
                )
        elif isinstance(node, (ast.Try, ast.TryStar)):
            self.statements(node.body, into)
            for handler in node.handlers:
                self.group(
                    "branch",
                    f"except {self.labels.text(handler.type)}" if handler.type else "except",
                    handler,
                    handler.body,
                    into,
                )
            self.statements([*node.orelse, *node.finalbody], into)
        elif isinstance(node, ast.AsyncWith) and any(self.is_task_group(item.context_expr) for item in node.items):
            _named_by_loop(self.group("parallel", "TaskGroup", node, node.body, into))
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            self.assigned(node.targets[0].id, node.value, into)
        else:
            for child in children(node):
                self.visit(child, into)

    def assigned(self, name: str, value: ast.expr, into: list[Node]) -> None:
        """An awaitable assigned to a name belongs where the name is used: `tasks = [...]`, later `gather(*tasks)`."""
        kept: list[Node] = []
        self.visit(value, kept)
        if kept and not self.starts(value):
            self.held[name] = kept
        else:
            into.extend(kept)

    def branches(self, node: ast.If, into: list[Node]) -> None:
        self.visit(node.test, into)
        self.group("branch", f"if {self.labels.text(node.test)}", node, node.body, into, node.body[-1])
        if (
            len(node.orelse) == 1
            and isinstance(node.orelse[0], ast.If)
            and node.orelse[0].col_offset == node.col_offset
        ):
            rest: list[Node] = []
            self.branches(node.orelse[0], rest)
            for arm in rest:
                if arm.get("line") == node.orelse[0].lineno and arm["kind"] == "branch":
                    arm["name"] = f"el{arm['name']}" if arm["name"].startswith("if ") else arm["name"]
            into.extend(rest)
        elif node.orelse:
            self.group("branch", "else", node.orelse[0], node.orelse, into, node.orelse[-1])

    def group(
        self, kind: str, name: str, node: Placed, parts: list[Any], into: list[Node], last: Placed | None = None
    ) -> Node | None:
        """A node with children, when there are any."""
        inner: list[Node] = []
        for part in parts:
            if isinstance(part, ast.stmt):
                self.statement(part, inner)
            elif part is not None:
                self.visit(part, inner)
        if not inner:
            return None
        made = {
            "kind": kind,
            "name": name,
            "line": node.lineno,
            "end_line": (last or node).end_lineno,
            "children": inner,
        }
        into.append(made)
        return made

    def visit(self, node: ast.AST, into: list[Node]) -> None:
        if self.count >= NODES or isinstance(node, ast.Lambda):
            return
        if isinstance(node, ast.Call):
            self.call(node, into)
        elif isinstance(node, COMPREHENSIONS):
            self.comprehension(node, into)
        elif isinstance(node, ast.IfExp):
            self.visit(node.test, into)
            self.group("branch", f"if {self.labels.text(node.test)}", node.body, [node.body], into)
            self.group("branch", "else", node.orelse, [node.orelse], into)
        elif isinstance(node, ast.Name):
            self.name(node, into)
        else:
            for child in children(node):
                self.visit(child, into)

    def call(self, node: ast.Call, into: list[Node]) -> None:
        step = self.workflow.by_node.get(node)
        if step is not None:
            for argument in node.args[1:]:
                if not isinstance(argument, ast.Name):
                    self.visit(argument, into)
            if step.kind != DO or step.callback is not None:
                into.append(self.step(step))
            return
        gathers = _GATHERS.get(self.tree.dotted(node.func) or "")
        if gathers is not None:
            _named_by_loop(self.group("parallel", gathers, node, node.args, into))
            return
        if (
            isinstance(node.func, ast.Attribute)
            and node.func.attr == "append"
            and isinstance(node.func.value, ast.Name)
        ):
            self.appended(node.func.value.id, node.args, into)
            return
        for child in children(node):
            self.visit(child, into)
        called = self.workflow.called(node.func)
        if called is None or called in self.inside or called in self.workflow.decorated or called.decorator_list:
            return
        self.helper_calls += 1
        if self.helper_calls > MAX_HELPER_CALLS:
            return
        with self.labels.inside(node, called):
            self.function(called, into)

    def loop(self, name: str, node: ast.For | ast.AsyncFor | ast.While, parts: list[Any], into: list[Node]) -> None:
        """A loop that only fills a list with awaitables, as `tasks.append(step())` does, belongs where the list is
        used.
        """
        outer, self.filled = self.filled, set()
        found: list[Node] = []
        self.group("loop", name, node, parts, found)
        filled, self.filled = self.filled, outer
        if found and len(filled) == 1:
            self.held.setdefault(filled.pop(), []).extend(found)
        else:
            into.extend(found)
        self.statements(node.orelse, into)

    def appended(self, name: str, arguments: list[ast.expr], into: list[Node]) -> None:
        kept: list[Node] = []
        for argument in arguments:
            self.visit(argument, kept)
        into.extend(kept)
        if kept and not any(self.starts(argument) for argument in arguments):
            self.filled.add(name)

    def comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp, into: list[Node]
    ) -> None:
        first = node.generators[0]
        self.visit(first.iter, into)
        rest = [part for generator in node.generators[1:] for part in (generator.iter, *generator.ifs)]
        made = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        name = f"for {self.labels.text(first.target)} in {self.labels.text(first.iter)}"
        self.group("loop", name, node, [*first.ifs, *rest, *made], into)

    def name(self, node: ast.Name, into: list[Node]) -> None:
        if node.id in self.held:
            into.extend(self.held.pop(node.id))
            return
        function = self.workflow.step_function(node)
        if function is not None:
            self.decorated(function, into)

    def decorated(self, function: Function, into: list[Node]) -> None:
        """Add a decorated step, after the steps whose results it takes."""
        if function in self.shown:
            return
        self.shown.add(function)
        call = self.workflow.decorated[function]
        needed: list[Node] = []
        for dependency in self.dependencies(function, call):
            chain: list[Node] = []
            self.decorated(dependency, chain)
            into.extend(chain[:-1])  # what it needs itself runs before, and may be shared
            needed.extend(chain[-1:])
        if len(needed) > 1 and call is not None and _is_true(call.keyword("concurrent")):
            lines = [made["line"] for made in needed]
            needed = [
                {
                    "kind": "parallel",
                    "name": "concurrent",
                    "line": min(lines),
                    "end_line": max(lines),
                    "children": needed,
                }
            ]
        into.extend(needed)
        into.append(self.decorated_node(function, call))

    def dependencies(self, function: Function, call: StepCall | None) -> Iterator[Function]:
        depends = call.keyword("depends") if call is not None else None
        for part in getattr(depends, "elts", []):
            found = self.workflow.step_function(part)
            if found is not None:
                yield found
        home = self.tree.scope[function]
        for argument in (*function.args.args, *function.args.kwonlyargs):
            bound = self.tree.resolve(argument.arg, home)[1]
            if bound and bound[-1] in self.workflow.decorated:
                yield bound[-1]
            elif argument.arg in self.named:
                yield self.named[argument.arg]

    def decorated_node(self, function: Function, call: StepCall | None) -> Node:
        self.count += 1
        made: Node = {
            "kind": DO,
            "name": function.name,
            "line": function.decorator_list[0].lineno,
            "end_line": function.end_lineno,
        }
        if call is not None and call.name is not None:
            made.update(self.labels.name(call.name, function.name))
        return made

    def step(self, call: StepCall) -> Node:
        self.count += 1
        node = call.node
        made: Node = {"kind": call.kind, "name": "?", "line": node.lineno, "end_line": node.end_lineno}
        if call.name is not None:
            made.update(self.labels.name(call.name, "?"))
        detail = {
            SLEEP: ("duration", 1, "duration" if call.method == "sleep" else "when"),
            WAIT: ("event_type", 1, "event_type"),
        }
        if call.kind in detail:
            field, place, keyword = detail[call.kind]
            given = call.argument(place, keyword)
            if given is not None:
                made[field] = (
                    given.value
                    if isinstance(given, ast.Constant) and isinstance(given.value, str)
                    else self.labels.text(given)
                )
        return made

    def is_task_group(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Call) and self.tree.dotted(node.func) == _TASK_GROUP

    def starts(self, value: ast.expr) -> bool:
        """Whether an expression starts its awaitables itself: it awaits them, or passes them to a task group."""
        return any(
            isinstance(node, ast.Await)
            or (
                isinstance(node, ast.Attribute)
                and node.attr == "create_task"
                and self.tree.dotted(node) != "asyncio.create_task"
            )
            for node in below(value)
        )


def _named_by_loop(made: Node | None) -> None:
    """Replace a parallel group whose only child is a loop by that loop's name and children."""
    if made is not None and len(made["children"]) == 1 and made["children"][0]["kind"] == "loop":
        made["name"], made["children"] = made["children"][0]["name"], made["children"][0]["children"]


def _is_true(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is True
