"""Checks of a source without running it: in a parked child, since hostile source can crash the parser itself.

The child is used once, or kept for a moment to run the same source for the same owner (engine/workers.py).

Limits: a check takes at most `SECONDS`, `AT_ONCE` run together and `OF_ONE` of one owner (a client address or a
tenant), and an owner has so many seconds in a minute. Owners that wait take turns, one each, however many checks one
of them asks for, so that slow sources of one hold up nobody else's.

Source of the rule: round robin with one queue per owner, as in `store/sqlite/claims.py`, where instances take turns at
workers.
"""

import asyncio
import contextlib
import hashlib
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from playground.engine.code.project import Project, read_project
from playground.engine.code.tool_signature import NO_SIGNATURE, ToolSignature, read_signature
from playground.engine.limits import SlidingWindow
from playground.sandbox import frames
from playground.sandbox.channel import FairReading, FrameChannel
from playground.sandbox.pool import Sandbox, SandboxDown, Worker
from playground.workflows.errors import Busy, TooLarge, WorkflowError
from playground.workflows.names import CLASS_NAME, without_byte_order_mark


class TooManyWait(Exception):
    """The owner has as many waiting as it may."""


class FairSemaphore:
    """At most `at_once` turns under way, `of_one` of them of one owner, and `waiting_most` of one owner's waiting.

    The owner "" is the server itself, which may have all that are free.
    """

    def __init__(self, at_once: int, of_one: int, waiting_most: int) -> None:
        self.at_once, self.of_one, self.waiting_most = at_once, of_one, waiting_most
        # By owner; the next to have a turn first.
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self._running: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def turn(self, owner: str) -> AsyncIterator[None]:
        """Wait for a turn of this owner, and have it until the block ends. Raises TooManyWait."""
        queue = self._waiting.get(owner)
        if queue is not None and len(queue) >= self.waiting_most:
            raise TooManyWait
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(mine)
        self._grant_turns()
        try:
            await mine
            yield
        finally:
            self._leave(owner, mine)

    def waiting(self) -> int:
        """How many wait, of all owners."""
        return sum(map(len, self._waiting.values()))

    def _leave(self, owner: str, mine: "asyncio.Future[None]") -> None:
        if mine.done() and not mine.cancelled():
            assert self._running[owner] > 0, "a turn ends once"
            self._running[owner] -= 1
            if not self._running[owner]:
                del self._running[owner]
        else:  # whoever waited has gone
            queue = self._waiting[owner]
            queue.remove(mine)
            if not queue:
                del self._waiting[owner]
        self._grant_turns()

    def _grant_turns(self) -> None:
        while self._running.total() < self.at_once:
            owner = next((it for it in self._waiting if not it or self._running[it] < self.of_one), None)
            if owner is None:
                return
            queue = self._waiting.pop(owner)
            queue.popleft().set_result(None)
            self._running[owner] += 1
            if queue:
                self._waiting[owner] = queue  # behind all others


CACHED = 256  # results in the cache, by content hash
CACHED_BYTES = 2 * 1024 * 1024  # or fewer, if they take this much
SECONDS = 5.0  # time a check may take
AT_ONCE = 2  # checks under way together, ...
OF_ONE = 1  # ... of one owner, so that somebody else's need not wait for the end of a slow one
WAITING_MOST = 20  # of one owner
MINUTE_SECONDS = 60
OWN = ""  # the owner of what the server checks for itself, such as its examples
RETRY_AFTER_SECONDS = 5  # sent to a caller when there is no worker


@dataclass(frozen=True, slots=True)
class Check:
    """What is known of a source: problems with their places, the steps found in it, and what it is as a tool."""

    diagnostics: tuple[dict[str, Any], ...]
    outline: tuple[dict[str, Any], ...]
    tool: ToolSignature = NO_SIGNATURE
    project: Project | None = None  # only where Cloudflare was asked about

    @property
    def ok(self) -> bool:
        """True when nothing found keeps it from running."""
        return not any(diagnostic.get("severity") == "error" for diagnostic in self.diagnostics)


_TOO_LONG = (
    "Checking the code took {most} s in a minute, which is the limit for one address or tenant here. Make it simpler "
    "or shorter; the next check is possible in {wait} s."
)
_TOO_MANY = (
    f"{WAITING_MOST} checks of your address or tenant are waiting already, which is the limit here. Wait for their "
    "answers before asking for more."
)


class CheckedTooMuch(WorkflowError):
    """An owner has had its share of checking; `details["retry_after"]` is in seconds."""

    code = "too_many"


UNREADABLE = Check(
    (
        {
            "severity": "error",
            "code": "unreadable",
            "message": (
                "This source could not be read: Python's parser failed or took too long on it. Make it simpler or "
                "shorter."
            ),
            "line": 1,
            "column": 1,
            "end_line": 1,
            "end_column": 1,
        },
    ),
    (),
)


Keep = Callable[[str, str, str, Worker], None]


class Checker:
    """Checks sources in the sandbox and caches the results.

    Args:
        seconds_most: time that the checks of one owner may take in a minute.
        now: returns epoch milliseconds.
        reading: whose turn it is among the channels of workers.
        keep: takes over the child that has checked a source of an owner who will run it: owner, source, class name,
            worker. None: every child is closed.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        source_bytes: int,
        seconds_most: int,
        now: Callable[[], int],
        reading: FairReading,
        keep: Keep | None = None,
    ) -> None:
        self._keep = keep
        self._sandbox, self._source_bytes, self._reading = sandbox, source_bytes, reading
        self._seconds_most, self._now = seconds_most, now
        # Per node on purpose, turns and time: a check takes this node's workers and processor, and changes nothing.
        self._cache = _ResultCache()
        self._turns = FairSemaphore(AT_ONCE, OF_ONE, WAITING_MOST)
        self._took = SlidingWindow(MINUTE_SECONDS, 1000, now)  # milliseconds by owner

    async def check(
        self,
        source: str,
        owner: str = OWN,
        class_name: str = CLASS_NAME,
        *,
        to_run: bool = False,
        cloudflare: bool = False,
    ) -> Check:
        """Check a source for an owner: the queue of a client address, or `tenant:` and a name.

        A result that is known costs nothing.

        `class_name` is the class that is to run. `to_run`: the owner runs it as soon as it is found to be all right.
        `cloudflare`: diagnostics include what exists only here, and `project` says what to make of it there.

        Raises:
            TooLarge: it is over its limit.
            CheckedTooMuch: the owner has had its time of the minute, or too many waiting.
            Busy: no worker can be had to look at it.
        """
        source = without_byte_order_mark(source)
        data = source.encode("utf-8", "surrogatepass")
        if len(data) > self._source_bytes:
            raise TooLarge(
                f"The source has {len(data):,} bytes; the limit is {self._source_bytes:,}. Make it shorter.",
                setting="source_bytes",
            )
        digest = hashlib.sha256(class_name.encode() + (b"\0\1" if cloudflare else b"\0") + data).digest()
        known = self._cache.get(digest)
        if known is None:
            self._check_time(owner)
            try:
                async with self._turns.turn(owner):
                    known = self._cache.get(digest)  # it may have been the same source that was waited for
                    if known is None:
                        self._check_time(owner)
                        known = await self._check_timed(source, owner, class_name, cloudflare, to_run=to_run)
            except TooManyWait:
                raise CheckedTooMuch(_TOO_MANY, retry_after=RETRY_AFTER_SECONDS) from None
            if known is UNREADABLE:
                return known  # not cached: the child may have died of something else than this source
            self._cache.put(digest, known)
        return known

    def _check_time(self, owner: str) -> None:
        """Raises CheckedTooMuch."""
        if owner == OWN or self._took.total(owner) < self._seconds_most * 1000:
            return
        first = self._took.counts(owner)[0][0]
        wait = max(1, first + MINUTE_SECONDS - self._took.now())
        raise CheckedTooMuch(
            _TOO_LONG.format(most=self._seconds_most, wait=wait), retry_after=wait, setting="check_seconds_per_minute"
        )

    async def _check_timed(self, source: str, owner: str, class_name: str, cloudflare: bool, *, to_run: bool) -> Check:
        began = self._now()
        try:
            return await self._check_in_child(source, owner, class_name, cloudflare, self._keep if to_run else None)
        finally:
            if owner != OWN:
                self._took.add(owner, self._now() - began)

    async def _check_in_child(
        self, source: str, owner: str, class_name: str, cloudflare: bool, keep: Keep | None
    ) -> Check:
        try:
            worker = await self._sandbox.take_worker()
        except SandboxDown as down:
            raise Busy(
                f"The source can't be looked at now. {down} Try again in {RETRY_AFTER_SECONDS} s.",
                retry_after=RETRY_AFTER_SECONDS,
            ) from None
        result: asyncio.Future[Check] = asyncio.get_running_loop().create_future()

        def on_frames(batch: Any) -> None:
            frame = batch[0][0]
            if result.done():
                return
            if isinstance(frame, frames.Checked):
                tool = read_signature(frame.tool)
                project = read_project(frame.project) if cloudflare else None
                result.set_result(Check(tuple(frame.diagnostics), tuple(frame.outline), tool, project))
            else:
                result.set_result(UNREADABLE)

        def on_closed(error: Exception | None) -> None:
            if not result.done():
                result.set_result(UNREADABLE)

        channel, kept = FrameChannel(worker.sock, on_frames, on_closed, self._reading), False
        try:
            text = source.encode("utf-8", "replace").decode()
            asked = {"source": text, "class_name": class_name, "cloudflare": cloudflare}
            channel.send({"op": "check", **asked, "keep": keep is not None})
            async with asyncio.timeout(SECONDS):
                checked = await result
            if keep is not None and checked.ok and channel.release():
                keep(owner, source, class_name, worker)
                kept = True
            return checked
        except TimeoutError:
            return UNREADABLE
        finally:
            channel.close()
            if not kept:
                worker.close()


class _ResultCache:
    """The results used last, as JSON: one block of memory each, whose size is known, where objects would be many."""

    def __init__(self) -> None:
        self._results: OrderedDict[bytes, bytes] = OrderedDict()
        self._bytes = 0

    def get(self, digest: bytes) -> Check | None:
        text = self._results.get(digest)
        if text is None:
            return None
        self._results.move_to_end(digest)
        return _read(text)

    def put(self, digest: bytes, check: Check) -> None:
        if digest in self._results:  # it was checked twice at once
            return
        text = self._results[digest] = msgspec.json.encode(check)
        self._bytes += len(text)
        while len(self._results) > CACHED or self._bytes > CACHED_BYTES:
            self._bytes -= len(self._results.popitem(last=False)[1])


_read = msgspec.json.Decoder(Check).decode
