"""How long a search takes among a tenant's instances, for each filter alone and for pairs, on both databases.

    ./run python -m bench.search [--instances 1000000] [--times 20] [--databases sqlite,postgres] [--explain]

The rows are made by SQL: a tenth is another tenant's; six in ten are complete, two failed, one waits for an event and
one is queued. Each has the tag of one of a thousand customers, each second the tag `half`, and one in 100,000 the tag
`rare`; `nowhere` is found nowhere, so that a walk goes to its end.
A page has 50 instances; p50 and p99 are in milliseconds, of pages that go on from each other. `--explain` prints each
statement's plan.
"""

import argparse
import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from postgres_support import PostgresServer

from playground.store import open_store
from playground.store.postgres import search as in_postgres
from playground.store.search import RunFilter, Search
from playground.store.sqlite import search as in_sqlite

TENANT = "acme"
BEGIN = 1_700_000_000_000  # of the first instance; the others follow a second apart
SECOND = 1_000

# `n` numbers the instances from 1. Both databases read these, in the columns of the table.
INSTANCE = {
    "key": "n",
    "tenant": "CASE WHEN n % 10 = 3 THEN 'other' ELSE 'acme' END",
    "id": "'run-' || n",
    "workflow": "CASE WHEN n % 100000 = 11 THEN 'deployed/rare' ELSE 'deployed/w' || (n % 7) END",
    "snippet": "'abcdefghijklmnopqrstuvwx' || (n / 100000)",
    "queue": "'t:acme'",
    "status": "CASE n / 10 % 10 WHEN 6 THEN 'errored' WHEN 7 THEN 'errored' WHEN 8 THEN 'waiting' WHEN 9 THEN 'queued' "
    "ELSE 'complete' END",
    "generation": "1", "execution": "1", "last_seq": "9", "owner": "NULL", "due_at": "NULL", "wait_until": "NULL",
    "log_bytes": "0", "stored_bytes": "4", "output": "NULL",
    "error": """CASE WHEN n / 10 % 10 IN (6, 7) THEN '{"name":"' || CASE WHEN n % 100000 = 61 THEN 'RareError'
        WHEN n % 2 = 0 THEN 'ValueError' ELSE 'TimeoutError' END
        || '","message":"order ' || n || ' was refused"}' END""",
    "rollback": "NULL", "created_at": f"{BEGIN} + n * {SECOND}", "started_at": "NULL",
    "ended_at": f"CASE WHEN n / 10 % 10 < 8 THEN {BEGIN} + n * {SECOND} END", "paused_at": "NULL", "injected": "NULL",
    "crashes": "0",
}  # fmt: skip
STEP = {
    "instance": "n", "generation": "1", "kind": "'wait'", "name": "'answer'", "count": "1", "status": "'open'",
    "started_seq": "4", "event_type": "CASE WHEN n % 100000 = 81 THEN 'signature' ELSE 'approval' END",
    "attempt": "0", "failures": "0", "losses": "0", "rollback_attempt": "0", "rollback_failures": "0",
    "result_bytes": "0",
}  # fmt: skip
ORIGIN = {"instance": "n", "class_name": "'TenantWorkflow'"}
TAGS = ("'customer-' || (n % 1000)", "CASE WHEN n % 2 = 0 THEN 'half' END", "CASE WHEN n % 100000 = 42 THEN 'rare' END")

FILTERS: dict[str, RunFilter] = {
    "nothing": RunFilter(),
    "status": RunFilter(statuses=("errored",)),
    "statuses": RunFilter(statuses=("queued", "waiting", "errored")),
    "workflow": RunFilter(workflow="deployed/w3"),
    "rare workflow": RunFilter(workflow="deployed/rare"),
    "version": RunFilter(version="abcdefghijklmnopqrstuvwx1"),
    "tag": RunFilter(tags=("customer-7",)),
    "common tag": RunFilter(tags=("half",)),
    "rare tag": RunFilter(tags=("rare",)),
    "error": RunFilter(error="TimeoutError"),
    "rare error": RunFilter(error="RareError"),
    "text": RunFilter(text="was refused"),
    "text nowhere": RunFilter(text="nowhere"),
    "waiting for": RunFilter(waiting_for="approval"),
    "rare wait": RunFilter(waiting_for="signature"),
    "an hour": RunFilter(since=BEGIN + 400_000 * SECOND, until=BEGIN + 403_600 * SECOND),
    "tag and status": RunFilter(tags=("half",), statuses=("waiting",)),
    "two tags": RunFilter(tags=("half", "rare")),
    "tag nowhere": RunFilter(tags=("half", "nowhere")),
    "workflow and status": RunFilter(workflow="deployed/rare", statuses=("complete",)),
    "error and time": RunFilter(error="ValueError", since=BEGIN, until=BEGIN + 90_000 * SECOND),
    "text and tag": RunFilter(tags=("half",), text="nowhere"),
    "wait and version": RunFilter(waiting_for="approval", version="abcdefghijklmnopqrstuvwx2"),
    "wait and tag": RunFilter(waiting_for="approval", tags=("customer-8",)),
}


def insert(table: str, values: dict[str, str], numbers: str) -> str:
    """A statement that fills a table for each of these numbers."""
    return f"INSERT INTO {table} ({', '.join(values)}) SELECT {', '.join(values.values())} FROM {numbers}"


def fill(steps: str, numbers: str, truths: tuple[str, str]) -> list[str]:
    """The statements that make the rows."""
    no, yes = truths
    flags = {"fresh": no, "in_execution": no, "priority": "0"}
    made = [insert("instance", INSTANCE | flags, numbers), insert("origin", ORIGIN | {"id_chosen": yes}, numbers)]
    made += [f"{insert(steps, STEP, numbers)} WHERE n / 10 % 10 = 8"]
    made += [
        f"INSERT INTO tag (tenant, tag, instance) SELECT {INSTANCE['tenant']}, {tag}, n FROM {numbers} "
        f"WHERE {tag} IS NOT NULL"
        for tag in TAGS
    ]
    return made


async def measure(url: str, times: int) -> dict[str, tuple[float, float, int]]:
    """By filter: p50 and p99 in milliseconds, and how many were found."""
    store, measured = open_store(url), {}
    try:
        for name, filter in FILTERS.items():
            took, found, before = [], 0, None
            for _ in range(times):
                since = time.perf_counter()
                page = await store.search.keys(TENANT, filter, before=before)
                took.append((time.perf_counter() - since) * 1000)
                found, before = found + len(page.keys), page.next
            measured[name] = statistics.median(took), sorted(took)[int(len(took) * 0.99)], found
    finally:
        await store.close()
    return measured


def shown(title: str, measured: dict[str, tuple[float, float, int]]) -> None:
    """Print a table."""
    print(f"\n{title}\n{'filter':22}{'p50 ms':>10}{'p99 ms':>10}{'found':>8}")
    for name, (median, worst, found) in measured.items():
        print(f"{name:22}{median:10.1f}{worst:10.1f}{found:8}")


def explained(sql: Any, mark: str, run: Any) -> None:
    """Print the plan of each statement of each filter."""
    for name, filter in FILTERS.items():
        steps = Search(sql, mark, TENANT, filter, None, 50).steps()
        statement, seen = next(steps), set()
        try:
            while True:
                rows, plan = run(statement.text, statement.values)
                if statement.text not in seen and "first_from" not in statement.text:
                    seen.add(statement.text)
                    print(f"\n# {name}\n{statement.text}\n" + "\n".join(f"    {line}" for line in plan))
                statement = steps.send(rows)
        except StopIteration:
            pass


async def on_sqlite(folder: Path, options: argparse.Namespace) -> None:
    """Fill a file and measure."""
    file = folder / "search.db"
    await open_store(f"sqlite:///{file}").close()
    counted = f"SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT {options.instances}"
    numbers = f"(WITH RECURSIVE c (n) AS ({counted}) SELECT n FROM c)"
    with sqlite3.connect(file) as db:
        since = time.perf_counter()
        for statement in fill("step", numbers, ("0", "1")):
            db.execute(statement)
        db.commit()
        print(f"SQLite: filled in {time.perf_counter() - since:.1f} s")
        if options.explain:

            def run(text: str, values: Any) -> tuple[list[Any], list[str]]:
                values = [str(value).replace("'", '"') if isinstance(value, list) else value for value in values]
                plan = [row[3] for row in db.execute("EXPLAIN QUERY PLAN " + text, values)]
                return db.execute(text, values).fetchall(), plan

            explained(in_sqlite.SQL, "?", run)
    shown("SQLite", await measure(f"sqlite:///{file}", options.times))


async def on_postgres(folder: Path, options: argparse.Namespace) -> None:
    """Fill a database of a server of its own and measure."""
    import asyncpg  # type: ignore[import-untyped]

    server = PostgresServer(folder / "pg", settings={"shared_buffers": "512MB", "fsync": "off"}).create()
    server.start()
    try:
        url = server.database()
        await open_store(url).close()
        numbers = f"generate_series(1::bigint, {options.instances}) AS c (n)"
        connection = await asyncpg.connect(url)
        since = time.perf_counter()
        for statement in fill("step_open", numbers, ("false", "true")):
            await connection.execute(statement, timeout=None)
        for table in ("instance", "origin", "step_open", "tag"):
            await connection.execute(f"VACUUM ANALYZE {table}")
        print(f"PostgreSQL: filled in {time.perf_counter() - since:.1f} s")
        if options.explain:
            for name, filter in FILTERS.items():
                steps = Search(in_postgres.SQL, "$", TENANT, filter, None, 50).steps()
                statement, seen = next(steps), set()
                try:
                    while True:
                        if statement.text not in seen:
                            seen.add(statement.text)
                            plan = await connection.fetch("EXPLAIN (ANALYZE) " + statement.text, *statement.values)
                            print(f"\n# {name}\n{statement.text}\n" + "\n".join(f"    {line[0]}" for line in plan))
                        statement = steps.send(await connection.fetch(statement.text, *statement.values))
                except StopIteration:
                    pass
        await connection.close()
        shown("PostgreSQL", await measure(url, options.times))
    finally:
        server.stop()


async def main() -> None:
    """Carry out the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instances", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--databases", default="sqlite,postgres")
    parser.add_argument("--explain", action="store_true")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="bench-search-") as name:
        Path(name).chmod(0o755)  # the server has a user of its own
        for database in options.databases.split(","):
            await {"sqlite": on_sqlite, "postgres": on_postgres}[database](Path(name), options)


if __name__ == "__main__":
    asyncio.run(main())
