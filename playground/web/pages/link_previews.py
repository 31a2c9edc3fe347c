"""What a link to a page looks like elsewhere: title, description, picture and address, for previews in chats and feeds.

Nothing of what a tenant wrote stands in these words but the name of the code and those of steps, cut short; a picture
(preview_cards.py) shows the code itself. A picture is drawn from what never changes (an example, a snippet), so its
ETag is known before it is drawn. Whoever asks for many that nobody has asked for before is stopped by the limit per
address.
"""

import hashlib
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from playground.examples import Example
from playground.store.rows import Snippet
from playground.web.api import snippets
from playground.web.context import Context
from playground.web.http.responses import not_modified
from playground.web.http.security import SCOPE_EMBEDDABLE
from playground.web.pages.highlight import with_visible_controls
from playground.web.pages.preview_cards import EDITION, SITE_NAME, Card, card_of
from playground.workflows.titles import title_of

DESCRIPTION = "Write a durable workflow in Python, run it, kill its worker, and watch it continue where it was."
DESCRIPTION_CHARACTERS = 300
STEPS_NAMED = 4
NAME_CHARACTERS = 40
CACHING = "public, max-age=86400"  # of a picture, a day: the code never changes, the look may
SITE = Card(
    "Kill the worker.\nIt continues where it was.",
    "Durable workflows in Python: every step's result is in a journal before anything outside your code can see it.",
)

_STATUS = {
    "complete": "Complete",
    "errored": "Ended with an error",
    "terminated": "Terminated",
    "waiting": "Waiting",
    "paused": "Paused",
    "queued": "Queued",
}


def preview_of_page(context: Context, request: Request, page: dict[str, Any]) -> dict[str, Any]:
    """The names that templates/_social.html uses, for a page of pages.py."""
    kind, example, snippet, run = page["kind"], page["example"], page["snippet"], page["instance"]
    if kind == "example":
        title, path, picture = example["title"], f"/examples/{example['slug']}", f"/examples/{example['slug']}.png"
        description = example["lesson"].replace("`", "")
    elif kind == "snippet":
        title, path, picture = page["title"], snippet["url"], f"{snippet['url']}.png"
        lines = page["source"].count("\n") + 1
        description = (
            f"A durable workflow in {lines:,} lines of Python. "
            f"{DESCRIPTION.replace('Write a durable workflow in Python, run', 'Run')}"
        )
    elif kind == "instance":
        called = title_of(page["source"]) or (example["title"] if example else "a durable workflow")
        title = f"A run of {called}"
        path, picture = f"/instances/{run['id']}", f"{snippet['url']}.png"
        description = _run_description(run)
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
        title, path, picture, description = SITE_NAME, "/", "/playground.png", DESCRIPTION
    base = context.public_url.base_for(request)
    return {
        "title": title,
        "description": _shorten(description),
        "path": path,
        "url": f"{base}{path}" if base else None,
        "image": f"{base}{picture}" if base else None,
        "alt": f"{title}: its first lines of code."
        if kind != "start"
        else "Kill the worker. It continues where it was.",
        "listed": kind not in ("instance", "tenant", "new"),  # a run is for who has its link
    }


def _run_description(run: dict[str, Any]) -> str:
    status, events = _STATUS.get(run["status"], "Running"), f"{run['last_seq']:,} events in its journal."
    if run["steps"] is None:
        return f"{status}, {events}"
    executions = len(run["executions"])
    steps = [step["name"][:NAME_CHARACTERS] for step in run["steps"] if step["kind"] == "do"]
    named = ", ".join(steps[:STEPS_NAMED]) + (
        f" and {len(steps) - STEPS_NAMED} more" if len(steps) > STEPS_NAMED else ""
    )
    times = f"{executions} execution" + ("s" if executions != 1 else "")
    said = f"{status} after {times}, {events}"
    return f"{said} Steps: {named}." if steps else said


def _shorten(text: str) -> str:
    text = " ".join(with_visible_controls(text).split())
    return text if len(text) <= DESCRIPTION_CHARACTERS else text[: DESCRIPTION_CHARACTERS - 1].rsplit(" ", 1)[0] + "…"


async def site_picture(context: Context, request: Request) -> Response:
    """The picture of the playground itself, for previews of links."""
    return await _picture_response(context, request, "site", lambda: SITE)


async def example_picture(context: Context, request: Request) -> Response:
    """The picture of an example."""
    found = context.example(request.path_params["slug"])
    return await _picture_response(context, request, f"example {found!r}", lambda: card_of_example(found))


async def snippet_picture(context: Context, request: Request) -> Response:
    """The picture of shared code."""
    found = await snippets.find_snippet(context, request.path_params["snippet"])
    return await _picture_response(context, request, f"snippet {found.id}", lambda: card_of_snippet(found))


def card_of_example(example: Example) -> Card:
    """An example's card: its title, the first sentence of its lesson, its code."""
    first = example.lesson.replace("`", "").split(". ")[0].rstrip(".") + "."
    return card_of(example.title, example.source, note=first, tag="example")


def card_of_snippet(snippet: Snippet) -> Card:
    """The card of shared code."""
    return card_of(title_of(snippet.source) or "Shared workflow", snippet.source, tag=snippet.id[:8])


async def _picture_response(context: Context, request: Request, what: str, card: Callable[[], Card]) -> Response:
    request.scope[SCOPE_EMBEDDABLE] = True  # previews and pages elsewhere may show it
    etag = f'"{hashlib.sha256(f"{EDITION} {what}".encode()).hexdigest()[:20]}"'
    headers = {"ETag": etag, "Cache-Control": CACHING}
    if (known := not_modified(request, headers)) is not None:
        return known
    found = context.cards.cached_picture(etag)
    if found is None:
        context.limits.cards.charge_request(request, context.addresses.client_of(request))
        found = await context.cards.draw_picture(etag, card())
    # It is compressed already.
    return Response(found, media_type="image/png", headers=headers | {"Content-Encoding": "identity"})
