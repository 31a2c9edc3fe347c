"""Checking a source without running it: in a parked child used once, since hostile source can crash the parser itself."""

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import msgspec

from playground.sandbox import frames
from playground.sandbox.channel import FrameChannel
from playground.sandbox.pool import Sandbox, SandboxDown
from playground.sandbox.turns import Turns
from playground.workflows.errors import Busy, TooLarge
from playground.workflows.source import without_mark

REMEMBERED = 256  # results kept, by content hash
REMEMBERED_BYTES = 2 * 1024 * 1024  # or as few as take so much
SECONDS = 5.0  # time a check may take
AT_ONCE = 2  # checks under way together
REST_SECONDS = 5  # what a caller is told to wait when no worker can be had


@dataclass(frozen=True, slots=True)
class Check:
    """What is known of a source: problems with their places, and the steps found in it."""

    diagnostics: tuple[dict[str, Any], ...]
    outline: tuple[dict[str, Any], ...]

    @property
    def ok(self) -> bool:
        """True when nothing found keeps it from running."""
        return not any(diagnostic.get("severity") == "error" for diagnostic in self.diagnostics)


UNREADABLE = Check(
    (
        {
            "severity": "error",
            "code": "unreadable",
            "message": "This source could not be read: Python's parser failed or took too long on it. Make it simpler or shorter.",
            "line": 1,
            "column": 1,
            "end_line": 1,
            "end_column": 1,
        },
    ),
    (),
)


class Checker:
    """Checks sources in the sandbox and remembers the results."""

    def __init__(self, sandbox: Sandbox, source_bytes: int, turns: Turns) -> None:
        self._sandbox, self._source_bytes, self._talking = sandbox, source_bytes, turns
        self._known = _Known()
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def check(self, source: str) -> Check:
        """Check a source.

        Raises:
            TooLarge: it is over its limit.
            Busy: no worker can be had to look at it.
        """
        source = without_mark(source)
        data = source.encode("utf-8", "surrogatepass")
        if len(data) > self._source_bytes:
            raise TooLarge(f"The source has {len(data):,} bytes; the limit is {self._source_bytes:,}. Make it shorter.", setting="source_bytes")
        digest = hashlib.sha256(data).digest()
        known = self._known.get(digest)
        if known is None:
            async with self._turns:
                known = await self._in_child(source)
            if known is UNREADABLE:
                return known  # not remembered: the child may have died of something else than this source
            self._known.remember(digest, known)
        return known

    async def _in_child(self, source: str) -> Check:
        try:
            worker = await self._sandbox.take()
        except SandboxDown as down:
            raise Busy(
                f"The source can't be looked at now. {down} Try again in {REST_SECONDS} s.", retry_after=REST_SECONDS
            ) from None
        answered: asyncio.Future[Check] = asyncio.get_running_loop().create_future()

        def said(batch: Any) -> None:
            frame = batch[0][0]
            if not answered.done():
                checked = isinstance(frame, frames.Checked)
                answered.set_result(Check(tuple(frame.diagnostics), tuple(frame.outline)) if checked else UNREADABLE)

        def closed(error: Exception | None) -> None:
            if not answered.done():
                answered.set_result(UNREADABLE)

        channel = FrameChannel(worker.sock, said, closed, self._talking)
        try:
            channel.send({"op": "check", "source": source.encode("utf-8", "replace").decode()})
            async with asyncio.timeout(SECONDS):
                return await answered
        except TimeoutError:
            return UNREADABLE
        finally:
            channel.close()
            worker.close()


class _Known:
    """The results used last, as JSON: one block of memory each, whose size is known, where objects would be many."""

    def __init__(self) -> None:
        self._held: OrderedDict[bytes, bytes] = OrderedDict()
        self._bytes = 0

    def get(self, digest: bytes) -> Check | None:
        text = self._held.get(digest)
        if text is None:
            return None
        self._held.move_to_end(digest)
        return _read(text)

    def remember(self, digest: bytes, check: Check) -> None:
        if digest in self._held:  # it was checked twice at once
            return
        text = self._held[digest] = msgspec.json.encode(check)
        self._bytes += len(text)
        while len(self._held) > REMEMBERED or self._bytes > REMEMBERED_BYTES:
            self._bytes -= len(self._held.popitem(last=False)[1])


_read = msgspec.json.Decoder(Check).decode
