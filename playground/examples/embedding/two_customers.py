"""A platform whose customers bring their own workflows: each pastes code, and one dispatcher routes every run to the
right one.

./run python -m playground.examples.embedding.two_customers
"""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from playground import KV, Code, Dispatcher, Effects, NonRetryableError, Workflow, WorkflowError, open_engine

KEYS = {"key-of-acme": "acme", "key-of-globex": "globex"}  # a real platform has a login
FOLDER = Path("customers")


def load(metadata: dict[str, Any]) -> Code:
    """Called for every execution, now or in a year: the customer's code as it is by then."""
    file = FOLDER / f"{metadata['tenant']}.py"
    if not file.exists():
        raise NonRetryableError(f"{metadata['tenant']} has pasted no workflow.")
    return Code(file.read_text("utf-8"), env={"KV": KV(), "EFFECTS": Effects()})


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    FOLDER.mkdir(exist_ok=True)
    async with open_engine(f"sqlite:///{FOLDER}/runs.db") as app.state.engine:
        app.state.dispatcher = Dispatcher(app.state.engine, load)
        yield


def workflow_of(request: Request) -> Workflow:
    tenant = KEYS.get(request.headers.get("x-key", ""))
    if tenant is None:
        raise HTTPException(401, "The header x-key has no customer's key.")
    return request.app.state.dispatcher.wrap_binding({"tenant": tenant})  # type: ignore[no-any-return]


async def json_of(request: Request) -> Any:
    try:
        return json.loads(await request.body() or "null")
    except ValueError as error:  # UnicodeDecodeError too
        raise HTTPException(400, f"The body is not JSON: {error}.") from None


async def paste(request: Request) -> Response:
    name, source = workflow_of(request).tenant, (await request.body()).decode(errors="replace")
    checked = await request.app.state.engine.check(source, name)
    if checked.ok:
        (FOLDER / f"{name}.py").write_text(source, "utf-8")
    return JSONResponse(checked.diagnostics, 200 if checked.ok else 422)


async def start(request: Request) -> Response:
    return JSONResponse({"id": (await workflow_of(request).create(params=await json_of(request))).id}, 201)


async def look(request: Request) -> Response:
    status = await (await workflow_of(request).get(request.path_params["id"])).status()
    return JSONResponse({"status": status.status, "output": status.output, "error": status.error})


async def send(request: Request) -> Response:
    instance = await workflow_of(request).get(request.path_params["id"])
    await instance.send_event(request.path_params["type"], await json_of(request))
    return Response(status_code=202)


async def refused(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return JSONResponse({"error": error.detail}, error.status_code)
    return JSONResponse({"error": str(error)}, 400)


routes = [
    Route("/workflow", paste, methods=["PUT"]),
    Route("/runs", start, methods=["POST"]),
    Route("/runs/{id}", look),
    Route("/runs/{id}/events/{type}", send, methods=["POST"]),
]
app = Starlette(routes=routes, lifespan=lifespan, exception_handlers={WorkflowError: refused, HTTPException: refused})

if __name__ == "__main__":
    uvicorn.run(app, port=8100)
