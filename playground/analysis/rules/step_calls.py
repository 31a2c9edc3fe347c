"""Calls of the step object and of decorated steps: methods, arguments and parameters that do not exist."""

import ast
import difflib
from collections.abc import Iterable, Iterator

from playground.analysis.diagnostics import Diagnostic, Fix, Span, report
from playground.analysis.workflow import DO, METHODS, WAIT, StepCall, Workflow
from playground.workflows import step_methods

_OF_CONFIG = ("retries", "timeout", "retry")
_KEYWORDS = {
    "do": ("name", "callback", "depends", "concurrent", "config", "rollback", "rollback_config"),
    "sleep": ("name", "duration"),
    "sleep_until": ("name", "when"),
    "wait_for_event": ("event_type", "type", "timeout"),
}
_NEEDS = {
    "sleep": (2, "a name and a duration"),
    "sleep_until": (2, "a name and a time"),
    "wait_for_event": (2, "a name and an event type"),
}


def check(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about how steps are called and what their functions ask for."""
    yield from _methods(workflow)
    for call in workflow.step_calls:
        yield from _arguments(workflow, call)
        yield from _as_in_javascript(workflow, call)
        if call.kind == DO and call.decorated is None and call.callback is None and not call.open_ended:
            parent = workflow.tree.parents[call.node]
            if isinstance(parent, (ast.Await, ast.Expr)):
                yield report("no-function", workflow.source.span(call.node))
    for node in workflow.tree.of[ast.Call]:
        function = workflow.step_function(node.func)
        if function is not None and len(function.decorator_list) == 1 and (node.args or node.keywords):
            yield report("step-arguments", workflow.source.span(node))
    yield from _parameters(workflow)


def _methods(workflow: Workflow) -> Iterator[Diagnostic]:
    for node in workflow.tree.of[ast.Attribute]:
        if node.attr in METHODS or node.attr.startswith("__") or not isinstance(node.ctx, ast.Load):
            continue
        if (
            isinstance(node.value, ast.Name)
            and workflow.is_step(node.value)
            and workflow.tree.enclosing(node) in _functions(workflow)
        ):
            meant = step_methods.meant(node.attr)
            place = workflow.source.span(node)
            fix = Fix(f"Make it {meant}", place, f"{node.value.id}.{meant}") if meant else None
            yield report(
                "unknown-method",
                place,
                fix,
                step=node.value.id,
                name=node.attr,
                cure=" " + step_methods.advice(node.attr),
            )


def _functions(workflow: Workflow) -> list[ast.AST]:
    """Where the step parameter surely is the step object: `run` itself."""
    return list(workflow.roots)


def _arguments(workflow: Workflow, call: StepCall) -> Iterator[Diagnostic]:
    known = _KEYWORDS[call.method]
    for given in call.node.keywords:
        if given.arg is not None and given.arg not in known:
            meant = nearest(given.arg, known)
            place = workflow.source.span(given)
            fix = None
            if given.arg in _OF_CONFIG and call.kind == DO:
                cure = ' It belongs into `config={"…": …}`.'
                fix = _into_config(workflow, call, given)
            else:
                cure = f" Did you mean `{meant}`?" if meant else f" It takes {', '.join(known)}."
            yield report("unknown-argument", place, fix, method=call.method, name=given.arg, cure=cure)
    if call.method in _NEEDS and not call.open_ended:
        least, needs = _NEEDS[call.method]
        if len(call.node.args) + len([given for given in call.node.keywords if given.arg != "timeout"]) < least:
            yield report("missing-argument", workflow.source.span(call.node), method=call.method, needs=needs)


def _as_in_javascript(workflow: Workflow, call: StepCall) -> Iterator[Diagnostic]:
    """Options given as an object in the second place: `step.do("x", {…}, f)`, `step.waitForEvent("x", {type,
    timeout})`.
    """
    given = call.node.args
    if call.open_ended or len(given) < 2 or call.kind not in (DO, WAIT):
        return
    options = workflow.tree.value(given[1]) or given[1]
    if not isinstance(options, ast.Dict):
        return
    start, end = workflow.source.span(given[1]), workflow.source.span(given[-1])
    place = Span(start.line, start.column, end.end_line, end.end_column)
    fix, form = None, f"{workflow.words_of(call.node.func)}(name, event_type, timeout=…)"
    if call.kind == WAIT:
        pairs = zip(options.keys, options.values, strict=True)
        values = {key.value: value for key, value in pairs if isinstance(key, ast.Constant)}
        known = "type" in values and values.keys() <= {"type", "timeout"} and len(values) == len(options.keys)
        if known and len(given) == 2 and options is given[1]:
            timeout = f", timeout={workflow.source.exact(values['timeout'])}" if "timeout" in values else ""
            fix = Fix("Give them one by one", place, workflow.source.exact(values["type"]) + timeout)
    else:
        form = f"{workflow.words_of(call.node.func)}(name{'' if call.decorated else ', function'}, config={{…}})"
        text = f"config={workflow.source.exact(given[1])}"
        if call.keyword("config") is None and len(given) == 3 and call.decorated is None:
            fix = Fix("Put the function first", place, f"{workflow.source.exact(given[2])}, {text}")
        elif call.keyword("config") is None and len(given) == 2:
            fix = Fix("Make it config=", place, text)
    yield report("options-second", place, fix, form=form)


def _into_config(workflow: Workflow, call: StepCall, given: ast.keyword) -> Fix | None:
    """A config made of one misplaced argument, when there is neither a config nor another such argument."""
    keywords = [one.arg for one in call.node.keywords]
    if "config" in keywords or sum(name in _OF_CONFIG for name in keywords) != 1:
        return None
    text = workflow.words_of(given.value)
    if given.arg == "timeout":
        pair = f'"timeout": {text}'
    elif isinstance(given.value, ast.Dict):
        pair = f'"retries": {text}'
    else:
        pair = f'"retries": {{"limit": {text}, "delay": "10 seconds"}}'
    return Fix("Put it into a config", workflow.source.span(given), f"config={{{pair}}}")


def _parameters(workflow: Workflow) -> Iterator[Diagnostic]:
    """A decorated step's parameters are `ctx` or what another is called; a legacy `depends` list fills the first."""
    steps = {name for function in workflow.decorated for name in workflow.names_of(function)}
    computed = [call.name for call in workflow.decorated.values() if call is not None and call.name is not None]
    if any(_may_be_a_parameter(workflow, name) for name in computed):
        return
    for function, call in workflow.decorated.items():
        if call is None or len(function.decorator_list) != 1 or call.open_ended or call.keyword("depends") is not None:
            continue
        given = function.args
        plain = given.args[: len(given.args) - len(given.defaults)]
        required = [
            *plain,
            *(one for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True) if default is None),
        ]
        for argument in required:
            if argument.arg not in steps and argument.arg != "ctx":
                yield report("unknown-parameter", workflow.source.span(argument), name=argument.arg)


def _may_be_a_parameter(workflow: Workflow, name: ast.expr) -> bool:
    """Whether a step name that only the run can tell may be a word, as that of a parameter is."""
    parts = getattr(workflow.tree.value(name) or name, "values", [workflow.tree.value(name) or name])
    texts = [part.value for part in parts if isinstance(part, ast.Constant)]
    return len(texts) < len(parts) and all(isinstance(text, str) and f"_{text}".isidentifier() for text in texts)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was most likely meant."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else None
