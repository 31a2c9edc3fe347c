"""Calls outside of steps that differ between executions, or act on the world: each execution makes them again."""

import ast
from collections.abc import Iterator

from playground.analysis.diagnostics import Diagnostic, Fix, report
from playground.analysis.syntax import COMPREHENSIONS, FUNCTIONS, below
from playground.analysis.workflow import Workflow, is_env
from playground.workflows.events import DO

TIME = "time-outside-step"
RANDOM = "random-outside-step"
ID = "id-outside-step"
IO = "io-outside-step"
SLEEP = "sleep-outside-step"
FETCH = "fetch-outside-step"

_CLOCK = ("time", "time_ns", "monotonic", "monotonic_ns", "localtime", "gmtime", "ctime", "asctime")
_DRAWS = (
    "random", "randint", "randrange", "randbytes", "getrandbits", "choice", "choices", "shuffle", "sample", "uniform",
    "triangular", "betavariate", "binomialvariate", "expovariate", "gammavariate", "gauss", "lognormvariate",
    "normalvariate", "paretovariate", "vonmisesvariate", "weibullvariate",
)  # fmt: skip
_SECRETS = ("token_bytes", "token_hex", "token_urlsafe", "randbelow", "randbits", "choice")
# Where the operator has added numpy.
_NUMPY_DRAWS = (
    "rand", "randn", "random", "randint", "random_sample", "choice", "permutation", "shuffle", "normal", "uniform",
    "standard_normal", "bytes", "default_rng",
)  # fmt: skip

KNOWN: dict[str, str] = {
    **{f"time.{name}": TIME for name in _CLOCK},
    **{f"datetime.datetime.{name}": TIME for name in ("now", "utcnow", "today")},
    "datetime.date.today": TIME,
    **{f"random.{name}": RANDOM for name in _DRAWS},
    **{f"secrets.{name}": RANDOM for name in _SECRETS},
    **{f"numpy.random.{name}": RANDOM for name in _NUMPY_DRAWS},
    "os.urandom": RANDOM,
    "os.getrandom": RANDOM,
    **{f"uuid.{name}": ID for name in ("uuid1", "uuid4", "uuid6", "uuid7")},
    "time.sleep": SLEEP,
    "asyncio.sleep": SLEEP,
    "workers.fetch": FETCH,
}
_ONLY_WITHOUT_ARGUMENTS = frozenset({
    "time.localtime", "time.gmtime", "time.ctime", "time.asctime", "numpy.random.default_rng",
})  # fmt: skip
_NOT_STORABLE = frozenset({
    "random.shuffle", "datetime.date.today", "time.localtime", "time.gmtime",
    *(f"numpy.random.{name}" for name in _NUMPY_DRAWS),
})  # fmt: skip
_NOT_IN_A_LAMBDA = (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)
HANDLES = "WORKFLOWS"  # the binding whose results are objects, which can't be stored
_STORABLE = frozenset({TIME, RANDOM})
_NAMES = {TIME: "take the time", RANDOM: "draw", ID: "make an id"}
_LOGGERS = frozenset({"log", "logger", "logging", "_log", "_logger", "console"})
_TRACED = 3  # assignments followed from a value to its use


def check(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about calls outside steps whose result differs between executions, or that act on the world."""
    seeds = (workflow.tree.dotted(call.func) for call in workflow.tree.nodes_by_type[ast.Call] if call.args)
    seeded = {name.removesuffix(".seed") for name in seeds if name in ("random.seed", "numpy.random.seed")}
    for node in workflow.replayed_calls():
        code = kind_of(workflow, node)
        if code is None or (code == RANDOM and (workflow.tree.dotted(node.func) or "").rpartition(".")[0] in seeded):
            continue
        if code == SLEEP:
            yield from _sleep(workflow, node)
        elif code == FETCH:
            yield report(code, workflow.source.span(node.func))
        elif not _in_a_step_name(workflow, node) and not is_harmless(workflow, node):
            values = {"call": workflow.one_line(node.func)} if code == IO else {}
            yield report(code, workflow.source.span(node), _take_in_a_step(workflow, node, code), **values)


def kind_of(workflow: Workflow, node: ast.AST) -> str | None:
    """The rule that a call falls under outside of steps; None for all else."""
    if not isinstance(node, ast.Call):
        return None
    name = workflow.tree.dotted(node.func)
    if _binding(workflow, node.func) == "FETCH":
        return FETCH
    if name is None:
        return IO if _is_of_a_binding(workflow, node.func) else None
    if name in _ONLY_WITHOUT_ARGUMENTS and node.args:
        return None
    return KNOWN.get(name)


def is_harmless(workflow: Workflow, node: ast.AST, traced: int = _TRACED) -> bool:
    """Whether a value is used only where a different one at replay does no harm.

    That is in a log line, or in the duration of a sleep or wait, whose deadline is stored when it starts.
    """
    for parent in workflow.tree.above(node):
        if isinstance(parent, ast.Call) and parent.func is not node:
            step = workflow.by_node.get(parent)
            if step is not None:
                return step.kind != DO and step.name is not node
            if _is_log(workflow, parent.func):
                return True
        elif isinstance(parent, (ast.Assign, ast.AnnAssign)):
            target = (
                parent.targets[0]
                if isinstance(parent, ast.Assign) and len(parent.targets) == 1
                else getattr(parent, "target", None)
            )
            if not isinstance(target, ast.Name) or not traced or len(workflow.tree.bound(target)) != 1:
                return False
            uses = workflow.tree.uses(target)
            return bool(uses) and all(is_harmless(workflow, use, traced - 1) for use in uses)
        elif isinstance(parent, (ast.stmt, ast.NamedExpr, ast.Lambda)):
            return False
        node = parent
    return False


def _sleep(workflow: Workflow, node: ast.Call) -> Iterator[Diagnostic]:
    """`asyncio.sleep(0)` only lets others run; a constant wait can become a durable one."""
    seconds = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
    if seconds == 0 or not isinstance(workflow.tree.enclosing(node), FUNCTIONS):
        return
    step = _step_in_reach(workflow, node)
    durable = isinstance(workflow.tree.parents[node], ast.Await)
    fix = None
    if (
        step
        and durable
        and isinstance(seconds, (int, float))
        and seconds is not True
        and workflow.tree.dotted(node.func) == "asyncio.sleep"
    ):
        fix = Fix("Sleep durably", workflow.source.span(node), f'{step}.sleep("pause", "{seconds} seconds")')
    yield report(SLEEP, workflow.source.span(node), fix)


def _is_of_a_binding(workflow: Workflow, function: ast.expr) -> bool:
    """Whether a method of `self.env.X` is called that belongs in a step.

    Secrets must not be in a journal, and handles can't be, so both are taken outside of steps; a child that is run, and
    a tool that is called, are steps themselves, and to name a queue calls nothing.
    """
    name = _binding(workflow, function)
    method = getattr(function, "attr", "")
    if name in ("QUEUES", "MCPS"):
        return method != "get"
    if name == "MCP":
        return False
    return name is not None and name != "SECRETS" and not (name == HANDLES and method in ("get", "run"))


def _binding(workflow: Workflow, function: ast.expr) -> str | None:
    """The name of the binding whose method a function is."""
    if not isinstance(function, ast.Attribute):
        return None
    binding = workflow.tree.value(function.value) or function.value
    return binding.attr if isinstance(binding, ast.Attribute) and is_env(binding.value) else None


def _is_log(workflow: Workflow, function: ast.expr) -> bool:
    name = workflow.tree.dotted(function)
    if name is not None:
        return name in ("builtins.print", "warnings.warn") or name.startswith(("logging.", "sys.std"))
    return (
        isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id in _LOGGERS
    )


def _in_a_step_name(workflow: Workflow, node: ast.AST) -> bool:
    """Whether a call is in a step's name, which has a rule of its own that says more."""
    for parent in workflow.tree.above(node):
        if isinstance(parent, ast.Call) and parent in workflow.by_node:
            return workflow.by_node[parent].name is node
        if isinstance(parent, ast.stmt):
            return False
        node = parent
    return False


def _take_in_a_step(workflow: Workflow, node: ast.Call, code: str) -> Fix | None:
    """Wrap the value in a step where that takes one edit: an expression in a coroutine that has the step object."""
    step = _step_in_reach(workflow, node)
    if step is not None and code == IO and isinstance(node.func, ast.Attribute):
        if any(isinstance(part, _NOT_IN_A_LAMBDA) for part in below(node)) or _binding(workflow, node.func) == HANDLES:
            return None
        made = f'{step}.do("{node.func.attr.replace("_", " ")}", lambda: {workflow.source.text_of(node)})'
        return Fix("Do it in a step", workflow.source.span(node), made)
    if step is None or code not in _NAMES or workflow.tree.dotted(node.func) in _NOT_STORABLE:
        return None
    whole: ast.expr = node
    while True:
        parent = workflow.tree.parents[whole]
        method = isinstance(parent, ast.Call) and parent.func is whole
        text = (
            isinstance(parent, ast.Call)
            and workflow.tree.dotted(parent.func) == "builtins.str"
            and parent.args == [whole]
        )
        attribute = isinstance(parent, ast.Attribute) and parent.value is whole
        if not isinstance(parent, ast.expr) or not (method or text or attribute):
            break
        whole = parent
    taken = workflow.one_line(whole)
    if whole is node and code not in _STORABLE:
        taken = f"str({taken})"
    taken = f'await {step}.do("{_NAMES[code]}", lambda: {taken})'
    if not isinstance(workflow.tree.parents[whole], (ast.Assign, ast.AnnAssign, ast.Return, ast.Expr)):
        taken = f"({taken})"
    return Fix("Take it in a step", workflow.source.span(whole), taken)


def _step_in_reach(workflow: Workflow, node: ast.AST) -> str | None:
    """The name of the step object where `await` may stand and the name is known."""
    for parent in workflow.tree.above(node):
        if isinstance(parent, (ast.Lambda, ast.FunctionDef, *COMPREHENSIONS, ast.ClassDef)):
            return None
        if isinstance(parent, ast.AsyncFunctionDef):
            break
    else:
        return None
    for name in workflow.step_names:
        _, bound = workflow.tree.resolve(name, parent)
        if len(bound) == 1 and isinstance(bound[0], ast.arg):
            return name
    return None
