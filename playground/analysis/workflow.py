"""A source as a workflow: its entry class, its steps, and the code that a replay runs again."""

import ast
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from playground.analysis.syntax import FUNCTIONS, Function, Placed, Source, Tree
from playground.workflows.events import DO
from playground.workflows.names import CLASS_NAME
from playground.workflows.unavailable import STEP_METHODS

BASE = "workers.WorkflowEntrypoint"
BASES = frozenset({BASE, "workers.workflows.WorkflowEntrypoint"})
CALLBACK_PLACE = 1  # of step.do's arguments
_STEP_PLACE = 2  # of run's parameters, after self and the event

Callback = Function | ast.Lambda
CALL_TOOL, LIST_TOOLS = "call_tool", "list_tools"  # of a server of tools


@dataclass(frozen=True, eq=False, slots=True)
class StepCall:
    """A call of `step.do`, `step.sleep`, `step.sleep_until` or `step.wait_for_event`.

    `decorated` is the function that a `step.do` decorates; `callback` the argument of the direct form.
    """

    node: ast.Call
    method: str
    decorated: Function | None = None

    @property
    def kind(self) -> str:
        return STEP_METHODS[self.method]

    @property
    def name(self) -> ast.expr | None:
        """The expression of the step's name; None when it is the function's own."""
        return self.argument(0, "name")

    @property
    def callback(self) -> ast.expr | None:
        return self.argument(CALLBACK_PLACE, "callback") if self.kind == DO and self.decorated is None else None

    def argument(self, place: int, keyword: str) -> ast.expr | None:
        """The expression of a positional or keyword argument; None when it is absent or unknown."""
        before = self.node.args[: place + 1]
        if any(isinstance(argument, ast.Starred) for argument in before):
            return None
        return before[place] if len(before) > place else self.keyword(keyword)

    def keyword(self, name: str) -> ast.expr | None:
        """The expression of a keyword argument."""
        return next((given.value for given in self.node.keywords if given.arg == name), None)

    @property
    def open_ended(self) -> bool:
        """Whether arguments are unpacked into the call, so that not all are known."""
        starred = any(isinstance(argument, ast.Starred) for argument in self.node.args)
        return starred or any(given.arg is None for given in self.node.keywords)


class Workflow:
    """One source, indexed once for all rules. `packages` are the modules that workers have in addition to the standard
    library.
    """

    def __init__(self, source: Source, entry_class: str = CLASS_NAME, packages: Sequence[str] = ()) -> None:
        self.source = source
        self.packages = packages
        self.entry_class = entry_class
        self.tree = Tree(source.tree)
        self._methods: dict[ast.ClassDef, dict[str, Function]] = {}
        self._steps_bound: dict[int, Function | None] = {}

    @cached_property
    def classes(self) -> list[ast.ClassDef]:
        """The classes of the module itself, not those inside others."""
        return [node for node in self.tree.nodes_by_type[ast.ClassDef] if isinstance(self.tree.scope[node], ast.Module)]

    @cached_property
    def entry(self) -> ast.ClassDef | None:
        """The entry class; without one of that name, the only workflow class."""
        named = [node for node in self.classes if node.name == self.entry_class]
        return named[-1] if named else self.candidate

    @cached_property
    def candidate(self) -> ast.ClassDef | None:
        """The one class of another name that extends `WorkflowEntrypoint`."""
        return self.candidates[0] if len(self.candidates) == 1 else None

    @cached_property
    def handles_messages(self) -> bool:
        """Whether a class has a method `queue`, which handles batches of messages."""
        return any(self.method(node, "queue") is not None for node in self.classes)

    @cached_property
    def candidates(self) -> list[ast.ClassDef]:
        """The classes that extend `WorkflowEntrypoint`, in the order of the source."""
        return [node for node in self.classes if self.extends(node)]

    def extends(self, node: ast.ClassDef) -> bool:
        """Whether a class directly extends `WorkflowEntrypoint`."""
        return any(self._is_base(base) for base in node.bases)

    def lineage(self, node: ast.ClassDef) -> tuple[list[ast.ClassDef], bool]:
        """A class and those of the module that it extends, and whether it extends something unknown."""
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
        if owner not in self._methods:
            self._methods[owner] = {
                statement.name: statement
                for current in reversed(self.lineage(owner)[0])
                for statement in current.body
                if isinstance(statement, FUNCTIONS)
            }
        return self._methods[owner].get(name)

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
        """The names of the step object: the last parameter of each `run`."""
        parameters = [[*run.args.posonlyargs, *run.args.args] for run in self.roots]
        return frozenset(given[_STEP_PLACE].arg for given in parameters if len(given) > _STEP_PLACE)

    def is_step(self, node: ast.AST) -> bool:
        """Whether an expression is the step object: a parameter of that name, or an attribute it was assigned to."""
        if isinstance(node, ast.Name):
            bound = self.tree.bound(node) if node.id in self.step_names else []
            return len(bound) == 1 and isinstance(bound[0], ast.arg)
        return (
            isinstance(node, ast.Attribute) and node.attr in self._step_attributes and isinstance(node.value, ast.Name)
        )

    @cached_property
    def _step_attributes(self) -> frozenset[str]:
        return frozenset(
            target.attr
            for assign in self.tree.nodes_by_type[ast.Assign]
            if isinstance(assign.value, ast.Name) and assign.value.id in self.step_names
            for target in assign.targets
            if isinstance(target, ast.Attribute)
        )

    @cached_property
    def step_calls(self) -> list[StepCall]:
        """Every call of a method of the step object, in the order of the source."""
        decorators = {
            decorator: function
            for kind in FUNCTIONS
            for function in self.tree.nodes_by_type[kind]
            for decorator in function.decorator_list
        }
        calls = [
            StepCall(node, node.func.attr, decorators.get(node))
            for node in self.tree.nodes_by_type[ast.Call]
            if isinstance(node.func, ast.Attribute) and node.func.attr in STEP_METHODS and self.is_step(node.func.value)
        ]
        return sorted(calls, key=lambda call: (call.node.lineno, call.node.col_offset))

    @cached_property
    def by_node(self) -> dict[ast.Call, StepCall]:
        return {call.node: call for call in self.step_calls}

    @cached_property
    def decorated(self) -> dict[Function, StepCall | None]:
        """Every function made a step by a decorator, with its call (None under a bare `@step.do`)."""
        found: dict[Function, StepCall | None] = {
            call.decorated: call for call in self.step_calls if call.decorated is not None
        }
        for kind in FUNCTIONS:
            for function in self.tree.nodes_by_type[kind]:
                for decorator in function.decorator_list:
                    if (
                        isinstance(decorator, ast.Attribute)
                        and decorator.attr == "do"
                        and self.is_step(decorator.value)
                    ):
                        found[function] = None
        return found

    def step_function(self, node: ast.AST) -> Function | None:
        """The decorated step a name refers to."""
        bound = self.tree.bound(node) if isinstance(node, ast.Name) else []
        if not bound:
            return None
        if id(bound) not in self._steps_bound:  # the list that the tree keeps, however often the name is used
            steps = [binding for binding in bound if isinstance(binding, FUNCTIONS) and binding in self.decorated]
            self._steps_bound[id(bound)] = steps[-1] if steps and len(steps) == len(bound) else None
        return self._steps_bound[id(bound)]

    def names_of(self, function: Function) -> list[str]:
        """The names by which a parameter of another step can request a decorated step: its function's, and its own
        where that is known.
        """
        call = self.decorated[function]
        name = call.name if call is not None else None
        if isinstance(name, ast.Name):
            name = self.tree.value(name)
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            return [function.name, name.value]
        return [function.name]

    @cached_property
    def step_parameters(self) -> frozenset[str]:
        """The names of all parameters of decorated steps."""
        return frozenset(
            argument.arg
            for function in self.decorated
            for argument in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
        )

    @cached_property
    def uses_of_steps(self) -> dict[Function, list[ast.Name]]:
        """Where the name of each decorated step is read."""
        found: dict[Function, list[ast.Name]] = {function: [] for function in self.decorated}
        for name in {function.name for function in self.decorated}:
            for load in self.tree.loads.get(name, ()):
                function = self.step_function(load)
                if function is not None:
                    found[function].append(load)
        return found

    @cached_property
    def callbacks(self) -> list[tuple[StepCall | None, Callback]]:
        """Every function of the module that a step runs, with the step's call."""
        found: list[tuple[StepCall | None, Callback]] = [(call, function) for function, call in self.decorated.items()]
        for call in self.step_calls:
            function = self._function_of(call.callback) if call.callback is not None else None
            if function is not None:
                found.append((call, function))
        return found

    def _function_of(self, callback: ast.expr) -> Callback | None:
        """The function that a callback is: a lambda, one of the module, or what `functools.partial` is made of."""
        if isinstance(callback, ast.Call) and self.tree.dotted(callback.func) == "functools.partial" and callback.args:
            callback = callback.args[0]
        return callback if isinstance(callback, ast.Lambda) else self.called(callback)

    def called(self, node: ast.AST) -> Function | None:
        """The function of the module that a call of `name` or `self.name` runs; None for other expressions."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            owner = next((above for above in self.tree.above(node) if isinstance(above, ast.ClassDef)), None)
            return self.method(owner, node.attr) if owner is not None else None
        return self.tree.function(node)

    @cached_property
    def replayed(self) -> frozenset[ast.AST]:
        """The code that every execution runs again: each `run`, functions that it calls outside of steps, the module
        and its classes.
        """
        found: set[ast.AST] = {self.source.tree, *self.classes}
        waiting: list[ast.AST] = list(self.roots)
        while waiting:
            function = waiting.pop()
            if function in found:
                continue
            found.add(function)
            waiting.extend(called for _, called in self.helpers.get(function, ()))
        return frozenset(found)

    @cached_property
    def helpers(self) -> dict[ast.AST, list[tuple[ast.Call, Function]]]:
        """The calls in each function of plain functions of the module, with what is called; steps are none of them."""
        found: dict[ast.AST, list[tuple[ast.Call, Function]]] = defaultdict(list)
        for node in self.tree.nodes_by_type[ast.Call]:
            called = self.called(node.func)
            if called is not None and not called.decorator_list:
                found[self.tree.enclosing(node)].append((node, called))
        return found

    @cached_property
    def in_steps(self) -> dict[ast.AST, Callback | None]:
        """The functions that run inside steps, each with the callback that leads there; None where several do."""
        callbacks: dict[ast.AST, Callback] = {function: function for _, function in self.callbacks}
        found: dict[ast.AST, Callback | None] = {}
        waiting: list[tuple[ast.AST, Callback | None]] = list(callbacks.items())
        while waiting:
            function, callback = waiting.pop()
            if function in found:
                if found[function] in (callback, None):
                    continue
                callback = None
            found[function] = callback
            waiting.extend((called, callback) for _, called in self.helpers.get(function, ()))
            waiting.extend((inner, callback) for inner in self._defined.get(function, ()) if inner not in callbacks)
        return found

    @cached_property
    def reached(self) -> frozenset[ast.AST]:
        """The code that a run reaches, as far as is known: what is replayed or runs in steps, and functions defined
        there.
        """
        found = set(self.replayed)
        waiting: list[ast.AST] = [*self.roots, *self.in_steps]
        while waiting:
            function = waiting.pop()
            found.add(function)
            waiting.extend(inner for inner in self._defined.get(function, ()) if inner not in found)
        return frozenset(found)

    @cached_property
    def _defined(self) -> dict[ast.AST, list[ast.AST]]:
        """The functions defined in each function, without decorated ones, which may be anything."""
        found = defaultdict(list)
        for kind in (*FUNCTIONS, ast.Lambda):
            for function in self.tree.nodes_by_type[kind]:
                owner = self.tree.enclosing(function)
                while isinstance(owner, ast.ClassDef):
                    owner = self.tree.enclosing(owner)
                if not getattr(function, "decorator_list", None):
                    found[owner].append(function)
        return found

    @cached_property
    def step_makers(self) -> frozenset[ast.AST]:
        """The functions whose own code, or that of a function they call, makes a step."""
        callers: dict[ast.AST, list[ast.AST]] = defaultdict(list)
        for caller, calls in self.helpers.items():
            for _, called in calls:
                callers[called].append(caller)
        waiting = [self.tree.enclosing(call.node) for call in self.step_calls if call.decorated is None]
        waiting += [self.tree.enclosing(load) for loads in self.uses_of_steps.values() for load in loads]
        found: set[ast.AST] = set()
        while waiting:
            function = waiting.pop()
            if function not in found:
                found.add(function)
                waiting.extend(callers[function])
        return frozenset(found)

    def makes_steps(self, node: ast.AST) -> bool:
        """Whether code makes a step, itself or by a function that it calls or passes on."""
        return node in self._making

    @cached_property
    def _making(self) -> set[ast.AST]:
        """The nodes that make a step, and all their ancestors."""
        makers: list[ast.AST] = [call.node for call in self.step_calls]
        makers += [load for loads in self.uses_of_steps.values() for load in loads]
        for kind in (ast.Name, ast.Attribute):
            loads = (node for node in self.tree.nodes_by_type[kind] if isinstance(node.ctx, ast.Load))
            makers += [node for node in loads if self.called(node) in self.step_makers]
        found: set[ast.AST] = set()
        for node in makers:
            for above in (node, *self.tree.above(node)):
                if above in found:
                    break
                found.add(above)
        return found

    def replayed_calls(self) -> Iterator[ast.Call]:
        """Every call that each execution makes again. Code under `if __name__ == "__main__"` never runs."""
        for node in self.tree.within((ast.Call,), self.replayed):
            at_module_level = self.tree.enclosing(node) is self.source.tree
            if not at_module_level or not any(is_main_guard(above) for above in self.tree.above(node)):
                yield node

    def one_line(self, node: Placed) -> str:
        return self.source.one_line(node)


def is_main_guard(statement: ast.AST) -> bool:
    """Whether a statement is `if __name__ == "__main__":`, which is never so in a worker."""
    return (
        isinstance(statement, ast.If)
        and isinstance(statement.test, ast.Compare)
        and isinstance(statement.test.left, ast.Name)
        and statement.test.left.id == "__name__"
    )


def is_env(node: ast.AST) -> bool:
    """Whether an expression is `self.env`, or `env` as `workers` has it, whose attributes are bindings."""
    if isinstance(node, ast.Name):
        return node.id == "env"
    owner = node.value if isinstance(node, ast.Attribute) and node.attr == "env" else None
    return isinstance(owner, ast.Name) and owner.id == "self"


def runs_child(node: ast.Call) -> bool:
    """Whether a call is `self.env.WORKFLOWS.run(...)`. Other bindings may have a `run` that is no step."""
    binding = node.func.value if isinstance(node.func, ast.Attribute) and node.func.attr == "run" else None
    return isinstance(binding, ast.Attribute) and binding.attr == "WORKFLOWS" and is_env(binding.value)


def asked_tools(tree: Tree, node: ast.Call) -> str | None:
    """The method of a call `self.env.MCP.call_tool(...)` or `.list_tools()`, also by a variable for the server."""
    if not isinstance(node.func, ast.Attribute) or node.func.attr not in (CALL_TOOL, LIST_TOOLS):
        return None
    server: ast.AST | None = node.func.value
    if isinstance(server, ast.Name):
        server = tree.value(server)
    if isinstance(server, ast.Call) and isinstance(server.func, ast.Attribute) and server.func.attr == "get":
        server = server.func.value  # self.env.MCPS.get("name")
    is_server = isinstance(server, ast.Attribute) and server.attr in ("MCP", "MCPS") and is_env(server.value)
    return node.func.attr if is_server else None
