"""A server with a million sleeping instances: memory over an idle one, processor at rest, and what happens when 4,000
of them fall due at once.

    ./run python -m bench.asleep [--instances 1000000] [--due 4000] [--folder DIR]

One instance goes to sleep on a real server; its rows, journal included, are then copied in SQL under random ids, since
to run a million would take an hour. A million take 1 GB of disk, and all of it five minutes.

Measured of the server and all its processes: proportional memory (Pss) more than that of the same server on an empty
database, processor time while nothing is due, seconds until the first answer. Then, of instances that fall due in the
same millisecond:

- claims: the store alone, from due to claimed, `CLAIM` at a time as by a node with as many free slots, at once and
  spread over a second, where a claim takes what is due by then;
- wakes: the whole server, from due to `execution_started` as the journal has it; each is a new isolated process that
  replays, so their rate is bounded by the starts of the machine (bench/starts.py), whatever the store does.
"""

import argparse
import asyncio
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import uvloop

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from bench.footprint import processes, processor, proportional_mb
from bench.speed import ASLEEP, HELLO, call, run_to_end, server, show
from playground.store import open_store
from playground.store.rows import InstanceRow

CLAIM = 64
CALM_SECONDS = 12.0  # after which the server has given back what it does not need (engine/scheduler.py)
REST_SECONDS = 20.0
NUMBERS = "WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT ?3) SELECT value FROM n"
FAR_MS = 30 * 24 * 3_600_000
OVER = {  # of a copied row, by table: ?1 is the first key, ?2 when it wakes
    "instance": {"key": "?1 + n.value", "id": "lower(hex(randomblob(16)))", "due_at": "?2", "wait_until": "?2"},
    "origin": {"instance": "?1 + n.value", "nonce": "lower(hex(randomblob(12)))"},
    "event": {"instance": "?1 + n.value"},
    "step": {"instance": "?1 + n.value", "until": "?2"},
}


def go_to_sleep(folder: Path) -> None:
    """Let a server make one sleeping instance, the only one of its database."""
    with server(f"sqlite:///{folder}/bench.db", idle_grace_ms=0) as (base, _):
        id = call(base, "/api/instances", {"source": ASLEEP})["id"]
        while call(base, f"/api/instances/{id}")["status"] != "waiting" or not call(base, f"/api/instances/{id}")[
            "executions"
        ][-1].get("ended_at"):
            time.sleep(0.05)


def copy(path: Path, count: int, wakes_at: int) -> None:
    """So many more instances like the first, which wake at this time."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("PRAGMA cache_size = -500000")
        first = db.execute("SELECT max(key) FROM instance").fetchone()[0]
        for table, over in OVER.items():
            names = [name for _, name, *_ in db.execute(f"PRAGMA table_info({table})")]
            columns = ", ".join(over.get(name, f"t.{name}") for name in names)
            mine = "key" if table == "instance" else "instance"
            db.execute(
                f"INSERT INTO {table} ({', '.join(names)}) SELECT {columns} "
                f"FROM ({NUMBERS}) n CROSS JOIN {table} t WHERE t.{mine} = 1",
                (first, wakes_at, count) if "?2" in columns else (first, None, count),
            )
        db.execute("UPDATE tally SET n = n + ? WHERE status = 'waiting'", (count,))
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def make_due(path: Path, count: int, at: int, spread_ms: int = 0) -> list[int]:
    """Let so many sleepers wake at a time, or spread over the time after it; returns their keys."""
    with closing(sqlite3.connect(path)) as db:
        asked = "SELECT key FROM instance WHERE status = 'waiting' AND owner IS NULL ORDER BY id LIMIT ?"
        keys = [key for (key,) in db.execute(asked, (count,))]
        times = [(at + place * spread_ms // count, key) for place, key in enumerate(keys)]
        db.executemany("UPDATE instance SET due_at = ?1, wait_until = ?1 WHERE key = ?2", times)
        db.executemany("UPDATE step SET until = ?1 WHERE instance = ?2", times)
        db.commit()
    return keys


@contextmanager
def rested(folder: Path) -> Iterator[tuple[str, int, float]]:
    """A server that has run something and come to rest: its address, its process, and seconds to the first answer."""
    began = time.perf_counter()
    with server(f"sqlite:///{folder}/bench.db", idle_grace_ms=0, running_per_address=100_000) as (base, process):
        call(base, "/healthz")
        answered = time.perf_counter() - began
        run_to_end(base, HELLO)
        time.sleep(CALM_SECONDS)
        yield base, process.pid, answered


def at_rest(folder: Path) -> tuple[float, float, float]:
    """MB of a server at rest, its share of a core in percent, and seconds to its first answer."""
    with rested(folder) as (_, pid, answered):
        used = processor(pid)
        time.sleep(REST_SECONDS)
        return proportional_mb(processes(pid)), (processor(pid) - used) / REST_SECONDS * 100, answered


async def claims(path: Path, count: int) -> list[float]:
    """Milliseconds from due to claimed, of each."""
    store = open_store(f"sqlite:///{path}")
    owner = (await store.nodes.join("bench", 60_000)).owner
    late: list[float] = []
    rows: list[InstanceRow] = []
    while len(rows) < count:
        claimed = (await store.claim(owner, CLAIM, at=int(time.time() * 1000))).rows
        now = time.time() * 1000
        late += [now - (row.due_at or 0) for row in claimed]
        rows += claimed
        if not claimed:
            await asyncio.sleep(0.001)
    for row in rows:
        await store.unclaim(row.key, execution=row.execution)
    await store.close()
    return late


def wakes(folder: Path, count: int) -> tuple[list[float], float, float]:
    """Milliseconds from due to `execution_started` of each, wakes a second, and milliseconds of processor for each."""
    path = folder / "bench.db"
    at = int((time.time() + CALM_SECONDS + 8) * 1000)
    keys = make_due(path, count, at)
    with rested(folder) as (_, pid, _):
        assert time.time() * 1000 < at, "the server is at rest before they are due"
        used = processor(pid)
        late: list[float] = []
        marks = ", ".join("?" * len(keys))
        asked = f"SELECT at FROM event WHERE type = 'execution_started' AND execution > 1 AND instance IN ({marks})"
        while len(late) < count:
            time.sleep(1)
            with closing(sqlite3.connect(path)) as db:
                late = [time_ms - at for (time_ms,) in db.execute(asked, keys)]
        return late, count / max(late) * 1000, (processor(pid) - used) / count * 1000


def percentiles(late: Sequence[float]) -> str:
    ordered = sorted(late)
    return f"p50 {statistics.median(ordered):,.0f} ms, p99 {ordered[len(ordered) * 99 // 100]:,.0f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--instances", type=int, default=1_000_000)
    parser.add_argument("--due", type=int, default=4_000)
    parser.add_argument("--folder", type=Path, help="where the databases are made; the default is a temporary folder")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder, empty = Path(name) / "many", Path(name) / "empty"
        folder.mkdir(), empty.mkdir()
        path = folder / "bench.db"
        idle, share, answered = at_rest(empty)
        print(
            f"empty database: {idle:.1f} MB, {share:.2f} % of a core, first answer after {answered:.2f} s", flush=True
        )
        go_to_sleep(folder)
        since = time.perf_counter()
        copy(path, options.instances - 1, int(time.time() * 1000) + FAR_MS)
        print(
            f"{options.instances:,} asleep: {path.stat().st_size / 1e6:,.0f} MB of file, "
            f"made in {time.perf_counter() - since:.0f} s",
            flush=True,
        )
        used, share, answered = at_rest(folder)
        show(f"{options.instances:,} asleep: memory over idle", used - idle, "MB", 100, "budget")
        show(f"{options.instances:,} asleep: processor at rest", share, "% of a core", 0.5, "budget", 2)
        print(f"    first answer after {answered:.2f} s", flush=True)
        for spread_ms, how in ((0, "at once"), (1_000, "over a second")):
            make_due(path, options.due, int(time.time() * 1000) + 2_000, spread_ms)
            late = uvloop.run(claims(path, options.due))
            print(f"{options.due:,} due {how}: due to claimed {percentiles(late)}", flush=True)
            make_due(path, options.due, int(time.time() * 1000) + FAR_MS)
        late, rate, each = wakes(folder, options.due)
        print(
            f"{options.due:,} due at once: due to execution_started {percentiles(late)}; {rate:,.0f} wakes/s, "
            f"{each:.1f} ms of processor each; load {os.getloadavg()[0]:.1f}"
        )


if __name__ == "__main__":
    main()
