"""The pages, and the names their templates may use. Every name here is always there.

All pages:

    nonce        of this response's Content-Security-Policy; CodeMirror's styles carry it (EditorView.cspNonce)
    functions    asset("js/app.js"): the address of a file of the bundle; files and modules: what a script needs, as
                 addresses and as links (assets.py, templates.py); took_ms(step); what web/instance_labels.py has
    filters      json_script, json_text (indented), time (epoch ms as UTC text), duration (ms as text), label (of a
                 step)

`page.html`, `embed.html`, `about.html`, `examples.html`, which describe this server:

    limits       the public limits in groups: [group, [dict: name, value, unit, help, amount]]
    tier         isolation: letter, sentence, advice, layers
    version      of the playground; versions [[name, value]] for About; encrypts_secrets: whether tenants' secrets are
                 encrypted at rest
    examples     every example: slug, title, lesson, params (JSON text), tasks (dicts), group, url, marks (of its
                 picture)
    embedding    on: whether other sites may frame shared code; why: what to do where they may not

`page.html` (`/`, `/examples/{slug}`, `/s/{snippet}`, `/new`, `/instances/{id}`) and `embed.html`:

    page         the dict below; also in the HTML:
                 <script type="application/json" id="page-data">{{ page|json_script }}</script>
    highlighted  safe HTML of `page.source`: <span class="line" id="L1">…</span> per line, with the editor's tok-…
                 classes
    diverged     where a replay of the instance took another way, for readers without JavaScript: execution, steps
                 (else [])
    logs         printed lines of the instance for readers without JavaScript: at, execution, step, stream, level, text,
                 replay (else [])
    effects      the ledger of the instance for the same readers: kind, data, step, attempts, key, times (else [])
    social       how a link to the page looks elsewhere: see link_previews.py

`page` = {kind: start | example | snippet | new | instance | tenant, title, source, params (JSON text), example {slug,
title, lesson, params, tasks} | None, snippet {id, url, raw_url} | None, instance: as GET /api/instances/{id}[?at=] |
None, last_seq of it | None, tenant: its name | None, limits {source_bytes, value_bytes, …: number}, version, now}.

`error.html`: status, title, message. `locked.html` has its own: see `locked`.
"""

import platform
import sqlite3
from collections.abc import Awaitable, Callable, Hashable
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from playground.examples import Example
from playground.settings import public_rows
from playground.store.rows import InstanceRow, Snippet
from playground.web.api import snippets
from playground.web.api.check import body_limit, check_size
from playground.web.context import Context
from playground.web.effect_ledger import ledger
from playground.web.http import bodies
from playground.web.http.authorization import spend_reading
from playground.web.http.bodies import moment
from playground.web.http.errors import BadBody, BadQuery
from playground.web.http.responses import FOR_GOOD, FRESH, FRESH_OF_KIND, json_response, wants_html
from playground.web.http.security import EMBEDDABLE, FRAMEABLE, NONCE
from playground.web.http.tokens import HEADER, OPERATORS, SIGN_IN, TO_USE
from playground.web.instance_view import plain, snippet_url
from playground.web.pages import kept_pages, link_previews
from playground.web.pages.example_cards import example_json, params_text
from playground.web.pages.limits_table import grouped
from playground.workflows.names import without_mark

THEMES = ("light", "dark")
SHORT_SOURCE = 8_192  # characters of code that a page highlights for nothing
# Of longer code that is to be highlighted: so many cost what a small page does, and count as one more read.
SOURCE_A_READ = 1_024
PAGE_VALUES_BYTES = 256 * 1024  # of large values that a page carries; the others it reads when they are looked at


async def start(context: Context, request: Request) -> Response:
    """The page on the first example."""
    example = next(iter(context.examples.values()))
    shown = _of_example(example) | {"title": "Dynamic Workflows Playground"}
    return await page(context, request, "start", shown, fixed=())


async def example(context: Context, request: Request) -> Response:
    """The page on an example."""
    found = context.example(request.path_params["slug"])
    return await page(context, request, "example", _of_example(found), fixed=(found.slug,))


async def snippet(context: Context, request: Request) -> Response:
    """The page on shared code."""
    found = await snippets.find(context, request.path_params["snippet"])
    return await page(context, request, "snippet", _of_snippet(found), fixed=(found.id,))


async def instance(context: Context, request: Request) -> Response:
    """The page on a run, live or finished, now or after the event whose seq is `at`."""
    row = await context.views.find(request.path_params["id"])
    code = await context.store.snippet(row.snippet)
    at = moment(request, row)
    await spend_reading(context, request, row, events=at or row.last_seq)
    shown = await of_instance(context, row, code.source if code else "", at) | {"snippet": _link(row.snippet)}
    if not wants_html(request):
        return await page(context, request, "instance", shown)
    effects = ledger(await context.store.effects.of_instance(row.key))
    return await page(
        context, request, "instance", shown, more={**await context.views.beside(row, at), "effects": effects}
    )


async def embed(context: Context, request: Request) -> Response:
    """Shared code to be framed, by other sites where embedding is on; `theme` and `readonly` are options."""
    found = await snippets.find(context, request.path_params["snippet"])
    request.scope[EMBEDDABLE if context.embedding.on else FRAMEABLE] = True
    asked = request.query_params
    theme = asked["theme"] if asked.get("theme") in THEMES else ""
    more = {"theme": theme, "readonly": "readonly" in asked}
    fixed = (found.id, *more.values())
    return await page(context, request, "snippet", _of_snippet(found), template="embed.html", more=more, fixed=fixed)


async def raw(context: Context, request: Request) -> Response:
    """The source of a snippet as a Python file."""
    found = await snippets.find(context, request.path_params["snippet"])
    headers = {"Cache-Control": FOR_GOOD, "Content-Disposition": f'inline; filename="{found.id}.py"'}
    return Response(found.source, media_type="text/plain; charset=utf-8", headers=headers)


async def about(context: Context, request: Request) -> Response:
    """The limits, the isolation and the versions of this server."""
    if not wants_html(request):
        return json_response(
            {
                "limits": public_rows(context.settings),
                "isolation": context.tier(),
                "version": context.version,
                "secrets": "encrypted" if context.settings.encrypts_secrets else "plain",
            },
            headers=FRESH_OF_KIND,
        )
    return await kept_response(context, request, "about.html", (), lambda: of_server(context))


async def examples(context: Context, request: Request) -> Response:
    """The examples, each with its lesson."""
    if not wants_html(request):
        return json_response(
            {"examples": [example_json(it) for it in context.examples.values()]}, headers=FRESH_OF_KIND
        )
    return await kept_response(context, request, "examples.html", (), lambda: of_server(context))


async def new(context: Context, request: Request) -> Response:
    """The page on the code of the address, for links from documentation.

    Anybody can write such a link, and have somebody else open it: nothing is stored before it is run or shared.
    """
    source, params = request.query_params.get("source"), request.query_params.get("params")
    if source is None:
        raise BadQuery("The address has no `source`; a link to new code is /new?source=…&params=….")
    check_size(context, source)
    if params:
        bodies.check(params.encode(), "`params` of the address")
        params = snippets.laid_out(params.encode(), context.settings.value_bytes)
    return await page(
        context, request, "new", {"title": "Code from a link", "source": without_mark(source), "params": params or ""}
    )


async def store_new(context: Context, request: Request) -> Response:
    """Store the code of the page's own form and go to its link: Share for a browser without scripts."""
    form = await bodies.read_form(request, body_limit(context) + bodies.FORM_ESCAPED * context.settings.value_bytes)
    source, params = form.get("source"), form.get("params", "").strip()
    if source is None:
        raise BadBody(
            "The form has no `source`; this call takes the page's form, with `source` and `params` (optional)."
        )
    if params:
        bodies.check(params.encode(), "`params` of the form")
    stored = await snippets.put(context, request, without_mark(source), params.encode() if params else None)
    return RedirectResponse(snippet_url(stored.id), 303, headers=FRESH)


async def page(
    context: Context,
    request: Request,
    kind: str,
    shown: dict[str, Any],
    *,
    template: str = "page.html",
    more: dict[str, Any] | None = None,
    fixed: tuple[Hashable, ...] | None = None,
) -> Response:
    """The page of a kind, as HTML or JSON; `shown` is what it has of the names above.

    `fixed` tells the page from others of its kind, if it shows only what never changes.
    """
    empty: dict[str, Any] = {"example": None, "snippet": None, "instance": None, "last_seq": None, "tenant": None}
    limits = {it["name"]: it["value"] for it in public_rows(context.settings)}
    told = {"kind": kind, **empty, **shown, "limits": limits, "version": context.version, "now": context.now()}
    if not wants_html(request):
        return json_response(told, headers=FRESH_OF_KIND)
    if fixed is not None:
        base = context.public.of(request)
        marked = told | {"now": kept_pages.NOW}
        key = (kind, base, *fixed)
        return await kept_response(context, request, template, key, lambda: _names(context, request, marked, more))
    return html_response(context, request, template, await _names(context, request, told, more))


async def _names(
    context: Context, request: Request, told: dict[str, Any], more: dict[str, Any] | None
) -> dict[str, Any]:
    if len(told["source"]) > SHORT_SOURCE and not context.highlighter.knows(told["source"]):
        context.limits.reads.spend(request, context.addresses.of(request), len(told["source"]) // SOURCE_A_READ)
    return await of_server(context) | {
        "page": told,
        "highlighted": await context.highlighter.python(told["source"]),
        "logs": [],
        "diverged": [],
        "effects": [],
        "social": link_previews.of_page(context, request, told),
        **(more or {}),
    }


async def of_instance(context: Context, row: InstanceRow, source: str, at: int | None) -> dict[str, Any]:
    """What the page has of an instance that runs this source, as it stands or after the event of a seq."""
    view = await context.views.readable(row, at)
    shown = plain({**view, "params": plain(view["params"])}, PAGE_VALUES_BYTES)
    same = next((it for it in context.examples.values() if it.source == source), None)
    return {
        "title": f"Run {row.id}",
        "source": source,
        "params": params_text(shown["params"]),
        "instance": shown,
        "last_seq": row.last_seq,
        # Its tasks and its ready-made event are wanted after a reload, too.
        "example": None if same is None else _of_example(same)["example"],
    }


async def of_server(context: Context) -> dict[str, Any]:
    """What pages say of this server and its examples."""
    return {
        "limits": grouped(context.settings),
        "tier": context.tier(),
        "version": context.version,
        "encrypts_secrets": context.settings.encrypts_secrets,
        "versions": [
            ["Playground", context.version],
            ["Python", platform.python_version()],
            ["SQLite", sqlite3.sqlite_version],
        ],
        "examples": await context.example_cards.all(),
        "embedding": context.embedding,
    }


def locked(context: Context, request: Request, status: int, headers: dict[str, str], *, wrong: bool) -> Response:
    """The page for who comes without the token of the start, or with a wrong one; its way on leads where they wanted to
    go.
    """
    path, query = quote(request.url.path), request.url.query
    again = "/" if request.method != "GET" or path == SIGN_IN else path + (f"?{query}" if query else "")
    start = context.start_token
    names = {
        "wrong": wrong,
        "required": start.required,
        "line": TO_USE if start.required else OPERATORS,
        "base": context.public.of(request) or "",
        "link": f"{SIGN_IN}?token=…",
        "header": HEADER,
        "again": again,
    }
    return html_response(context, request, "locked.html", names, status, headers)


def html_response(
    context: Context,
    request: Request,
    template: str,
    names: dict[str, Any],
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    """A page. It is never cached: its nonce is for once, and a run goes on."""
    shown = context.rendering.render(template, names | {"nonce": request.scope[NONCE]})
    return HTMLResponse(shown, status, headers={**FRESH_OF_KIND, **(headers or {})})


async def kept_response(
    context: Context,
    request: Request,
    template: str,
    key: tuple[Hashable, ...],
    names: Callable[[], Awaitable[dict[str, Any]]],
) -> Response:
    """A page that shows only what never changes, by `key`: its names are made, and it is rendered and compressed,
    once.
    """
    whole_key = (template, context.tier()["letter"], *key)
    kept = context.kept_pages.get(whole_key)
    if kept is None:
        kept = kept_pages.KeptPage(context.rendering.render(template, await names() | {"nonce": kept_pages.NONCE}))
        if context.example_cards.complete:
            context.kept_pages.keep(whole_key, kept)
    nonce, now = request.scope[NONCE], context.now()
    if "gzip" in request.headers.get("accept-encoding", ""):
        packed = {**FRESH_OF_KIND, "Vary": "Accept, Accept-Encoding", "Content-Encoding": "gzip"}
        return HTMLResponse(kept.gzipped(nonce, now), headers=packed)
    return HTMLResponse(kept.plain(nonce, now), headers=FRESH_OF_KIND)  # to which the middleware adds what it varies by


def _of_example(example: Example) -> dict[str, Any]:
    told = {
        "slug": example.slug,
        "title": example.title,
        "lesson": example.lesson,
        "params": example.params,
        "tasks": example.tasks,
    }
    return {"title": example.title, "source": example.source, "params": params_text(example.params), "example": told}


def _of_snippet(snippet: Snippet) -> dict[str, Any]:
    return {
        "title": "Shared workflow",
        "source": snippet.source,
        "params": snippet.params or "",
        "snippet": _link(snippet.id),
    }


def _link(id: str) -> dict[str, str]:
    return {"id": id, "url": snippet_url(id), "raw_url": snippet_url(id) + ".py"}
