"""What agents may read: how to write a workflow here, the API of `workers`, the lint's rules, and the examples."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from playground.web.context import Context
from playground.web.mcp.answers import Json
from playground.web.pages.markdown import TYPE, document_text

SCHEME = "playground://"
EXAMPLES = f"{SCHEME}examples/"
PYTHON = "text/x-python"
SKILL = Path(__file__).with_name("SKILL.md")


def skill_text() -> str:
    """The skill: how to write a workflow that is right at its first run."""
    return SKILL.read_text("utf-8")


# By URI: what it is called, what it is, and its text.
DOCUMENTS: Mapping[str, tuple[str, str, Callable[[], str]]] = {
    f"{SCHEME}skill": ("skill", "How to write a workflow here. Read it first.", skill_text),
    f"{SCHEME}api": ("api", "What code can import from workers, call and receive.", lambda: document_text("steps")),
    f"{SCHEME}lint": ("lint", "The rules of check_workflow, each with what to do.", lambda: document_text("lint")),
}


def listed(context: Context) -> Sequence[Json]:
    """Every resource, in a fixed order."""
    found: list[Json] = [
        {"uri": uri, "name": name, "description": text, "mimeType": TYPE} for uri, (name, text, _) in DOCUMENTS.items()
    ]
    for it in context.examples.values():
        uri = f"{EXAMPLES}{it.slug}"
        found.append({"uri": uri, "name": it.slug, "title": it.title, "description": it.lesson, "mimeType": PYTHON})
    return found


def read(context: Context, uri: str) -> tuple[str, str] | None:
    """The media type and the text of a resource; None: there is none."""
    if uri in DOCUMENTS:
        return TYPE, DOCUMENTS[uri][2]()
    example = context.examples.get(uri.removeprefix(EXAMPLES)) if uri.startswith(EXAMPLES) else None
    return None if example is None else (PYTHON, example.source)
