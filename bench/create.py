"""How fast a program that embeds the engine creates instances in batches, beside bare sqlite3 that writes the same rows
with `executemany` in the same run.

    ./run python -m bench.create [--instances 50000] [--times 5] [--lanes 8] [--ids] [--profile]

Batches of 100, as many at once as there are lanes. Nothing runs meanwhile: instances of a workflow that no dispatcher
serves yet wait for it. The peer's rows are those that the engine has just written, read back from its file; it commits
1,000 instances at a time, more than the engine does. `--ids` chooses ids in order instead of random ones.

Beside the rate stands how long another commit had to wait meanwhile: an event to an instance, one after the other.
"""

import argparse
import asyncio
import cProfile
import os
import pstats
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

import uvloop

from playground.engine.bindings.workflows import Workflow
from playground.library import open_engine
from playground.store import open_store

BATCH = 100
PEER_COMMIT = 1_000
TABLES = ("instance", "origin", "event")


async def created(database: str, instances: int, lanes: int, *, ids: bool, profile: bool) -> tuple[float, list[float]]:
    """Instances a second, and the milliseconds that each event of another instance took meanwhile."""
    async with open_engine(database, workers=1, queued_per_tenant=10_000_000) as engine:
        flows = Workflow(engine, "acme", "nobody-runs-this", {"tenant": "acme"})
        other = await flows.create("other")
        batches = [
            [
                {"params": {"n": number}} | ({"id": f"i{number}"} if ids else {})
                for number in range(first, first + BATCH)
            ]
            for first in range(0, instances, BATCH)
        ]
        waits: list[float] = []
        over = asyncio.Event()

        async def lane() -> None:
            while batches:
                made = await flows.create_batch(batches.pop())
                assert len(made) == BATCH and not made.refused, "every instance is created"

        async def another() -> None:
            while not over.is_set():
                since = time.perf_counter()
                await other.send_event("go")
                waits.append((time.perf_counter() - since) * 1000)
                await asyncio.sleep(0.01)

        watching = asyncio.ensure_future(another())
        profiler = cProfile.Profile()
        since = time.perf_counter()
        if profile:
            profiler.enable()
        await asyncio.gather(*(lane() for _ in range(lanes)))
        profiler.disable()
        rate = instances / (time.perf_counter() - since)
        over.set()
        await watching
        if profile:
            pstats.Stats(profiler).sort_stats("tottime").print_stats(30)
        return rate, waits


def peer(written: Path, folder: Path) -> float:
    """Instances a second of `executemany` with the rows of a file of ours, into an empty file of the same schema."""
    open_store(f"sqlite:///{folder}/peer.db").close_now()
    with sqlite3.connect(written) as source:
        rows = {name: source.execute(f"SELECT * FROM {name}").fetchall() for name in TABLES}
    database = sqlite3.connect(folder / "peer.db", isolation_level=None)
    database.execute("PRAGMA synchronous = FULL")
    database.execute("PRAGMA cache_size = -16384")
    count = len(rows["instance"])
    since = time.perf_counter()
    for first in range(0, count, PEER_COMMIT):
        database.execute("BEGIN IMMEDIATE")
        for name in TABLES:
            some = rows[name][first : first + PEER_COMMIT]
            marks = ", ".join("?" * len(some[0]))
            database.executemany(f"INSERT INTO {name} VALUES ({marks})", some)
        database.execute("COMMIT")
    rate = count / (time.perf_counter() - since)
    database.close()
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--instances", type=int, default=50_000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--ids", action="store_true", help="ids that the caller chooses, in order")
    parser.add_argument("--profile", action="store_true", help="the event loop's thread, once")
    options = parser.parse_args()
    ours, theirs, waits = [], [], []
    for _ in range(1 if options.profile else options.times):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            database = f"sqlite:///{folder}/ours.db"
            creating = created(database, options.instances, options.lanes, ids=options.ids, profile=options.profile)
            rate, waited = uvloop.run(creating)
            ours.append(rate)
            waits += waited
            theirs.append(peer(folder / "ours.db", folder))
    mine, bare = statistics.median(ours), statistics.median(theirs)
    print(f"batch create in the library: {mine:,.0f}/s, bare executemany {bare:,.0f}/s (ratio {mine / bare:.2f})")
    waits.sort()
    print(
        f"    an event meanwhile: p50 {statistics.median(waits):.1f} ms, p99 {waits[len(waits) * 99 // 100]:.1f} ms, "
        f"longest {waits[-1]:.1f} ms; load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
