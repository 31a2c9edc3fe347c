"""Commits that arrive together share a transaction, and nothing but that."""

import asyncio
import threading

import pytest
from store_support import (
    AT,
    claim,
    create,
    do,
    execution_ended,
    execution_started,
    passes,
    printed,
    quick,
    running,
    started,
    with_store,
)

from playground.store import JournalError, StoreError
from playground.store.sqlite.store import SqliteStore
from playground.workflows import events as ev
from playground.workflows.errors import CannotRestart, Fenced, InstanceNotFound
from playground.workflows.events import NewEvent


async def held_together(store, key, *calls):
    """Make calls whose entries are all in the queue before the writer takes the first, so that they share a commit.

    PostgreSQL's writer takes what was submitted in one turn of the event loop; SQLite's thread has to be held up.
    """
    if not isinstance(store, SqliteStore):
        return await asyncio.gather(*calls, return_exceptions=True)
    hold, holding = threading.Event(), threading.Event()

    def stop(snapshot):
        holding.set()
        hold.wait(30)
        return []

    first = asyncio.create_task(store.decide(key, stop, execution=None, at=AT))
    await passes(holding.is_set)
    tasks = [asyncio.create_task(call) for call in calls]
    for _ in range(3):
        await asyncio.sleep(0)
    hold.set()
    await first
    return await asyncio.gather(*tasks, return_exceptions=True)


@with_store
async def test_one_that_is_refused_disturbs_none_of_the_others(store):
    rows = [await running(store, id) for id in ("a", "b", "c")]
    a, b, c = (row.key for row in rows)

    def refuses(snapshot):
        raise CannotRestart("no")

    answers = await held_together(
        store, a,
        store.append(a, quick(do("one")), execution=1, at=AT),
        store.append(b, quick(do("one")), execution=7, at=AT),  # fenced
        store.decide(c, refuses, execution=1, at=AT),
        store.append(99, [printed("x")], execution=None, at=AT),
        store.append(c, quick(do("one"), "\ud800"), execution=1, at=AT),
        store.append(c, [printed("fine")], execution=1, at=AT),
    )  # fmt: skip
    kinds = [type(answer) if isinstance(answer, BaseException) else answer.row.last_seq for answer in answers]
    assert kinds[:4] == [7, Fenced, CannotRestart, InstanceNotFound]
    assert kinds[5] == 4
    assert [len((await store.load(key)).steps) for key in (a, b, c)] == [1, 0, 0]


@with_store
async def test_one_that_the_database_refuses_disturbs_none_of_the_others(store):
    """A step that started in an earlier commit is only found by its unique key, when the shared transaction is under
    way.
    """
    a, b = [await running(store, id) for id in ("a", "b")]
    await store.append(a.key, quick(do("taken")), execution=1, at=AT)
    good, bad, after, other = await held_together(
        store, a.key,
        store.append(a.key, quick(do("x")), execution=1, at=AT),
        store.append(a.key, quick(do("taken")), execution=1, at=AT),
        store.append(a.key, quick(do("y")), execution=1, at=AT),
        store.append(b.key, quick(do("taken")), execution=1, at=AT),
    )  # fmt: skip
    assert isinstance(bad, JournalError)
    assert [good.row.last_seq, after.row.last_seq, other.row.last_seq] == [11, 15, 7]
    journal = await store.events(a.key, after=0, limit=99)
    assert [event.seq for event in journal] == list(range(1, 16))
    assert [str(key) for key in (await store.load(a.key)).steps] == ["taken-1", "x-1", "y-1"]
    assert await store.count() == {"running": 2}


@with_store
async def test_a_number_that_no_column_holds_disturbs_none_of_the_others(store):
    a, b = [await running(store, id) for id in ("a", "b")]
    good, bad = await held_together(
        store, a.key,
        store.append(a.key, [started(do("x"))], execution=1, at=AT),
        store.append(b.key, [started(do("x"), line=2**70)], execution=1, at=AT),
    )  # fmt: skip
    assert good.row.last_seq == 4
    assert isinstance(bad, JournalError)
    assert (await store.load(b.key)).row.last_seq == 3


@with_store
async def test_new_instances_of_a_refused_commit_get_their_turn(store):
    """What a rollback undoes must not be forgotten by the turns either."""
    row = await running(store)
    await store.append(row.key, quick(do("taken")), execution=1, at=AT)
    await create(store, "n1", queue="other")
    _, claimed = await held_together(
        store, row.key,
        store.append(row.key, quick(do("taken")), execution=1, at=AT),
        claim(store, 1, at=AT),
    )  # fmt: skip
    assert [found.id for found in claimed] == ["n1"]
    await create(store, "n2", queue="other")
    assert [found.id for found in await claim(store, 1, at=AT)] == ["n2"]


@with_store
async def test_calls_that_share_a_commit_see_each_other_in_order(store):
    row = await running(store)
    first, second, ended, late = await held_together(
        store, row.key,
        store.append(row.key, [started(do("a"))], execution=1, at=AT),
        store.append(row.key, quick(do("b")), execution=1, at=AT),
        store.append(row.key, [execution_ended(ev.COMPLETED), NewEvent(ev.WORKFLOW_COMPLETED, {"output": 1})],
            execution=1, at=AT),
        store.append(row.key, [printed("late")], execution=1, at=AT),
    )  # fmt: skip
    assert [answer.row.last_seq for answer in (first, second, ended)] == [4, 8, 10]
    assert (ended.row.status, type(late)) == ("complete", Fenced)


@with_store
async def test_many_parallel_steps_of_one_instance_all_land(store):
    row = await running(store)
    answers = await asyncio.gather(
        *(store.append(row.key, quick(do(count=n)), execution=1, at=AT) for n in range(1, 1201))
    )
    assert sorted(event.seq for answer in answers for event in answer.events) == list(range(4, 4 + 4800))
    assert len((await store.load(row.key)).steps) == 1200


@with_store
async def test_an_attempt_announced_in_one_commit_ends_in_another(store):
    row = await running(store)
    events = quick(do(), {"v": 1})
    await store.append(row.key, events[:2], execution=1, at=AT)
    await store.append(row.key, events[2:], execution=1, at=AT)
    step = (await store.load(row.key)).steps[do()]
    assert (step.status, step.result, step.started_seq, step.line) == ("completed", {"v": 1}, 4, 5)


@with_store
async def test_on_commit_is_called_after_the_commit_and_before_the_loop_hears(store):
    row = await running(store)
    heard = []

    def on_commit(committed):
        heard.append((threading.current_thread() is threading.main_thread(), committed.row.last_seq))

    await asyncio.gather(  # what comes alone is committed on the event loop
        store.append(row.key, quick(do()), execution=1, at=AT, on_commit=on_commit),
        store.append(row.key, [], execution=1, at=AT),
    )
    assert heard == [(not isinstance(store, SqliteStore), 7)], "SQLite's thread calls it"
    with pytest.raises(Fenced):
        await store.append(row.key, quick(do("b")), execution=9, at=AT, on_commit=on_commit)
    assert len(heard) == 1


@with_store
async def test_an_on_commit_that_fails_is_reported_and_the_commit_stands(store):
    row = await running(store)
    reported = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context["exception"]))

    def fails(committed):
        raise ValueError("socket gone")

    committed = await store.append(row.key, quick(do()), execution=1, at=AT, on_commit=fails)
    assert committed.row.last_seq == 7
    await passes(lambda: bool(reported))
    assert str(reported[0]) == "socket gone"


@with_store
async def test_closing_commits_what_was_handed_in_and_refuses_the_rest(store):
    row = await running(store)
    calls = [asyncio.create_task(store.append(row.key, quick(do(count=n)), execution=1, at=AT)) for n in range(1, 50)]
    await asyncio.sleep(0)
    await store.close()
    assert [(await call).row.last_seq for call in calls][-1] == 3 + 49 * 4
    for late in (
        store.append(row.key, [printed("x")], execution=1, at=AT),
        store.find("", "i"),
        store.create([], at=AT),
    ):
        with pytest.raises(StoreError, match="closed"):
            await late


@with_store
async def test_held_rows_are_right_for_more_instances_than_are_held(store):
    """The writer holds a few thousand rows; those it let go of are read again."""
    from playground.store import cache

    count = cache.CACHED_INSTANCES + 50
    await create(store, *(f"i{n}" for n in range(count)))
    rows = await claim(store, count, at=AT)
    for row in (rows[0], rows[-1], rows[0]):
        await store.append(row.key, [execution_started()] if row.last_seq == 1 else [], execution=1, at=AT)
    assert (await store.find("", "i0")).status == "running"
    with pytest.raises(Fenced):
        await store.append(rows[1].key, [printed("x")], execution=3, at=AT)
