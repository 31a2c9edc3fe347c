"""The protocol's servers of this process: each is opened by its first request, and closed with the engine.

The SDK is imported then, in a thread, since it takes a second and 37 MB. A server has a task group of its own while it
is open, and nothing of any request: to open one for each request took 0.3 ms more of its 1.9.
"""

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from starlette.types import Receive, Scope, Send

Handler = Callable[[Scope, Receive, Send], Awaitable[None]]

SCOPE_TOOLBOX = "playground.toolbox"  # where the ASGI scope has the request's toolbox
SCOPE_AUDIT = "playground.audit"  # … and the entry of the audit log for what it changes, or None
_SERVING = "playground.web.mcp.serving"


class McpServers:
    """By name: a tenant's, and everybody's.

    Args:
        run_in_background: runs a coroutine until the engine closes.
        version: what the servers say that they are.
    """

    def __init__(self, run_in_background: Callable[[Coroutine[Any, Any, None]], Any], version: str) -> None:
        self._run_in_background, self._version = run_in_background, version
        self._handlers: dict[str, asyncio.Future[Handler]] = {}

    async def handler(self, name: str, instructions: str, *, resources: bool) -> Handler:
        """What handles a request whose toolbox is in its scope."""
        opening = self._handlers.get(name)
        if opening is None:
            opening = self._handlers[name] = asyncio.get_running_loop().create_future()
            self._run_in_background(self._serve(name, instructions, resources, opening))
        return await asyncio.shield(opening)

    async def _serve(self, name: str, instructions: str, resources: bool, opening: "asyncio.Future[Handler]") -> None:
        try:
            serving = await asyncio.to_thread(importlib.import_module, _SERVING)
            async with serving.open_server(name, self._version, instructions, resources=resources) as handler:
                opening.set_result(handler)
                await asyncio.get_running_loop().create_future()  # until the engine closes
        except Exception as error:
            if opening.done():
                raise
            opening.set_exception(error)
        finally:
            self._handlers.pop(name, None)  # the next request opens another
            opening.cancel()
