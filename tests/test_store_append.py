"""What every store promises of changes: appending, deciding, and the fence against executions that were replaced."""

import asyncio

import pytest
from store_support import (
    AT,
    attempt,
    claim,
    completed,
    create,
    do,
    execution_ended,
    execution_started,
    printed,
    quick,
    running,
    sleep,
    started,
    wait,
    with_store,
)

from playground.store import JournalError
from playground.store.protocol import DeciderWithNeeds, Needs
from playground.store.rows import InboxRow
from playground.workflows import events as ev
from playground.workflows.errors import CannotRestart, Fenced, InstanceNotFound, NotSerialisable
from playground.workflows.events import NewEvent


async def asked(store, key, step):
    """A step as a decider that names it sees it."""
    seen = []
    decider = DeciderWithNeeds(lambda snapshot: seen.append(snapshot.step(step)) or [], Needs(steps=(step,)))
    await store.decide(key, decider, execution=None, at=AT)
    return seen[0]


def dense(events):
    return [event.seq for event in events] == list(range(1, len(events) + 1))


@with_store
async def test_an_append_numbers_stamps_and_returns_what_the_journal_holds(store):
    row = await running(store)
    committed = await store.append(row.key, quick(do()), execution=1, at=AT + 5)
    assert [event.seq for event in committed.events] == [4, 5, 6, 7]
    assert {event.execution for event in committed.events} == {1}
    assert committed.row == await store.find("", "i")
    journal = await store.events(row.key, after=0, limit=100)
    assert journal[3:] == list(committed.events)
    assert dense(journal)


@with_store
async def test_events_are_stamped_with_the_execution_they_come_in(store):
    [row] = await create(store, "i")
    received = NewEvent(ev.EVENT_RECEIVED, {"type": "go", "payload": 1})
    first = await store.append(row.key, [received], execution=None, at=AT)
    await claim(store, 1, at=AT)
    second = await store.append(row.key, [received], execution=None, at=AT)
    assert [first.events[0].execution, second.events[0].execution] == [None, 1]


@with_store
async def test_the_fence(store):
    row = await running(store)
    for execution in (0, 2):
        with pytest.raises(Fenced):
            await store.append(row.key, quick(do()), execution=execution, at=AT)
    await store.append(row.key, [execution_ended(ev.CRASHED)], execution=1, at=AT)
    with pytest.raises(Fenced):  # nobody has it
        await store.append(row.key, quick(do()), execution=1, at=AT)
    [again] = await claim(store, 1, at=AT)
    assert again.execution == 2
    with pytest.raises(Fenced):  # another has it
        await store.append(row.key, quick(do()), execution=1, at=AT)
    end = [execution_started(2), execution_ended(ev.COMPLETED), NewEvent(ev.WORKFLOW_COMPLETED, {"output": 1})]
    await store.append(row.key, end, execution=2, at=AT)
    with pytest.raises(Fenced):  # it is final
        await store.append(row.key, [printed("late")], execution=2, at=AT)
    with pytest.raises(Fenced):
        await store.decide(row.key, lambda snapshot: [printed("late")], execution=2, at=AT)
    journal = await store.events(row.key, after=0, limit=100)
    assert [event.type for event in journal][-1] == "workflow_completed"
    assert dense(journal)


@with_store
async def test_nothing_is_appended_to_no_instance(store):
    for call in (
        store.append(99, [printed("x")], execution=None, at=AT),
        store.decide(99, lambda snapshot: [], execution=None, at=AT),
        store.load(99),
        store.delete(99),
        store.unclaim(99, execution=1),
    ):
        with pytest.raises(InstanceNotFound):
            await call


@with_store
async def test_a_decider_sees_the_instance_its_steps_and_its_inbox(store):
    row = await running(store)
    await store.append(row.key, [*quick(do("a"), {"v": 1}), started(wait())], execution=1, at=AT)
    await store.append(
        row.key, [NewEvent(ev.EVENT_RECEIVED, {"type": "other", "payload": 5})], execution=None, at=AT + 1
    )
    seen = []

    def decider(snapshot):
        seen.append(
            (snapshot.row, dict(snapshot.named), list(snapshot.inbox), snapshot.keys, snapshot.pending_rollback)
        )
        return [NewEvent(ev.WAIT_TIMED_OUT, {"error": {"name": "T"}}, wait())]

    needs = Needs(steps=(do("a"), wait(), do("b")), keys=True, pending_rollback=True)
    committed = await store.decide(row.key, DeciderWithNeeds(decider, needs), execution=1, at=AT + 2)
    [(at_that_time, steps, inbox, keys, pending)] = seen
    assert at_that_time.last_seq == committed.row.last_seq - 1
    assert list(steps) == [do("a"), wait(), do("b")]
    assert steps[do("a")].result == {"v": 1}
    assert steps[do("b")] is None
    assert inbox == [InboxRow(9, AT + 1, "other", 5)]
    assert (keys, pending) == ({do("a"), wait()}, False)


@with_store
async def test_a_decider_is_told_what_is_under_way(store):
    row = await running(store)
    handler = {"rollback": {"retries": {"limit": 0}}}
    events = [
        *quick(do("done")),
        started(do("runs"), **handler),
        attempt(do("runs")),
        started(sleep()),
        started(wait()),
    ]
    await store.append(row.key, events, execution=1, at=AT)
    await store.append(row.key, [NewEvent(ev.SLEEP_COMPLETED, {}, sleep())], execution=1, at=AT)

    async def under_way():
        seen = []
        await store.decide(
            row.key, lambda snapshot: seen.extend(step.key for step in snapshot.open) or [], execution=None, at=AT
        )
        assert seen == [step.key for step in (await store.load(row.key)).open]
        return seen

    assert await under_way() == [do("runs"), wait()]
    await store.append(row.key, [completed(do("runs"), "kept"), NewEvent(ev.ROLLBACK_STARTED)], execution=1, at=AT)
    assert await under_way() == [wait()]
    await store.append(row.key, [NewEvent(ev.ROLLBACK_STEP_STARTED, {}, do("runs"))], execution=1, at=AT)
    assert await under_way() == [do("runs"), wait()]
    assert (await asked(store, row.key, do("runs"))).result == "kept"


@with_store
async def test_a_pause_and_a_rollback_leave_results_alone(store):
    row = await running(store)
    handler = {"rollback": {"retries": {"limit": 3}}}
    await store.append(row.key, [started(do(), **handler), attempt(do()), completed(do(), "kept")], execution=1, at=AT)
    failed = {"attempt": 1, "error": {"name": "E"}, "retry_delay_ms": 1000}
    await store.append(
        row.key,
        [NewEvent(ev.ROLLBACK_STARTED), NewEvent(ev.ROLLBACK_ATTEMPT_ERRORED, failed, do())],
        execution=1,
        at=AT,
    )
    await store.append(row.key, [execution_ended(), NewEvent(ev.WORKFLOW_PAUSED)], execution=1, at=AT)
    await store.append(row.key, [NewEvent(ev.WORKFLOW_RESUMED)], execution=None, at=AT + 50)
    stored = (await store.load(row.key)).steps[do()]
    assert await asked(store, row.key, do()) == stored
    assert (stored.result, stored.rollback_until) == ("kept", AT + 1050)


@with_store
async def test_deciders_at_once_see_each_other(store):
    row = await running(store)

    def once(snapshot):
        return [] if snapshot.step(do()) else quick(do())

    decider = DeciderWithNeeds(once, Needs(steps=(do(),)))
    answers = await asyncio.gather(*(store.decide(row.key, decider, execution=1, at=AT) for _ in range(20)))
    assert sorted(len(answer.events) for answer in answers) == [0] * 19 + [4]


@with_store
async def test_what_a_decider_raises_is_raised_and_nothing_is_written(store):
    row = await running(store)

    def refuses(snapshot):
        raise CannotRestart("no such step")

    for error in (CannotRestart, RuntimeError):
        with pytest.raises(error):
            await store.decide(row.key, refuses if error is CannotRestart else _stops, execution=1, at=AT)
    assert (await store.find("", "i")).last_seq == row.last_seq


def _stops(snapshot):
    raise StopIteration


@with_store
async def test_a_step_starts_once(store):
    row = await running(store)
    await store.append(row.key, quick(do()), execution=1, at=AT)
    with pytest.raises(JournalError):
        await store.append(row.key, quick(do()), execution=1, at=AT)
    assert (await store.find("", "i")).last_seq == 7


@with_store
async def test_a_restart_from_a_step_is_a_new_generation(store):
    row = await running(store)
    await store.append(row.key, [*quick(do("a"), 1), *quick(do("b"), 2)], execution=1, at=AT)
    origin = {"from_step": {"kind": "do", "name": "b", "count": 1}}
    end = [execution_ended(ev.KILLED), NewEvent(ev.WORKFLOW_RESTARTED, origin)]
    restarted = (await store.append(row.key, end, execution=1, at=AT)).row
    assert (restarted.generation, restarted.status, restarted.owner) == (2, "queued", None)
    assert list((await store.load(row.key)).steps) == [do("a")]
    [again] = await claim(store, 1, at=AT)
    await store.append(row.key, [execution_started(2), *quick(do("b"), 3)], execution=again.execution, at=AT)
    steps = (await store.load(row.key)).steps
    assert {str(key): step.result for key, step in steps.items()} == {"a-1": 1, "b-1": 3}


@with_store
async def test_a_restart_shares_a_commit_with_what_is_around_it(store):
    row = await running(store)
    calls = [
        store.append(row.key, quick(do("a")), execution=1, at=AT),
        store.append(row.key, [execution_ended(), NewEvent(ev.WORKFLOW_RESTARTED)], execution=1, at=AT),
        store.append(row.key, [NewEvent(ev.EVENT_RECEIVED, {"type": "go", "payload": 1})], execution=None, at=AT),
        store.append(row.key, quick(do("b")), execution=1, at=AT),
    ]
    *_, late = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(late, Fenced)
    snapshot = await store.load(row.key)
    assert (dict(snapshot.steps), len(snapshot.inbox), snapshot.row.generation) == ({}, 1, 2)


@with_store
async def test_a_line_that_an_open_step_prints_is_committed_by_itself(store):
    """An append and an operation, each of a log event alone: it names the step, and does not begin it."""
    row = await running(store)
    await store.append(row.key, [started(do()), attempt(do())], execution=1, at=AT)
    line = NewEvent(ev.LOG, {"stream": "stdout", "level": None, "text": "x", "replay": False}, do())
    commits = store.metrics.commits
    for _ in range(2):
        await store.append(row.key, [line], execution=1, at=AT)
        await store.decide(row.key, lambda _: [line], execution=1, at=AT)
    assert store.metrics.commits == commits + 4
    with pytest.raises(JournalError):
        await store.append(row.key, [line, started(do())], execution=1, at=AT)


@with_store
async def test_a_value_that_cannot_be_stored_is_refused_alone(store):
    row = await running(store)
    good, bad = await asyncio.gather(
        store.append(row.key, quick(do("a")), execution=1, at=AT),
        store.append(row.key, quick(do("b"), "\ud800"), execution=1, at=AT),
        return_exceptions=True,
    )
    assert isinstance(bad, NotSerialisable)
    assert good.row.last_seq == 7
    assert list((await store.load(row.key)).steps) == [do("a")]


@with_store
async def test_a_cancelled_caller_disturbs_nobody(store):
    row = await running(store)
    calls = [asyncio.create_task(store.append(row.key, quick(do(count=n)), execution=1, at=AT)) for n in range(1, 20)]
    await asyncio.sleep(0)
    calls[3].cancel()
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(answer, BaseException) for answer in done) == 1
    assert dense(await store.events(row.key, after=0, limit=200))
