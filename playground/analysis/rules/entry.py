"""The entry class: the one of the requested name, or else, where none was requested, the only workflow class, with
`async def run(self, event, step)`.
"""

import ast
from collections.abc import Iterator

from playground.analysis.diagnostics import Diagnostic, Fix, Span, report
from playground.analysis.syntax import FUNCTIONS, Function
from playground.analysis.workflow import Workflow
from playground.workflows.names import CLASS_NAME

RUN = "async def run(self, event, step)"
NAMED = 5  # classes named in one finding
_TAKES = 3  # self, event, step
IMPORT = "from workers import WorkflowEntrypoint\n\n\n"
BODY = """\
{indent}async def run(self, event, step):
{indent}    @step.do("first step")
{indent}    async def first():
{indent}        return "done"

{indent}    return await first()"""


def check(workflow: Workflow) -> Iterator[Diagnostic]:
    """Findings about the class and its `run`."""
    name, entry = workflow.entry_class, workflow.entry
    if entry is None or entry.name != name:
        if _bound_in_another_way(workflow, name):
            return
        if entry is None and name == CLASS_NAME and workflow.handles_messages:
            return
        if entry is None or name != CLASS_NAME:  # without a requested name the class may have any
            yield _no_workflow(workflow, entry)
        if entry is None:
            return
    place = workflow.source.find_word(entry.name, entry)
    line, unknown = workflow.lineage(entry)
    run = workflow.run
    if run is None:
        if not unknown and not _assigned(line, "run"):
            yield report("no-run", place, _write_run(workflow, entry), name=entry.name)
        return
    if not unknown and not any(workflow.extends(node) for node in line) and not any(_has_init(node) for node in line):
        yield report("no-base", place, _extend(workflow, entry, place), name=entry.name)
    if not run.decorator_list:
        yield from _signature(workflow, run)


def _no_workflow(workflow: Workflow, other: ast.ClassDef | None) -> Diagnostic:
    name = workflow.entry_class
    if name == CLASS_NAME and len(workflow.candidates) > 1:
        first_class = workflow.candidates[0]
        names = [f"`{node.name}`" for node in workflow.candidates]
        several = f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more" if len(names) > NAMED else _listed(names)
        place = workflow.source.find_word(first_class.name, first_class)
        return report("several-workflows", place, names=several, name=name)
    if other is None:
        first = workflow.source.lines[0]
        return report("no-workflow", Span(1, 1, 1, max(len(first), 1) + 1), _write_workflow(workflow), name=name)
    place = workflow.source.find_word(other.name, other)
    return report("no-workflow", place, Fix(f"Rename {other.name} to {name}", place, name), name=name)


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _bound_in_another_way(workflow: Workflow, name: str) -> bool:
    """Whether the name is imported, assigned or defined under a condition, so that its value is unknown."""
    return bool(workflow.tree.bindings[workflow.source.tree].get(name)) or workflow.tree.star_import


def _extend(workflow: Workflow, entry: ast.ClassDef, place: Span) -> Fix | None:
    text = workflow.source.lines[place.end_line - 1][place.end_column - 1 :]
    bare = text.startswith(":")
    if not bare and not text.startswith("():"):
        return None
    span = Span(place.end_line, place.end_column, place.end_line, place.end_column + (0 if bare else 2))
    return Fix("Extend WorkflowEntrypoint", span, "(WorkflowEntrypoint)")


def _signature(workflow: Workflow, run: Function) -> Iterator[Diagnostic]:
    place = workflow.source.find_word("run", run)
    given = run.args
    required = len(given.posonlyargs) + len(given.args) - len(given.defaults)
    most = len(given.posonlyargs) + len(given.args)
    keyword_only = any(default is None for default in given.kw_defaults)
    if required > _TAKES or (most < _TAKES and given.vararg is None) or keyword_only:
        yield report("run-signature", place, _take_the_rest(workflow, run))
    elif isinstance(run, ast.FunctionDef):
        line, column = workflow.source.place(run.lineno, run.col_offset)
        yield report("run-not-async", place, Fix("Make it async", Span(line, column, line, column), "async "))


def _write_workflow(workflow: Workflow) -> Fix:
    """At the end of the file."""
    lines = workflow.source.lines
    known = workflow.tree.bindings[workflow.source.tree].get("WorkflowEntrypoint")
    before = "" if not workflow.source.text.strip() else "\n\n" if not lines[-1].strip() else "\n\n\n"
    text = (
        before
        + ("" if known else IMPORT)
        + f"class {workflow.entry_class}(WorkflowEntrypoint):\n"
        + BODY.format(indent="    ")
    )
    end = Span(len(lines), len(lines[-1]) + 1, len(lines), len(lines[-1]) + 1)
    return Fix("Write one", end, text + "\n")


def _write_run(workflow: Workflow, entry: ast.ClassDef) -> Fix | None:
    """As the last of the class, when its body stands below its header."""
    body = entry.body
    if body[0].lineno == entry.lineno:
        return None
    indent = workflow.source.lines[body[0].lineno - 1][: body[0].col_offset]
    line, _ = workflow.source.end(entry)
    column = len(workflow.source.lines[line - 1]) + 1
    return Fix("Write it", Span(line, column, line, column), "\n\n" + BODY.format(indent=indent))


def _take_the_rest(workflow: Workflow, run: Function) -> Fix | None:
    """The parameters that are missing, when those that are there are plain and too few."""
    given = run.args
    plain = given.args and not (given.posonlyargs or given.defaults or given.kwonlyargs or given.vararg or given.kwarg)
    if not plain or len(given.args) >= _TAKES:
        return None
    place = workflow.source.span(given.args[-1])
    missing = ("self", "event", "step")[len(given.args) :]
    title = f"Add {' and '.join(missing)}"
    return Fix(
        title,
        Span(place.end_line, place.end_column, place.end_line, place.end_column),
        "".join(f", {name}" for name in missing),
    )


def _assigned(classes: list[ast.ClassDef], name: str) -> bool:
    """Whether a class body gives a name in another way than by a plain `def`."""
    return any(
        getattr(node, "id", getattr(node, "name", None)) == name
        for owner in classes
        for statement in owner.body
        for node in ast.walk(statement)
        if isinstance(node, (ast.Name, *FUNCTIONS))
        and not (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))
    )


def _has_init(owner: ast.ClassDef) -> bool:
    return any(
        isinstance(statement, FUNCTIONS) and statement.name in ("__init__", "__new__") for statement in owner.body
    )
