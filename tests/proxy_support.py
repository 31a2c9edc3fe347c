"""The network between a node and its database: a TCP proxy that cuts, holds, resets or delays what goes through it.

Real sockets, and a thread of its own, so that a node of this process and one of another may stand before it.
"""

import asyncio
import enum
import socket
import struct
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Self

ANSWER_SECONDS = 10.0


class Cut(enum.Enum):
    """What becomes of what is sent while the network is cut."""

    HELD = "held"  # it arrives when the network is whole again, as TCP has it
    DROPPED = "dropped"  # it never arrives, nor does anything on a connection that there was then
    RESET = "reset"  # connections break, and new ones are refused


class Proxy:
    """Stands before the socket of a PostgreSQL server, on a port of its own."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._cut: Cut | None = None
        self._delay = 0.0
        self._drops = 0  # how often connections have been dropped
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ANSWER_SECONDS)
        self._loop.close()

    def cut(self, how: Cut) -> None:
        """Let nothing through any more."""
        self._call(self._set(how))

    def heal(self) -> None:
        """Let everything through again."""
        self._call(self._set(None))

    def slow_down(self, seconds: float) -> None:
        """Delay each piece of what goes through, in either direction."""
        self._delay = seconds

    def url(self, url: str) -> str:
        """The URL of a database behind it, made of one that goes straight to the server."""
        user, _, rest = url.removeprefix("postgresql://").partition("@/")
        return f"postgresql://{user}@127.0.0.1:{self.port}/{rest.partition('?')[0]}"

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(ANSWER_SECONDS)

    async def _listen(self) -> None:
        self._whole = asyncio.Event()
        self._whole.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    async def _set(self, cut: Cut | None) -> None:
        self._cut = cut
        self._drops += cut is Cut.DROPPED
        if cut is Cut.RESET:
            for writer in list(self._writers):
                _reset(writer)
        if cut is None:
            self._whole.set()
        else:
            self._whole.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        far: asyncio.StreamWriter | None = None
        drops = self._drops
        try:
            if self._cut is Cut.RESET:
                _reset(writer)
                return
            if not await self._may_pass(drops):
                await reader.read(-1)  # until who connects gives up
                return
            answers, far = await asyncio.open_unix_connection(self._target)
            self._writers.add(far)
            there = asyncio.ensure_future(self._pass_on(reader, far, drops))
            back = asyncio.ensure_future(self._pass_on(answers, writer, drops))
            try:
                await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                there.cancel()
                back.cancel()
                await asyncio.gather(there, back, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for each in (writer, far):
                if each is not None:
                    self._writers.discard(each)
                    each.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, drops: int) -> None:
        while data := await reader.read(65_536):
            if self._delay:
                await asyncio.sleep(self._delay)
            if not await self._may_pass(drops):
                await reader.read(-1)  # this connection is dead, and nobody is told
                return
            writer.write(data)
            await writer.drain()

    async def _may_pass(self, drops: int) -> bool:
        """Whether something goes on, once it may; False: it is lost. Its connection was made after so many drops."""
        if self._cut is not Cut.DROPPED:
            await self._whole.wait()
        return self._cut is not Cut.DROPPED and self._drops == drops


def _reset(writer: asyncio.StreamWriter) -> None:
    """Break a connection as a firewall does, with RST."""
    found = writer.get_extra_info("socket")
    if found is not None and found.family == socket.AF_INET:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
