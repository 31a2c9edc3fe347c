"""Step configs and durations, checked where they stand; what may be in them is said in
playground/workflows/step_config.py.
"""

import ast
import math
import re
from collections.abc import Iterator

from playground.analysis.diagnostics import Diagnostic, Fix, Span, report
from playground.analysis.rules.step_calls import nearest
from playground.analysis.syntax import Placed
from playground.analysis.workflow import DO, SLEEP, WAIT, Workflow
from playground.workflows import durations
from playground.workflows import step_config as configs

KEYS = ("retries", "timeout", "sensitive")
RETRY_KEYS = ("limit", "delay", "backoff")
REQUIRED = {"limit": "5", "delay": '"10 seconds"'}  # of retries, as the defaults have them

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
_WORTH_SAYING = (
    ("day", durations.DAY),
    ("hour", durations.HOUR),
    ("minute", durations.MINUTE),
    ("second", durations.SECOND),
)


def check(workflow: Workflow) -> Iterator[Diagnostic]:
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
    yield from _unknown_keys(workflow, found, KEYS, "config")
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
    yield from _unknown_keys(workflow, found, RETRY_KEYS, "retries")
    values = _values(found)
    if all(isinstance(key, ast.Constant) for key in found.keys):
        missing = [key for key in ("limit", "delay") if key not in values]
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
    return "{" + ", ".join(f'"{key}": {text}' for key, text in (REQUIRED | given).items()) + "}"


def _complete(workflow: Workflow, found: ast.Dict, missing: list[str]) -> Fix:
    text = ", ".join(f'"{key}": {REQUIRED[key]}' for key in missing)
    place = workflow.source.span(found.values[-1] if found.values else found)
    line, column = (place.end_line, place.end_column) if found.values else (place.line, place.column + 1)
    title = f"Add {' and '.join(missing)}"
    return Fix(title, Span(line, column, line, column), f", {text}" if found.values else text)


def _into_retries(workflow: Workflow, found: ast.Dict, key: ast.Constant, name: str) -> Fix | None:
    """Where one key of retries stands beside them alone, its pair becomes them."""
    names = [one.value for one in found.keys if isinstance(one, ast.Constant)]
    if "retries" in names or sum(name in RETRY_KEYS for name in names) != 1:
        return None
    value = found.values[found.keys.index(key)]
    start, end = workflow.source.span(key), workflow.source.span(value)
    text = f'"retries": {retries_of(**{name: workflow.words_of(value)})}'
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
    """Findings about a duration that stands there as a constant; `what` it is of decides which values it takes."""
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
        better = _better(value)
        fix = Fix(f"Make it {better}", place, better) if better and here else None
        yield report("bad-duration", place, fix, words=f"{refused}." + (f" Did you mean {better}?" if better else ""))
        return
    if what == "timeout" and milliseconds <= 0:
        yield report("bad-duration", place, words="A timeout must be greater than 0; the step is refused.")
    elif what == SLEEP and milliseconds > durations.LONGEST:
        yield report(
            "bad-duration", place, words="The longest sleep is 365 days; this one is refused when the run reaches it."
        )
    elif what == WAIT and not durations.SECOND <= milliseconds <= durations.LONGEST:
        yield report(
            "bad-duration",
            place,
            words="A wait's timeout is from 1 second to 365 days; this one is refused when the run reaches it.",
        )
    elif isinstance(value, (int, float)) and value > 0:
        text = spoken(value)
        fix = Fix(f"Make it {text}", place, text) if here else None
        yield report("bare-number", place, fix, number=workflow.words_of(given), meaning=text.strip('"'), text=text)


def _number(given: ast.expr) -> tuple[bool, object]:
    """Whether a constant stands there (a negative number too), and its value."""
    if isinstance(given, ast.Constant):
        return True, given.value
    if isinstance(given, ast.UnaryOp) and isinstance(given.op, ast.USub) and isinstance(given.operand, ast.Constant):
        value = given.operand.value
        if isinstance(value, (int, float)):
            return True, -value
    return False, None


def _better(value: object) -> str | None:
    """What a refused duration was most likely meant to be, as source."""
    found = _SHORT.match(value) if isinstance(value, str) and len(value) < 40 else None
    if found is None:
        return None
    number, unit = found[1], found[2].lower()
    if unit in _MILLISECONDS:
        return spoken(float(number))
    known = _UNITS.get(unit) or nearest(unit.removesuffix("s"), durations.UNITS)
    return f'"{number} {known}{"" if number == "1" else "s"}"' if known else None


def spoken(milliseconds: float) -> str:
    """A number of milliseconds as a duration string in source, in the largest unit that divides it."""
    for unit, size in _WORTH_SAYING:
        if milliseconds >= size and milliseconds % size == 0:
            count = int(milliseconds // size)
            return f'"{count} {unit}{"" if count == 1 else "s"}"'
    seconds = f"{milliseconds / durations.SECOND:.6f}".rstrip("0").rstrip(".") if math.isfinite(milliseconds) else "0"
    return f'"{seconds} seconds"'


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
            if what == "config" and isinstance(key.value, str) and key.value in RETRY_KEYS:
                fix = _into_retries(workflow, found, key, key.value)
                words = f"`{key.value}` belongs into `retries`."
            else:
                words = f"`{what}` has no key {str(key.value)[:60]!r}; it takes {', '.join(known)}."
            yield _refused(workflow, key, words, fix)


def _refused(workflow: Workflow, node: Placed, words: str, fix: Fix | None = None) -> Diagnostic:
    return report("config", workflow.source.span(node), fix, words=words)
