"""The network between one boot of a node and the database, and what goes wrong in it.

A call is a request that arrives, is carried out at once, and is answered. Both ways take a time drawn from the seed;
now and then much longer, so that other nodes' commits interleave. A request may be lost before it arrives, and an
answer after the commit: the caller gets the same error for both, and cannot know which it was. Requests for one
instance arrive in the order in which they were sent, as the contract of the store has it. Notifications are delayed,
reordered and lost, each by itself; the floor poll of `Notifications` finds what a lost one would have said. A
connection can be cut for a time: nothing passes, and calls fail after a timeout.

The database goes by its own clock: it does not believe the `at` of a caller.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from playground.store.errors import StoreError
from playground.store.notifications import CommitChanges, Floor, Notifications
from simulation.loop import Process, SimulationLoop, context_in
from simulation.plants import Plant
from simulation.store import SimulatedStore, call_now

EPOCH_MS = 1_767_225_600_000  # what the database's clock says when a run begins
ERROR_AFTER_MS = 200.0  # until the caller of a lost request or answer learns of it
KEYED = frozenset({"append", "decide", "unclaim", "delete"})  # calls whose first argument is an instance's key
STAMPED = frozenset({"create", "append", "decide", "claim"})  # calls that say what time it is
UNTRACED = frozenset({"now", "last_seqs", "next_due", "nodes.renew", "nodes.abandoned", "nodes.owned"})

BeforeCall = Callable[[str, dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Weather:
    """How the network behaves. Times are milliseconds, rates are chances for each message.

    `quick_ms` is the longest usual way, `slow_ms` that of a slow one; `timeout_ms` is until a call over a connection
    that is cut fails. Notifications may be lost, so that `poll_ms` is the floor.
    """

    quick_ms: float
    slow_ms: float
    slow_rate: float
    lost_rate: float  # of requests, and of answers
    hints_lost_rate: float
    hints_late_ms: float
    timeout_ms: float
    poll_ms: int = 1_000

    @property
    def longest_ms(self) -> float:
        """The longest that a call may take that is answered."""
        return 2 * max(self.quick_ms, self.slow_ms)


class Network:
    """All connections to one database. `calm` ends what goes wrong: from then on nothing is lost or slow."""

    def __init__(self, loop: SimulationLoop, store: SimulatedStore, rng: random.Random, weather: Weather) -> None:
        self.loop, self.store, self._rng, self.weather = loop, store, rng, weather
        self.context = context_in(Process("network"))
        self.connections: list[Connection] = []
        self.calm = False
        self.trace: Callable[[str], None] | None = None
        store.on_commit = self._notify

    def chance(self, rate: float) -> bool:
        """Whether something of this rate goes wrong now."""
        return rate > 0 and not self.calm and self._rng.random() < rate

    def way_ms(self) -> float:
        """How long a message takes."""
        weather = self.weather
        longest = weather.slow_ms if self.chance(weather.slow_rate) else weather.quick_ms
        return self._rng.random() * longest

    def now_ms(self) -> int:
        """The database's clock."""
        return EPOCH_MS + self.loop.now_ms()

    def _notify(self, changes: CommitChanges) -> None:
        weather = self.weather
        for connection in self.connections:
            if not self.chance(weather.hints_lost_rate):
                late = self._rng.random() * weather.hints_late_ms / 1000
                self.loop.call_later(late, connection.on_hint, changes, context=connection.context)


class Connection:
    """The store as one boot of a node has it: implements `playground.store.protocol.Store`.

    `before_call(name, options)` is called when a request has arrived.
    """

    def __init__(self, network: Network, process: Process, before_call: BeforeCall, plant: Plant) -> None:
        self._network, self._process, self._before_call = network, process, before_call
        self.context = context_in(process)
        self.closed = self.is_cut = False
        self._arrivals: dict[Any, float] = {}
        self.poll_ms = network.weather.poll_ms
        floor = Floor(self.poll_ms, self._call("last_seqs"), self._call("next_due"))
        self._notifications = Notifications(self._call("_last_seq"), None if plant is Plant.NO_POLL else floor)
        self.nodes = _Part(self, "nodes")
        self.nodes.clock = None if plant is Plant.OWN_CLOCKS else self._clock
        self.kv, self.effects = _Part(self, "kv"), _Part(self, "effects")
        self.tenants, self.usage = _Part(self, "tenants"), _Part(self, "usage")
        self.families, self.step_bytes = _Part(self, "families"), _Part(self, "step_bytes")
        self.listen_ended, self.listen_sent = self._notifications.listen_ended, self._notifications.listen_sent
        self.listen, self.listen_due = self._notifications.listen, self._notifications.listen_due
        self.subscribe = self._notifications.watch
        network.connections.append(self)

    def __getattr__(self, name: str) -> Any:
        found = self._call(name)
        setattr(self, name, found)
        return found

    async def shrink(self) -> None:
        """There is nothing to free in a run."""

    def close(self) -> None:
        """The node is dead: nothing that it asks for reaches the database any more, and no answer reaches it."""
        self.closed = True
        self._notifications.close()
        with contextlib.suppress(ValueError):
            self._network.connections.remove(self)

    def on_hint(self, changes: CommitChanges) -> None:
        """A notification has come."""
        if not (self.closed or self.is_cut):
            self._notifications.notify(changes)

    async def _clock(self) -> int:
        now: int = await self._call("now")()
        return now

    def _call(self, name: str) -> Callable[..., Any]:
        """The method of the store, or of its part, over this connection."""
        network, loop = self._network, self._network.loop
        keyed, stamped = name in KEYED, name in STAMPED
        if name == "now":
            target: Any = _Now(network).read
        else:
            part, _, method = name.rpartition(".")
            target = getattr(getattr(network.store, part) if part else network.store, method)

        async def call(*args: Any, **options: Any) -> Any:
            if self.closed:
                raise StoreError("the node is dead")
            on_commit = options.pop("on_commit", None)
            answer: asyncio.Future[Any] = loop.create_future()
            if self.is_cut or network.chance(network.weather.lost_rate):
                self._fail_later(answer, "the request was lost")
                return await answer
            arrives = loop.time() + network.way_ms() / 1000
            if keyed:  # of one instance none overtakes another
                arrives = self._arrivals[args[0]] = max(arrives, self._arrivals.get(args[0], 0.0))
            loop.call_at(arrives, arrive, args, options, on_commit, answer, context=network.context)
            return await answer

        def arrive(args: Any, options: dict[str, Any], on_commit: Any, answer: asyncio.Future[Any]) -> None:
            if self.closed and network.chance(0.5):
                return  # it had not left the machine when that died
            if stamped:
                options["at"] = network.now_ms()
            self._before_call(name, options)
            result = error = None
            try:
                result = call_now(target(*args, **options))
                if name == "claim":
                    result = result._replace(at=options["at"])
            except Exception as raised:  # noqa: BLE001 - it is the caller's
                error = raised
            if network.trace is not None and name not in UNTRACED:
                network.trace(f"{self._process}: {name}{_shown(args, result, error)}")
            if self.is_cut or network.chance(network.weather.lost_rate):
                self._fail_later(answer, "the answer was lost")
            else:
                after = network.way_ms() / 1000
                loop.call_later(after, self._answer, answer, result, error, on_commit, context=self.context)

        return call

    def _fail_later(self, answer: asyncio.Future[Any], why: str) -> None:
        after = self._network.weather.timeout_ms if self.is_cut else ERROR_AFTER_MS
        error = StoreError(why)
        self._network.loop.call_later(after / 1000, self._answer, answer, None, error, None, context=self.context)

    def _answer(self, answer: asyncio.Future[Any], result: Any, error: Exception | None, on_commit: Any) -> None:
        if self.closed:
            return
        if error is None and on_commit is not None:
            on_commit(result)
        if not answer.done():
            if error is None:
                answer.set_result(result)
            else:
                answer.set_exception(error)


class _Part:
    """A part of the store, such as its nodes, over the same connection."""

    clock: Any

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection, self._name = connection, name

    def __getattr__(self, name: str) -> Any:
        found = self._connection._call(f"{self._name}.{name}")
        setattr(self, name, found)
        return found


class _Now:
    def __init__(self, network: Network) -> None:
        self._network = network

    async def read(self) -> int:
        return self._network.now_ms()


def _shown(args: Any, result: Any, error: Exception | None) -> str:
    """A call for the trace: the instance, and the events of its commit."""
    key = f" {args[0]}" if args and isinstance(args[0], int | str) else ""
    if error is not None:
        return f"{key}: {type(error).__name__}: {error}"
    events, rows = getattr(result, "events", None), getattr(result, "rows", None)
    if events is not None:
        said = ", ".join(f"{event.type}{f'({event.step})' if event.step else ''}" for event in events)
        return f"{key} #{result.row.last_seq} e{result.row.execution}: {said or 'nothing'}"
    if rows is not None:
        return f"{key}: {', '.join(f'{row.key} e{row.execution}' for row in rows) or 'nothing'}"
    return key
