"""The pages, and the names their templates may use. Every name here is always there.

All pages:

    nonce        of this response's Content-Security-Policy; CodeMirror's styles carry it (EditorView.cspNonce)
    functions    asset("js/app.js"): the address of a file of the bundle; files and modules: what a script needs, as
                 addresses and as links (assets.py, templates.py); took_ms(step); what web/instance_view.py has
    filters      json_script, json_text (indented), time (epoch ms as UTC text), duration (ms as text), label (of a
                 step)

`page.html`, `embed.html`, `about.html`, `examples.html`, which describe this server:

    limits       the public limits in groups, by whom they bind: [group, [dict: name, value, unit, help, amount]]
    tier         isolation: letter, sentence, advice, layers
    runs_ahead   whether code goes on before its results are durable (the output gate)
    version      of the playground; versions [[name, value]] for About; encrypts_secrets: whether tenants' secrets are
                 encrypted at rest
    packages     that code may import beside the standard library: dicts of name, version, modules
    models       that code may call, for About: [[name, for whom]]
    examples     every example: slug, title, lesson, params (JSON text), tasks (dicts), group, url, marks (of its
                 picture)
    embedding    on: whether other sites may frame shared code; why: what to do where they may not

`page.html` (`/`, `/examples/{slug}`, `/s/{snippet}`, `/new`, `/instances/{id}`) and `embed.html` are shells, which are
rendered once for all pages alike (page_cache.py). What differs stands in slots, so a template must not look into it:

    page         kind, example and, as slots, title, heading (of the editor's half), short_id (of a run or snippet),
                 source, params, snippet (its url), tenant; instance: whether there is one
    page_json    safe JSON of the dict below:
                 <script type="application/json" id="page-data">{{ page_json }}</script>
    highlighted  safe HTML of the source: <span class="line" id="L1">…</span> per line, with the editor's tok-… classes
    plain_run    safe HTML of the run for readers without JavaScript, which `_run_plain.html` makes of `run`, last_seq,
                 took, whole_url (of a long run: where all of it is) and
                     diverged  where a replay took another way: execution, steps
                     logs      printed lines: at, execution, step, stream, level, text, replay
                     effects   the ledger: kind, data, step, attempts, key, times
    social       how a link to the page looks elsewhere: see link_previews.py

The JSON of a page = {kind: start | example | snippet | new | instance | tenant, title, source, params (JSON text),
example {slug, title, lesson, params, tasks} | None, snippet {id, url, raw_url} | None, instance: as GET
/api/instances/{id}[?at=] | None, last_seq of it | None, tenant: its name | None, limits {source_bytes, value_bytes, …:
number}, version, now}. In the HTML it has no steps: scripts read the journal. Of a long run it has what the row says,
with `steps` and `executions` null, unless the address says `whole`: to fold 100,000 events takes 1.7 s.

`error.html`: status, title, message. `locked.html` has its own: see `locked` in sign_in.py.
"""

import platform
import re
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Any

import msgspec
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from playground.engine.ai.builtin import MODELS
from playground.engine.bindings.ai import split_names
from playground.examples import Example
from playground.settings import Settings, public_rows
from playground.store.rows import InstanceRow, Snippet
from playground.web.api import snippets
from playground.web.api.check import check_source_size, source_body_bytes
from playground.web.context import Context
from playground.web.http import bodies
from playground.web.http.authorization import charge_reading
from playground.web.http.bodies import seq_of_query
from playground.web.http.errors import BadBody, BadQuery
from playground.web.http.responses import (
    IMMUTABLE,
    NO_STORE,
    NO_STORE_BY_ACCEPT,
    json_response,
    wants_html,
    wants_markdown,
)
from playground.web.http.security import SCOPE_EMBEDDABLE, SCOPE_FRAMEABLE, SCOPE_NONCE
from playground.web.instance_view import LONG_EVENTS, decode_values, effect_rows, instance_url, snippet_url
from playground.web.journal_reader import decode_steps
from playground.web.pages import markdown
from playground.web.pages.example_cards import example_json, params_text
from playground.web.pages.link_previews import preview_of_page
from playground.web.pages.page_cache import Code, Piece, PlainRun, Shell, SizedCache, html_slot, json_slot
from playground.web.pages.templates import duration_text, json_script, json_script_bytes
from playground.workflows.names import without_byte_order_mark
from playground.workflows.titles import title_of

THEMES = ("light", "dark")
SHORT_SOURCE = 8_192  # characters of code that a page highlights for nothing
# Of longer code that is to be highlighted: so many cost what a small page does, and count as one more read.
SOURCE_PER_READ = 1_024
PLAIN_RUN = ("before", "took", "after")  # the slots that the run fills for readers without JavaScript
WHOLE = "whole"  # in the query of a long run's page: fold it all the same
LONG_ID = 24  # characters; of a longer id of a run a title shows the first
NO_PARAMS = ("", "{}", "null")
SHELL_NAMES = frozenset({"kind", "example", "limits", "version"})  # of a page's JSON
PAGE_VALUES_BYTES = 256 * 1024  # of large values that a page carries; the others it reads when they are looked at
# Of the table of limits: what the name of a setting holds, and the group that it then stands in; the first that fits.
LIMIT_GROUPS = (
    ("Tenants", ("tenant",)),
    ("Bindings", ("call_", "calls_", "fetch_", "fetches_", "ai_", "tools_", "tool_", "kv_", "effects_")),
    ("Your address", ("per_address", "per_minute", "per_hour", "per_day", "queue_length", "chaos_")),
    ("A request", ("head_", "body_")),
)
RUN_LIMITS = "A run"
_UNITS = {
    "bytes": ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")),
    "seconds": ((3_600, "h"), (60, "min"), (1, "s")),
    "milliseconds": ((1_000, "s"), (1, "ms")),
}


async def start(context: Context, request: Request) -> Response:
    """The page on the first example."""
    example = next(iter(context.examples.values()))
    shown = _example_names(example) | {"title": "Dynamic Workflows Playground"}
    return await page_response(context, request, "start", shown)


async def example(context: Context, request: Request) -> Response:
    """The page on an example; its Markdown for who asks for that."""
    if wants_markdown(request):
        return await markdown.example(context, request)
    found = context.example(request.path_params["slug"])
    return await page_response(context, request, "example", _example_names(found))


async def snippet(context: Context, request: Request) -> Response:
    """The page on shared code."""
    found = await snippets.find_snippet(context, request.path_params["snippet"])
    return await page_response(context, request, "snippet", _snippet_names(found))


async def instance(context: Context, request: Request) -> Response:
    """The page on a run, live or finished, now or after the event whose seq is `at`."""
    row = await context.views.find_instance(request.path_params["id"])
    code = await context.store.snippet(row.snippet)
    at = seq_of_query(request, row)
    shown = await instance_names(context, request, row, code.source if code else "") | {
        "snippet": _snippet_link(row.snippet)
    }
    if not wants_html(request):
        return await page_response(context, request, "instance", shown)
    plain_run = await _plain_run(context, row, at, shown["instance"])
    return await page_response(context, request, "instance", shown, plain_run=plain_run)


async def _plain_run(context: Context, row: InstanceRow, at: int | None, run: dict[str, Any]) -> PlainRun:
    """The run for readers without JavaScript. The effects are no part of its journal, so they are always read."""
    effects = await context.store.effects.of_instance(row.key)
    is_whole = run["steps"] is not None
    key = (row.key, row.last_seq, at, is_whole, tuple((it.number, it.asked) for it in effects))
    kept = context.page_cache.runs.get(key)
    if kept is None:
        names = {
            "run": run,
            "last_seq": row.last_seq,
            "took": html_slot("took"),
            "effects": effect_rows(effects),
            "whole_url": f"{instance_url(row.id)}?{WHOLE}",
            **(await context.views.logs_and_divergences(row, at) if is_whole else {"logs": [], "diverged": []}),
        }
        before, _, after = context.rendering.render("_run_plain.html", names).partition(html_slot("took"))
        kept = PlainRun(Piece.for_one_response(before.encode()), Piece.for_one_response(after.encode()))
        context.page_cache.runs.put(key, kept)
    return kept


async def embed(context: Context, request: Request) -> Response:
    """Shared code to be framed, by other sites where embedding is on; `theme` and `readonly` are options."""
    found = await snippets.find_snippet(context, request.path_params["snippet"])
    request.scope[SCOPE_EMBEDDABLE if context.embedding.on else SCOPE_FRAMEABLE] = True
    asked = request.query_params
    theme = asked["theme"] if asked.get("theme") in THEMES else ""
    options = {
        "theme": theme,
        "readonly": "readonly" in asked,
        "has_params": (found.params or "") not in NO_PARAMS,
    }
    return await page_response(
        context, request, "snippet", _snippet_names(found), template="embed.html", options=options
    )


async def raw(context: Context, request: Request) -> Response:
    """The source of a snippet as a Python file."""
    found = await snippets.find_snippet(context, request.path_params["snippet"])
    words = re.findall("[a-z0-9]+", (title_of(found.source) or "").lower())
    name = "-".join([*words, found.id[:8]]) if words else found.id
    headers = {"Cache-Control": IMMUTABLE, "Content-Disposition": f'inline; filename="{name}.py"'}
    return Response(found.source, media_type="text/plain; charset=utf-8", headers=headers)


def models_for_about(settings: Settings) -> list[tuple[str, str]]:
    """The models that code may call here, and who may."""
    who = "everybody" if settings.ai_anonymous else "tenants"
    named = split_names(settings.ai_models) if settings.ai_url else ()
    return [*((model, "everybody") for model in MODELS), *((model, who) for model in named)]


async def about(context: Context, request: Request) -> Response:
    """The limits, the isolation and the versions of this server."""
    if not wants_html(request):
        return json_response(
            {
                "limits": public_rows(context.settings),
                "isolation": context.isolation_json(),
                "output_gate": context.engine.runs_ahead,
                "version": context.version,
                "packages": context.packages_json(),
                "fetch": fetch_hosts(context.settings),
                "secrets": "encrypted" if context.settings.encrypts_secrets else "plain",
            },
            headers=NO_STORE_BY_ACCEPT,
        )
    return await shell_response(context, request, "about.html", (), lambda: server_names(context))


async def examples(context: Context, request: Request) -> Response:
    """The examples, each with its lesson; as Markdown for who asks for that."""
    if wants_markdown(request):
        return await markdown.examples(context, request)
    if not wants_html(request):
        return json_response(
            {"examples": [example_json(it) for it in context.examples.values()]}, headers=NO_STORE_BY_ACCEPT
        )
    return await shell_response(context, request, "examples.html", (), lambda: server_names(context))


async def new(context: Context, request: Request) -> Response:
    """The page on the code of the address, for links from documentation.

    Anybody can write such a link, and have somebody else open it: nothing is stored before it is run or shared.
    """
    source, params = request.query_params.get("source"), request.query_params.get("params")
    if source is None:
        raise BadQuery("The address has no `source`; a link to new code is /new?source=…&params=….")
    check_source_size(context, source)
    if params:
        bodies.check_json(params.encode(), "`params` of the address")
        params = snippets.format_params(params.encode(), context.settings.value_bytes)
    return await page_response(
        context,
        request,
        "new",
        {
            "title": title_of(source) or "Code from a link",
            "source": without_byte_order_mark(source),
            "params": params or "",
        },
    )


async def store_new(context: Context, request: Request) -> Response:
    """Store the code of the page's own form and go to its link: Share for a browser without scripts."""
    form = await bodies.read_form(
        request, source_body_bytes(context) + bodies.FORM_ESCAPE_FACTOR * context.settings.value_bytes
    )
    source, params = form.get("source"), form.get("params", "").strip()
    if source is None:
        raise BadBody(
            "The form has no `source`; this call takes the page's form, with `source` and `params` (optional)."
        )
    if params:
        bodies.check_json(params.encode(), "`params` of the form")
    stored = await snippets.store_snippet(
        context, request, without_byte_order_mark(source), params.encode() if params else None
    )
    return RedirectResponse(snippet_url(stored.id), 303, headers=NO_STORE)


async def page_response(
    context: Context,
    request: Request,
    kind: str,
    shown: dict[str, Any],
    *,
    template: str = "page.html",
    options: Mapping[str, Hashable] | None = None,
    plain_run: PlainRun | None = None,
) -> Response:
    """The page of a kind, as HTML or JSON.

    Args:
        shown: what it has of the names above.
        options: more names of the template, which are the same for all pages of its shell.
        plain_run: the run for readers without JavaScript.
    """
    empty: dict[str, Any] = {"example": None, "snippet": None, "instance": None, "last_seq": None, "tenant": None}
    limits = {it["name"]: it["value"] for it in public_rows(context.settings)}
    told = {"kind": kind, **empty, **shown, "limits": limits, "version": context.version, "now": context.now()}
    if not wants_html(request):
        return json_response(told, headers=NO_STORE_BY_ACCEPT)
    example, social = told["example"], preview_of_page(context, request, told)
    code = await _highlighted_code(context, request, told["source"])
    values: dict[str, bytes | Piece] = {
        "title": _escaped(told["title"]),
        "heading": _escaped(_heading(told)),
        "short_id": _escaped((told["instance"] or told["snippet"] or {"id": ""})["id"][:8]),
        "source": code.text,
        "highlighted": code.highlighted,
        "params": _escaped(told["params"]),
        "snippet": _escaped(told["snippet"]["url"] if told["snippet"] else ""),
        "tenant": _escaped(told["tenant"] or ""),
        **{f"social_{name}": _escaped(value) for name, value in social.items() if isinstance(value, str)},
        **{f"json_{name}": json_script_bytes(told[name]) for name in told.keys() - SHELL_NAMES - {"source"}},
        "json_source": code.json,
    }
    if told["instance"] is not None:
        values["json_instance"] = json_script_bytes({**told["instance"], "steps": None})
    if plain_run is not None:
        values |= {"before": plain_run.before, "took": _escaped(_duration_of_run(told)), "after": plain_run.after}

    async def names() -> dict[str, Any]:
        data = {name: value if name in SHELL_NAMES else json_slot(f"json_{name}") for name, value in told.items()}
        return await server_names(context) | {
            "page": {
                "kind": kind,
                "example": example,
                **{name: html_slot(name) for name in ("title", "heading", "short_id", "source", "params")},
                "snippet": {"url": html_slot("snippet")} if told["snippet"] else None,
                "tenant": html_slot("tenant") if told["tenant"] else None,
                "instance": told["instance"] is not None,
            },
            "page_json": json_script(data),
            "highlighted": html_slot("highlighted"),
            "plain_run": Markup("".join(map(html_slot, PLAIN_RUN))) if plain_run is not None else "",
            "social": {it: html_slot(f"social_{it}") if isinstance(val, str) else val for it, val in social.items()},
            **(options or {}),
        }

    alike = tuple(told[name] is None for name in ("snippet", "instance", "tenant")), social["url"] is None
    key = (kind, example and example["slug"], alike, *(options or {}).values())
    return await shell_response(context, request, template, key, names, values)


def _heading(told: Mapping[str, Any]) -> str:
    """Over the code: the example's name, or the page's title, which a long id of a run would fill."""
    if told["example"]:
        return str(told["example"]["title"])
    id = told["instance"]["id"] if told["instance"] and told["kind"] == "instance" else ""
    return f"Run {id[:8]}" if len(id) > LONG_ID and told["title"] == f"Run {id}" else str(told["title"])


def _duration_of_run(told: Mapping[str, Any]) -> str:
    run = told["instance"]
    return duration_text((run["ended_at"] or told["now"]) - run["started_at"]) if run["started_at"] else ""


def _escaped(text: str) -> bytes:
    return escape(text).encode()


async def _highlighted_code(context: Context, request: Request, source: str) -> Code:
    """The source, highlighted and compressed. Raises TooMany: it is long, new, and one too many for this address."""
    known = context.page_cache.code.get(source)
    if known is not None:
        return known
    if len(source) > SHORT_SOURCE and not context.highlighter.is_cached(source):
        context.limits.reads.charge_request(
            request, context.addresses.client_of(request), len(source) // SOURCE_PER_READ
        )
    highlighted = await context.highlighter.highlight_python(source)
    code = Code(*(Piece.for_cache(it) for it in (highlighted.encode(), _escaped(source), json_script_bytes(source))))
    context.page_cache.code.put(source, code)
    return code


async def instance_names(context: Context, request: Request, row: InstanceRow, source: str) -> dict[str, Any]:
    """What the page has of an instance that runs this source, as it stands or after the event whose seq is `at`.

    Raises TooMany.
    """
    at = seq_of_query(request, row)
    if at is None and row.last_seq > LONG_EVENTS and WHOLE not in request.query_params:
        view = await context.views.summary_json(row)
    else:
        await charge_reading(context, request, row, events=at or row.last_seq)
        view = await context.views.view_json(row, at)
    text = msgspec.json.encode(view)
    if len(text) <= PAGE_VALUES_BYTES:
        shown = msgspec.json.decode(text)  # nothing in it can be past the limit
    else:
        steps = None if view["steps"] is None else decode_steps(view["steps"])
        shown = decode_values({**view, "params": decode_values(view["params"]), "steps": steps}, PAGE_VALUES_BYTES)
    same = next((it for it in context.examples.values() if it.source == source), None)
    return {
        "title": title_of(source) or f"Run {row.id}",
        "source": source,
        "params": params_text(shown["params"]),
        "instance": shown,
        "last_seq": row.last_seq,
        # Its tasks and its ready-made event are wanted after a reload, too.
        "example": None if same is None else _example_names(same)["example"],
    }


async def server_names(context: Context) -> dict[str, Any]:
    """What pages say of this server and its examples."""
    return {
        "limits": grouped_limits(context.settings),
        "tier": context.isolation_json(),
        "runs_ahead": context.engine.runs_ahead,
        "version": context.version,
        "encrypts_secrets": context.settings.encrypts_secrets,
        "fetch_hosts": fetch_hosts(context.settings),
        "fetch_of_tenants": bool(context.settings.fetch_tenants),
        "models": models_for_about(context.settings),
        "packages": context.packages_json(),
        "versions": [
            ["Playground", context.version],
            ["Python", platform.python_version()],
            [*context.store.product],
        ],
        "examples": await context.example_cards.list_cards(),
        "embedding": context.embedding,
    }


def fetch_hosts(settings: Settings) -> list[str]:
    """The rules by which all code may ask hosts, as they are written; none where fetch is off."""
    return [rule.strip() for rule in settings.fetch_allow.replace("\n", ";").split(";") if rule.strip()]


def grouped_limits(settings: Settings) -> list[tuple[str, list[dict[str, Any]]]]:
    """The public settings by group, a run's first; each with its `amount`."""
    groups: dict[str, list[dict[str, Any]]] = {
        RUN_LIMITS: [],
        **{name: [] for name in ("Your address", "A request", "Tenants", "Bindings")},
    }
    for row in public_rows(settings):
        groups[_limit_group(row["name"])].append(row | {"amount": with_unit(row["value"], row["unit"])})
    return [(name, rows) for name, rows in groups.items() if rows]


def with_unit(value: Any, unit: str) -> str:
    """A number with its unit, in the largest that keeps it whole."""
    for size, name in _UNITS.get(unit, ()):
        if value >= size and value % size == 0:
            return f"{value // size:,} {name}"
    number = f"{value:,}" if isinstance(value, int) else str(value)
    return f"{number} {unit}".strip()


def _limit_group(name: str) -> str:
    return next((group for group, parts in LIMIT_GROUPS if any(part in name for part in parts)), RUN_LIMITS)


def html_response(
    context: Context,
    request: Request,
    template: str,
    names: dict[str, Any],
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:
    """A page. It is never cached: its nonce is for once, and a run goes on."""
    shown = context.rendering.render(template, names | {"nonce": request.scope[SCOPE_NONCE]})
    return HTMLResponse(shown, status, headers={**NO_STORE_BY_ACCEPT, **(headers or {})})


async def shell_response(
    context: Context,
    request: Request,
    template: str,
    key: tuple[Hashable, ...],
    names: Callable[[], Awaitable[dict[str, Any]]],
    values: Mapping[str, bytes | Piece] | None = None,
    kept: SizedCache[Shell] | None = None,
) -> Response:
    """A page made of the shell of this `key`, whose `names` are made and rendered once, with `values` in its slots."""
    kept = context.page_cache.shells if kept is None else kept
    whole_key = (template, context.isolation_json()["letter"], *key)
    shell = kept.get(whole_key)
    if shell is None:
        shell = Shell(context.rendering.render(template, await names() | {"nonce": html_slot("nonce")}))
        if context.example_cards.is_complete:
            kept.put(whole_key, shell)
    filled = {**(values or {}), "nonce": request.scope[SCOPE_NONCE].encode()}
    if "gzip" in request.headers.get("accept-encoding", ""):
        packed = {**NO_STORE_BY_ACCEPT, "Vary": "Accept, Accept-Encoding", "Content-Encoding": "gzip"}
        return HTMLResponse(shell.fill_gzip(filled), headers=packed)
    return HTMLResponse(
        shell.fill(filled), headers=NO_STORE_BY_ACCEPT
    )  # to which the middleware adds what it varies by


def _example_names(example: Example) -> dict[str, Any]:
    told = {
        "slug": example.slug,
        "title": example.title,
        "lesson": example.lesson,
        "params": example.params,
        "tasks": example.tasks,
        "schedule": example.schedule,
    }
    return {"title": example.title, "source": example.source, "params": params_text(example.params), "example": told}


def _snippet_names(snippet: Snippet) -> dict[str, Any]:
    return {
        "title": title_of(snippet.source) or "Shared workflow",
        "source": snippet.source,
        "params": snippet.params or "",
        "snippet": _snippet_link(snippet.id),
    }


def _snippet_link(id: str) -> dict[str, str]:
    return {"id": id, "url": snippet_url(id), "raw_url": snippet_url(id) + ".py"}
