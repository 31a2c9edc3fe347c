"""How long a model's words take from its server to a reader of the run's stream, over real sockets.

    ./run python -m bench.ai [--words 200] [--pace-ms 20]

A server that speaks as OpenAI's sends a word at a time, each with the time at which it was sent; the playground is a
process of its own that calls it for a run of the page, and a reader follows the stream of the step over HTTP, as the
page does. A word's way is from its sending to the reader, by one clock.
"""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from model_server import serving
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from bench.speed import call, server

SOURCE = """
from workers import WorkflowEntrypoint

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        await step.wait_for_event("the reader is there", "go")
        return await step.do("ask", lambda: self.env.AI.run("timed", {"prompt": "go"}, stream="words"))
"""


def model(words: int, pace: float) -> Starlette:
    """A server whose every word is the time."""

    async def stream() -> AsyncIterator[str]:
        for _ in range(words):
            piece = {"choices": [{"delta": {"content": f"{time.time()} "}}]}
            yield f"data: {json.dumps(piece)}\n\n"
            await asyncio.sleep(pace)
        yield f"data: {json.dumps({'choices': [{'delta': {}, 'finish_reason': 'stop'}]})}\n\ndata: [DONE]\n\n"

    async def complete(request: Request) -> StreamingResponse:
        await request.body()
        return StreamingResponse(stream(), media_type="text/event-stream")

    return Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])


async def follow(port: int, id: str, ready: asyncio.Event) -> list[float]:
    """The way of each word, in seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
    path = f"/api/instances/{id}/streams/words"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".encode())
    late: list[float] = []
    event = b""
    while line := await reader.readline():
        if line.startswith(b"event: "):
            event = line[7:].strip()
            if event == b"hello":
                ready.set()
            elif event == b"end":
                break
        elif line.startswith(b"data: ") and event == b"values":
            now = time.time()
            values: list[dict[str, Any]] = json.loads(line[6:])
            late += [now - float(sent) for value in values for sent in value["value"].split()]
    with contextlib.suppress(ConnectionError):
        writer.close()
    return late


async def measure(words: int, pace: float) -> None:
    async with serving(model(words, pace)) as url:
        settings = {"ai_url": f"{url}/v1", "ai_models": "timed", "ai_anonymous": "true"}
        with server(**settings) as (base, _):
            made = await asyncio.to_thread(call, base, "/api/instances", {"source": SOURCE})
            ready = asyncio.Event()
            following = asyncio.create_task(follow(int(base.rpartition(":")[2]), made["id"], ready))
            await ready.wait()
            path = f"/api/instances/{made['id']}/events/go"
            await asyncio.to_thread(call, base, path, 1, "POST", made["control_token"])
            late = sorted(await following)
    assert len(late) == words, f"{len(late)} of {words} words came"
    p50, p99 = late[len(late) // 2] * 1000, late[int(len(late) * 0.99)] * 1000
    print(
        f"{words} words, one each {pace * 1000:g} ms: p50 {p50:.1f} ms, p99 {p99:.1f} ms after they were sent, load "
        f"{os.getloadavg()[0]:.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=int, default=200)
    parser.add_argument("--pace-ms", type=float, default=20)
    given = parser.parse_args()
    asyncio.run(measure(given.words, given.pace_ms / 1000))


if __name__ == "__main__":
    main()
