"""Families: the end of a child wakes its parent, and the end of a parent ends its children.

A child that is waited for has a row (`Awaited`), written in the transaction that creates it. When the child ends, the
node that committed the end looks at that row, and commits the outcome to the parent's journal, which wakes the parent
on any node. The other way round: when the parent's step waits no more, since the parent has ended, was restarted or has
cancelled it, the child is terminated, unless it was started with `cascade=False`; its own children follow. Then the row
is deleted.

Whoever dies in between leaves the row, and a row says by itself what is to be done: each node walks through all of them
when it starts and when it has taken over from a lost node, and through a page of them at each renewal of its lease. Two
nodes may do the same at once: a parent's journal takes the end of a child once, since the step must still be open.

A parent that is a row is woken by the first end at once, and by those that follow it within `GATHER_MS` together: each
wake replays it, and of a thousand children a few may end in every millisecond. Where the parent runs and waits for
others too, it is `GATHER_RUNNING_MS`: each end by itself would be three commits, of which the store's one writer makes
some hundred in a second.

Architecture Invariant: nothing here is remembered by a process only.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from playground.engine import messages, operations
from playground.engine.clock import Clock
from playground.engine.looks import Looks
from playground.engine.operations import ChildEnd
from playground.store.encoding import as_objects
from playground.store.protocol import Store
from playground.store.rows import AwaitedChild
from playground.workflows import events as ev
from playground.workflows.errors import CannotTerminate, InstanceExpired, InstanceNotFound

PAGE = 500  # rows that are looked at in one go
DELIVERED_AT_ONCE = 50  # outputs in memory
GATHER_MS = 200  # in which the ends of one sleeping parent's children are gathered
GATHER_RUNNING_MS = 20  # of a running one's


class Families:
    """What one node does for the families of all.

    Args:
        most_bytes: what an instance may hold.
    """

    def __init__(self, store: Store, clock: Clock, log: Callable[..., None], most_bytes: int) -> None:
        self._store, self._clock, self._log, self._most_bytes = store, clock, log, most_bytes
        self._keys: set[int] = set()
        self._woken: dict[int, int] = {}  # parents that were brought ends, and when; the last `GATHER_MS` count
        self._gathered: dict[int, set[int]] = {}  # by parent: children whose ends wait for the others
        self._walks_all = self._walks = False
        self._after = 0  # where the walk goes on
        self._stopped = False
        self._looks = Looks(clock, self._look, self._on_failure)
        self._unsubscribe: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begin, and walk through all rows."""
        self._unsubscribe = self._store.listen_ended(self.look_at)
        self.walk_all()
        self._looks.start()

    async def stop(self) -> None:
        """Stop at once: what is not done is found by the next walk."""
        self._stopped = True
        self._unsubscribe()
        await self._looks.stop()

    @property
    def at_rest(self) -> bool:
        """Whether nothing is to be done."""
        return self._looks.at_rest

    def look_at(self, keys: Sequence[int]) -> None:
        """These instances have ended, or wait for some child no more."""
        if keys and not self._stopped:
            self._keys.update(keys)
            self._looks.wake()

    def walk_all(self) -> None:
        """Look at every row: a node may have died before it did what was to be done."""
        self._walks_all = True
        self._after = 0
        self._looks.wake()

    def walk_on(self) -> None:
        """Look at the next page of rows."""
        self._walks = True
        self._looks.wake()

    async def settle(self, keys: Sequence[int]) -> None:
        """Do now what is to be done about these instances, which have ended or wait no more."""
        await self._settle(await self._store.families.of(keys))

    def _on_failure(self, error: Exception) -> None:
        self._log("families_failed", error=f"{type(error).__name__}: {error}")

    async def _look(self) -> None:
        while self._keys:
            keys = sorted(self._keys)[:PAGE]
            self._keys.difference_update(keys)  # before they are looked at: what ends meanwhile is looked at again
            try:
                await self.settle(keys)
            except Exception:
                self._keys.update(keys)
                raise
        while self._walks_all or self._walks:
            found = await self._store.families.after(self._after, PAGE)
            await self._settle(found)
            self._after = found[-1].key if len(found) == PAGE else 0
            self._walks, self._walks_all = False, self._walks_all and self._after > 0

    async def _settle(self, found: Sequence[AwaitedChild]) -> None:
        ended: dict[int, list[AwaitedChild]] = defaultdict(list)
        unwanted = []
        for child in found:
            if not child.wanted:
                unwanted.append(child)
            elif child.ended:
                ended[child.awaited.parent].append(child)
        if unwanted:
            await asyncio.gather(*(self._terminate(child) for child in unwanted))
            await self._store.families.forget([child.key for child in unwanted])
        for parent, children in ended.items():
            if self._gathers(parent, children):
                continue
            for begin in range(0, len(children), DELIVERED_AT_ONCE):
                await self._deliver(parent, children[begin : begin + DELIVERED_AT_ONCE])

    def _gathers(self, parent: int, children: Sequence[AwaitedChild]) -> bool:
        """Whether these ends wait for those that are about to come, since their parent has heard of others just now."""
        now, first = self._clock.now(), children[0]
        if first.parent_runs and not first.has_siblings:
            return False
        gather_ms = GATHER_RUNNING_MS if first.parent_runs else GATHER_MS
        woken = self._woken.get(parent)
        if parent not in self._gathered:
            if woken is None or not 0 <= now - woken < gather_ms:
                self._woken = {key: at for key, at in self._woken.items() if now - at < GATHER_MS} | {parent: now}
                return False
            self._gathered[parent] = set()
            self._clock.call_at(woken + gather_ms, self._on_gathered, parent)
        self._gathered[parent].update(child.key for child in children)
        return True

    def _on_gathered(self, parent: int) -> None:
        self.look_at([*self._gathered.pop(parent, ())])

    async def _terminate(self, child: AwaitedChild) -> None:
        if child.ended or not child.awaited.cascades:
            return
        with suppress(CannotTerminate, InstanceNotFound):
            await self._store.decide(child.key, operations.terminate(False), execution=None, at=self._clock.now())

    async def _deliver(self, parent: int, children: Sequence[AwaitedChild]) -> None:
        ends = await asyncio.gather(*(self._end_of(child) for child in children))
        decided = [end for end in ends if end is not None]
        now = self._clock.now()
        with suppress(InstanceNotFound):
            decider = operations.end_children(decided, now, self._most_bytes)
            await self._store.decide(parent, decider, execution=None, at=now)
        await self._store.families.forget(
            [child.key for child, end in zip(children, ends, strict=True) if end is not None]
        )

    async def _end_of(self, child: AwaitedChild) -> ChildEnd | None:
        """How a child has ended; None: it has been restarted, and goes on."""
        step, started_seq = child.awaited.step, child.awaited.started_seq
        if child.tenant is None or child.id is None:
            return ChildEnd(step, started_seq, error=messages.child_gone(""))
        return await child_end(self._store, child.tenant, child.id, ChildEnd(step, started_seq), child.key)


async def child_end(store: Store, tenant: str, id: str, end: ChildEnd, key: int | None = None) -> ChildEnd | None:
    """`end` with how the instance of this tenant and id has ended; None: it has not.

    `key`: its key; another one of this id is not meant.
    """
    try:
        row: Any = await store.find(tenant, id)
    except InstanceExpired:
        row = None
    except InstanceNotFound:
        row = None
    if row is None or (key is not None and row.key != key):
        return end._replace(error=messages.child_gone(id))
    if row.status == ev.COMPLETE:
        return end._replace(output=as_objects(row.output))
    if row.status == ev.ERRORED:
        return end._replace(error=row.error)
    if row.status == ev.TERMINATED:
        return end._replace(error=messages.child_terminated(id))
    return None
