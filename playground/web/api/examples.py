"""The examples, over the API."""

from starlette.requests import Request
from starlette.responses import Response

from playground.web.context import Context
from playground.web.http.responses import json_response
from playground.web.pages.example_cards import example_json


async def examples(context: Context, request: Request) -> Response:
    """Every example, in order, without its source."""
    return json_response({"examples": [example_json(it) for it in context.examples.values()]})


async def example(context: Context, request: Request) -> Response:
    """One example with its source."""
    found = context.example(request.path_params["slug"])
    return json_response(example_json(found) | {"source": found.source})
