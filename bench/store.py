"""How fast the journal store is, beside bare sqlite3 writing the same rows to the same disk in the same run.

    python -m bench.store [--seconds 2] [--folder DIR] [--queued 200000] [--synchronous full]

Rounds of store and peer alternate, because other work on the machine changes the disk's speed from one second to the
next. An append is what a quick step commits: four events, one new step row, one changed instance row.
"""

import argparse
import asyncio
import gc
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import uvloop

from playground.store import open_store
from playground.store.protocol import Store
from playground.store.rows import InstanceRow, NewInstance
from playground.workflows import events as ev
from playground.workflows.events import NewEvent, StepKey

AT = 1_700_000_000_000
ROUNDS = 4
CONFIG = {"retries": {"limit": 5, "delay": 10000, "backoff": "exponential"}, "timeout": 600000}
CREATE_BATCH = 10_000


def quick_step(number: int) -> list[NewEvent]:
    """The events of a step that starts and completes at once."""
    step = StepKey(ev.DO, "step", number)
    return [
        NewEvent(ev.STEP_STARTED, {"config": CONFIG, "line": 5}, step),
        NewEvent(ev.ATTEMPT_STARTED, {"attempt": 1}, step),
        NewEvent(ev.ATTEMPT_COMPLETED, {"attempt": 1}, step),
        NewEvent(ev.STEP_COMPLETED, {"output": "ok"}, step),
    ]


class Peer:
    """Bare sqlite3 in one thread: no queue, no projection, no events made; the same statements for the same rows."""

    def __init__(self, path: Path, synchronous: str) -> None:
        schema = Path(open_store.__code__.co_filename).with_name("sqlite") / "schema" / "1.sql"
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute(f"PRAGMA synchronous = {synchronous}")
        self.db.executescript(schema.read_text())
        self.db.execute(
            "INSERT INTO instance (key, tenant, id, workflow, snippet, queue, status, generation, execution, last_seq,"
            " fresh, in_execution, log_bytes, stored_bytes, created_at) VALUES (1, '', 'a', 'w', 's', 'q', 'running',"
            " 1, 1, 0, 0, 1, 0, 0, 0)"
        )
        self.steps = 0

    def append(self) -> None:
        self.steps += 1
        execute, seq, n = self.db.execute, self.steps * 4, self.steps
        shown = f'{{"kind":"do","name":"step","count":{n}}}'
        config = '{"retries":{"limit":5,"delay":10000,"backoff":"exponential"},"timeout":600000}'
        execute("BEGIN IMMEDIATE")
        self.db.executemany(
            "INSERT INTO event VALUES (1, ?, ?, ?, 1, ?, ?)",
            [
                (seq - 3, AT, ev.STEP_STARTED, shown, '{"config":' + config + ',"line":5}'),
                (seq - 2, AT, ev.ATTEMPT_STARTED, shown, '{"attempt":1}'),
                (seq - 1, AT, ev.ATTEMPT_COMPLETED, shown, '{"attempt":1}'),
                (seq, AT, ev.STEP_COMPLETED, shown, '{"output":"ok"}'),
            ],
        )
        execute(
            "INSERT INTO step (instance, generation, kind, name, count, status, started_seq, line, config, attempt,"
            " failures, losses, result, result_bytes, rollback_attempt, rollback_failures) VALUES (1, 1, 'do', 'step',"
            " ?, 'completed', ?, 5, ?, 1, 0, 0, '\"ok\"', 4, 0, 0)",
            (n, seq - 3, config),
        )
        execute("UPDATE instance SET last_seq = ?, log_bytes = 0, stored_bytes = ? WHERE key = 1", (seq, n))
        execute("COMMIT")


async def running(store: Store, count: int) -> Sequence[InstanceRow]:
    """Instances with an execution under way."""
    await store.create([NewInstance("", f"i{n}", "playground", "s", None, "q") for n in range(count)], at=AT)
    owner = (await store.nodes.join("bench", 1_000)).owner
    rows = (await store.claim(owner, count, at=AT)).rows
    for row in rows:
        data = {"execution": 1, "worker": "w", "replayed": 0, "code_version": "v"}
        await store.append(row.key, [NewEvent(ev.EXECUTION_STARTED, data)], execution=1, at=AT)
    return rows


async def for_a_while(seconds: float, once: Callable[[], Awaitable[Any]]) -> list[float]:
    """Seconds that each call took."""
    took = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        await once()
        took.append(time.perf_counter() - start)
    return took


def line(name: str, took: list[float], seconds: float, each: int = 1) -> None:
    ordered = sorted(took)
    median, late = ordered[len(ordered) // 2] * 1e6, ordered[len(ordered) * 99 // 100] * 1e6
    print(
        f"{name:58}{len(took) * each / seconds:10,.0f}/s   median {median:8,.0f} us   p99 {late:8,.0f} us", flush=True
    )


async def sequential(folder: Path, seconds: float, synchronous: str) -> None:
    store: Any = open_store(f"sqlite:///{folder}/sequential.db", synchronous=synchronous)
    peer = Peer(folder / "peer.db", synchronous)
    [row] = await running(store, 1)
    steps = iter(range(1, 10**9))
    loop = asyncio.get_running_loop()

    async def awaited() -> None:
        await store.append(row.key, quick_step(next(steps)), execution=1, at=AT)

    async def bare() -> None:
        peer.append()

    # A thread stands for a worker whose step's result comes in by the loop; the acknowledgement goes back by the loop,
    # or with on_commit straight from the writer.
    acknowledged = threading.Semaphore(0)

    def worker(end: float, handed_in: Callable[[list[NewEvent]], Coroutine[Any, Any, None]]) -> list[float]:
        took = []
        while (start := time.perf_counter()) < end:
            asyncio.run_coroutine_threadsafe(handed_in(quick_step(next(steps))), loop)
            acknowledged.acquire()
            took.append(time.perf_counter() - start)
        return took

    async def by_loop(events: list[NewEvent]) -> None:
        await store.append(row.key, events, execution=1, at=AT)
        acknowledged.release()

    async def by_callback(events: list[NewEvent]) -> None:
        await store.append(row.key, events, execution=1, at=AT, on_commit=lambda committed: acknowledged.release())

    took: dict[str, list[float]] = {"store": [], "peer": [], "loop": [], "callback": []}
    for _ in range(ROUNDS):
        gc.collect()
        took["peer"] += await for_a_while(seconds / ROUNDS, bare)
        took["store"] += await for_a_while(seconds / ROUNDS, awaited)
        for name, handed_in in (("loop", by_loop), ("callback", by_callback)):
            end = time.perf_counter() + seconds / ROUNDS
            took[name] += await loop.run_in_executor(None, worker, end, handed_in)
    line("bare sqlite3, one thread", took["peer"], seconds)
    line("store, one writer, each append awaited", took["store"], seconds)
    line("store, from a worker and back by the loop", took["loop"], seconds)
    line("store, from a worker and back by on_commit", took["callback"], seconds)
    await store.close()
    peer.db.close()


async def grouped(folder: Path, seconds: float, synchronous: str, writers: int, instances: int) -> None:
    store: Any = open_store(f"sqlite:///{folder}/grouped{writers}x{instances}.db", synchronous=synchronous)
    rows = await running(store, instances)
    steps = iter(range(1, 10**9))
    took: list[float] = []

    async def writer(row: InstanceRow) -> None:
        async def once() -> None:
            await store.append(row.key, quick_step(next(steps)), execution=1, at=AT)

        took.extend(await for_a_while(seconds, once))

    await asyncio.gather(*(writer(rows[n % instances]) for n in range(writers)))
    of = "one instance" if instances == 1 else f"{instances} instances"
    line(f"store, {writers} writers of {of}, one append at a time each", took, seconds)
    await store.close()


async def claims(folder: Path, seconds: float, synchronous: str, queued: int) -> None:
    store: Any = open_store(f"sqlite:///{folder}/claims.db", synchronous=synchronous)
    start = time.perf_counter()
    for first in range(0, queued, CREATE_BATCH):
        await store.create(
            [
                NewInstance("big", f"i{n}", "w", "s", {"n": n}, "big")
                for n in range(first, min(first + CREATE_BATCH, queued))
            ],
            at=AT,
        )
    created = time.perf_counter() - start
    size = sum(path.stat().st_size for path in folder.glob("claims.db*"))
    print(
        f"{'store, create() of ' + format(CREATE_BATCH, ',') + ' at a time':58}{queued / created:10,.0f}/s   "
        f"{size / 1e6:,.0f} MB"
    )
    numbers = iter(range(10**9))

    owner = (await store.nodes.join("bench", 1_000)).owner

    async def one() -> None:
        await store.claim(owner, 1, at=AT)

    async def newcomer() -> None:
        await store.create([NewInstance(f"small{next(numbers)}", "i", "w", "s", None, f"small{next(numbers)}")], at=AT)
        while not any(row.queue != "big" for row in (await store.claim(owner, 2, at=AT)).rows):
            pass

    async def counted() -> None:
        await store.count(tenant="big")

    line(f"store, claim of one, {queued:,} queued in one queue", await for_a_while(seconds, one), seconds)
    line("store, create() in another queue until it is claimed", await for_a_while(seconds, newcomer), seconds)
    line("store, count()", await for_a_while(seconds / 4, counted), seconds / 4)
    await store.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--folder", type=Path, help="where the databases are made; the default is a temporary folder")
    parser.add_argument("--queued", type=int, default=200_000, help="instances queued while claiming")
    parser.add_argument("--synchronous", choices=("full", "normal"), default="full")
    options = parser.parse_args()
    print(f"SQLite {sqlite3.sqlite_version}, Python {sys.version.split()[0]}, synchronous={options.synchronous}")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        await sequential(folder, options.seconds, options.synchronous)
        for writers, instances in ((10, 10), (200, 200), (200, 1)):
            await grouped(folder, options.seconds, options.synchronous, writers, instances)
        await claims(folder, options.seconds, options.synchronous, options.queued)


if __name__ == "__main__":
    uvloop.run(main())  # as the server does
