"""Calls of steps: methods, arguments and parameters that do not exist, and invalid configs and durations.

playground/workflows/step_config.py defines what a config may contain.
"""

import ast
import difflib
import math
import re
from collections.abc import Iterable, Iterator

from playground.analysis.diagnostics import Diagnostic, Fix, Span, report
from playground.analysis.syntax import Placed
from playground.analysis.workflow import StepCall, Workflow
from playground.workflows import durations, unavailable
from playground.workflows import step_config as configs
from playground.workflows.events import DO, SLEEP, WAIT

_SHORT = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-zA-Zµ]+)\s*\Z")
_UNITS = {
    **dict.fromkeys(("s", "sec", "secs"), "second"),
    **dict.fromkeys(("m", "min", "mins"), "minute"),
    **dict.fromkeys(("h", "hr", "hrs"), "hour"),
    **dict.fromkeys(("d",), "day"),
    **dict.fromkeys(("w", "wk", "wks"), "week"),
    **dict.fromkeys(("mo", "mon"), "month"),
    **dict.fromkeys(("y", "yr", "yrs"), "year"),
}
_MILLISECONDS = frozenset({"ms", "msec", "millis", "millisecond", "milliseconds"})
_TEXT_UNITS = (
    ("day", durations.DAY),
    ("hour", durations.HOUR),
    ("minute", durations.MINUTE),
    ("second", durations.SECOND),
)


def check_config(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about configs, and about the durations of sleeps, waits, delays and timeouts."""
    for call in workflow.step_calls:
        if call.kind == DO:
            for given in call.node.keywords:
                if given.arg in ("config", "rollback_config"):
                    yield from _config(workflow, given.value)
        elif call.method == "sleep":
            yield from _duration(workflow, call.argument(1, "duration"), SLEEP)
        elif call.kind == WAIT:
            yield from _duration(workflow, call.argument(2, "timeout"), WAIT)


def _config(workflow: Workflow, given: ast.expr) -> Iterator[Diagnostic]:
    found = _dict(workflow, given)
    if found is None:
        if isinstance(given, ast.Constant) and given.value is not None:
            yield _refused(workflow, given, "A config is a dict.")
        return
    yield from _unknown_keys(workflow, found, configs.KEYS, "config")
    values = _values(found)
    if "retries" in values:
        yield from _retries(workflow, values["retries"])
    if "timeout" in values:
        yield from _duration(workflow, values["timeout"], "timeout")
    sensitive = values.get("sensitive")
    if isinstance(sensitive, ast.Constant) and sensitive.value is not None and sensitive.value not in configs.SENSITIVE:
        yield _refused(
            workflow,
            sensitive,
            '`sensitive` takes "output".',
            Fix('Make it "output"', workflow.source.span(sensitive), '"output"'),
        )


def _retries(workflow: Workflow, given: ast.expr) -> Iterator[Diagnostic]:
    found = _dict(workflow, given)
    if found is None:
        if isinstance(given, ast.Constant):
            yield _refused(workflow, given, "`retries` is a dict with `limit` and `delay`.")
        return
    yield from _unknown_keys(workflow, found, configs.RETRY_KEYS, "retries")
    values = _values(found)
    if all(isinstance(key, ast.Constant) for key in found.keys):
        missing = [key for key in configs.REQUIRED_RETRY_KEYS if key not in values]
        if missing:
            complete = _complete(workflow, found, missing)
            yield _refused(workflow, found, f"`retries` needs {' and '.join(f'`{key}`' for key in missing)}.", complete)
    if "limit" in values:
        yield from _limit(workflow, values["limit"])
    if "delay" in values:
        yield from _duration(workflow, values["delay"], "delay")
    backoff = values.get("backoff")
    if isinstance(backoff, ast.Constant) and backoff.value not in configs.BACKOFFS:
        meant = nearest(str(backoff.value), configs.BACKOFFS)
        fix = Fix(f'Make it "{meant}"', workflow.source.span(backoff), f'"{meant}"') if meant else None
        yield _refused(workflow, backoff, f"`backoff` takes {', '.join(configs.BACKOFFS)}.", fix)


def retries_of(**given: str) -> str:
    """The source of `retries` with what is given, and the defaults of what is required besides."""
    return "{" + ", ".join(f'"{key}": {text}' for key, text in (_REQUIRED | given).items()) + "}"


def _complete(workflow: Workflow, found: ast.Dict, missing: list[str]) -> Fix:
    text = ", ".join(f'"{key}": {_REQUIRED[key]}' for key in missing)
    place = workflow.source.span(found.values[-1] if found.values else found)
    line, column = (place.end_line, place.end_column) if found.values else (place.line, place.column + 1)
    title = f"Add {' and '.join(missing)}"
    return Fix(title, Span(line, column, line, column), f", {text}" if found.values else text)


def _into_retries(workflow: Workflow, found: ast.Dict, key: ast.Constant, name: str) -> Fix | None:
    """The fix of a config that has one key of `retries` outside of it and no `retries`: wrap its pair."""
    names = [one.value for one in found.keys if isinstance(one, ast.Constant)]
    if "retries" in names or sum(name in configs.RETRY_KEYS for name in names) != 1:
        return None
    value = found.values[found.keys.index(key)]
    start, end = workflow.source.span(key), workflow.source.span(value)
    text = f'"retries": {retries_of(**{name: workflow.one_line(value)})}'
    return Fix("Put it into retries", Span(start.line, start.column, end.end_line, end.end_column), text)


def _limit(workflow: Workflow, given: ast.expr) -> Iterator[Diagnostic]:
    infinite = isinstance(given, ast.Call) and workflow.tree.dotted(given.func) == "builtins.float"
    if infinite or workflow.tree.dotted(given) == "math.inf":
        yield _refused(
            workflow, given, f"`limit` is a whole number from 0 to {configs.RETRY_LIMIT_MOST:,}, not infinite."
        )
        return
    known, limit = _number(given)
    if known and not (
        isinstance(limit, (int, float))
        and not isinstance(limit, bool)
        and limit == int(limit)
        and 0 <= limit <= configs.RETRY_LIMIT_MOST
    ):
        yield _refused(workflow, given, f"`limit` is a whole number from 0 to {configs.RETRY_LIMIT_MOST:,}.")


def _duration(workflow: Workflow, given: ast.expr | None, what: str) -> Iterator[Diagnostic]:
    """Findings about a constant duration; `what` it is for decides which values are valid."""
    here = not isinstance(given, ast.Name)  # a named constant may have other uses, which a fix would break
    if isinstance(given, ast.Name):
        given = workflow.tree.value(given)
    if given is None:
        return
    known, value = _number(given)
    if not known:
        return
    place = workflow.source.span(given)
    try:
        milliseconds = durations.parse(value)
    except durations.InvalidDuration as refused:
        better = _corrected_duration(value)
        fix = Fix(f"Make it {better}", place, better) if better and here else None
        yield report(
            "bad-duration", place, fix, sentence=f"{refused}." + (f" Did you mean {better}?" if better else "")
        )
        return
    if what == "timeout" and milliseconds <= 0:
        yield report("bad-duration", place, sentence="A timeout must be greater than 0; the step is refused.")
    elif what == SLEEP and milliseconds > durations.LONGEST:
        yield report(
            "bad-duration",
            place,
            sentence="The longest sleep is 365 days; this one is refused when the run reaches it.",
        )
    elif what == WAIT and not durations.SECOND <= milliseconds <= durations.LONGEST:
        yield report(
            "bad-duration",
            place,
            sentence="A wait's timeout is from 1 second to 365 days; this one is refused when the run reaches it.",
        )
    elif isinstance(value, (int, float)) and value > 0:
        text = duration_text(value)
        fix = Fix(f"Make it {text}", place, text) if here else None
        yield report("bare-number", place, fix, number=workflow.one_line(given), meaning=text.strip('"'), text=text)


def _number(given: ast.expr) -> tuple[bool, object]:
    """Whether an expression is a constant, or a negative number, and its value."""
    if isinstance(given, ast.Constant):
        return True, given.value
    if isinstance(given, ast.UnaryOp) and isinstance(given.op, ast.USub) and isinstance(given.operand, ast.Constant):
        value = given.operand.value
        if isinstance(value, (int, float)):
            return True, -value
    return False, None


def _corrected_duration(value: object) -> str | None:
    """What a refused duration was most likely meant to be, as source."""
    found = _SHORT.match(value) if isinstance(value, str) and len(value) < 40 else None
    if found is None:
        return None
    number, unit = found[1], found[2].lower()
    if unit in _MILLISECONDS:
        return duration_text(float(number))
    known = _UNITS.get(unit) or nearest(unit.removesuffix("s"), durations.UNITS)
    return f'"{number} {known}{"" if number == "1" else "s"}"' if known else None


def duration_text(milliseconds: float) -> str:
    """A number of milliseconds as a duration string in source, in the largest unit that divides it."""
    for unit, size in _TEXT_UNITS:
        if milliseconds >= size and milliseconds % size == 0:
            count = int(milliseconds // size)
            return f'"{count} {unit}{"" if count == 1 else "s"}"'
    seconds = f"{milliseconds / durations.SECOND:.6f}".rstrip("0").rstrip(".") if math.isfinite(milliseconds) else "0"
    return f'"{seconds} seconds"'


# What `retries` must have, as source, with the defaults of a step that has no config.
_REQUIRED = {"limit": str(configs.RETRY_LIMIT), "delay": duration_text(configs.RETRY_DELAY)}


def _dict(workflow: Workflow, given: ast.expr) -> ast.Dict | None:
    found = workflow.tree.value(given) if isinstance(given, ast.Name) else given
    return found if isinstance(found, ast.Dict) else None


def _values(found: ast.Dict) -> dict[str, ast.expr]:
    return {
        key.value: value
        for key, value in zip(found.keys, found.values, strict=True)
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    }


def _unknown_keys(workflow: Workflow, found: ast.Dict, known: tuple[str, ...], what: str) -> Iterator[Diagnostic]:
    for key in found.keys:
        if isinstance(key, ast.Constant) and key.value not in known:
            meant = nearest(str(key.value), known)
            fix = Fix(f'Make it "{meant}"', workflow.source.span(key), f'"{meant}"') if meant else None
            if what == "config" and isinstance(key.value, str) and key.value in configs.RETRY_KEYS:
                fix = _into_retries(workflow, found, key, key.value)
                sentence = f"`{key.value}` belongs into `retries`."
            else:
                sentence = f"`{what}` has no key {str(key.value)[:60]!r}; it takes {', '.join(known)}."
            yield _refused(workflow, key, sentence, fix)


def _refused(workflow: Workflow, node: Placed, sentence: str, fix: Fix | None = None) -> Diagnostic:
    return report("config", workflow.source.span(node), fix, sentence=sentence)


_OF_CONFIG = ("retries", "timeout", "retry")
_KEYWORDS = {
    "do": ("name", "callback", "depends", "concurrent", "config", "rollback", "rollback_config"),
    "sleep": ("name", "duration"),
    "sleep_until": ("name", "when"),
    "wait_for_event": ("event_type", "type", "timeout", "schema"),
}
_NEEDS = {
    "sleep": (2, "a name and a duration"),
    "sleep_until": (2, "a name and a time"),
    "wait_for_event": (2, "a name and an event type"),
}


def check_calls(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about the calls of steps and the parameters of their functions."""
    yield from _methods(workflow)
    for call in workflow.step_calls:
        yield from _arguments(workflow, call)
        yield from _as_in_javascript(workflow, call)
        if call.kind == DO and call.decorated is None and call.callback is None and not call.open_ended:
            parent = workflow.tree.parents[call.node]
            if isinstance(parent, (ast.Await, ast.Expr)):
                yield report("no-function", workflow.source.span(call.node))
    for node in workflow.tree.nodes_by_type[ast.Call]:
        function = workflow.step_function(node.func)
        if function is not None and len(function.decorator_list) == 1 and (node.args or node.keywords):
            yield report("step-arguments", workflow.source.span(node))
    yield from _parameters(workflow)


def _methods(workflow: Workflow) -> Iterator[Diagnostic]:
    for node in workflow.tree.nodes_by_type[ast.Attribute]:
        if node.attr in unavailable.METHODS or node.attr.startswith("__") or not isinstance(node.ctx, ast.Load):
            continue
        if (
            isinstance(node.value, ast.Name)
            and workflow.is_step(node.value)
            and workflow.tree.enclosing(node) in _functions(workflow)
        ):
            meant = unavailable.closest_method(node.attr)
            place = workflow.source.span(node)
            fix = Fix(f"Make it {meant}", place, f"{node.value.id}.{meant}") if meant else None
            yield report(
                "unknown-method",
                place,
                fix,
                step=node.value.id,
                name=node.attr,
                cure=" " + unavailable.method_advice(node.attr),
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
    fix, form = None, f"{workflow.one_line(call.node.func)}(name, event_type, timeout=…)"
    if call.kind == WAIT:
        pairs = zip(options.keys, options.values, strict=True)
        values = {key.value: value for key, value in pairs if isinstance(key, ast.Constant)}
        known = "type" in values and values.keys() <= {"type", "timeout"} and len(values) == len(options.keys)
        if known and len(given) == 2 and options is given[1]:
            timeout = f", timeout={workflow.source.text_of(values['timeout'])}" if "timeout" in values else ""
            fix = Fix("Give them one by one", place, workflow.source.text_of(values["type"]) + timeout)
    else:
        form = f"{workflow.one_line(call.node.func)}(name{'' if call.decorated else ', function'}, config={{…}})"
        text = f"config={workflow.source.text_of(given[1])}"
        if call.keyword("config") is None and len(given) == 3 and call.decorated is None:
            fix = Fix("Put the function first", place, f"{workflow.source.text_of(given[2])}, {text}")
        elif call.keyword("config") is None and len(given) == 2:
            fix = Fix("Make it config=", place, text)
    yield report("options-second", place, fix, form=form)


def _into_config(workflow: Workflow, call: StepCall, given: ast.keyword) -> Fix | None:
    """A config made of one misplaced argument, when there is neither a config nor another such argument."""
    keywords = [one.arg for one in call.node.keywords]
    if "config" in keywords or sum(name in _OF_CONFIG for name in keywords) != 1:
        return None
    text = workflow.one_line(given.value)
    if given.arg == "timeout":
        pair = f'"timeout": {text}'
    elif isinstance(given.value, ast.Dict):
        pair = f'"retries": {text}'
    else:
        pair = f'"retries": {retries_of(limit=text)}'
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
