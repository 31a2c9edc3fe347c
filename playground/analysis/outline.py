"""The outline: the steps, sleeps, waits and children that a run will reach, in that order, as far as the source shows.

A decorated step is at its first call (or where another step's parameter requests it), with the line of its decorator,
which is its line in the journal. Calls of helper functions are followed. Conditions are labelled by their source. A
name that is computed at run time becomes a pattern: `step.do(f"item {i}")` is `item {i}`, and its node has
`pattern: true`.

What is drawn as a graph needs more than the order: branches of one decision share `decision`; those that handle the
errors of a `try` say in `covers` how many nodes before the first of them are tried. A branch with `ends` leaves `run`.
Children of a parallel group that share a `lane` follow each other; with `each` all of them run once for each element.
A step has `inside` what is called in its callback, and `child` where that starts workflows.
"""

import ast
from collections.abc import Iterator
from typing import Any

from playground.analysis.labels import Labels
from playground.analysis.syntax import COMPREHENSIONS, FUNCTIONS, Function, Placed, below, children
from playground.analysis.workflow import CALL_TOOL, StepCall, Workflow, asked_tools, is_env, runs_child
from playground.workflows.events import CHILD, DO, SLEEP, WAIT

NODES = 500  # nodes at most; a longer outline is not read
MAX_HELPER_CALLS = 500  # calls that are followed: a chain of helpers that each call the next one twice is exponential
MAX_NESTED = 500  # nodes, and calls that are followed, in the callbacks of steps
_STARTS_WORKFLOWS = ("create", "create_batch")  # of a binding of `self.env`

_GATHERS = {"asyncio.gather": "gather", "asyncio.wait": "wait", "asyncio.as_completed": "as_completed"}
_TASK_GROUP = "asyncio.TaskGroup"
_MAP = "builtins.map"

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
        self.decisions = 0
        self.starting: dict[Function, bool] = {}  # callbacks, and whether they start workflows
        self.nesting = self.nested_nodes = self.nested_calls = 0  # in callbacks of steps: how deep, how many

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
                decision = into[-1]["decision"]
                self.branch("else", body[-1], [body[-1]], into, decision)
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
            decision = self.decision()
            for case in node.cases:
                name = f"case {self.labels.text(case.pattern)}"
                self.branch(name, case.pattern, [case.guard, *case.body], into, decision)
        elif isinstance(node, (ast.Try, ast.TryStar)):
            before, decision = len(into), self.decision()
            self.statements(node.body, into)
            covers = len(into) - before
            for handler in node.handlers:
                name = f"except {self.labels.text(handler.type)}" if handler.type else "except"
                made = self.branch(name, handler, handler.body, into, decision)
                if made is not None:
                    made["covers"] = covers
            self.statements([*node.orelse, *node.finalbody], into)
        elif isinstance(node, ast.AsyncWith) and any(self.is_task_group(item.context_expr) for item in node.items):
            _named_by_loop(self.group("parallel", "TaskGroup", node, node.body, into, lanes=True))
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            self.assigned(node.targets[0].id, node.value, into)
        else:
            for child in children(node):
                self.visit(child, into)

    def assigned(self, name: str, value: ast.expr, into: list[Node]) -> None:
        """An awaitable assigned to a name belongs where the name is used: `tasks = [...]`, later `gather(*tasks)`."""
        kept: list[Node] = []
        lanes: list[int] = []
        for lane, part in enumerate(value.elts if isinstance(value, (ast.List, ast.Tuple)) else [value]):
            self.visit(part, kept)
            lanes += [lane] * (len(kept) - len(lanes))
        if kept and not self.starts(value):
            self.held[name] = [{"lane": lane, **made} for lane, made in zip(lanes, kept, strict=True)]
        else:
            into.extend(kept)

    def decision(self) -> int:
        self.decisions += 1
        return self.decisions

    def branch(self, name: str, node: Placed, parts: list[Any], into: list[Node], decision: int) -> Node | None:
        """A branch of a decision, when there is a step in it."""
        made = self.group("branch", name, node, parts, into, parts[-1])
        if made is not None:
            made["decision"] = decision
            if isinstance(parts[-1], (ast.Return, ast.Raise)) and len(self.inside) == 1:
                made["ends"] = True
        return made

    def branches(self, node: ast.If, into: list[Node], decision: int | None = None) -> None:
        decision = self.decision() if decision is None else decision
        self.visit(node.test, into)
        self.branch(f"if {self.labels.text(node.test)}", node, node.body, into, decision)
        if (
            len(node.orelse) == 1
            and isinstance(node.orelse[0], ast.If)
            and node.orelse[0].col_offset == node.col_offset
        ):
            rest: list[Node] = []
            self.branches(node.orelse[0], rest, decision)
            for arm in rest:
                if arm.get("line") == node.orelse[0].lineno and arm["kind"] == "branch":
                    arm["name"] = f"el{arm['name']}" if arm["name"].startswith("if ") else arm["name"]
            into.extend(rest)
        elif node.orelse:
            self.branch("else", node.orelse[0], node.orelse, into, decision)

    def group(
        self,
        kind: str,
        name: str,
        node: Placed,
        parts: list[Any],
        into: list[Node],
        last: Placed | None = None,
        lanes: bool = False,
    ) -> Node | None:
        """A node with children, when there are any. With `lanes`, each part runs side by side with the others."""
        inner: list[Node] = []
        lane_of: dict[tuple[int, int], int] = {}
        for index, part in enumerate(parts):
            before = len(inner)
            if isinstance(part, ast.stmt):
                self.statement(part, inner)
            elif part is not None:
                self.visit(part, inner)
            if lanes and isinstance(part, ast.expr) and self.is_each(part) and len(inner) == before + 1:
                inner[before] |= {"kind": "parallel", "each": True}
            if lanes:
                for made in inner[before:]:
                    made["lane"] = lane_of.setdefault((index, made.get("lane", 0)), len(lane_of))
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
            decision = self.decision()
            self.branch(f"if {self.labels.text(node.test)}", node.body, [node.body], into, decision)
            self.branch("else", node.orelse, [node.orelse], into, decision)
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
        if runs_child(node):
            for argument in [*node.args, *(given.value for given in node.keywords)]:
                self.visit(argument, into)
            into.append(self.child(node))
            return
        tools = asked_tools(self.tree, node)
        if tools is not None:
            for argument in [*node.args, *(given.value for given in node.keywords)]:
                self.visit(argument, into)
            into.append(self.tools(node, tools))
            return
        called_name = self.tree.dotted(node.func) or ""
        gathers = _GATHERS.get(called_name)
        if gathers is not None:
            _named_by_loop(self.group("parallel", gathers, node, _awaitables(node.args), into, lanes=True))
            return
        if called_name == _MAP and len(node.args) > 1:
            self.mapped(node, into)
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
        called = self.helper(node.func)
        if called is not None:
            with self.labels.inside(node, called):
                self.function(called, into)

    def helper(self, node: ast.expr) -> Function | None:
        """The function that a call runs, where it is followed."""
        called = self.workflow.called(node)
        if called is None or called in self.inside or called in self.workflow.decorated or called.decorator_list:
            return None
        self.helper_calls += 1
        return called if self.helper_calls <= MAX_HELPER_CALLS else None

    def is_each(self, part: ast.expr) -> bool:
        """Whether an expression is one awaitable for each element of something."""
        return isinstance(part, COMPREHENSIONS) or (isinstance(part, ast.Call) and self.tree.dotted(part.func) == _MAP)

    def mapped(self, node: ast.Call, into: list[Node]) -> None:
        """`map(f, xs)` is `f(x) for x in xs`."""
        function, *iterables = node.args
        for iterable in iterables:
            self.visit(iterable, into)
        inner: list[Node] = []
        called: Function | ast.Lambda | None = function if isinstance(function, ast.Lambda) else None
        if isinstance(function, ast.Lambda):
            self.visit(function.body, inner)
        elif (step := self.workflow.step_function(function)) is not None:
            called = step
            self.decorated(step, inner)
        elif (helper := self.helper(function)) is not None:
            called = helper
            self.function(helper, inner)
        if called is None or not inner:
            return
        parameters = [*called.args.posonlyargs, *called.args.args][isinstance(function, ast.Attribute) :]
        targets = ", ".join(each.arg for each in parameters[: len(iterables)]) or "_"
        over = ", ".join(self.labels.text(each) for each in iterables)
        name = f"for {targets} in {over if len(iterables) == 1 else f'zip({over})'}"
        into.append({"kind": "loop", "name": name, "line": node.lineno, "end_line": node.end_lineno, "children": inner})

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
        if kept and not any(self.starts(argument) for argument in arguments):
            self.filled.add(name)
            kept = [{"lane": len(into), **made} for made in kept]  # each call has one of its own
        into.extend(kept)

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
                    "children": [made | {"lane": lane} for lane, made in enumerate(needed)],
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
        self.nested(function, made)
        return made

    def nested(self, callback: Function | None, made: Node) -> None:
        """Say of a step what its callback calls. That counts for itself, so that the rest of an outline stays whole."""
        if callback is None or callback in self.inside:
            return
        outer = self.count, self.helper_calls, self.shown, self.filled
        if not self.nesting:
            self.count, self.helper_calls = self.nested_nodes, self.nested_calls
        inner: list[Node] = []
        if max(self.count, self.helper_calls) < MAX_NESTED:
            self.helper_calls, self.shown, self.filled = self.helper_calls + 1, set(), set()
            self.nesting += 1
            self.function(callback, inner)
            self.nesting -= 1
        self.shown, self.filled = outer[2:]
        if not self.nesting:
            self.nested_nodes, self.nested_calls = self.count, self.helper_calls
            self.count, self.helper_calls = outer[:2]
        if inner:
            made["inside"] = inner
        if callback not in self.starting:
            calls = (node for node in below(callback) if self.tree.enclosing(node) is callback)
            self.starting[callback] = any(map(self.starts_workflow, calls))
        if self.starting[callback]:
            made["child"] = True

    def child(self, node: ast.Call) -> Node:
        """A workflow that is run as a child: the step is named as it will be (`Steps.run_child`)."""
        self.count += 1
        made: Node = {"kind": CHILD, "name": CHILD, "line": node.lineno, "end_line": node.end_lineno}
        given = {each.arg: each.value for each in node.keywords}
        name = given.get("name", given.get("id"))
        if name is not None:
            made.update(self.labels.name(name, "?"))
        return made

    def tools(self, node: ast.Call, method: str) -> Node:
        """A request to a server of tools: the step is named as it will be (`Tools` of worker/service_stubs.py). What
        follows a call of a tool, such as a wait for an answer, depends on the server.
        """
        self.count += 1
        made: Node = {"kind": DO, "name": "list tools", "line": node.lineno, "end_line": node.end_lineno}
        given = {each.arg: each.value for each in node.keywords}
        tool = node.args[0] if node.args else given.get("name")
        if method == CALL_TOOL and tool is not None:
            made.update(self.labels.name(tool, "?"))
            made["name"] = f"call {made['name']}"
        return made

    def starts_workflow(self, node: ast.AST) -> bool:
        """Whether a node is the call `self.env.NAME.create(...)`."""
        if not (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _STARTS_WORKFLOWS
        ):
            return False
        part = node.func.value
        while isinstance(part, ast.Attribute) and not is_env(part):
            part = part.value
        return is_env(part)

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
                made[field] = self.text_of(given)
        if call.callback is not None:
            self.nested(self.workflow.called(call.callback), made)
        return made

    def text_of(self, given: ast.expr) -> str:
        """A text as it is, several in a list one after the other, and what is computed as it stands in the source."""
        if isinstance(given, ast.Constant) and isinstance(given.value, str):
            return given.value
        if isinstance(given, (ast.List, ast.Tuple)) and given.elts:
            return ", ".join(map(self.text_of, given.elts))
        return self.labels.text(given)

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


def _awaitables(arguments: list[ast.expr]) -> list[ast.expr]:
    """What a call gathers, one by one where the source shows them: `gather(*[a(), b()])`, `wait([a(), b()])`."""
    found: list[ast.expr] = []
    for argument in arguments:
        part = argument.value if isinstance(argument, ast.Starred) else argument
        found += _awaitables(part.elts) if isinstance(part, (ast.List, ast.Tuple, ast.Set)) else [part]
    return found


def _named_by_loop(made: Node | None) -> None:
    """Replace a parallel group whose only child is a loop by that loop's name and children."""
    if made is None or len(made["children"]) != 1:
        return
    [child] = made["children"]
    if child["kind"] == "loop" or child.get("each"):
        made |= {"name": child["name"], "children": child["children"], "each": True}


def _is_true(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is True
