"""The durable lint and the outline of a workflow, from its syntax tree. The source is never executed.

It runs inside a sandboxed child like tenants' code, since hostile source can crash the parser itself. So it imports the
standard library and playground.workflows only.
"""

from collections.abc import Sequence
from typing import Any

from playground.analysis import outline, syntax
from playground.analysis.diagnostics import Diagnostic, Span, report
from playground.analysis.rules import (
    control_flow,
    determinism,
    entry,
    only_here,
    ordering,
    patches,
    results,
    side_effects,
    step_calls,
    step_names,
    unavailable,
)
from playground.analysis.signature import signature
from playground.analysis.workflow import Workflow
from playground.workflows.names import CLASS_NAME

CHECKS = (
    entry.check,
    unavailable.check_undefined,
    unavailable.check_unavailable,
    unavailable.check_named_workflows,
    step_calls.check_calls,
    control_flow.check_unawaited,
    side_effects.check_loop_closures,
    determinism.check,
    side_effects.check_side_effects,
    ordering.check_set_order,
    ordering.check_races,
    control_flow.check_nested,
    step_names.check_names,
    step_names.check_invisible,
    step_calls.check_config,
    patches.check,
    results.check,
    control_flow.check_broad_handlers,
)
DEFAULT = "Default"  # the class whose handlers Cloudflare calls
MOST_DIAGNOSTICS = 200  # a longer list is not read


def check(
    source: str, entry_class: str = CLASS_NAME, packages: Sequence[str] = (), *, cloudflare: bool = False
) -> dict[str, Any]:
    """Analyse a source: `{"diagnostics": [...], "outline": [...], "tool": {...}}`, the first two as in the API.

    Never raises, for any text. `packages` are the modules that workers have in addition to the standard library. With
    `cloudflare`, diagnostics include what exists only here (rules/only_here.py), and `project` has what a project for
    Cloudflare is made from: the workflow's `class_name`, and whether the file `has_default`, a class `Default` that
    handles requests there.

    A diagnostic has severity, code, message, line, column, end_line, end_column and, where it is mechanical, a fix
    {title, text and the same four}. A node of the outline has kind (do, sleep, wait, loop, branch, parallel), name,
    line, end_line and children where it has any. Lines and columns count from 1, columns in characters; the end is just
    past the last one. `tool` is what analysis/signature.py finds.
    """
    tool: dict[str, Any] = {}
    project: dict[str, Any] = {}
    try:
        diagnostics, nodes, tool, project = _inspect(source, entry_class, packages, cloudflare)
    except (RecursionError, MemoryError):
        diagnostics, nodes = [report("too-deep", Span(1, 1, 1, 2))], []
    except Exception:  # noqa: BLE001 - a fault of the lint must not prevent a run
        diagnostics, nodes = [report("not-analysed", Span(1, 1, 1, 2))], []
    shown = {"diagnostics": [found.as_json() for found in diagnostics], "outline": nodes, "tool": tool}
    return {**shown, "project": project} if cloudflare else shown


def inspect(
    text: str, entry_class: str = CLASS_NAME, packages: Sequence[str] = (), *, cloudflare: bool = False
) -> tuple[list[Diagnostic], list[dict[str, Any]]]:
    """Like `check` without the tool, but errors of the lint are raised."""
    return _inspect(text, entry_class, packages, cloudflare)[:2]


def _inspect(
    text: str, entry_class: str, packages: Sequence[str], cloudflare: bool
) -> tuple[list[Diagnostic], list[dict[str, Any]], dict[str, Any], dict[str, Any]]:
    source, diagnostics = syntax.parse_source(text)
    if source is None:
        return diagnostics, [], {}, {}
    workflow = Workflow(source, entry_class, packages)
    for check_rules in (*CHECKS, *((only_here.check,) if cloudflare else ())):
        diagnostics.extend(check_rules(workflow))
    found = sorted(dict.fromkeys(diagnostics), key=lambda diagnostic: (diagnostic.span, diagnostic.code))
    return found[:MOST_DIAGNOSTICS], outline.outline(workflow), signature(workflow), _project(workflow)


def _project(workflow: Workflow) -> dict[str, Any]:
    if workflow.entry is None:
        return {}
    return {"class_name": workflow.entry.name, "has_default": any(it.name == DEFAULT for it in workflow.classes)}
