"""What watching costs: a scrape's look at the queue with millions queued, and the counting of one commit.

./run python -m bench.metrics [instances]
"""

import asyncio
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from time import perf_counter

from playground.store import open_store
from playground.store.metrics import StoreMetrics

INSTANCES = 2_000_000  # queued in one lane
LANES = 5_000  # of one instance each, beside it
COMMITS = 1_000_000
ROW = """
INSERT INTO instance (key, tenant, id, workflow, snippet, queue, status, generation, execution, last_seq, due_at, fresh,
in_execution,
    log_bytes, stored_bytes, created_at)
SELECT value + ?2, ?3, 'i' || (value + ?2), 'w', 's', iif(?4, 'addr:' || value, 'acme'),
'queued', 1, 0, 1, value, 1, 0, 0, 0, 1
FROM (WITH RECURSIVE n (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT ?1) SELECT value FROM n)
"""


def fill(path: Path, instances: int) -> None:
    """Queue instances without their journals, which no scrape reads."""
    open_store(f"sqlite:///{path}").close_now()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute(ROW, (instances, 0, "acme", False))
        db.execute(ROW, (LANES, instances, "", True))
        db.execute("INSERT INTO tally VALUES ('acme', 'acme', 'queued', ?)", (instances,))
        db.commit()


async def scrape(path: Path) -> None:
    """What a scrape asks of the store, five times."""
    store = open_store(f"sqlite:///{path}")
    for _ in range(5):
        since = perf_counter()
        await store.oldest_due()
        looked = perf_counter()
        await store.count()
        print(
            f"oldest due: {(looked - since) * 1e3:.2f} ms; counts by status: {(perf_counter() - looked) * 1e6:.0f} us"
        )
    await store.close()


def count() -> None:
    """What a commit does for the figures."""
    metrics = StoreMetrics()
    since = perf_counter()
    for _ in range(COMMITS):
        began = perf_counter()
        metrics.commits += 1
        metrics.events += 3
        metrics.seconds.add(perf_counter() - began)
    print(f"counting a commit: {(perf_counter() - since) / COMMITS * 1e6:.2f} us")


def main() -> None:
    instances = int(sys.argv[1]) if len(sys.argv) > 1 else INSTANCES
    count()
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder) / "many.db", instances)
        print(f"{instances:,} queued in one lane, {LANES:,} lanes of one beside it")
        asyncio.run(scrape(Path(folder) / "many.db"))


if __name__ == "__main__":
    main()
