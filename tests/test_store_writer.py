"""Which thread commits: the event loop's own while calls come one by one and the disk is quick, else the writer's."""

import asyncio
import sqlite3
import threading

import pytest
from store_support import AT, do, passes, printed, quick, running, sqlite_url, with_sqlite

from playground.store.sqlite import writer
from playground.workflows.errors import Fenced


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    """However loaded the machine is."""
    monkeypatch.setattr(writer, "LOOP_SECONDS", float("inf"))


def acknowledged(store, key, on_commit=lambda committed: None):
    """An append whose commit somebody waits for."""
    return store.append(key, [printed("x")], execution=1, at=AT, on_commit=on_commit)


async def committed_by(store, key, *more):
    """The thread that commits an append, made together with other calls; "loop" or "writer"."""
    threads = []

    def on_commit(committed):
        threads.append("loop" if threading.current_thread() is threading.main_thread() else "writer")

    await asyncio.gather(acknowledged(store, key, on_commit), *more)
    return threads[0]


@with_sqlite
async def test_a_call_that_comes_alone_is_committed_on_the_event_loop_and_those_that_come_together_by_the_thread(store):
    row = await running(store)
    assert await committed_by(store, row.key) == "loop"
    assert await committed_by(store, row.key, acknowledged(store, row.key)) == "writer"
    assert await committed_by(store, row.key) == "loop"
    journal = await store.events(row.key, after=0, limit=99)
    assert [event.seq for event in journal] == list(range(1, 8))


@with_sqlite
async def test_while_the_thread_commits_all_others_wait_for_it(store):
    row = await running(store)
    hold, holding = threading.Event(), threading.Event()

    def stop(snapshot):
        holding.set()
        hold.wait(30)
        return []

    held = asyncio.gather(*(store.decide(row.key, stop, execution=None, at=AT) for _ in range(2)))
    await passes(holding.is_set)
    late = asyncio.create_task(committed_by(store, row.key))
    await asyncio.sleep(0)
    hold.set()
    assert await late == "writer"
    await held
    assert await committed_by(store, row.key) == "loop"


@with_sqlite
async def test_what_needs_no_acknowledgement_is_left_to_the_thread(store):
    row = await running(store)
    threads = []

    def decides(snapshot):
        threads.append(threading.current_thread() is threading.main_thread())
        return []

    await store.decide(row.key, decides, execution=None, at=AT)
    assert threads == [False]


@with_sqlite
async def test_the_thread_has_every_so_many_commits_and_writes_the_log_back(store):
    row = await running(store)
    by = [await committed_by(store, row.key) for _ in range(2 * (writer.LOOP_COMMITS_MAX + 1))]
    assert by == (["loop"] * writer.LOOP_COMMITS_MAX + ["writer"]) * 2


@with_sqlite
async def test_after_a_commit_that_took_long_on_the_event_loop_the_thread_has_the_next(store):
    row = await running(store)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(writer, "LOOP_SECONDS", 0.0)
        patched.setattr(writer, "LOOP_REST_FACTOR", 1e9)
        assert await committed_by(store, row.key) == "loop"
    assert await committed_by(store, row.key) == "writer"


@with_sqlite
async def test_a_call_that_is_refused_on_the_event_loop_leaves_the_next_alone(store):
    row = await running(store)
    with pytest.raises(Fenced):
        await store.append(row.key, quick(do()), execution=7, at=AT, on_commit=lambda committed: None)
    assert (await acknowledged(store, row.key)).row.last_seq == 4


@with_sqlite
async def test_closing_commits_what_has_just_been_handed_in(store):
    row = await running(store)
    last = asyncio.create_task(acknowledged(store, row.key))
    await asyncio.sleep(0)
    await store.close()
    assert (await last).row.last_seq == 4


def test_the_event_loop_does_not_wait_for_another_program_that_writes(tmp_path):
    @with_sqlite
    async def story(store):
        row = await running(store)
        other = sqlite3.connect(sqlite_url(tmp_path).removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(acknowledged(store, row.key))
        assert (await store.find("", row.id)).last_seq == 3  # the loop is free
        assert not waiting.done()
        other.execute("COMMIT")
        other.close()
        assert (await waiting).row.last_seq == 4

    story(tmp_path)
