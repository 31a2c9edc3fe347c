"""What a workflow uses that exists only here: it would fail, or do something else, as a Python Workflow on Cloudflare.

These findings are for somebody who takes the code there. They are made only when they are asked for, since none of them
is a fault of a run here.

Source: `workers` of Cloudflare's Python SDK, `workers-runtime-sdk` 1.9.5, under a compatibility date from 2026-02-25 on
(dependencies by the names of parameters). What both have, and what fails in both, is not named.
"""

import ast
from collections.abc import Iterator

from playground.analysis.diagnostics import Diagnostic, Fix, Span, report
from playground.analysis.rules.unavailable import BINDINGS, Places
from playground.analysis.syntax import Placed, below
from playground.analysis.workflow import StepCall, Workflow, is_env
from playground.workflows.events import DO, WAIT

# What the SDK's two modules have.
NAMES_THERE = {
    "workers": frozenset((
        "Blob", "BlobEnding", "BlobValue", "Body", "Context", "DurableObject", "FetchKwargs", "FetchResponse", "File",
        "FormData", "FormDataValue", "Headers", "JSBody", "Request", "RequestInitCfProperties", "Response",
        "WorkerEntrypoint", "WorkflowEntrypoint", "env", "fetch", "handler", "import_from_javascript", "patch_env",
        "python_from_rpc", "python_to_rpc", "waitUntil", "wait_until", "workflows",
    )),
    "workers.workflows": frozenset(("NonRetryableError",)),
}  # fmt: skip
_TYPES = frozenset(("WorkflowStep", "WorkflowEvent", "WorkflowStepEvent", "WorkflowStepContext", "WorkflowStepConfig"))
_NO_RETRY = "Import it `from workers.workflows`, which works here too."
_TYPE = "Import it under `if TYPE_CHECKING:`, and write the annotation as a string."
_OF_ERROR = "Catch `Exception` there, and look at its message."
_OF_BASE = "Import it `from workers`, which works here too."

_OWN = "Give the Worker a binding of this name in `wrangler.jsonc`; what it does there is up to that binding."
BINDING_ADVICE = {
    "AI": 'Workers AI is the binding `"ai": {"binding": "AI"}`; its models have other names, and it returns what the '
    "model returns.",
    "APPROVALS": "There is no such binding. Serve a page of your own that sends the event.",
    "EFFECTS": "It only simulates. Put the real call in its place, with an idempotency key where it takes one.",
    "FETCH": "Use `fetch` of `workers`, which is there too.",
    "KV": "It is a binding under `kv_namespaces`; values are text (`json.dumps`), a missing key is None, and a write "
    "happens at once, not with the step's result.",
    "MCP": "There is no such binding. Ask the server with `fetch` in a step.",
    "MCPS": "There is no such binding. Ask the servers with `fetch` in a step.",
    "QUEUE": "It is a producer under `queues`; `send` happens at once, not with the step's result, and again with each "
    "attempt.",
    "QUEUES": "Each queue is a binding of its own under `queues`; `send` happens at once, not with the step's result.",
    "SECRETS": "A secret is `self.env.NAME`, set by `wrangler secret put NAME`; nothing redacts it.",
    "STREAMS": "There is no such binding. Write what readers need at once to a store or a Durable Object.",
    "WORKFLOWS": "A workflow can't await another one's end. Create it through its binding under `workflows`, and let "
    "it send an event when it is done.",
}
assert BINDING_ADVICE.keys() == set(BINDINGS), "each binding has its advice"

_NO_ROLLBACK = "Catch the error in `run`, and call what undoes the step there."
_BY_NAME = "Name the parameters as the steps that they take results of."
_ARGUMENTS = {
    "rollback": ("`rollback`", _NO_ROLLBACK),
    "rollback_config": ("`rollback_config`", _NO_ROLLBACK),
    "depends": ("`depends`", _BY_NAME),
}
_METHODS = {
    "patched": "Deploy changed code as a workflow of another name there, and let the runs of the old one end.",
    "deprecate_patch": "Leave it out.",
    "tag": "Find a run by its id there: choose one that says what it is for.",
}
_NO_SCHEMA = "Look at the payload in the code, and wait again where it does not fit."
_BY_PLACE = "Give it by its place, without its name, which is the same here."
_AS_TEXT = 'Write it as text, such as "2 hours".'
_ONE_TYPE = "Wait for one type there, and say in its payload what kind it is."


def check(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about what Cloudflare's Python Workflows do not have."""
    places = Places(workflow)
    yield from _imports(workflow, places)
    yield from _packages(workflow, places)
    yield from _bindings(workflow, places)
    for call in workflow.step_calls:
        yield from _do(workflow, call) if call.kind == DO else _timed(workflow, call)
    for function, decorated in workflow.decorated.items():
        if decorated is None:
            for decorator in function.decorator_list:
                if isinstance(decorator, ast.Attribute) and decorator.attr == "do":
                    place, form = workflow.source.span(decorator), f"@{workflow.one_line(decorator)}()"
                    yield report("only-here-step", place, Fix("Add parentheses", place, form[1:]), form=form)
    yield from _methods(workflow)
    yield from _parameters(workflow)
    yield from _tuples(workflow)
    yield from _replies(workflow)
    yield from _handlers(workflow)


def _imports(workflow: Workflow, places: Places) -> Iterator[Diagnostic]:
    for statement in workflow.tree.nodes_by_type[ast.ImportFrom]:
        module = statement.module or ""
        if module in NAMES_THERE and not statement.level and not places.is_optional(statement):
            for alias in statement.names:
                if alias.name not in NAMES_THERE[module] and alias.name != "*":
                    yield _import(workflow, alias, module, alias.name)
    for node in workflow.tree.nodes_by_type[ast.Attribute]:
        module = workflow.tree.dotted(node.value) or ""
        if module in NAMES_THERE and node.attr not in NAMES_THERE[module] and places.is_reached(node):
            yield _import(workflow, node, module, node.attr)


def _packages(workflow: Workflow, places: Places) -> Iterator[Diagnostic]:
    """The first import of each of the operator's packages."""
    statements = (*workflow.tree.nodes_by_type[ast.ImportFrom], *workflow.tree.nodes_by_type[ast.Import])
    seen: set[str] = set()
    for node in sorted(statements, key=lambda statement: (statement.lineno, statement.col_offset)):
        if places.is_optional(node):
            continue
        if isinstance(node, ast.Import):
            imported: list[tuple[Placed, str]] = [(alias, alias.name) for alias in node.names]
        else:
            imported = [] if node.level else [(node, node.module or "")]
        for place, module in imported:
            name = module.partition(".")[0]
            if name in workflow.packages and name not in seen:
                seen.add(name)
                yield report("only-here-package", workflow.source.span(place), name=name)


def _import(workflow: Workflow, node: Placed, module: str, name: str) -> Diagnostic:
    if name == "NonRetryableError":
        advice = _NO_RETRY
    elif name in NAMES_THERE["workers"]:
        advice = _OF_BASE
    else:
        advice = _TYPE if name in _TYPES else _OF_ERROR
    return report("only-here-import", workflow.source.span(node), module=f"`{module}`", name=name, advice=advice)


def _bindings(workflow: Workflow, places: Places) -> Iterator[Diagnostic]:
    for node in workflow.tree.nodes_by_type[ast.Attribute]:
        if is_env(node.value) and isinstance(node.ctx, ast.Load) and places.is_reached(node):
            advice = BINDING_ADVICE.get(node.attr, _OWN)
            yield report("only-here-binding", workflow.source.span(node), name=node.attr, advice=advice)


def _do(workflow: Workflow, call: StepCall) -> Iterator[Diagnostic]:
    if call.callback is not None:
        yield _direct(workflow, call)
    elif call.decorated is not None and len(call.node.args) > 1:
        yield _argument(workflow, call.node.args[1], "do", *_ARGUMENTS["depends"])
    for given in call.node.keywords:
        if given.arg in _ARGUMENTS:
            what, advice = _ARGUMENTS[given.arg]
            yield _argument(workflow, given, "do", what, advice)
        elif given.arg == "config":
            config = workflow.tree.value(given.value) or given.value
            for node in below(config):
                if _is_timedelta(workflow, node):
                    yield _argument(workflow, node, "do", "`timedelta` in its config", _AS_TEXT)


def _direct(workflow: Workflow, call: StepCall) -> Diagnostic:
    """`step.do(name, function, …)` as `step.do(name, …)(function)()`, which both understand."""
    node, source = call.node, workflow.source
    shown = workflow.one_line(node.func)
    if len(node.args) != 2 or call.open_ended or any(given.arg in ("name", "callback") for given in node.keywords):
        return report("only-here-step", source.span(node), form=f"{shown}(name)(function)()")
    options = "".join(f", {source.text_of(given)}" for given in node.keywords)
    text = f"{source.text_of(node.func)}({source.text_of(node.args[0])}{options})({source.text_of(node.args[1])})()"
    place = source.span(node)
    fix = Fix("Write it as Cloudflare takes it", place, text)
    return report("only-here-step", place, fix, form=f"{shown}(name)(function)()")


def _timed(workflow: Workflow, call: StepCall) -> Iterator[Diagnostic]:
    known = ("timeout",) if call.kind == WAIT else ()
    for given in call.node.keywords:
        if given.arg == "schema":
            yield _argument(workflow, given, call.method, "`schema`", _NO_SCHEMA)
        elif given.arg is not None and given.arg not in known:
            fix = None
            if given is call.node.keywords[0] and len(call.node.args) == 1:  # the second, where the order has it
                fix = Fix("Leave out its name", workflow.source.span(given), workflow.source.text_of(given.value))
            yield _argument(workflow, given, call.method, f"`{given.arg}` by its name", _BY_PLACE, fix)
    for node in (*call.node.args, *(given.value for given in call.node.keywords)):
        if _is_timedelta(workflow, workflow.tree.value(node) or node):
            yield _argument(workflow, node, call.method, "`timedelta`", _AS_TEXT)
    if call.kind == WAIT:
        types = call.argument(1, "event_type") or call.keyword("type")
        if types is not None and isinstance(workflow.tree.value(types) or types, (ast.List, ast.Tuple)):
            yield _argument(workflow, types, call.method, "list of types", _ONE_TYPE)


def _methods(workflow: Workflow) -> Iterator[Diagnostic]:
    for node in workflow.tree.nodes_by_type[ast.Attribute]:
        if node.attr in _METHODS and workflow.is_step(node.value):
            place = workflow.source.span(node)
            yield report("only-here-method", place, method=node.attr, advice=_METHODS[node.attr])


def _argument(
    workflow: Workflow, node: ast.AST, method: str, what: str, advice: str, fix: Fix | None = None
) -> Diagnostic:
    place: Span = workflow.source.span(node)  # type: ignore[arg-type]  # keywords and expressions have a place
    return report("only-here-argument", place, fix, method=method, what=what, advice=advice)


def _is_timedelta(workflow: Workflow, node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and workflow.tree.dotted(node.func) == "datetime.timedelta"


def _parameters(workflow: Workflow) -> Iterator[Diagnostic]:
    """Parameters that name another step's function, where that step has another name."""
    named: dict[str, str] = {}
    names: set[str] = set()
    for function, call in workflow.decorated.items():
        name = call.name if call is not None else None
        if name is None:
            names.add(function.name)
            continue
        value = workflow.tree.value(name) or name
        known = value.value if isinstance(value, ast.Constant) else None
        if isinstance(known, str):
            names.add(known)
        named[function.name] = f"`{known}`" if isinstance(known, str) else "by a name made in the run"
    for function in workflow.decorated:
        for argument in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs):
            if argument.arg in named and argument.arg not in names:
                place = workflow.source.span(argument)
                yield report("only-here-parameter", place, name=argument.arg, step=named[argument.arg])


def _tuples(workflow: Workflow) -> Iterator[Diagnostic]:
    functions: set[ast.AST] = {function for _, function in workflow.callbacks}
    functions.update(workflow.roots)
    values = [function.body for function in functions if isinstance(function, ast.Lambda)]
    values += [node.value for node in workflow.tree.within((ast.Return,), functions) if node.value is not None]
    for value in values:
        if isinstance(value, ast.Tuple) and value.elts:
            items = ", ".join(workflow.one_line(item) for item in value.elts)
            yield report("only-here-value", workflow.source.span(value), items=items)


def _replies(workflow: Workflow) -> Iterator[Diagnostic]:
    for node in workflow.tree.nodes_by_type[ast.Attribute]:
        value = workflow.tree.value(node.value) if node.attr in ("reply", "reject") else None
        if isinstance(value, ast.Await) and isinstance(value.value, ast.Call):
            call = workflow.by_node.get(value.value)
            if call is not None and call.kind == WAIT:
                yield report("only-here-reply", workflow.source.span(node))


def _handlers(workflow: Workflow) -> Iterator[Diagnostic]:
    for owner in workflow.candidates:
        method = workflow.method(owner, "queue")
        if method is not None:
            yield report("only-here-handler", workflow.source.find_word("queue", method))
