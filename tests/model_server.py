"""A real server that speaks as an OpenAI-compatible one, and misbehaves as a test asks: over a real socket."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

KEY = "sk-model-4242-secret"
TOOL_CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}


class ModelServer:
    """Answers each call by what the model's name says, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.url = ""
        self.hung = 0  # calls whose answer is under way
        self.sent_at: list[float] = []  # when each piece of `timed` went out
        self.gate = asyncio.Event()  # opens what `held` waits for

    async def complete(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        body = await request.json()
        self.asked.append(body)
        self.headers.append(dict(request.headers))
        model = body["model"]
        if model in self.REFUSALS:
            status, headers = self.REFUSALS[model]
            return JSONResponse({"error": {"message": f"this is {model}, you sent {KEY}"}}, status, headers)
        if model == "garbage":
            return Response("<html>", 200)
        if model == "no-choices":
            return JSONResponse({"choices": []})
        if model == "deep":
            return Response("[" * 20_000, 200, media_type="application/json")
        if model == "compressed":
            return Response(b"x", 200, {"content-encoding": "gzip"})
        if not body.get("stream"):
            if model == "held":
                await self._hold()
            return JSONResponse(self._whole(body))
        return StreamingResponse(self._stream(model), media_type="text/event-stream")

    REFUSALS: Mapping[str, tuple[int, dict[str, str]]] = {
        "unauthorized": (401, {}), "limited": (429, {"Retry-After": "7"}), "broken": (500, {}), "bad": (400, {}),
        "moved": (307, {"Location": "http://127.0.0.1:1/v1/chat/completions"}),
    }  # fmt: skip

    async def _hold(self) -> None:
        self.hung += 1
        try:
            await self.gate.wait()
        finally:
            self.hung -= 1

    def _whole(self, body: Mapping[str, Any]) -> dict[str, Any]:
        message = {"role": "assistant", "content": f"you said {body['messages'][-1]['content']}"}
        if body["model"] == "echoes-the-key":
            message["content"] = f"your key is {KEY}"
        if body.get("tools"):
            message |= {"content": None, "tool_calls": [TOOL_CALL]}
        usage = {"prompt_tokens": 11, "completion_tokens": 5}
        return {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}

    async def _stream(self, model: str) -> AsyncIterator[str]:
        if model == "endless":
            while True:
                yield self._piece({"content": "word " * 1_000})
                await asyncio.sleep(0)  # whoever has gone away is noticed
        for word in ("Durable ", "words ", "come ", "one ", "by ", "one."):
            yield self._piece({"content": word})
            if model in ("held", "slow"):
                await self._hold()
        if model == "cut":
            return
        if model == "tools":
            for arguments in ('{"a"', ": 1}"):
                call = {"index": 0, "function": {"name": "", "arguments": arguments}}
                yield self._piece({"tool_calls": [call]})
        yield self._piece({}, finish_reason="stop")
        yield f"data: {json.dumps({'choices': [], 'usage': {'prompt_tokens': 9, 'completion_tokens': 6}})}\n\n"
        yield "data: [DONE]\n\n"

    def _piece(self, delta: Mapping[str, Any], **more: Any) -> str:
        return f"data: {json.dumps({'choices': [{'index': 0, 'delta': delta, **more}]})}\n\n"


@contextlib.asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """Serve an app on a free port of this machine; gives its address."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serve = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
        if serve.done():
            serve.result()
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serve


@contextlib.asynccontextmanager
async def model_server() -> AsyncIterator[ModelServer]:
    """A server of models."""
    made = ModelServer()
    app = Starlette(routes=[Route("/v1/chat/completions", made.complete, methods=["POST"])])
    async with serving(app) as url:
        made.url = f"{url}/v1"
        yield made
        made.gate.set()
