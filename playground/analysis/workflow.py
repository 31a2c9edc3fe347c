"""What a source means as a workflow: its entry class, its steps, and which code a replay runs again."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from playground.analysis.syntax import Placed, Source
from playground.analysis.tree import FUNCTIONS, Function, Tree

ENTRY_CLASS = "TenantWorkflow"
BASE = "workers.WorkflowEntrypoint"
BASES = frozenset({BASE, "workers.workflows.WorkflowEntrypoint"})
DO, SLEEP, WAIT = "do", "sleep", "wait"
METHODS = {"do": DO, "sleep": SLEEP, "sleep_until": SLEEP, "wait_for_event": WAIT}
CALLBACK_PLACE = 1  # of step.do's arguments
_STEP_PLACE = 2  # of run's parameters, after self and the event


@dataclass(frozen=True, eq=False, slots=True)
class StepCall:
    """A call of `step.do`, `step.sleep`, `step.sleep_until` or `step.wait_for_event`.

    `decorated` is the function over which a `step.do` stands; `callback` what the direct form is given.
    """

    node: ast.Call
    method: str
    decorated: Function | None = None

    @property
    def kind(self) -> str:
        return METHODS[self.method]

    @property
    def name(self) -> ast.expr | None:
        """The expression that gives the step's name; None when it is the function's own."""
        return self.argument(0, "name")

    @property
    def callback(self) -> ast.expr | None:
        return self.argument(CALLBACK_PLACE, "callback") if self.kind == DO and self.decorated is None else None

    def argument(self, place: int, keyword: str) -> ast.expr | None:
        """The expression of an argument given by place or by keyword; None when it is absent or can't be told."""
        before = self.node.args[: place + 1]
        if any(isinstance(argument, ast.Starred) for argument in before):
            return None
        return before[place] if len(before) > place else self.keyword(keyword)

    def keyword(self, name: str) -> ast.expr | None:
        """The expression of a keyword argument."""
        return next((given.value for given in self.node.keywords if given.arg == name), None)

    @property
    def open_ended(self) -> bool:
        """Whether arguments are unpacked into the call, so that not all can be seen."""
        starred = any(isinstance(argument, ast.Starred) for argument in self.node.args)
        return starred or any(given.arg is None for given in self.node.keywords)


class Workflow:
    """One source, read once for all rules."""

    def __init__(self, source: Source, entry_class: str = ENTRY_CLASS) -> None:
        self.source = source
        self.entry_class = entry_class
        self.tree = Tree(source.tree)

    @cached_property
    def classes(self) -> list[ast.ClassDef]:
        """The classes of the module itself, not those inside others."""
        return [node for node in self.tree.of[ast.ClassDef] if isinstance(self.tree.scope[node], ast.Module)]

    @cached_property
    def entry(self) -> ast.ClassDef | None:
        """The entry class; while it has another name, the one class that could be it."""
        named = [node for node in self.classes if node.name == self.entry_class]
        return named[-1] if named else self.candidate

    @cached_property
    def candidate(self) -> ast.ClassDef | None:
        """The one class of another name that extends `WorkflowEntrypoint`."""
        found = [node for node in self.classes if self.extends(node)]
        return found[0] if len(found) == 1 else None

    def extends(self, node: ast.ClassDef) -> bool:
        """Whether a class says itself that it extends `WorkflowEntrypoint`."""
        return any(self._is_base(base) for base in node.bases)

    def lineage(self, node: ast.ClassDef) -> tuple[list[ast.ClassDef], bool]:
        """A class and those of the module that it extends, and whether it extends something that can't be seen."""
        line, unknown, waiting = [], False, [node]
        while waiting:
            current = waiting.pop(0)
            if current in line:
                continue
            line.append(current)
            for base in current.bases:
                bound = self.tree.bound(base) if isinstance(base, ast.Name) else []
                if len(bound) == 1 and isinstance(bound[0], ast.ClassDef):
                    waiting.append(bound[0])
                elif not self._is_base(base) and self.tree.dotted(base) != "builtins.object":
                    unknown = True
            unknown = unknown or bool(current.keywords)
        return line, unknown

    def _is_base(self, base: ast.expr) -> bool:
        """A name that is used before its import is written counts too: the missing import has its own rule."""
        return self.tree.dotted(base) in BASES or (
            isinstance(base, ast.Name) and base.id == "WorkflowEntrypoint" and not self.tree.bound(base)
        )

    def method(self, owner: ast.ClassDef, name: str) -> Function | None:
        """The method a call on an instance of a class would find, among the classes of the module."""
        for current in self.lineage(owner)[0]:
            for statement in reversed(current.body):
                if isinstance(statement, FUNCTIONS) and statement.name == name:
                    return statement
        return None

    @cached_property
    def run(self) -> Function | None:
        return self.method(self.entry, "run") if self.entry is not None else None

    @cached_property
    def roots(self) -> list[Function]:
        """Every `run` of a workflow class in the module."""
        found = [self.run] if self.run is not None else []
        for node in self.classes:
            run = self.method(node, "run") if self.extends(node) else None
            if run is not None and run not in found:
                found.append(run)
        return found

    @cached_property
    def step_names(self) -> frozenset[str]:
        """What the step object is called: the last parameter of each `run`."""
        parameters = [[*run.args.posonlyargs, *run.args.args] for run in self.roots]
        return frozenset(given[_STEP_PLACE].arg for given in parameters if len(given) > _STEP_PLACE)

    def is_step(self, node: ast.AST) -> bool:
        """Whether an expression is the step object: a parameter of that name, or an attribute it was assigned to."""
        if isinstance(node, ast.Name):
            bound = self.tree.bound(node) if node.id in self.step_names else []
            return len(bound) == 1 and isinstance(bound[0], ast.arg)
        return isinstance(node, ast.Attribute) and node.attr in self._step_attributes and isinstance(node.value, ast.Name)

    @cached_property
    def _step_attributes(self) -> frozenset[str]:
        return frozenset(
            target.attr
            for assign in self.tree.of[ast.Assign]
            if isinstance(assign.value, ast.Name) and assign.value.id in self.step_names
            for target in assign.targets
            if isinstance(target, ast.Attribute)
        )

    @cached_property
    def step_calls(self) -> list[StepCall]:
        """Every call of a method of the step object, in the order of the source."""
        decorators = {
            decorator: function for kind in FUNCTIONS for function in self.tree.of[kind] for decorator in function.decorator_list
        }
        calls = [
            StepCall(node, node.func.attr, decorators.get(node))
            for node in self.tree.of[ast.Call]
            if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS and self.is_step(node.func.value)
        ]
        return sorted(calls, key=lambda call: (call.node.lineno, call.node.col_offset))

    @cached_property
    def by_node(self) -> dict[ast.Call, StepCall]:
        return {call.node: call for call in self.step_calls}

    @cached_property
    def decorated(self) -> dict[Function, StepCall | None]:
        """Every function made a step by a decorator, with its call (None under a bare `@step.do`)."""
        found: dict[Function, StepCall | None] = {call.decorated: call for call in self.step_calls if call.decorated is not None}
        for kind in FUNCTIONS:
            for function in self.tree.of[kind]:
                for decorator in function.decorator_list:
                    if isinstance(decorator, ast.Attribute) and decorator.attr == "do" and self.is_step(decorator.value):
                        found[function] = None
        return found

    def step_function(self, node: ast.AST) -> Function | None:
        """The decorated step a name refers to."""
        bound = self.tree.bound(node) if isinstance(node, ast.Name) else []
        steps = [binding for binding in bound if isinstance(binding, FUNCTIONS) and binding in self.decorated]
        return steps[-1] if steps and len(steps) == len(bound) else None

    @cached_property
    def callbacks(self) -> list[tuple[StepCall | None, Function | ast.Lambda]]:
        """Every function of the module that runs inside a step, with the step's call."""
        found: list[tuple[StepCall | None, Function | ast.Lambda]] = [
            (call, function) for function, call in self.decorated.items()
        ]
        for call in self.step_calls:
            callback = call.callback
            if isinstance(callback, ast.Lambda):
                found.append((call, callback))
            elif callback is not None and (function := self.called(callback)) is not None:
                found.append((call, function))
        return found

    def called(self, node: ast.AST) -> Function | None:
        """The function of the module that calling an expression would run, when that is plain: `name` or `self.name`."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            owner = next((above for above in self.tree.above(node) if isinstance(above, ast.ClassDef)), None)
            return self.method(owner, node.attr) if owner is not None else None
        return self.tree.function(node)

    @cached_property
    def replayed(self) -> frozenset[ast.AST]:
        """What every execution runs again: each `run`, functions called from there outside of steps, the module and its classes."""
        calls = defaultdict(list)
        for node in self.tree.of[ast.Call]:
            calls[self.tree.enclosing(node)].append(node)
        found: set[ast.AST] = {self.source.tree, *self.classes}
        waiting: list[ast.AST] = list(self.roots)
        while waiting:
            function = waiting.pop()
            if function in found:
                continue
            found.add(function)
            for node in calls[function]:
                called = self.called(node.func)
                if called is not None and not called.decorator_list:
                    waiting.append(called)
        return frozenset(found)

    def replayed_calls(self) -> Iterator[ast.Call]:
        """Every call that is made again in every execution. What stands under `if __name__ == "__main__"` never is."""
        for node in self.tree.within((ast.Call,), self.replayed):
            at_module_level = self.tree.enclosing(node) is self.source.tree
            if not at_module_level or not any(_is_main_guard(above) for above in self.tree.above(node)):
                yield node

    def words_of(self, node: Placed) -> str:
        return self.source.words(node)


def _is_main_guard(statement: ast.AST) -> bool:
    return (
        isinstance(statement, ast.If)
        and isinstance(statement.test, ast.Compare)
        and isinstance(statement.test.left, ast.Name)
        and statement.test.left.id == "__name__"
    )
