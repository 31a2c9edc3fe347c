"""Step names, by which stored results are found, so they must be the same in every execution; and invisible characters.

Such characters make names look alike that differ, and reorder a line of source so that it looks different from what
runs.
"""

import ast
import io
import re
import tokenize
import unicodedata
from collections.abc import Iterator

from playground.analysis.diagnostics import Diagnostic, Fix, Span, report
from playground.analysis.rules import determinism
from playground.analysis.syntax import below
from playground.analysis.workflow import StepCall, Workflow
from playground.workflows import names
from playground.workflows.errors import InvalidEventType
from playground.workflows.events import DO, SLEEP, WAIT

_VARYING = frozenset({determinism.TIME, determinism.RANDOM, determinism.ID})
_WORDS = {DO: "step", SLEEP: "sleep", WAIT: "wait"}
_LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break)


def check_names(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about the names of steps, sleeps and waits, and about event types."""
    first: dict[tuple[ast.AST | None, str, str], StepCall] = {}
    for call in workflow.step_calls:
        name = call.name
        if isinstance(name, ast.Constant):
            if name.value is not None and not names.is_step_name(name.value):
                yield report("bad-name", workflow.source.span(name))
        elif name is not None and _varies(workflow, name):
            yield report("unstable-name", workflow.source.span(name))
        yield from _event_type(workflow, call)
        text = constant_name(workflow, call)
        if text is not None:
            parent = workflow.tree.enclosing(call.node)  # a step inside a step is counted there
            earlier = first.setdefault((parent if parent in workflow.in_steps else None, call.kind, text), call)
            if earlier is not call and not _never_both_run(workflow, earlier.node, call.node):
                place = name if name is not None else call.node
                yield report(
                    "duplicate-name",
                    workflow.source.span(place),
                    line=earlier.node.lineno,
                    kind=_WORDS[call.kind],
                    name=text,
                )


def constant_name(workflow: Workflow, call: StepCall) -> str | None:
    """The name of a step when it is the same text each time."""
    name = call.name
    if name is None:
        return call.decorated.name if call.decorated is not None and not call.open_ended else None
    if isinstance(name, ast.Name):
        name = workflow.tree.value(name)
    if isinstance(name, ast.Constant):
        if name.value is None and call.decorated is not None:
            return call.decorated.name
        return name.value if isinstance(name.value, str) else None
    return None


def _varies(workflow: Workflow, name: ast.expr) -> bool:
    """Whether a name is made from a value that differs in every execution."""
    for node in below(name):
        if determinism.kind_of(workflow, node) in _VARYING:
            return True
        value = workflow.tree.value(node)
        if value is not None and any(
            determinism.kind_of(workflow, part) in _VARYING for part in _not_in_steps(workflow, value)
        ):
            return True
    return False


def _not_in_steps(workflow: Workflow, value: ast.expr) -> Iterator[ast.AST]:
    """The parts of an expression; none when a step computes it, since its result is stored."""
    parts = list(below(value))
    return iter(()) if any(isinstance(part, (ast.Await, ast.Lambda)) for part in parts) else iter(parts)


def _event_type(workflow: Workflow, call: StepCall) -> Iterator[Diagnostic]:
    given = call.argument(1, "event_type") if call.kind == WAIT else None
    several = given.elts if isinstance(given, (ast.List, ast.Tuple)) else [given]
    for one in several:
        if isinstance(one, ast.Constant):
            yield from _one_event_type(workflow, one)


def _one_event_type(workflow: Workflow, given: ast.Constant) -> Iterator[Diagnostic]:
    try:
        names.check_event_type(given.value)
    except InvalidEventType:
        fix = None
        if isinstance(given.value, str):
            better = "".join(
                letter if letter.isascii() and (letter.isalnum() or letter in "_-") else "-" for letter in given.value
            )
            better = better.strip("-")[: names.EVENT_TYPE_LENGTH]
            fix = Fix(f'Make it "{better}"', workflow.source.span(given), f'"{better}"') if better else None
        yield report("bad-event-type", workflow.source.span(given), fix)


def _never_both_run(workflow: Workflow, one: ast.AST, other: ast.AST) -> bool:
    """Whether two calls never share a run: they stand in two arms of a branch, after an early return, or in two
    functions.
    """
    path, other_path = _path(workflow, one), _path(workflow, other)
    shared = next(node for node in path if node in other_path)
    ours, theirs = _below(path, shared), _below(other_path, shared)
    if isinstance(shared, (ast.ClassDef, ast.Module)):
        return True
    if isinstance(shared, ast.Match):
        return ours is not theirs
    if isinstance(shared, (ast.If, ast.IfExp, ast.Try)) and _arm(shared, ours) != _arm(shared, theirs):
        return not isinstance(shared, ast.Try) or "body" not in (_arm(shared, ours), _arm(shared, theirs))
    return any(_leaves(branch, _arm(branch, _below(path, branch))) for branch in path[1 : path.index(shared)])


def _leaves(branch: ast.AST, arm: str) -> bool:
    """Whether an arm of a branch ends by leaving, so that what comes after the branch does not run with it."""
    body = getattr(branch, arm, None) if isinstance(branch, (ast.If, ast.ExceptHandler, ast.match_case)) else None
    return isinstance(body, list) and isinstance(body[-1], _LEAVES)


def _path(workflow: Workflow, node: ast.AST) -> list[ast.AST]:
    return [node, *workflow.tree.above(node)]


def _below(path: list[ast.AST], shared: ast.AST) -> ast.AST:
    place = path.index(shared)
    return path[place - 1] if place else shared


def _arm(branch: ast.AST, node: ast.AST) -> str:
    """The part of a branch that a node directly below stands in; each handler of a `try` is one of its own."""
    for field, value in ast.iter_fields(branch):
        if isinstance(value, list) and node in value:
            return f"{field}{value.index(node)}" if field == "handlers" else field
        if value is node:
            return field
    return ""


MAX_REORDERED = 50  # places in the source that are reported

# Embeddings, overrides and isolates: they reorder what follows (CVE-2021-42574).
_REORDERING = re.compile("[\u202a-\u202e\u2066-\u2069]")
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
_JOINERS = re.compile("[\u200c\u200d]")
_JOINED_FROM = "\u0300"  # below it are scripts that join nothing: there a joiner is only invisible
_FLAG, _TAGS = (
    "\U0001f3f4",
    "\U000e0020",
)  # a flag of tags begins with the first, then come invisible ones from the second on


def check_invisible(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about step names with invisible characters, and about characters that reorder the source."""
    named: list[Span] = []
    for call in workflow.step_calls:
        name = workflow.tree.value(call.name) if isinstance(call.name, ast.Name) else call.name
        texts = [text[: names.STEP_NAME_LENGTH] for text in _texts(name)]
        found = [letter for text in texts for letter in invisible_characters(text)]
        if name is not None and found:
            place = workflow.source.span(name)
            named.append(place)
            kept = _without_invisible(texts[0])
            fix = Fix("Leave them out", place, _literal(kept)) if isinstance(name, ast.Constant) and kept else None
            yield report(
                "invisible-name", place, fix, name="…".join(map(escape_invisible, texts)), what=_what(found[0])
            )
    yield from _reordered(workflow, named)


def _texts(name: ast.expr | None) -> list[str]:
    """What is known of a name: the whole of a text, or the fixed parts of one that is computed."""
    parts = name.values if isinstance(name, ast.JoinedStr) else [name]
    return [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]


def invisible_characters(text: str) -> list[str]:
    """The characters of a text that are not seen. Joiners that shape letters or emoji, and the tags
    of a flag, are visible.
    """
    flag = text.find(_FLAG)
    found = [each for each in _INVISIBLE.finditer(text) if each[0] < _TAGS or not 0 <= flag < each.start()]
    for each in _JOINERS.finditer(text):
        before, after = text[each.start() - 1 : each.start()], text[each.end() : each.end() + 1]
        if before < _JOINED_FROM or after < _JOINED_FROM:
            found.append(each)
    return [each[0] for each in found]


def escape_invisible(text: str) -> str:
    """A text with its invisible characters written as escapes."""
    unseen = set(invisible_characters(text))
    return "".join(_escape(letter) if letter in unseen else letter for letter in text)


def _reordered(workflow: Workflow, named: list[Span]) -> Iterator[Diagnostic]:
    if _REORDERING.search(workflow.source.text) is None:
        return
    raw = None
    count = 0
    for number, line in enumerate(workflow.source.lines, start=1):
        for found in _REORDERING.finditer(line):
            place = Span(number, found.start() + 1, number, found.end() + 1)
            if any(
                (span.line, span.column) <= (number, place.column) < (span.end_line, span.end_column)
                for span in named[:MAX_REORDERED]
            ):
                continue
            if raw is None:
                raw = _not_escaped_in(workflow.source.text)
            kind = raw.get((number, found.start()), "")
            fix = Fix("Write it as an escape", place, _escape(found[0])) if kind == "text" else None
            fix = Fix("Leave it out", place, "") if kind == "comment" else fix
            yield report("reordered-source", place, fix, what=_what(found[0]))
            count += 1
            if count >= MAX_REORDERED:
                return


def _not_escaped_in(source: str) -> dict[tuple[int, int], str]:
    """Where each reordering character stands: in a comment, or in a text that takes an escape for it."""
    found: dict[tuple[int, int], str] = {}
    raw = [False]
    try:
        for token in tokenize.generate_tokens(io.StringIO(source, newline="").readline):
            name = tokenize.tok_name[token.type]
            if name == "FSTRING_START":
                raw.append("r" in token.string.lower().rstrip("\"'"))
            elif name == "FSTRING_END":
                raw.pop()
            prefix = token.string.partition('"')[0].partition("'")[0].lower() if name == "STRING" else ""
            takes = (name == "STRING" and "r" not in prefix) or (name == "FSTRING_MIDDLE" and not raw[-1])
            kind = "comment" if name == "COMMENT" else "text" if takes else ""
            if kind:
                line, column = token.start
                for text in token.string.split("\n"):
                    for each in _REORDERING.finditer(text):
                        found[line, column + each.start()] = kind
                    line, column = line + 1, 0
    except (tokenize.TokenError, SyntaxError):  # it parses, so this is a matter of line ends; what is left has no fix
        pass
    return found


def _escape(letter: str) -> str:
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"


def _what(letter: str) -> str:
    name = unicodedata.name(letter, "").lower()
    return f"U+{ord(letter):04X}" + (f" ({name})" if name else "")


def _without_invisible(text: str) -> str:
    unseen = set(invisible_characters(text))
    return "".join(letter for letter in text if letter not in unseen)


def _literal(text: str) -> str:
    """A text as source."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"'
