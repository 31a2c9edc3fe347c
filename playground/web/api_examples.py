"""The examples, over the API."""

from starlette.requests import Request
from starlette.responses import Response

from playground.web.context import Context
from playground.web.errors import ExampleNotFound
from playground.web.pages import example_json
from playground.web.responses import json_response


async def examples(context: Context, request: Request) -> Response:
    """Every example, in order, without its source."""
    return json_response({"examples": [example_json(it) for it in context.examples.values()]})


async def example(context: Context, request: Request) -> Response:
    """One example with its source."""
    found = context.examples.get(request.path_params["slug"])
    if found is None:
        raise ExampleNotFound(f"There is no example of this name; the examples are {', '.join(context.examples)}.")
    return json_response(example_json(found) | {"source": found.source})
