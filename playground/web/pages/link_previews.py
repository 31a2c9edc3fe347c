"""What a link to a page looks like elsewhere: title, description, picture and address, for previews in chats and feeds.

Nothing of what a tenant wrote stands in these words but the names of steps, cut short; a picture shows the code itself.
"""

from typing import Any

from starlette.requests import Request

from playground.web.context import Context
from playground.web.pages import invisible_characters

SITE = "Dynamic Workflows Playground"
DESCRIPTION = "Write a durable workflow in Python, run it, kill its worker, and watch it continue where it was."
DESCRIPTION_CHARACTERS = 300
STEPS_NAMED = 4
NAME_CHARACTERS = 40

_STATUS = {
    "complete": "Complete",
    "errored": "Ended with an error",
    "terminated": "Terminated",
    "waiting": "Waiting",
    "paused": "Paused",
    "queued": "Queued",
}


def of_page(context: Context, request: Request, page: dict[str, Any]) -> dict[str, Any]:
    """The names that templates/_social.html uses, for a page of pages.py."""
    kind, example, snippet, run = page["kind"], page["example"], page["snippet"], page["instance"]
    if kind == "example":
        title, path, picture = example["title"], f"/examples/{example['slug']}", f"/examples/{example['slug']}.png"
        description = example["lesson"].replace("`", "")
    elif kind == "snippet":
        title, path, picture = "Shared workflow", snippet["url"], f"{snippet['url']}.png"
        lines = page["source"].count("\n") + 1
        description = (
            f"A durable workflow in {lines:,} lines of Python. "
            f"{DESCRIPTION.replace('Write a durable workflow in Python, run', 'Run')}"
        )
    elif kind == "instance":
        title = "A run of a durable workflow" if not example else f"A run of {example['title']}"
        path, picture = f"/instances/{run['id']}", f"{snippet['url']}.png"
        description = _of_run(run)
    elif kind == "new":
        title, path, picture, description = "Code from a link", "/", "/playground.png", DESCRIPTION
    elif kind == "tenant":
        title, path, picture, description = (
            "A tenant's run",
            request.url.path,
            "/playground.png",
            "It opens with a key of the tenant.",
        )
    else:
        title, path, picture, description = SITE, "/", "/playground.png", DESCRIPTION
    base = context.public.of(request)
    return {
        "title": title,
        "description": _cut(description),
        "path": path,
        "url": f"{base}{path}" if base else None,
        "image": f"{base}{picture}" if base else None,
        "alt": f"{title}: its first lines of code."
        if kind != "start"
        else "Kill the worker. It continues where it was.",
        "listed": kind not in ("instance", "tenant", "new"),  # a run is for who has its link
    }


def _of_run(run: dict[str, Any]) -> str:
    executions = len(run["executions"])
    steps = [step["name"][:NAME_CHARACTERS] for step in run["steps"] if step["kind"] == "do"]
    named = ", ".join(steps[:STEPS_NAMED]) + (
        f" and {len(steps) - STEPS_NAMED} more" if len(steps) > STEPS_NAMED else ""
    )
    times = f"{executions} execution" + ("s" if executions != 1 else "")
    said = f"{_STATUS.get(run['status'], 'Running')} after {times}, {run['last_seq']:,} events in its journal."
    return f"{said} Steps: {named}." if steps else said


def _cut(text: str) -> str:
    text = " ".join(invisible_characters.shown(text).split())
    return text if len(text) <= DESCRIPTION_CHARACTERS else text[: DESCRIPTION_CHARACTERS - 1].rsplit(" ", 1)[0] + "…"
