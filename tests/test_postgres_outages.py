"""The database goes away, in the middle of commits: what was acknowledged is there, and of what was unknown every
caller learns the truth. The server of these tests syncs to the disk, and is one of the file's own.
"""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aio import run
from http_support import Log
from postgres_support import NoPostgres, PostgresServer, name_of, own_server
from store_support import AT, claim, create, do, execution_started, opened, printed, quick, running

from playground.store.errors import StoreError
from playground.store.postgres.store import PostgresStore
from playground.workflows import events as ev
from playground.workflows.errors import Fenced
from playground.workflows.events import NewEvent

DEADLINE = 120.0


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    try:
        made = own_server()
    except NoPostgres as error:
        pytest.fail(str(error), pytrace=False)
    yield made
    made.stop()


async def restart(server: PostgresServer, after: float) -> None:
    """Stop the server as a crash does, and start it again."""
    await asyncio.sleep(after)
    await asyncio.to_thread(server.stop, "immediate")
    await asyncio.to_thread(server.start)


def test_stopped_and_started_in_mid_commit_everything_acknowledged_is_there_once(server: PostgresServer) -> None:
    """Each worker numbers its log lines: a lost one is a gap, one that was committed twice a repetition."""

    async def story() -> None:
        log = Log()
        store = await asyncio.to_thread(opened, server.database(), log=log)
        await create(store, *(f"i{number}" for number in range(20)))
        rows = await claim(store, 20)
        acknowledged = dict.fromkeys((row.key for row in rows), 0)
        stop = asyncio.Event()

        async def work(key: int) -> None:
            await store.append(key, [execution_started()], execution=1, at=AT)
            while not stop.is_set():
                number = acknowledged[key] + 1
                events = [*quick(do(count=number)), printed(str(number))]
                if number % 3:
                    await store.append(key, events, execution=1, at=AT)
                else:
                    await store.decide(key, lambda _, events=events: events, execution=1, at=AT)  # type: ignore[misc]
                acknowledged[key] = number

        async def create_more() -> int:
            made = 0
            while not stop.is_set():
                await create(store, f"more{made}")
                made += 1
            return made

        working = [asyncio.create_task(work(row.key)) for row in rows]
        creating = asyncio.create_task(create_more())
        for number in range(3):
            await restart(server, 0.3 + random.Random(number).random())
        await asyncio.sleep(0.5)
        stop.set()
        await asyncio.gather(*working)
        made = await creating
        assert {event for event, _ in log} >= {"database_away", "database_back"}
        for row in rows:
            journal = await store.events(row.key, after=0, limit=100_000)
            assert [event.seq for event in journal] == list(range(1, len(journal) + 1))
            lines = [event.data["text"] for event in journal if event.type == ev.LOG]
            assert lines == [str(number) for number in range(1, acknowledged[row.key] + 1)]
            assert len((await store.load(row.key)).steps) == acknowledged[row.key]
        assert len({row.id for row in await store.list("", limit=100_000)}) == 20 + made
        await store.close()

    run(story(), DEADLINE)


def test_a_commit_whose_connection_broke_is_found_to_be_committed(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It breaks after the commit and before the answer: the caller gets the result, and nothing is there twice."""

    async def story() -> None:
        store = await asyncio.to_thread(PostgresStore.open, server.database(), uses_caller_clock=True)
        row = await running(store)  # type: ignore[arg-type]
        whole, broken = store._writer._run, 0

        async def then_break(text: str, values: Any) -> Any:
            nonlocal broken
            result = await whole(text, values)
            if "UPDATE instance" in text and broken < 5:
                broken += 1
                store._writer._connection.terminate()
                raise ConnectionResetError("the network is away")
            return result

        monkeypatch.setattr(store._writer, "_run", then_break)
        for number in range(8):
            committed = await store.append(row.key, [printed(str(number))], execution=1, at=AT)
            assert committed.row.last_seq == 4 + number
        assert broken == 5
        journal = await store.events(row.key, after=3, limit=99)
        assert [event.data["text"] for event in journal] == [str(number) for number in range(8)]
        await store.close()

    run(story(), DEADLINE)


def test_a_commit_that_never_came_to_the_database_is_made_again_and_cannot_come_later(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        store = await asyncio.to_thread(PostgresStore.open, server.database(), uses_caller_clock=True)
        row = await running(store)  # type: ignore[arg-type]
        whole, late = store._writer._run, list[tuple[str, Any]]()

        async def break_first(text: str, values: Any) -> Any:
            if "UPDATE instance" in text and not late:
                late.append((text, values))
                store._writer._connection.terminate()
                raise ConnectionResetError("the network is away")
            return await whole(text, values)

        monkeypatch.setattr(store._writer, "_run", break_first)
        await store.append(row.key, [printed("once")], execution=1, at=AT)
        [moved, in_turn] = await whole(*late[0])  # the network had kept it
        assert (moved, in_turn) == ([], False)
        journal = await store.events(row.key, after=3, limit=99)
        assert [event.data["text"] for event in journal] == ["once"]
        await store.close()

    run(story(), DEADLINE)


def test_a_database_that_stays_away_fails_calls_after_the_time_that_is_set(server: PostgresServer) -> None:
    async def story() -> None:
        log = Log()
        store = await asyncio.to_thread(opened, server.database(), log=log, outage_seconds=1.0)
        row = await running(store)
        await asyncio.to_thread(server.stop, "immediate")
        calls = [
            store.append(row.key, [printed("x")], execution=1, at=AT),
            store.decide(row.key, lambda _: [printed("y")], execution=1, at=AT),
            store.find("", "i"),
            store.usage.probe(),
            create(store, "new"),
        ]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(it) for it in answers} == {StoreError}
        assert all("the database is away" in str(it) for it in answers)
        assert store.metrics.failing
        await asyncio.to_thread(server.start)
        committed = await store.append(row.key, [printed("z")], execution=1, at=AT)
        assert committed.row.last_seq == 4 and not store.metrics.failing
        assert len([event for event, _ in log if event == "database_away"]) == 1
        await store.close()

    run(story(), DEADLINE)


def test_a_node_frozen_within_a_transaction_holds_nobody_up_for_long(server: PostgresServer) -> None:
    """Its session is ended by the server; what it then does begins anew, and is fenced."""

    async def story() -> None:
        url = server.database()
        a, b = [await asyncio.to_thread(opened, url) for _ in range(2)]
        row = await running(a)
        frozen = asyncio.Event()

        async def freeze(tx: Any) -> None:
            await tx.row("SELECT key FROM instance WHERE key = $1 FOR NO KEY UPDATE", row.key)
            await tx.row("SET LOCAL idle_in_transaction_session_timeout = 500")
            frozen.set()
            await asyncio.sleep(1.5)
            await tx.row("SELECT 1")

        held = asyncio.create_task(a._connections.transaction(freeze))  # type: ignore[attr-defined]
        await frozen.wait()
        lost = NewEvent(ev.EXECUTION_ENDED, {"reason": ev.LOST})
        await b.decide(row.key, lambda _: [lost], execution=None, at=AT)
        with pytest.raises(Fenced):
            await a.append(row.key, [printed("late")], execution=1, at=AT)
        held.cancel()
        await asyncio.gather(held, return_exceptions=True)
        await a.close()
        await b.close()

    run(story(), DEADLINE)


def test_a_transaction_whose_session_was_ended_while_its_node_was_frozen_is_run_again(server: PostgresServer) -> None:
    """The node thaws within the transaction, with the end of its session unread."""

    async def story() -> None:
        store = await asyncio.to_thread(opened, server.database())
        ended: list[int] = []

        async def freeze(tx: Any) -> int:
            if len(ended) < 5:
                ended.append(await tx.value("SELECT pg_backend_pid()"))
                server.sql(
                    f"SELECT pg_terminate_backend({ended[-1]}, 10000)"
                )  # in this thread, so that all stands still
                for _ in range(len(ended)):  # the driver reads more or less of it before it goes on
                    await asyncio.sleep(0)
            return int(await tx.value("SELECT 1"))

        assert await store._connections.transaction(freeze) == 1  # type: ignore[attr-defined]
        assert len(set(ended)) == 5
        await store.close()

    run(story(), DEADLINE)


def test_what_cannot_be_opened_says_so_in_one_line_without_the_password(server: PostgresServer, tmp_path: Path) -> None:
    for url, why in (
        (f"postgresql://me:hush@/nothing?host={server.folder}", "nothing"),
        (f"postgresql://me:hush@/db?host={tmp_path}/none", "cannot open"),
        ("postgresql://me:hush@127.0.0.1:1/db", "cannot open"),
        ("postgresql://me:hush@[nonsense/db", "cannot be used"),
    ):
        with pytest.raises(StoreError, match=why) as refused:
            opened(url)
        assert "hush" not in str(refused.value) and "\n" not in str(refused.value)


def test_tables_of_another_program_are_left_alone(server: PostgresServer) -> None:
    url = server.database()
    name = name_of(url)
    server.sql("CREATE TABLE instance (mine integer)", name)
    with pytest.raises(StoreError, match="another program"):
        opened(url)
    server.sql("DROP TABLE instance", name)
    run(opened(url).close())
    server.sql("INSERT INTO playground_schema (version, oldest) VALUES (99, 1)", name)
    run(opened(url).close())  # newer, and still fit for this program
    server.sql("UPDATE playground_schema SET oldest = 99 WHERE version = 99", name)
    with pytest.raises(StoreError, match=r"has schema version 99, this program knows up to \d+; start a newer"):
        opened(url)
