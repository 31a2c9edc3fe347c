"""What workers do not have: packages, a network, files, a terminal, processes and threads; and undefined names.

playground/workflows/unavailable.py has the advice on each. An undefined name is most often a forgotten import.
"""

import ast
import difflib
import sys
from collections.abc import Iterator, Sequence

from playground.analysis.diagnostics import Diagnostic, Fix, Span, report
from playground.analysis.rules.step_calls import nearest
from playground.analysis.syntax import FUNCTIONS, below
from playground.analysis.workflow import Workflow, is_env, is_main_guard, runs_child
from playground.workflows.unavailable import (
    ADVICE,
    FILES,
    NAME_ADVICE,
    NETWORK,
    OWN_PACKAGES,
    PACKAGE_ADVICE,
    PROCESSES,
    TERMINAL,
    THREADS,
    TYPES_OF_WORKERS,
    package_missing,
    similar_binding,
    type_of_workers,
)

# What the module `workers` has here (playground/worker/api.py).
WORKERS = (
    "WorkflowEntrypoint", "WorkerEntrypoint", "DurableObject", "Response", "NonRetryableError", "WorkflowTimeoutError",
    "NonRetryableDelayError", "StepError", "WorkflowFatalError", "NotSerialisableError", "WorkerLost", "InjectedError",
    "AIError", "AIRateLimitError", "AIUnavailableError", "AIRequestError", "AIBudgetError", "MCPError",
    "MCPUnavailableError", "MCPRequestError",
    "WorkflowStep", "WorkflowEvent", "WorkflowStepEvent", "WorkflowStepContext", "WorkflowStepConfig", "handler",
    "FetchResponse", "Headers", "fetch", "env", "workflows",
    *TYPES_OF_WORKERS,
)  # fmt: skip
FETCH_OPTIONS = ("method", "headers", "body", "redirect")  # playground/worker/fetching.py
BINDINGS = (
    "AI",
    "APPROVALS",
    "EFFECTS",
    "FETCH",
    "KV",
    "MCP",
    "MCPS",
    "QUEUE",
    "QUEUES",
    "SECRETS",
    "STREAMS",
    "WORKFLOWS",
)
MAX_BINDINGS_COMPARED = 20  # unknown bindings that are compared with those that there are

CALLS = (
    (
        NETWORK,
        (
            "urllib.request.urlopen urllib.request.urlretrieve http.client.HTTPConnection http.client.HTTPSConnection "
            "socket.socket socket.create_connection socket.create_server socket.getaddrinfo socket.gethostbyname "
            "asyncio.open_connection asyncio.start_server smtplib.SMTP smtplib.SMTP_SSL ftplib.FTP ftplib.FTP_TLS "
            "poplib.POP3 imaplib.IMAP4 imaplib.IMAP4_SSL"
        ),
    ),
    (
        FILES,
        (
            "builtins.open io.open shelve.open dbm.open logging.FileHandler zipfile.ZipFile tarfile.open os.listdir "
            "os.scandir os.remove os.unlink os.mkdir os.makedirs os.rename os.replace os.rmdir os.open shutil.copy "
            "shutil.copy2 shutil.copyfile shutil.copytree shutil.move shutil.rmtree tempfile.mkdtemp tempfile.mkstemp "
            "tempfile.TemporaryFile tempfile.NamedTemporaryFile tempfile.TemporaryDirectory"
        ),
    ),
    (TERMINAL, "builtins.input getpass.getpass builtins.breakpoint pdb.set_trace"),
    (
        PROCESSES,
        (
            "subprocess.run subprocess.call subprocess.check_call subprocess.check_output subprocess.Popen "
            "subprocess.getoutput os.system os.popen os.fork asyncio.create_subprocess_exec "
            "asyncio.create_subprocess_shell multiprocessing.Process multiprocessing.Pool "
            "concurrent.futures.ProcessPoolExecutor"
        ),
    ),
    (THREADS, "threading.Thread threading.Timer asyncio.to_thread concurrent.futures.ThreadPoolExecutor"),
)
_MISSING = {name: kind for kind, names in CALLS for name in names.split()}
# Of a pathlib.Path.
_PATH_IO = frozenset(
    ("read_text", "read_bytes", "write_text", "write_bytes", "open", "unlink", "mkdir", "touch", "iterdir", "glob")
)
_IN_MEMORY = ("sqlite3.connect", ":memory:")

_LOOK_FIRST = ("builtins.hasattr", "builtins.getattr")

_OF_IMPORTS = frozenset(
    f"builtins.{name}" for name in ("ImportError", "ModuleNotFoundError", "Exception", "BaseException")
)
_OF_SYSTEM = frozenset(
    {
        f"builtins.{name}"
        for name in ("OSError", "IOError", "FileNotFoundError", "PermissionError", "EOFError", "RuntimeError")
    }
    | {"urllib.error.URLError"}
)


def check_unavailable(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about imports that fail, and about calls that can't work, in code that a run reaches."""
    places = Places(workflow)
    yield from _imports(workflow, places)
    yield from _of_workers(workflow, places)
    for node in workflow.tree.nodes_by_type[ast.Call]:
        kind = kind_of(workflow, node)
        if kind is not None and places.is_reached(node) and not places.is_guarded(node, _OF_SYSTEM):
            yield report(
                "not-in-workers",
                workflow.source.span(node.func),
                call=workflow.one_line(node.func),
                advice=ADVICE[kind],
            )
    yield from _of_cloudflares_runtime(workflow, places)
    yield from _bindings(workflow, places)


def kind_of(workflow: Workflow, node: ast.Call) -> str | None:
    """What a call needs that workers lack; None for all other calls."""
    name = workflow.tree.dotted(node.func)
    if name == _IN_MEMORY[0]:
        given = node.args[0] if node.args else None
        return FILES if isinstance(given, ast.Constant) and given.value != _IN_MEMORY[1] else None
    if name in ("zipfile.ZipFile", "tarfile.open") and not (
        node.args and isinstance(node.args[0], (ast.Constant, ast.JoinedStr))
    ):
        return None  # of bytes in memory
    if name is not None:
        return _MISSING.get(name)
    if isinstance(node.func, ast.Attribute) and node.func.attr in _PATH_IO:
        path = workflow.tree.value(node.func.value) or node.func.value
        if isinstance(path, ast.Call) and workflow.tree.dotted(path.func) == "pathlib.Path":
            return FILES
    return PROCESSES if isinstance(node.func, ast.Attribute) and node.func.attr == "run_in_executor" else None


class Places:
    """Which code a run reaches, and which of it handles the error that it would get."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.tree = workflow.tree
        tries = (*self.tree.nodes_by_type[ast.Try], *self.tree.nodes_by_type[ast.TryStar])
        self.watched: set[ast.AST] = {part for node in tries for part in (*node.body, *node.handlers)}

    def is_reached(self, node: ast.AST) -> bool:
        """Whether a run reaches a place, as far as is known: `run`, what it calls, steps, and the module itself."""
        return self.tree.enclosing(node) in self.workflow.reached and not self.is_main(node)

    def is_main(self, node: ast.AST) -> bool:
        at_module_level = self.tree.enclosing(node) is self.workflow.source.tree
        return at_module_level and any(is_main_guard(above) for above in self.tree.above(node))

    def is_optional(self, node: ast.Import | ast.ImportFrom) -> bool:
        """Whether an import is for others only: a type checker, another Python, a place where the package is."""
        if self.is_guarded(node, _OF_IMPORTS) or self.is_main(node):
            return True
        tests = [above.test for above in self.tree.above(node) if isinstance(above, ast.If)]
        return any(
            (self.tree.dotted(part) or "").partition(".")[0] in ("typing", "sys", "importlib")
            for test in tests
            for part in below(test)
        )

    def is_guarded(self, node: ast.AST, errors: frozenset[str]) -> bool:
        """Whether an error is expected: in a `try` with a handler for it, in such a handler, or under `suppress`."""
        child = node
        for above in self.tree.above(node):
            if isinstance(above, (*FUNCTIONS, ast.Lambda)):
                return False
            handlers = above.handlers if isinstance(above, (ast.Try, ast.TryStar)) and child in self.watched else []
            if any(self.handles(handler.type, errors) for handler in handlers):
                return True
            if isinstance(above, ast.With) and any(self.suppresses(item.context_expr, errors) for item in above.items):
                return True
            child = above
        return False

    def handles(self, kind: ast.expr | None, errors: frozenset[str]) -> bool:
        if kind is None:
            return "builtins.Exception" in errors
        return any(self.tree.dotted(one) in errors for one in (kind.elts if isinstance(kind, ast.Tuple) else [kind]))

    def suppresses(self, made: ast.expr, errors: frozenset[str]) -> bool:
        if not isinstance(made, ast.Call) or self.tree.dotted(made.func) != "contextlib.suppress":
            return False
        return any(self.tree.dotted(kind) in errors for kind in made.args)


def _of_cloudflares_runtime(workflow: Workflow, places: Places) -> Iterator[Diagnostic]:
    """What a file for Cloudflare's runtime may use and does not work here: types that can only be named, and options
    of `fetch`.
    """
    for node in workflow.tree.nodes_by_type[ast.Call]:
        name = workflow.tree.dotted(node.func) or ""
        made = name.removeprefix("workers.")
        if name != made and made in TYPES_OF_WORKERS and places.is_reached(node):
            yield report(
                "not-in-workers",
                workflow.source.span(node.func),
                call=workflow.one_line(node.func),
                advice=type_of_workers(made),
            )
        for given in node.keywords if name == "workers.fetch" else ():
            if given.arg is not None and given.arg not in FETCH_OPTIONS:
                place = workflow.source.span(given)
                yield report("fetch-option", place, name=given.arg, there=", ".join(FETCH_OPTIONS))


def _imports(workflow: Workflow, places: Places) -> Iterator[Diagnostic]:
    for node in workflow.tree.nodes_by_type[ast.ImportFrom]:
        if node.level > 0:
            if not places.is_optional(node):
                name = "." * node.level + (node.module or "")
                yield report(
                    "no-package",
                    workflow.source.span(node),
                    what="A workflow is one file, without other modules",
                    name=name,
                    instead="",
                )
        else:
            yield from _import(workflow, places, node, node, node.module or "")
    for node in workflow.tree.nodes_by_type[ast.Import]:
        for alias in node.names:
            yield from _import(workflow, places, node, alias, alias.name)


def _import(
    workflow: Workflow,
    places: Places,
    node: ast.Import | ast.ImportFrom,
    place: ast.Import | ast.ImportFrom | ast.alias,
    module: str,
) -> Iterator[Diagnostic]:
    name = module.partition(".")[0]
    known = name in sys.stdlib_module_names or name in OWN_PACKAGES or name in workflow.packages
    if known or places.is_optional(node):
        return
    instead = PACKAGE_ADVICE.get(name)
    meant = nearest(name, workflow.packages) if instead is None and workflow.packages else None
    if meant is not None:
        instead = f"Did you mean `{meant}`?"
    yield report(
        "no-package",
        workflow.source.span(place),
        what=package_missing(name, workflow.packages),
        name=name,
        instead=f" {instead}" if instead else "",
    )


def _of_workers(workflow: Workflow, places: Places) -> Iterator[Diagnostic]:
    """Names that the `workers` module does not have here."""
    for statement in workflow.tree.nodes_by_type[ast.ImportFrom]:
        if statement.module in ("workers", "workers.workflows") and not statement.level:
            unknown = [alias for alias in statement.names if alias.name not in (*WORKERS, "*")]
            if unknown and not places.is_optional(statement):
                for alias in unknown:
                    yield _not_of_workers(workflow, alias, alias.name, "ImportError")
    for node in workflow.tree.nodes_by_type[ast.Attribute]:
        if node.attr in WORKERS or not isinstance(node.ctx, ast.Load) or node.attr.startswith("__"):
            continue
        if workflow.tree.dotted(node.value) == "workers" and places.is_reached(node):
            yield _not_of_workers(workflow, node, node.attr, "AttributeError")


def _not_of_workers(workflow: Workflow, node: ast.alias | ast.Attribute, name: str, error: str) -> Diagnostic:
    place = workflow.source.span(node)
    instead = NAME_ADVICE.get(name)
    meant = nearest(name, WORKERS) if instead is None else None
    fix = None
    if meant is not None and isinstance(node, ast.alias):
        fix = Fix(f"Make it {meant}", place, meant + (f" as {node.asname}" if node.asname else ""))
    cure = f" {instead}" if instead else f" Did you mean `{meant}`?" if meant else ""
    return report("not-of-workers", place, fix, name=name, error=error, cure=cure)


def _bindings(workflow: Workflow, places: Places) -> Iterator[Diagnostic]:
    """Bindings that other platforms have, or that are nearly one of ours. All others may be the operator's own."""
    seen: set[str] = set()
    if any(
        workflow.tree.dotted(call.func) in _LOOK_FIRST and call.args and is_env(call.args[0])
        for call in workflow.tree.nodes_by_type[ast.Call]
    ):
        return
    for node in workflow.tree.nodes_by_type[ast.Attribute]:
        name = node.attr
        if (
            not is_env(node.value)
            or name in BINDINGS
            or name in seen
            or not isinstance(node.ctx, ast.Load)
            or not places.is_reached(node)
        ):
            continue
        seen.add(name)
        place = workflow.source.span(node)
        common = similar_binding(name)
        meant = difflib.get_close_matches(name.upper(), BINDINGS, 1, 0.85) if len(seen) <= MAX_BINDINGS_COMPARED else []
        if common is not None:
            yield report("no-binding", place, name=name, cure=f" In its place there may be `self.env.{common}`.")
        elif meant:
            yield report(
                "no-binding",
                place,
                Fix(f"Make it {meant[0]}", place, f"self.env.{meant[0]}"),
                name=name,
                cure=f" Did you mean `{meant[0]}`?",
            )


def check_named_workflows(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about children of another workflow, which only a tenant has; one for each place that names it. Those
    that are named as a class of the source may be that class.
    """
    classes = {node.name for node in workflow.tree.nodes_by_type[ast.ClassDef]}
    for call in workflow.tree.nodes_by_type[ast.Call]:
        if runs_child(call):
            for given in call.keywords:
                known = isinstance(given.value, ast.Constant) and given.value.value in {None, *classes}
                if given.arg == "workflow" and not known:
                    yield report("named-workflow", workflow.source.span(given))


MAX_SUGGESTIONS = 20  # undefined names that get a "did you mean": looking for them is slow
KNOWN = 500  # names among which is looked

_FROM_WORKERS = ("WorkflowEntrypoint", "NonRetryableError")
_FROM_ELSEWHERE = {
    "datetime": "from datetime import datetime",
    "timedelta": "from datetime import timedelta",
    "uuid4": "from uuid import uuid4",
}
# Packages that everybody imports under these names.
_USUAL_NAMES = {"np": "numpy", "pd": "pandas", "pl": "polars"}
_OF_MODULES = frozenset({
    "__file__", "__name__", "__doc__", "__builtins__", "__annotations__", "__class__", "__spec__", "__loader__",
    "__package__", "__dict__", "__module__", "__qualname__", "__debug__", "__path__", "__cached__",
})  # fmt: skip
_DYNAMIC = frozenset({"builtins.exec", "builtins.globals", "builtins.eval", "builtins.vars", "builtins.locals"})


def check_undefined(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about names bound nowhere in the file; quiet where names may come from somewhere unseen."""
    tree = workflow.tree
    if tree.star_import or any(tree.dotted(call.func) in _DYNAMIC for call in tree.nodes_by_type[ast.Call]):
        return
    anywhere = {name for names in tree.bindings.values() for name in names} | tree.escaped
    suggestions = MAX_SUGGESTIONS if len(anywhere) <= KNOWN else 0
    for name, loads in tree.loads.items():
        if name in anywhere or name in _OF_MODULES or tree.dotted(loads[0]) is not None:
            continue
        load = min(loads, key=lambda node: (node.lineno, node.col_offset))
        place = workflow.source.span(load)
        line = _import_line(name, workflow.packages)
        if line is not None:
            yield report("undefined-name", place, _add_import(workflow, line), name=name, cure=f" Add `{line}`.")
            continue
        meant = nearest(name, anywhere) if len(name) > 3 and suggestions > 0 else None
        suggestions -= 1
        fix = Fix(f"Make it {meant}", place, meant) if meant else None
        yield report("undefined-name", place, fix, name=name, cure=f" Did you mean `{meant}`?" if meant else "")


def _import_line(name: str, packages: Sequence[str]) -> str | None:
    if name in _FROM_WORKERS:
        return f"from workers import {name}"
    if name in _FROM_ELSEWHERE:
        return _FROM_ELSEWHERE[name]
    if name in packages:
        return f"import {name}"
    if _USUAL_NAMES.get(name) in packages:
        return f"import {_USUAL_NAMES[name]} as {name}"
    return f"import {name}" if name in sys.stdlib_module_names and not name.startswith("_") else None


def _add_import(workflow: Workflow, line: str) -> Fix:
    """Above the first statement that is neither the docstring nor a `__future__` import."""
    body = workflow.source.tree.body
    place = 0
    for statement in body:
        docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and place == 0
        if not docstring and not (isinstance(statement, ast.ImportFrom) and statement.module == "__future__"):
            break
        place += 1
    at = body[place].lineno if place < len(body) else body[-1].end_lineno
    decorators = getattr(body[place], "decorator_list", []) if place < len(body) else []
    at = min([at, *(decorator.lineno for decorator in decorators)])
    return Fix(f"Add {line}", Span(at, 1, at, 1), line + "\n")
