"""How fast the store over PostgreSQL is, beside bare asyncpg writing the same rows to the same server in the same run.

    ./run python -m bench.postgres [--seconds 3] [--queued 2000000] [--url postgresql://...]

Without --url it starts a server of its own that syncs each commit to the disk, in a temporary folder. Rounds of store
and peer alternate, because other work on the machine changes its speed from one second to the next. An append is what
a quick step commits: four events, one new step row, one changed instance row.
"""

import argparse
import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from postgres_support import PostgresServer

from bench.store import AT, CONFIG, for_a_while, line, quick_step
from playground.store import open_store
from playground.store.protocol import ClaimLimits, QueueLimit, Store
from playground.store.rows import InstanceRow, NewInstance
from playground.workflows import events as ev
from playground.workflows.events import NewEvent

ROUNDS = 4
CREATE_BATCH = 10_000
CREATED = 100_000  # of the queued, by create(); the others by one statement, which takes a tenth of the time
FILL = """
WITH made AS (
    INSERT INTO instance (key, tenant, id, workflow, snippet, queue, status, generation, execution, last_seq, due_at,
        fresh, in_execution, log_bytes, stored_bytes, created_at, crashes)
    SELECT nextval('instance_key'), 'big', 'f' || n, 'w', 's', 'big', 'queued', 1, 0, 1, {at}, true, false, 0, 0,
        {at}, 0
    FROM generate_series({first}, {last}) AS n RETURNING key
), origins AS (
    INSERT INTO origin (instance, class_name, params) SELECT key, 'TenantWorkflow', '{{"n":1}}' FROM made
)
INSERT INTO tally_change (tenant, queue, status, n) SELECT 'big', 'big', 'queued', count(*) FROM made
"""
HOUR_MS = 3_600_000
SETTINGS = {
    "shared_buffers": "256MB", "max_wal_size": "4GB", "checkpoint_timeout": "15min", "max_connections": "100",
    "log_min_messages": "fatal",
}  # fmt: skip


@contextmanager
def databases(url: str | None, settings: Mapping[str, str] = SETTINGS) -> Iterator[Callable[[], str]]:
    """Gives the URL of an empty database as often as one is asked for, on a server of its own for as long; where a URL
    is given, it is always that one.
    """
    if url is not None:
        yield lambda: url
        return
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # the database's user is not always this one
        server = PostgresServer(Path(folder) / "pg", settings=settings).create().start()
        try:
            yield server.database
        finally:
            server.stop()


async def running(store: Store, count: int, prefix: str = "i") -> Sequence[InstanceRow]:
    """Instances with an execution under way."""
    queue = f"of {prefix}"
    new = [NewInstance("", f"{prefix}{n}", "playground", "s", None, queue) for n in range(count)]
    await store.create(new, at=AT)
    owner = (await store.nodes.join("bench", HOUR_MS)).owner
    rows = (await store.claim(owner, count, at=AT)).rows
    data = {"execution": 1, "worker": "w", "replayed": 0, "code_version": "v"}
    started = [NewEvent(ev.EXECUTION_STARTED, data)]
    await asyncio.gather(*(store.append(row.key, started, execution=1, at=AT) for row in rows))
    return rows


class Peer:
    """Bare asyncpg on one connection: one statement a step, that adds the same rows. It checks and projects nothing."""

    STATEMENT = """
    WITH grown AS (
        UPDATE instance SET last_seq = $2, stored_bytes = stored_bytes + 4 WHERE key = $1 RETURNING key
    ), events AS (
        INSERT INTO event SELECT $1, n.* FROM
            unnest($3::bigint[], $4::bigint[], $5::text[], $6::integer[], $7::text[], $8::text[]) n
    )
    INSERT INTO step (instance, generation, kind, name, count, status, started_seq, line, config, attempt, failures,
        losses, rollback_attempt, rollback_failures, result_bytes, result_seq)
    VALUES ($1, 1, 'do', 'step', $9, 'completed', $10, 5, $11, 1, 0, 0, 0, 0, 4, $2)
    """

    def __init__(self, connection: Any, key: int) -> None:
        self._connection, self._key = connection, key
        self.steps = 0

    async def append(self) -> None:
        """Write what one step commits."""
        self.steps += 1
        seq, step = self.steps * 4 + 10, f'{{"kind":"do","name":"step","count":{self.steps}}}'
        config = '{"retries":{"limit":5,"delay":10000,"backoff":"exponential"},"timeout":600000}'
        types = [ev.STEP_STARTED, ev.ATTEMPT_STARTED, ev.ATTEMPT_COMPLETED, ev.STEP_COMPLETED]
        data = [f'{{"config":{config},"line":5}}', '{"attempt":1}', '{"attempt":1}', '{"output":"ok"}']
        await self._connection.execute(
            self.STATEMENT, self._key, seq, list(range(seq - 3, seq + 1)), [AT] * 4, types, [1] * 4, [step] * 4, data,
            self.steps, seq - 3, config,
        )  # fmt: skip


async def sequential(url: str, seconds: float) -> None:
    """Appends of one instance, one after the other, beside the bare driver."""
    store = await asyncio.to_thread(open_store, url)
    [row] = await running(store, 1, "sequential")
    [other] = await running(store, 1, "peer")
    connection = await asyncpg.connect(url)
    peer, steps = Peer(connection, other.key), iter(range(1, 10**9))

    async def awaited() -> None:
        await store.append(row.key, quick_step(next(steps)), execution=1, at=AT)

    took: dict[str, list[float]] = {"store": [], "peer": []}
    for _ in range(ROUNDS):
        gc.collect()
        took["peer"] += await for_a_while(seconds / ROUNDS, peer.append)
        took["store"] += await for_a_while(seconds / ROUNDS, awaited)
    line("bare asyncpg, one connection, steps", took["peer"], seconds)
    line("store, one instance, steps one after the other", took["store"], seconds)
    await connection.close()
    await store.close()


async def grouped(url: str, seconds: float, instances: int) -> None:
    """Appends of many instances at once, in events per second."""
    store = await asyncio.to_thread(open_store, url)
    rows = await running(store, instances, f"g{instances}-")
    steps, took = iter(range(1, 10**9)), list[float]()

    async def writer(row: InstanceRow) -> None:
        async def once() -> None:
            await store.append(row.key, quick_step(next(steps)), execution=1, at=AT)

        took.extend(await for_a_while(seconds, once))

    before, processor = store.metrics.commits, time.process_time()
    await asyncio.gather(*(writer(row) for row in rows))
    group = len(took) / (store.metrics.commits - before)
    busy = (time.process_time() - processor) / seconds
    line(f"store, {instances} instances at once, events", took, seconds, 4)
    print(f"{'':58}{group:10,.0f} appends a commit, {busy:.0%} of a core in the node")
    await store.close()


async def claims(url: str, seconds: float, queued: int) -> None:
    """Claims, and another tenant's first start, while many are queued in one queue."""
    store = await asyncio.to_thread(open_store, url)
    start = time.perf_counter()
    created = min(queued, CREATED)
    for first in range(0, created, CREATE_BATCH):
        numbers = range(first, min(first + CREATE_BATCH, created))
        await store.create([NewInstance("big", f"i{n}", "w", "s", {"n": n}, "big") for n in numbers], at=AT)
    took = time.perf_counter() - start
    print(f"{f'store, create() of {CREATE_BATCH:,} at a time':58}{created / took:10,.0f}/s", flush=True)
    if queued > created:
        connection = await asyncpg.connect(url)
        for first in range(created, queued, 100_000):
            last = min(first + 100_000, queued) - 1
            await connection.execute(FILL.format(at=AT, first=first, last=last))
        await connection.close()
    lease, names = await store.nodes.join("bench", HOUR_MS), iter(range(10**9))
    await store.create([NewInstance("few", f"i{n}", "w", "s", None, "few") for n in range(5_000)], at=AT)
    limits = ClaimLimits(QueueLimit(0), own={"few": QueueLimit(5_000)})

    async def claim(limit: int, **given: Any) -> None:
        assert len((await store.claim(lease.owner, limit, at=AT, **given)).rows) == limit

    async def newcomer() -> None:
        name = f"small{next(names)}"
        await store.create([NewInstance(name, "i", "w", "s", None, name)], at=AT)
        while not any(row.queue == name for row in (await store.claim(lease.owner, 2, at=AT)).rows):
            pass

    measured: Sequence[tuple[str, Callable[[], Awaitable[None]]]] = (
        (f"store, claim of one, {queued:,} queued", lambda: claim(1)),
        (f"store, claim of 100, {queued:,} queued", lambda: claim(100)),
        ("store, create() in another queue until it is claimed", newcomer),
        ("store, claim of one, all queues with a limit, one of them full", lambda: claim(1, limits=limits)),
    )
    for name, once in measured:
        await once()
        line(name, await for_a_while(seconds, once), seconds)

    async def counted() -> None:
        await store.count(tenant="big")

    line("store, count()", await for_a_while(seconds / 4, counted), seconds / 4)
    await store.close()


async def measure(url: str, options: argparse.Namespace) -> None:
    """Everything, on an empty database."""
    assert CONFIG, "the steps are those of bench.store"
    connection = await asyncpg.connect(url)
    version = await connection.fetchval("SELECT version()")
    await connection.close()
    print(f"{version.partition(' on ')[0]}, Python {sys.version.split()[0]}")
    await sequential(url, options.seconds)
    for instances in (10, 200, 500):
        await grouped(url, options.seconds, instances)
    await claims(url, options.seconds, options.queued)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--queued", type=int, default=2_000_000, help="instances queued while claiming")
    parser.add_argument("--url", help="an empty database; without it a server is started")
    options = parser.parse_args()
    with databases(options.url) as new_database:
        uvloop.run(measure(new_database(), options))


if __name__ == "__main__":
    main()
