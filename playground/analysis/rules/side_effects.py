"""Side effects of callbacks: changes of outer variables, and loop variables that a callback reads too late.

A replay does not run steps that are in the journal, so what they changed outside themselves is lost. A function that is
made in a loop and runs later reads the loop's variable when it runs, after the loop has moved on.
"""

import ast
import bisect
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from playground.analysis.diagnostics import Diagnostic, Fix, Span, report
from playground.analysis.syntax import COMPREHENSIONS, FUNCTIONS, below
from playground.analysis.workflow import Workflow

READS = 50  # of one variable that are examined for each function that changes it
STARTS = 5  # places that start a callback that are examined

_GROWING_METHODS = frozenset({"append", "appendleft", "extend", "extendleft", "insert", "add", "update", "setdefault"})
_CONTAINER_MUTATORS = frozenset(
    {"append", "appendleft", "extend", "extendleft", "insert", "popleft", "popitem", "setdefault"}
)
_AMBIGUOUS_MUTATORS = frozenset(
    {"add", "update", "remove", "discard", "pop", "clear", "sort", "reverse", "rotate", "subtract", "move_to_end",
     "difference_update", "intersection_update", "symmetric_difference_update"}
)  # fmt: skip
_DISPLAYS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
_CONTAINERS = frozenset(
    {f"builtins.{name}" for name in ("list", "dict", "set", "sorted", "bytearray")}
    | {f"collections.{name}" for name in ("defaultdict", "deque", "Counter", "OrderedDict")}
    | {"copy.copy", "copy.deepcopy"}
)
_SIGNALS = {
    "asyncio.Event": frozenset({"set", "clear"}),
    "asyncio.Future": frozenset({"set_result", "set_exception"}),
    **dict.fromkeys(
        ("asyncio.Queue", "asyncio.LifoQueue", "asyncio.PriorityQueue"), frozenset({"put", "put_nowait", "get_nowait"})
    ),
}
_CHANGE_THE_FIRST = frozenset({
    "heapq.heappush", "heapq.heappop", "heapq.heapify", "bisect.insort", "bisect.insort_left", "bisect.insort_right",
    "random.shuffle",
})  # fmt: skip
_ITERATORS = frozenset({"itertools.count", "itertools.cycle", "builtins.iter"})
_LOOPS = (ast.For, ast.AsyncFor, ast.While, *COMPREHENSIONS)
_PLATFORM = frozenset({"env", "ctx"})  # attributes of the entry that are not the tenant's state


@dataclass(frozen=True, slots=True)
class Variable:
    """What is changed: a name of a scope, or an attribute of the workflow's object or class, which has no scope."""

    scope: ast.AST | None
    name: str


@dataclass(frozen=True, eq=False, slots=True)
class Change:
    """One place that changes a variable, written there as `label`; `shared` by the whole process, or not."""

    variable: Variable
    function: ast.AST
    node: ast.expr
    label: str
    shared: bool
    counts: bool


def check_side_effects(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about variables that steps change and others read, and about counting in what ends with the process."""
    changes = sorted(_Changes(workflow).all(), key=lambda change: (change.node.lineno, change.node.col_offset))
    readers = _Readers(workflow, changes)
    reported: set[tuple[Variable, ast.AST | None]] = set()
    for change in changes:
        if change.function not in workflow.in_steps or (change.variable, change.function) in reported:
            continue
        line = readers.line_after(change)
        if line is not None:
            reported |= {(change.variable, change.function), (change.variable, None)}
            yield report("state-in-step", workflow.source.span(change.node), name=change.label, line=line)
    for change in changes:
        if change.shared and change.counts and (change.variable, None) not in reported:
            reported.add((change.variable, None))
            yield report("global-state", workflow.source.span(change.node), name=change.label)


class _Changes:
    """Finds the changes by code that runs in a step, or again in every execution."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.tree = workflow.tree
        self.known = _Origins(workflow)

    def all(self) -> Iterator[Change]:
        for scope, names in self.tree.declared.items():
            for name in names:
                for node in self.tree.bindings[scope].get(name, ()):
                    if isinstance(node, ast.Name):
                        yield from self.change(node, node, self.counts_up(node, name))
        for kind in (ast.Attribute, ast.Subscript):
            for node in self.tree.nodes_by_type[kind]:
                if not isinstance(node.ctx, ast.Load):
                    yield from self.change(node, node, isinstance(self.tree.parents[node], ast.AugAssign))
        for node in self.tree.nodes_by_type[ast.Call]:
            yield from self.call(node)

    def call(self, node: ast.Call) -> Iterator[Change]:
        dotted = self.tree.dotted(node.func)
        if node.args and dotted in _CHANGE_THE_FIRST:
            yield from self.change(node.args[0], node, dotted == "heapq.heappush")
        elif node.args and dotted == "builtins.next":
            yield from self.change(node.args[0], node, True, _ITERATORS)
        elif isinstance(node.func, ast.Attribute):
            method = node.func.attr
            if method in _CONTAINER_MUTATORS or method in _AMBIGUOUS_MUTATORS:
                if not isinstance(self.tree.parents[node], ast.Await):
                    only = None if method in _CONTAINER_MUTATORS else _CONTAINERS
                    yield from self.change(node.func.value, node, method in _GROWING_METHODS, only)
            else:
                makers = frozenset(maker for maker, methods in _SIGNALS.items() if method in methods)
                if makers:
                    yield from self.change(node.func.value, node, False, makers)

    def change(
        self, target: ast.expr, node: ast.expr, counts: bool, only: frozenset[str] | None = None
    ) -> Iterator[Change]:
        """A change of what `target` belongs to, unless it is the function's own;
        `only` if it was made by such calls.
        """
        function = self.tree.enclosing(target)
        if function not in self.workflow.in_steps and (
            function not in self.workflow.replayed or not isinstance(function, FUNCTIONS)
        ):
            return
        found = self.variable(target)
        if found is None:
            return
        variable, label, shared = found
        if self.is_own(variable, function) or (only is not None and not self.known.is_from(variable, only)):
            return
        yield Change(variable, function, node, label, shared, counts)

    def variable(self, node: ast.expr) -> tuple[Variable, str, bool] | None:
        """The variable that an expression is a part of, how it is written, and whether the whole process shares it."""
        attribute = None
        while not isinstance(node, ast.Name):
            if isinstance(node, ast.Attribute):
                attribute = node.attr
            elif isinstance(node, ast.Subscript):
                attribute = None
            elif not (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("setdefault", "get")
            ):
                return None
            node = node.func if isinstance(node, ast.Call) else node.value
        scope = self.tree.home(node.id, self.tree.scope[node])
        if scope is None:
            return None
        bound = self.tree.bindings[scope].get(node.id, [])
        default = next((default for default in map(_default, bound, [scope] * len(bound)) if default is not None), None)
        if isinstance(default, ast.Name) and default.id == node.id:
            return self.variable(default)
        belongs = _belongs(self.workflow, scope, bound)
        if belongs is not None:
            if attribute is None or attribute in _PLATFORM:
                return None
            return Variable(None, attribute), f"{node.id}.{attribute}", belongs == "class"
        if any(isinstance(binding, ast.alias) for binding in bound) or self.workflow.is_step(node):
            return None
        return Variable(scope, node.id), node.id, scope is self.tree.module

    def is_own(self, variable: Variable, function: ast.AST) -> bool:
        """Whether a variable lives no longer than the step, or the call outside of steps, that changes it."""
        if variable.scope is None:
            return False
        owner = _function(self.workflow, variable.scope)
        inside = self.workflow.in_steps
        if function not in inside:
            return owner is not self.tree.module
        return owner is function or (owner in inside and inside[owner] in (inside[function], None))

    def counts_up(self, node: ast.Name, name: str) -> bool:
        parent = self.tree.parents[node]
        value = getattr(parent, "value", None)
        read = isinstance(value, ast.expr) and any(
            isinstance(part, ast.Name) and part.id == name for part in below(value)
        )
        return isinstance(parent, ast.AugAssign) or (isinstance(parent, ast.Assign) and read)


class _Origins:
    """The values that are assigned to variables, where they are known."""

    def __init__(self, workflow: Workflow) -> None:
        self.tree = workflow.tree
        self.values: dict[str, list[ast.expr]] = defaultdict(list)  # of attributes
        for node in self.tree.nodes_by_type[ast.Attribute]:
            if isinstance(node.ctx, ast.Store) and (value := self.assigned(node)) is not None:
                self.values[node.attr].append(value)
        for owner in self.tree.nodes_by_type[ast.ClassDef]:
            for name, bound in self.tree.bindings[owner].items():
                self.values[name].extend(value for node in bound if (value := self.assigned(node)) is not None)

    def is_from(self, variable: Variable, makers: frozenset[str]) -> bool:
        if variable.scope is None:
            values = self.values.get(variable.name, [])
        else:
            bound = self.tree.bindings[variable.scope].get(variable.name, ())
            values = [value for node in bound if (value := self.assigned(node)) is not None]
        return any(self.is_value_from(value, makers) for value in values)

    def is_value_from(self, value: ast.expr, makers: frozenset[str]) -> bool:
        if isinstance(value, _DISPLAYS) or (isinstance(value, ast.BinOp) and isinstance(value.left, ast.List)):
            return makers is _CONTAINERS
        if not isinstance(value, ast.Call):
            return False
        if isinstance(value.func, ast.Attribute) and value.func.attr == "create_future":
            return "asyncio.Future" in makers
        return self.tree.dotted(value.func) in makers

    def assigned(self, node: ast.AST) -> ast.expr | None:
        parent = self.tree.parents.get(node)
        if isinstance(parent, ast.Assign):
            return parent.value if node in parent.targets else None
        return parent.value if isinstance(parent, (ast.AnnAssign, ast.NamedExpr)) and parent.target is node else None


class _Readers:
    """Who reads what was changed, after the step that changed it."""

    def __init__(self, workflow: Workflow, changes: list[Change]) -> None:
        self.workflow = workflow
        self.tree = workflow.tree
        self.reads: dict[Variable, list[ast.expr]] = {}
        self.sets: dict[Variable, list[ast.expr]] = {}  # outside of steps, as a whole
        self.loops: dict[ast.AST, set[ast.AST]] = {}
        attributes = self._attributes({change.variable.name for change in changes if change.variable.scope is None})
        for variable in {change.variable for change in changes}:
            nodes = list(self._nodes(variable)) if variable.scope is not None else attributes[variable.name]
            found = [node for node in nodes if self._reads(node)]
            self.reads[variable] = sorted(found, key=_position)[-READS:]
            self.sets[variable] = sorted((node for node in nodes if self._sets(node)), key=_position)
        self.starts = self._starts()

    def line_after(self, change: Change) -> int | None:
        """The first line that reads a change where a replay would not see it."""
        inside, variable = self.workflow.in_steps, change.variable
        callback = inside[change.function]
        for read in self.reads[variable]:
            reader = self.tree.enclosing(read)
            if reader is change.function or (reader in inside and callback is not None and inside[reader] is callback):
                continue
            starts = self.starts.get(callback, [])[:STARTS] if callback is not None else []
            step = inside.get(reader)
            for point in self.starts.get(step, [])[:STARTS] if step is not None else [read]:
                after = not starts or any(self._comes_after(point, start, variable) for start in starts)
                if after and not self._is_renewed(variable, point, starts):
                    return read.lineno
        return None

    def _nodes(self, variable: Variable) -> Iterator[ast.expr]:
        for load in self.tree.loads.get(variable.name, ()):
            if self.tree.home(variable.name, self.tree.scope[load]) is variable.scope:
                yield load
        assert variable.scope is not None, "attributes are found in another way"
        yield from (
            node for node in self.tree.bindings[variable.scope].get(variable.name, ()) if isinstance(node, ast.Name)
        )

    def _attributes(self, names: set[str]) -> dict[str, list[ast.expr]]:
        found: dict[str, list[ast.expr]] = defaultdict(list)
        for node in self.tree.nodes_by_type[ast.Attribute]:
            if node.attr in names and isinstance(node.value, ast.Name):
                scope = self.tree.home(node.value.id, self.tree.scope[node.value])
                if scope is not None and _belongs(
                    self.workflow, scope, self.tree.bindings[scope].get(node.value.id, [])
                ):
                    found[node.attr].append(node)
        return found

    def _reads(self, node: ast.expr) -> bool:
        """Whether a use of a variable reads its value, rather than only changing it."""
        parent = self.tree.parents[node]
        if not isinstance(getattr(node, "ctx", None), ast.Load):
            return isinstance(parent, ast.AugAssign)
        while isinstance(parent, (ast.Attribute, ast.Subscript)) and parent.value is node:
            if not isinstance(parent.ctx, ast.Load):
                return False
            above = self.tree.parents[parent]
            if isinstance(parent, ast.Attribute) and isinstance(above, ast.Call) and above.func is parent:
                changes = parent.attr in _CONTAINER_MUTATORS or parent.attr in _AMBIGUOUS_MUTATORS
                return not (changes and isinstance(self.tree.parents[above], ast.Expr))
            node, parent = parent, above
        return True

    def _sets(self, node: ast.expr) -> bool:
        if isinstance(getattr(node, "ctx", None), ast.Load) or self.tree.enclosing(node) in self.workflow.in_steps:
            return False
        parent = self.tree.parents[node]
        return not isinstance(parent, (ast.AugAssign, ast.Delete))

    def _starts(self) -> dict[ast.AST, list[ast.AST]]:
        """Where each callback is made a step that runs."""
        found: dict[ast.AST, list[ast.AST]] = defaultdict(list)
        for call, function in self.workflow.callbacks:
            if call is not None and call.decorated is None:
                found[function].append(call.node)
        for function in self.workflow.decorated:
            uses = self.workflow.uses_of_steps[function]
            found[function].extend(
                parent if isinstance(parent := self.tree.parents[use], ast.Call) else use for use in uses
            )
            if not uses or not self.workflow.step_parameters.isdisjoint(self.workflow.names_of(function)):
                found[function].append(function)
        return found

    def _comes_after(self, read: ast.AST, start: ast.AST, variable: Variable) -> bool:
        if self.tree.enclosing(read) is not self.tree.enclosing(start) or _position(read) >= _end(start):
            return True
        again = self._loops(read) & self._loops(start)
        return bool(again) and not any(again & self._loops(node) for node in self.sets[variable][-READS:])

    def _is_renewed(self, variable: Variable, read: ast.AST, starts: list[ast.AST]) -> bool:
        """Whether a variable is set anew between the step and the reading of it, as by `total = await add()`."""
        reader = self.tree.enclosing(read)
        sets = self.sets[variable]
        before = bisect.bisect_right(sets, _position(read), key=_position)
        nearest = (sets[place] for place in range(before - 1, max(-1, before - READS), -1))
        last = next((node for node in nearest if self.tree.enclosing(node) is reader), None)
        here = [start for start in starts if self.tree.enclosing(start) is reader]
        if last is None or not here:
            return False
        statement = next((above for above in self.tree.above(last) if isinstance(above, ast.stmt)), last)
        return all(_end(statement) >= _end(start) for start in here)

    def _loops(self, node: ast.AST) -> set[ast.AST]:
        """The loops around a node, up to the function that holds them."""
        if node not in self.loops:
            found = self.loops[node] = set()
            for above in self.tree.above(node):
                if isinstance(above, (*FUNCTIONS, ast.Lambda)):
                    break
                if isinstance(above, _LOOPS):
                    found.add(above)
        return self.loops[node]


def _belongs(workflow: Workflow, scope: ast.AST, bound: list[ast.AST]) -> str | None:
    """Whether a name is the workflow's object (`self`) or one of the module's classes."""
    if len(bound) != 1:
        return None
    if isinstance(bound[0], ast.ClassDef):
        return "class" if bound[0] in workflow.classes else None
    if not isinstance(scope, FUNCTIONS) or not isinstance(workflow.tree.scope.get(scope), ast.ClassDef):
        return None
    first = [*scope.args.posonlyargs, *scope.args.args][:1]
    return "self" if bound == first else None


def _default(binding: ast.AST, scope: ast.AST) -> ast.expr | None:
    """What a parameter is when it is not given, as in `lambda items=items: …`."""
    if not isinstance(binding, ast.arg) or not isinstance(scope, (*FUNCTIONS, ast.Lambda)):
        return None
    given = scope.args
    plain = [*given.posonlyargs, *given.args]
    pairs = zip(plain[len(plain) - len(given.defaults) :], given.defaults, strict=True)
    pairs_by_keyword = zip(given.kwonlyargs, given.kw_defaults, strict=True)
    return next((default for parameter, default in (*pairs, *pairs_by_keyword) if parameter is binding), None)


def _function(workflow: Workflow, scope: ast.AST) -> ast.AST:
    """The function, class or module that a scope is, or is a comprehension of."""
    while isinstance(scope, COMPREHENSIONS):
        scope = workflow.tree.outer[scope]
    return scope


def _position(node: ast.AST) -> tuple[int, int]:
    return (getattr(node, "lineno", 0), getattr(node, "col_offset", 0))


def _end(node: ast.AST) -> tuple[int, int]:
    return (getattr(node, "end_lineno", None) or 0, getattr(node, "end_col_offset", None) or 0)


_FOR_LOOPS = (ast.For, ast.AsyncFor)


def check_loop_closures(workflow: Workflow) -> Iterator[Diagnostic]:
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
        targets = [above.target] if isinstance(above, _FOR_LOOPS) else []
        if isinstance(above, COMPREHENSIONS):
            targets = [generator.target for generator in above.generators]
        found.extend([name] for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))
    return found
