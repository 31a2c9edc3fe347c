"""Code as a project for Cloudflare: a zip of the folder that `wrangler` deploys (playground/cloudflare/project.py).

What the code uses that exists only here is found in the sandbox, so that an export counts as a check of its source. The
zip is made anew each time, from at most a source and its params, and nothing is stored.
"""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from playground.cloudflare.project import as_zip, project_files, worker_name
from playground.engine import queues
from playground.engine.code.project import NO_CLASS
from playground.web.api import snippets
from playground.web.api.check import check_source, source_body_bytes
from playground.web.context import Context
from playground.web.http import bodies
from playground.web.http.responses import NO_STORE
from playground.workflows.errors import SourceRefused
from playground.workflows.titles import NAME_CHARACTERS, title_of

ZIP = "application/zip"


class ExportBody(bodies.SourceBody, forbid_unknown_fields=True):
    source: str
    params: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    title: str = ""  # where the code has none


async def of_source(context: Context, request: Request) -> Response:
    """A project for Cloudflare, of code that is sent."""
    body = await bodies.read_object(request, ExportBody, source_body_bytes(context) + context.settings.value_bytes)
    most = context.settings.value_bytes
    params = None if body.params is msgspec.UNSET else snippets.format_params(bytes(body.params), most)
    return await _project(context, request, body.source, params, body.title[:NAME_CHARACTERS])


async def of_snippet(context: Context, request: Request) -> Response:
    """A project for Cloudflare, of shared code."""
    found = await snippets.find_snippet(context, request.path_params["snippet"])
    return await _project(context, request, found.source, found.params, "")


async def of_example(context: Context, request: Request) -> Response:
    """A project for Cloudflare, of an example."""
    found = context.example(request.path_params["slug"])
    return await _project(context, request, found.source, msgspec.json.encode(found.params).decode(), found.title)


async def _project(context: Context, request: Request, source: str, params: str | None, title: str) -> Response:
    address = context.addresses.client_of(request)
    context.limits.checks.charge_request(request, address)
    found = await check_source(context, source, queues.of_address(address), cloudflare=True)
    if found.project is None:
        raise SourceRefused(f"The code has {NO_CLASS}", diagnostics=found.diagnostics)
    title = title_of(source) or title
    files = project_files(
        source,
        title=title,
        class_name=found.project.class_name,
        has_default=found.project.has_default,
        diagnostics=found.diagnostics,
        params=params,
    )
    name = worker_name(title)
    headers = {**NO_STORE, "Content-Disposition": f'attachment; filename="{name}.zip"', "Content-Encoding": "identity"}
    return Response(as_zip(files, name), headers=headers, media_type=ZIP)
