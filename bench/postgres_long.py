"""What a PostgreSQL node does over minutes: under a snapshot that somebody holds, at rest with many asleep, and how
late other nodes hear of its commits.

    ./run python -m bench.postgres_long [--held-seconds 180] [--asleep 1000000] [--url postgresql://...]

Without --url it starts a server of its own that syncs each commit. Work under the snapshot are whole short runs:
created in batches, claimed, started, one step, completed; each leaves dead rows that no vacuum may remove meanwhile.
"""

import argparse
import asyncio
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import uvloop

from bench.footprint import processes, times
from bench.postgres import HOUR_MS, databases, running
from bench.speed import server
from bench.store import AT, quick_step
from playground.store import open_store
from playground.store.protocol import Store
from playground.store.rows import NewInstance
from playground.workflows import events as ev
from playground.workflows.events import NewEvent

BATCH = 50
WARM_SECONDS = 15.0
LAG_INSTANCES = 50
LAG_SECONDS = 5.0
REST_SECONDS = 20.0
ASLEEP = """
UPDATE instance SET fresh = false, due_at = 4102444800000, status = 'waiting', wait_until = 4102444800000;
DELETE FROM lane;
"""


async def short_runs(store: Store, owner: str, until: float) -> int:
    """Play batches of short runs until a time; returns how many."""
    played = 0
    started = [NewEvent(ev.EXECUTION_STARTED, {"execution": 1, "worker": "w", "replayed": 0, "code_version": "v"})]
    ended = [
        NewEvent(ev.EXECUTION_ENDED, {"reason": ev.COMPLETED}),
        NewEvent(ev.WORKFLOW_COMPLETED, {"output": None}),
    ]
    while time.perf_counter() < until:
        name = f"run-{time.perf_counter_ns()}"
        await store.create([NewInstance("", f"{name}-{n}", "w", "s", None, "q") for n in range(BATCH)], at=AT)
        rows = (await store.claim(owner, BATCH, at=AT)).rows
        for events in (started, quick_step(1), ended):
            await asyncio.gather(*(store.append(row.key, events, execution=row.execution, at=AT) for row in rows))
        played += len(rows)
    return played


@dataclass(frozen=True)
class Window:
    """Short runs a second, and the processor time of one: the database's and this process's, in milliseconds."""

    rate: float
    cost_ms: float

    @classmethod
    async def of(cls, node: tuple[Store, str], server: int) -> "Window":
        """Play for the length of a window."""
        before = processor_seconds(server)
        played = await short_runs(*node, time.perf_counter() + WARM_SECONDS)
        return cls(played / WARM_SECONDS, (processor_seconds(server) - before) * 1000 / max(1, played))


async def server_process(connection: asyncpg.Connection) -> int:
    """The process id of the database server, which runs on this machine."""
    folder = await connection.fetchval("SHOW data_directory")
    return int(Path(folder, "postmaster.pid").read_text().split()[0])


def processor_seconds(server: int) -> float:
    """What this process and the database server have used, with all that the server has started and that has ended."""
    return time.process_time() + sum(sum(times(pid)) for pid in processes(server))


async def held_snapshot(held_url: str, free_url: str, seconds: float) -> None:
    """Short runs on a database in which somebody holds a snapshot, and on one beside it, in turns: what a disk and
    other programs do to a rate, they do to both.
    """
    stores = [await asyncio.to_thread(open_store, url) for url in (held_url, free_url)]
    held, free = [(store, (await store.nodes.join("bench", HOUR_MS)).owner) for store in stores]
    for node in (held, free):
        await short_runs(*node, time.perf_counter() + WARM_SECONDS)
    holder = await asyncpg.connect(held_url)
    server = await server_process(holder)
    transaction = holder.transaction(isolation="repeatable_read")
    await transaction.start()
    await holder.fetchval("SELECT count(*) FROM instance")
    pairs = [
        (await Window.of(held, server), await Window.of(free, server))
        for _ in range(max(1, round(seconds / WARM_SECONDS)))
    ]
    await transaction.rollback()
    await holder.close()
    for name, windows in (("held", [one for one, _ in pairs]), ("free", [one for _, one in pairs])):
        print(
            f"snapshot {name}: {statistics.median(window.rate for window in windows):,.0f} short runs a second, "
            f"{statistics.median(window.cost_ms for window in windows):.3f} ms of processor time each; every "
            f"{WARM_SECONDS:.0f} s: {', '.join(f'{one.rate:,.0f}/{one.cost_ms:.2f}' for one in windows)}",
            flush=True,
        )
    for store in stores:
        await store.close()


async def notify_lag(url: str) -> None:
    """Milliseconds from the answer of a commit on one node until another node's listener is called."""
    here, there = await asyncio.to_thread(open_store, url), await asyncio.to_thread(open_store, url)
    rows = await running(here, LAG_INSTANCES, "lag")
    committed: dict[tuple[int, int], float] = {}
    lags: list[float] = []
    for row in rows:

        def listener(last: int | None, key: int = row.key) -> None:
            since = committed.get((key, last or 0))
            if since is not None:
                lags.append((time.perf_counter() - since) * 1000)

        there.listen(row.key, listener)
    until, count = time.perf_counter() + LAG_SECONDS, 0

    async def writer(key: int) -> None:
        nonlocal count
        while time.perf_counter() < until:
            done = await here.append(key, quick_step(count), execution=1, at=AT)
            committed[key, done.row.last_seq] = time.perf_counter()
            count += 1

    await asyncio.gather(*(writer(row.key) for row in rows))
    await asyncio.sleep(1.5)
    lags.sort()
    print(
        f"{count / LAG_SECONDS:,.0f} appends a second of {LAG_INSTANCES} instances; another node hears of one after "
        f"p50 {statistics.median(lags):.1f} ms, p99 {lags[len(lags) * 99 // 100]:.1f} ms ({len(lags):,} heard)",
        flush=True,
    )
    await here.close()
    await there.close()


async def fall_asleep(url: str, count: int) -> None:
    store = await asyncio.to_thread(open_store, url)
    for first in range(0, count, 10_000):
        numbers = range(first, min(first + 10_000, count))
        await store.create([NewInstance("", f"z{n}", "w", "s", None, "q") for n in numbers], at=AT)
    await store.close()
    connection = await asyncpg.connect(url)
    await connection.execute(ASLEEP)
    await connection.execute("VACUUM ANALYZE instance")
    await connection.close()


async def transactions(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(
            await connection.fetchval("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
        )
    finally:
        await connection.close()


def at_rest(url: str, count: int) -> None:
    """What a server with so many asleep uses, and asks of the database, while nothing happens."""
    uvloop.run(fall_asleep(url, count))
    with server(url) as (_, process):
        time.sleep(8)  # until it has trimmed its memory
        before, used = uvloop.run(transactions(url)), sum(times(process.pid)[:2])
        time.sleep(REST_SECONDS)
        used, after = sum(times(process.pid)[:2]) - used, uvloop.run(transactions(url))
    print(
        f"a node at rest with {count:,} asleep: {used / REST_SECONDS:.2%} of a core, "
        f"{(after - before - 1) / REST_SECONDS:.1f} transactions a second"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--held-seconds", type=float, default=180.0)
    parser.add_argument("--asleep", type=int, default=1_000_000)
    parser.add_argument("--url", help="an empty database; without it a server is started")
    options = parser.parse_args()
    with databases(options.url) as new_database:
        uvloop.run(notify_lag(new_database()))
        uvloop.run(held_snapshot(new_database(), new_database(), options.held_seconds))
        at_rest(new_database(), options.asleep)


if __name__ == "__main__":
    main()
