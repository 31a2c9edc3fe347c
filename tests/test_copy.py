"""`playground copy`: everything arrives byte for byte, whatever kills it, and an engine goes on on the copy."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from aio import run as in_loop
from aio import story
from copy_support import KEYS, Crash, crashing, digests, fill_at, seen
from database_support import postgres_database
from postgres_support import Pooler, shared_server
from store_support import AT, POSTGRES, SQLITE, claim, create, opened

from playground.commands import BadCommand
from playground.commands import run as run_command
from playground.store import StoreError, open_store
from playground.store.copying import TABLES, Copied, CopySide, CopyTable, Position, Row, copy_database
from playground.store.encryption import Keyring
from playground.store.open import open_for_copy, open_key_admin
from playground.store.postgres.connections import one_connection
from playground.testing import WorkflowTester
from playground.workflows import events as ev

ROUTES = [(SQLITE, POSTGRES), (POSTGRES, SQLITE), (SQLITE, SQLITE), (POSTGRES, POSTGRES)]


class Databases:
    """Empty databases of the kinds that a test asks for."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack, self.made = folder, stack, 0

    def __call__(self, kind: str) -> str:
        self.made += 1
        if kind == SQLITE:
            return f"sqlite:///{self._folder}/{self.made}.db"
        shared_server()  # which is no quick test's
        return self._stack.enter_context(postgres_database())


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Databases]:
    with ExitStack() as stack:
        yield Databases(tmp_path, stack)


def quiet(what: str, done: int, total: int) -> None:
    assert 0 <= done <= total, what


async def copied(source: str, target: str, wrap: Callable[[CopySide], CopySide] = lambda side: side) -> Copied:
    async with open_for_copy(source, is_source=True) as one, open_for_copy(target, is_source=False) as other:
        return await copy_database(wrap(one), wrap(other), quiet)


@pytest.mark.long
@pytest.mark.parametrize(("one", "other"), ROUTES)
@pytest.mark.parametrize("encrypted", [False, True])
def test_everything_arrives_and_goes_on(database: Databases, one: str, other: str, encrypted: bool) -> None:
    source, target = database(one), database(other)
    keyring = Keyring([KEYS]) if encrypted else None

    async def steps() -> None:
        await fill_at(source, keyring=keyring)
        result = await copied(source, target)
        empty = [name for name, digest in result.tables.items() if not digest.count]
        assert empty == ([] if encrypted else ["secrets_key"]), "every table is put to the test"
        assert await digests(source) == await digests(target)
        stores = opened(source, keyring=keyring), opened(target, keyring=keyring)
        try:
            before, after = [await seen(store) for store in stores]
            assert before == after
            for store in stores:
                newest = max(row.key for row in await store.list(None, limit=99))
                [row] = await create(store, "next", queue="q9")
                assert row.key == newest + 1, "keys go on where the source stopped"
                assert await store.tenants.add_key("acme", "", "hash-3", at=AT) == 2
            claims = [[row.id for row in await claim(store, 60, at=AT + 60_000)] for store in stores]
            assert sorted(claims[0]) == sorted(claims[1]) and len(claims[0]) == 35
            q2 = [[id for id in ids if id.startswith("new-")] for ids in claims]
            assert q2[0] == q2[1] == [f"new-{n}" for n in range(30)], "the oldest first, as at the source"
        finally:
            for store in stores:
                await store.close()

    in_loop(steps())


@story
async def test_a_key_that_was_used_is_not_used_again_though_its_instance_is_gone(tmp_path: Path) -> None:
    source, target = f"sqlite:///{tmp_path}/a.db", f"sqlite:///{tmp_path}/b.db"
    store = opened(source)
    [kept, gone] = await create(store, "kept", "gone")
    await store.delete(gone.key)
    await store.close()
    await copied(source, target)
    store = opened(target)
    [row] = await create(store, "new")
    await store.close()
    assert (kept.key, gone.key, row.key) == (1, 2, 3)


def test_it_goes_through_a_pooler_in_transaction_mode_both_ways(database: Databases) -> None:
    source, between, target = database(SQLITE), database(POSTGRES), database(SQLITE)
    in_loop(fill_at(source))
    server = shared_server()
    with Pooler(server, server.folder / "pooler-of-copy") as pooler:
        pooled = pooler.url(between)
        in_loop(copied(source, pooled))
        in_loop(copied(pooled, target))
    assert in_loop(digests(source)) == in_loop(digests(target)) == in_loop(digests(between))


# What a target makes itself, or nobody needs: leases, locks, and what is derived from other rows.
NOT_COPIED = {
    SQLITE: {"node", "tally", "queue_load", "kv_usage", "sqlite_sequence"},
    POSTGRES: {
        "node", "tally", "tally_change", "queue_load", "queue", "lane", "writer", "guard", "playground_schema",
        "step_open",
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", [SQLITE, POSTGRES])
def test_every_column_of_every_table_is_copied_or_known_not_to_be(database: Databases, kind: str) -> None:
    url = database(kind)
    in_loop(opened(url).close())
    known = {table.name: set(table.columns) for table in TABLES}
    assert {name: columns for name, columns in columns_of(url).items() if name not in NOT_COPIED[kind]} == known
    assert columns_of(url).keys() >= NOT_COPIED[kind], "what is not copied is there"


def columns_of(url: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    if url.startswith("sqlite:"):
        query = "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c WHERE m.type = 'table'"
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as db:
            rows = db.execute(query).fetchall()
    else:
        query = """SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
                AND a.attnum > 0 AND NOT a.attisdropped"""

        async def read() -> list[Any]:
            async with one_connection(url) as connection:
                return list(await connection.fetch(query))

        rows = in_loop(read())
    for table, column in rows:
        found.setdefault(table, set()).add(column)
    return found


# Killed on the way.

KILLED = """
import os, signal, sys
sys.path[:0] = {path!r}
from playground.store import copying
from playground.store.postgres import copying as postgres
from playground.store.sqlite import copying as sqlite
for module in (postgres, sqlite):
    module.BATCH_ROWS, module.FETCH_ROWS = 4, 4
left = [{steps}]
def killing(side, name):
    real = getattr(side, name)
    async def method(self, *values):
        left[0] -= 1
        if left[0] == 0 and {early}:
            os.kill(os.getpid(), signal.SIGKILL)
        await real(self, *values)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    setattr(side, name, method)
for side in (postgres.PostgresCopySide, sqlite.SqliteCopySide):
    for name in ("begin", "write", "finish"):
        killing(side, name)
from playground.cli import main
sys.exit(main({arguments!r}, {{}}))
"""


@pytest.mark.long
@pytest.mark.parametrize(("one", "other"), ROUTES[:2])
def test_killed_again_and_again_it_goes_on_where_it_stopped(database: Databases, one: str, other: str) -> None:
    source, target = database(one), database(other)
    in_loop(fill_at(source, keyring=Keyring([KEYS])))
    arguments = ["copy", "--from", source, "--to", target]
    attempts, done = 0, None
    while done is None or done.returncode == -signal.SIGKILL:
        attempts += 1
        code = KILLED.format(path=sys.path, steps=10, early=attempts % 2, arguments=arguments)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        if done.returncode == -signal.SIGKILL and (attempts < 3):
            with pytest.raises(StoreError, match="holds a copy that was not finished"):
                open_store(target)
            with pytest.raises(StoreError, match="holds a copy that was not finished"), open_key_admin(target):
                pass
        assert attempts < 30, done.stderr
    assert done.returncode == 0, done.stderr
    assert attempts > 3 and "of them by an earlier attempt, and read back" in done.stdout
    assert in_loop(digests(source)) == in_loop(digests(target))


@pytest.mark.long
@story
async def test_stopped_after_any_write_nothing_is_copied_twice_or_left_out(tmp_path: Path) -> None:
    source = f"sqlite:///{tmp_path}/source.db"
    await fill_at(source, many=2)
    expected = await digests(source)
    for steps in range(1, 60, 2):
        target, left = f"sqlite:///{tmp_path}/{steps}.db", [steps]
        try:
            await copied(source, target, crashing(left))
            break
        except Crash:
            pass
        if left[0] == 0 and not _is_unfinished(target):
            assert await digests(target) == expected, "the last write opens the copy"
            continue
        again = await copied(source, target)
        assert (again.resumed > 0) == (steps > 1)
        assert await digests(target) == expected
    assert steps > len(TABLES), "each table was written"


def _is_unfinished(url: str) -> bool:
    with suppress(StoreError), open_key_admin(url):
        return False
    return True


# Refused.


def test_a_source_that_a_server_has_open_is_refused(database: Databases) -> None:
    source, target = database(SQLITE), database(SQLITE)
    in_loop(fill_at(source))
    store = opened(source)
    try:
        with pytest.raises(StoreError, match="is in use by process"):
            in_loop(copied(source, target))
    finally:
        in_loop(store.close())
    assert in_loop(copied(source, target)).resumed == 0


@pytest.mark.parametrize("is_source", [True, False])
def test_a_postgresql_on_which_a_node_lives_is_refused(database: Databases, is_source: bool) -> None:
    served, other = database(POSTGRES), database(SQLITE)
    in_loop(fill_at(other))

    async def steps() -> None:
        store = open_store(served)
        lease = await store.nodes.join("node-a", 60_000)
        route = (served, other) if is_source else (other, served)
        with pytest.raises(StoreError, match="is in use by node-a; stop every server on it first"):
            await copied(*route)
        await store.nodes.leave(lease)
        await store.close()

    in_loop(steps())
    if not is_source:
        assert in_loop(copied(other, served)).resumed == 0


def test_no_server_starts_on_a_postgresql_that_is_being_copied(database: Databases) -> None:
    source, target = database(POSTGRES), database(SQLITE)

    async def steps() -> None:
        store = open_store(source)
        async with open_for_copy(source, is_source=True):
            with pytest.raises(StoreError, match="is being copied; start again when"):
                await asyncio.to_thread(open_store, source)
            joining = asyncio.ensure_future(store.nodes.join("late", 60_000))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(joining), 0.2)
        await joining
        await store.close()

    in_loop(steps())
    assert target


@pytest.mark.parametrize("kind", [SQLITE, POSTGRES])
def test_a_target_with_data_of_its_own_is_refused_and_left_alone(database: Databases, kind: str) -> None:
    source, target = database(SQLITE), database(kind)
    in_loop(fill_at(source))
    in_loop(fill_at(target, many=3))
    before = in_loop(digests(target))
    with pytest.raises(StoreError, match=r"has data of its own \(2 in tenant, .* 12 in instance"):
        in_loop(copied(source, target))
    assert in_loop(digests(target)) == before


@pytest.mark.parametrize("kind", [SQLITE, POSTGRES])
def test_a_target_that_was_only_looked_at_is_empty_enough(database: Databases, kind: str) -> None:
    source, target = database(SQLITE), database(kind)
    in_loop(fill_at(source, keyring=Keyring([KEYS])))

    async def look() -> None:
        store = opened(target, keyring=Keyring([bytes(32)]))  # which notes its key
        await store.nodes.join("local", 60_000)
        await store.usage.add({("requests", "x", 1): 1}, since={}, kept={})
        await store.take_chore("expire", at=AT, until=AT + 1)
        await store.close()

    in_loop(look())
    in_loop(copied(source, target))
    assert in_loop(digests(source)) == in_loop(digests(target))


def test_a_copy_is_not_gone_on_with_after_the_source_has_changed(database: Databases) -> None:
    source, target = database(SQLITE), database(SQLITE)
    in_loop(fill_at(source))
    with pytest.raises(Crash):
        in_loop(copied(source, target, crashing([9])))
    with open_key_admin(source) as admin:
        assert admin.revoke_key("globex", 1, at=AT)
    with pytest.raises(StoreError, match=r"has an unfinished copy of another source, or of .* before it changed"):
        in_loop(copied(source, target))


def test_the_same_database_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    with pytest.raises(BadCommand, match="name the same database"):
        run_command(["copy", "--from", url, "--to", url], {})
    with pytest.raises(BadCommand, match="there is no database"):
        run_command(["copy", "--from", url, "--to", f"sqlite:///{tmp_path}/b.db"], {})
    with pytest.raises(BadCommand, match="it takes sqlite:///"):
        run_command(["copy", "--from", "mysql://x", "--to", url], {})


# Checked at the end.


class Forging:
    """A target that changes one value on the way."""

    def __init__(self, side: CopySide, table: str, change: Callable[[Row], Row]) -> None:
        self._side, self._table, self._change, self.name = side, table, change, side.name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._side, name)

    async def write(self, table: CopyTable, rows: Sequence[Row], position: Position) -> None:
        if table.name == self._table:
            rows = [*rows[:-1], self._change(rows[-1])]
        await self._side.write(table, rows, position)


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("kv", lambda row: (*row[:3], row[3] + " "), r"table kv has 2 rows \(\w{16}\), read were 2 \(\w{16}\); copy"),
        (
            "event",
            lambda row: (*row[:6], '{"x":1}'),
            r"the first difference is in the journal of instance number [34]\d",
        ),
        ("event", lambda row: (row[0], row[1] + 1, *row[2:]), r"the first difference is in the journal of"),
        ("tenant_key", lambda row: (*row[:5], 7), r"table tenant_key has 2 rows"),
    ],
)
@pytest.mark.parametrize("kind", [SQLITE, POSTGRES])
def test_one_changed_value_fails_the_copy(
    database: Databases, kind: str, table: str, change: Callable[[Row], Row], message: str
) -> None:
    source, target = database(SQLITE), database(kind)
    in_loop(fill_at(source))

    async def steps() -> None:
        async with open_for_copy(source, is_source=True) as one, open_for_copy(target, is_source=False) as other:
            await copy_database(one, Forging(other, table, change), quiet)  # type: ignore[arg-type]

    with pytest.raises(StoreError, match=message):
        in_loop(steps())
    with pytest.raises(StoreError, match="not finished"):
        open_store(target)


def test_a_journal_with_a_gap_is_not_opened(database: Databases) -> None:
    source, target = database(SQLITE), database(SQLITE)
    in_loop(fill_at(source))
    with closing(sqlite3.connect(source.removeprefix("sqlite:///"))) as db, db:
        db.execute("UPDATE event SET seq = seq + 1 WHERE instance = 1 AND seq = (SELECT max(seq) FROM event e "
                   "WHERE e.instance = 1)")  # fmt: skip
    with pytest.raises(StoreError, match="the journal of instance number 1 has a gap"):
        in_loop(copied(source, target))


# The command.


def test_the_command_prints_counts_and_digests_and_how_far_it_is(
    database: Databases, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = database(SQLITE), database(POSTGRES)
    in_loop(fill_at(source))
    run_command(["copy", "--from", source, "--to", target], {})
    out, err = capsys.readouterr()
    rows = {line.split()[0]: line.split()[1] for line in out.splitlines()[1:-1]}
    assert list(rows) == [table.name for table in TABLES] and rows["instance"] == "39"
    assert "rows are copied, and read back with the same counts and digests." in out.splitlines()[-1]
    assert "copying secrets_key" not in err and err.splitlines()[-1].startswith("100% checking event")
    with pytest.raises(BadCommand, match="has data of its own"):
        run_command(["copy", "--from", source, "--to", target], {})


# An engine goes on.

SOURCE = """
from workers import WorkflowEntrypoint

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        async def one():
            await self.env.KV.put("seen", event.payload)
            return {"n": 1}
        a = await step.do("one", one)
        if event.payload == "sleeps":
            await step.sleep("nap", "1 hour")
        if event.payload == "waits":
            a = (await step.wait_for_event("go", type="go", timeout="1 day")).payload
        async def two():
            return [a, await self.env.KV.get("seen")]
        return await step.do("two", two)
"""


@asynccontextmanager
async def engine_on(url: str) -> AsyncIterator[WorkflowTester]:
    tester = WorkflowTester(SOURCE, skip=False, idle_grace_ms=0)

    @contextmanager
    def here() -> Iterator[str]:
        yield url

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(WorkflowTester, "database", staticmethod(here))
        async with tester:
            yield tester


@pytest.mark.parametrize(("one", "other"), ROUTES[:2])
@pytest.mark.parametrize("killed", [False, True])
def test_an_engine_goes_on_where_the_source_stopped(database: Databases, one: str, other: str, killed: bool) -> None:
    source, target = database(one), database(other)

    async def steps() -> None:
        async with engine_on(source) as tester:
            runs = {name: await tester.create(name) for name in ("finished", "sleeps", "waits")}
            assert await runs["finished"].result() == [{"n": 1}, "finished"]
            await runs["sleeps"].wait_for_step("nap", kind=ev.SLEEP)
            await runs["waits"].wait_for_step("go", kind=ev.WAIT)
            await tester.settle()
            await tester._server.close(kill=killed)
            with suppress(Crash):
                await copied(source, target, crashing([5]))
            assert (await copied(source, target)).resumed > 0
            tester._server._url = target
            await tester._server.open()
            assert await runs["finished"].result() == [{"n": 1}, "finished"]
            await runs["waits"].send_event("go", {"by": "somebody"})
            assert await runs["waits"].result() == [{"by": "somebody"}, "waits"]
            await tester.advance("1 hour")
            assert await runs["sleeps"].result() == [{"n": 1}, "sleeps"]
            for run in runs.values():
                events = await run.journal()
                assert [event.seq for event in events] == list(range(1, len(events) + 1))
                assert sum(event.type == ev.STEP_COMPLETED for event in events) == 2, "no step ran twice"

    in_loop(steps())
