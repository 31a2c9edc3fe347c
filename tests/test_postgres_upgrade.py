"""A rolling upgrade: a newer node migrates the database while older ones run on it, and both go on; a program that is
too old for the schema says so.
"""

import asyncio
from pathlib import Path

import pytest
from aio import run, story
from http_support import Log
from store_support import AT, NODE, create, do, execution_started, opened, owner, printed, quick

from playground.store.errors import StoreError
from playground.store.postgres import migrations
from playground.store.postgres.connections import one_connection
from playground.store.protocol import Store
from playground.workflows import events as ev
from playground.workflows.events import NewEvent

NEXT = """
ALTER TABLE instance ADD COLUMN colour text;
ALTER TABLE event ADD COLUMN weight integer;
ALTER TABLE node ADD COLUMN address text NOT NULL DEFAULT '';
CREATE TABLE added (instance bigint PRIMARY KEY);
CREATE INDEX instance_colour ON instance (colour) WHERE colour IS NOT NULL;
"""


KNOWN = len(migrations.MIGRATIONS)  # the version of this program
NEXT_VERSION = KNOWN + 1


@pytest.fixture
def newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Makes this program the next version from when `use` is called on."""
    (tmp_path / "next.sql").write_text(NEXT)
    return monkeypatch


def use_next_version(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, str(folder / "next.sql")))


@pytest.fixture
def url() -> str:
    """A database that no later test is given."""
    from postgres_support import TEMPLATE, shared_server

    return shared_server().database(TEMPLATE)


class Load:
    """What a node does meanwhile: commits, operations, creates and claims, each of which must succeed."""

    def __init__(self, store: Store, name: str) -> None:
        self.store, self.name, self.rounds = store, name, 0

    async def run(self, is_over: asyncio.Event) -> None:
        store, node = self.store, await owner(self.store, f"{NODE}-{self.name}")
        while not is_over.is_set():
            self.rounds += 1
            prefix = f"{self.name}-{self.rounds}"
            created = await create(store, f"{prefix}-a", f"{prefix}-b")
            claimed = (await store.claim(node, 2, at=AT)).rows
            for row in claimed:
                await store.append(row.key, [execution_started()], execution=1, at=AT)
                await store.append(row.key, quick(do()), execution=1, at=AT)
                await store.decide(row.key, lambda _: [printed("x")], execution=None, at=AT)
                assert len((await store.load(row.key)).steps) == 1
                ended = [NewEvent(ev.EXECUTION_ENDED, {"reason": ev.COMPLETED})]
                ended += [NewEvent(ev.WORKFLOW_COMPLETED, {"output": self.name})]
                await store.append(row.key, ended, execution=1, at=AT)
            assert len(created) == 2


def test_older_and_newer_nodes_both_commit_while_and_after_the_newer_one_migrates(
    url: str, newer: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def story() -> None:
        log = Log()
        old = await asyncio.to_thread(opened, url, log=log)
        over = asyncio.Event()
        loads = [Load(old, "old"), Load(old, "also-old")]
        running = [asyncio.create_task(load.run(over)) for load in loads]
        await rounds(loads, 5)
        with newer.context() as patch:
            use_next_version(patch, tmp_path)
            said = Log()
            new = await asyncio.to_thread(opened, url, log=said)
            assert said.of("database_migrated")[0] | {"path": ""} == {
                "path": "",
                "before": KNOWN,
                "after": NEXT_VERSION,
            }
        loads.append(Load(new, "new"))
        running.append(asyncio.create_task(loads[-1].run(over)))
        await rounds(loads, loads[0].rounds + 10)
        again = await asyncio.to_thread(opened, url)  # an older program may even start
        over.set()
        await asyncio.gather(*running)
        assert not log.of("database_error") and not log.of("database_away")
        rows = await again.list("", limit=100_000)
        assert len(rows) == 2 * sum(load.rounds for load in loads)
        for row in rows:
            journal = await again.events(row.key, after=0, limit=99)
            assert [event.seq for event in journal] == list(range(1, len(journal) + 1))
            assert (row.status == "complete") is (len(journal) == 9), [event.type for event in journal]
        for store in (old, new, again):
            await store.close()

    run(story())


async def rounds(loads: list[Load], least: int) -> None:
    while min(load.rounds for load in loads) < least:
        await asyncio.sleep(0.005)


@story
async def test_a_migration_that_does_not_get_a_lock_lets_others_go_first_and_says_what_to_do(url: str) -> None:
    scripts, passed = [*[""] * KNOWN, NEXT], 0
    async with one_connection(url) as report, one_connection(url) as node, one_connection(url) as newer:
        async with report.transaction():
            await report.execute("LOCK TABLE instance IN ACCESS SHARE MODE")  # as a long query has
            migrating = asyncio.create_task(migrations.migrate(newer, "the database", scripts, lock_ms=20))
            while not migrating.done():
                assert await node.fetchval("SELECT count(*) FROM instance") == 0
                passed += 1
            with pytest.raises(
                StoreError, match=rf"version {NEXT_VERSION}: another session holds a lock .* for more than 0\.3 s; end"
            ):
                await migrating
        assert passed > migrations.LOCK_TRIES
        assert await migrations.migrate(newer, "the database", scripts, lock_ms=20) == KNOWN
        assert await migrations.schema_version(newer, "the database", NEXT_VERSION) == NEXT_VERSION


def test_a_program_that_is_too_old_for_the_schema_is_refused_and_those_that_run_go_on(
    url: str, newer: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def story() -> None:
        old = await asyncio.to_thread(opened, url)
        with newer.context() as patch:
            use_next_version(patch, tmp_path)
            patch.setattr(
                migrations.migrate, "__defaults__", (None, NEXT_VERSION)
            )  # older programs cannot live with it
            await (await asyncio.to_thread(opened, url)).close()
        with pytest.raises(StoreError, match=f"schema version {NEXT_VERSION}, this program knows up to {KNOWN}; start"):
            await asyncio.to_thread(opened, url)
        await create(old, "still")
        await old.close()

    run(story())
