"""What every store promises: creating, appending, deciding, fences, reading, listing, deleting."""

import asyncio
import json

import pytest
from store_support import (
    AT,
    CONFIG,
    NODE,
    attempt,
    completed,
    create,
    do,
    execution_ended,
    execution_started,
    new,
    printed,
    quick,
    running,
    sleep,
    started,
    wait,
    with_store,
)

from playground.store import JournalError
from playground.store.encoding import plain
from playground.store.protocol import InboxRow
from playground.store.tables import scope_of
from playground.workflows import events as ev
from playground.workflows.errors import CannotRestart, Fenced, InstanceNotFound, NotSerialisable
from playground.workflows.events import NewEvent


def dense(events):
    return [event.seq for event in events] == list(range(1, len(events) + 1))


@with_store
async def test_a_created_instance_is_found_with_all_it_was_given(store):
    given = {"params": {"a": [1, None]}, "control_hash": "h", "class_name": "C", "metadata": {"plan": "pro"}, "limits": {"x": 1}}
    [row] = await create(store, "one", tenant="acme", queue="acme", **given)
    assert await store.find("acme", "one") == row
    assert (row.status, row.generation, row.execution, row.last_seq, row.due_at) == ("queued", 1, 0, 1, AT)
    assert {name: getattr(row, name) for name in given} == given
    [event] = await store.events(row.key, after=0, limit=10)
    assert (event.seq, event.at, event.type, event.execution) == (1, AT, "workflow_queued", None)
    assert event.data == {"params": {"a": [1, None]}, "trigger": "api"}


@with_store
async def test_a_taken_id_is_left_out_and_the_first_is_untouched(store):
    [first] = await create(store, "a", params={"n": 1})
    rows, refused = await store.create([new("b"), new("a", params={"n": 2}), new("c"), new("b")], at=AT + 1)
    assert [row.id for row in rows] == ["b", "c"]
    assert [(entry.index, entry.id, entry.code) for entry in refused] == [
        (1, "a", "instance.already_exists"),
        (3, "b", "instance.already_exists"),
    ]
    assert await store.find("", "a") == first


@with_store
async def test_creates_at_once_of_one_id_give_it_to_one(store):
    answers = await asyncio.gather(*(store.create([new("same")], at=AT) for _ in range(20)))
    assert sum(len(rows) for rows, _ in answers) == 1
    assert await store.count() == {"queued": 1}


@with_store
async def test_the_same_id_in_two_tenants_is_two_instances(store):
    await create(store, "a", tenant="x")
    await create(store, "a", tenant="y")
    assert (await store.find("x", "a")).key != (await store.find("y", "a")).key
    with pytest.raises(InstanceNotFound):
        await store.find("z", "a")


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
    await store.claim(NODE, 1, at=AT, full={})
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
    [again] = await store.claim(NODE, 1, at=AT, full={})
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
    await store.append(row.key, [NewEvent(ev.EVENT_RECEIVED, {"type": "other", "payload": 5})], execution=None, at=AT + 1)
    seen = []

    def decider(snapshot):
        seen.append(
            (snapshot.row, dict(snapshot.steps), list(snapshot.inbox), wait() in snapshot.steps, do("b") in snapshot.steps)
        )
        return [NewEvent(ev.WAIT_TIMED_OUT, {"error": {"name": "T"}}, wait())]

    committed = await store.decide(row.key, decider, execution=1, at=AT + 2)
    [(at_that_time, steps, inbox, has, has_not)] = seen
    assert at_that_time.last_seq == committed.row.last_seq - 1
    assert list(steps) == [do("a"), wait()]
    assert steps[do("a")].result == {"v": 1}
    assert inbox == [InboxRow(9, AT + 1, "other", 5)]
    assert (has, has_not) == (True, False)


@with_store
async def test_a_decider_is_told_what_is_under_way(store):
    row = await running(store)
    handler = {"rollback": {"retries": {"limit": 0}}}
    events = [*quick(do("done")), started(do("runs"), **handler), attempt(do("runs")), started(sleep()), started(wait())]
    await store.append(row.key, events, execution=1, at=AT)
    await store.append(row.key, [NewEvent(ev.SLEEP_COMPLETED, {}, sleep())], execution=1, at=AT)

    async def under_way():
        seen = []
        await store.decide(row.key, lambda snapshot: seen.extend(step.key for step in snapshot.open) or [], execution=None, at=AT)
        assert seen == [step.key for step in (await store.load(row.key)).open]
        return seen

    assert await under_way() == [do("runs"), wait()]
    await store.append(row.key, [completed(do("runs"), "kept"), NewEvent(ev.ROLLBACK_STARTED)], execution=1, at=AT)
    assert await under_way() == [wait()]
    await store.append(row.key, [NewEvent(ev.ROLLBACK_STEP_STARTED, {}, do("runs"))], execution=1, at=AT)
    assert await under_way() == [do("runs"), wait()]
    results = []
    await store.decide(row.key, lambda snapshot: results.append(snapshot.steps[do("runs")].result) or [], execution=None, at=AT)
    assert results == ["kept"]


@with_store
async def test_a_pause_and_a_rollback_leave_results_alone(store):
    row = await running(store)
    handler = {"rollback": {"retries": {"limit": 3}}}
    await store.append(row.key, [started(do(), **handler), attempt(do()), completed(do(), "kept")], execution=1, at=AT)
    failed = {"attempt": 1, "error": {"name": "E"}, "retry_delay_ms": 1000}
    await store.append(
        row.key, [NewEvent(ev.ROLLBACK_STARTED), NewEvent(ev.ROLLBACK_ATTEMPT_ERRORED, failed, do())], execution=1, at=AT
    )
    await store.append(row.key, [execution_ended(), NewEvent(ev.WORKFLOW_PAUSED)], execution=1, at=AT)
    await store.append(row.key, [NewEvent(ev.WORKFLOW_RESUMED)], execution=None, at=AT + 50)
    seen = []
    await store.decide(row.key, lambda snapshot: seen.append(snapshot.steps[do()]) or [], execution=None, at=AT + 50)
    stored = (await store.load(row.key)).steps[do()]
    assert seen == [stored]
    assert (stored.result, stored.rollback_until) == ("kept", AT + 1050)


@with_store
async def test_deciders_at_once_see_each_other(store):
    row = await running(store)

    def once(snapshot):
        return [] if do() in snapshot.steps else quick(do())

    answers = await asyncio.gather(*(store.decide(row.key, once, execution=1, at=AT) for _ in range(20)))
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
async def test_what_is_loaded_is_what_the_journal_says(store):
    row = await running(store)
    await store.append(row.key, quick(do("a"), [1]), execution=1, at=AT)
    await store.append(row.key, [started(do("b")), attempt(do("b"))], execution=1, at=AT)
    await store.append(row.key, [started(sleep()), started(wait())], execution=1, at=AT)
    await store.append(row.key, [completed(do("b"), ev.REDACTED, secret="pw")], execution=1, at=AT)
    await store.append(row.key, [NewEvent(ev.EVENT_RECEIVED, {"type": "go", "payload": "p"})], execution=None, at=AT + 3)
    snapshot = await store.load(row.key)
    assert snapshot.row == await store.find("", "i")
    assert [(key, step.status) for key, step in snapshot.steps.items()] == [
        (do("a"), "completed"),
        (do("b"), "completed"),
        (sleep(), "open"),
        (wait(), "open"),
    ]
    assert snapshot.steps[do("b")].result == "pw"
    assert snapshot.inbox == [InboxRow(snapshot.row.last_seq, AT + 3, "go", "p")]
    assert "pw" not in json.dumps([event.as_json() for event in await store.events(row.key, after=0, limit=99)])


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
    [again] = await store.claim(NODE, 1, at=AT, full={})
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
async def test_events_are_read_from_where_one_left_off(store):
    row = await running(store)
    await store.append(row.key, [printed(str(n)) for n in range(10)], execution=1, at=AT)
    assert [event.seq for event in await store.events(row.key, after=4, limit=3)] == [5, 6, 7]
    assert await store.events(row.key, after=13, limit=3) == []
    assert await store.events(99, after=0, limit=3) == []


@with_store
async def test_a_stream_reads_the_same_events_as_json(store):
    row = await running(store)
    nasty = 'quote " backslash \\ newline \n </script> \u2028 ñ 🎉 \x00'
    step = do(nasty.replace("\x00", "").replace("\n", ""))
    events = [started(step), attempt(step), completed(step, {nasty: [nasty, 1.5, 2**70, None, True]}), printed(nasty)]
    await store.append(row.key, events, execution=1, at=AT)
    await store.append(row.key, [NewEvent(ev.EVENT_RECEIVED, {"type": "go", "payload": []})], execution=None, at=AT)
    read = await store.events(row.key, after=0, limit=99)
    as_json = await store.events_json(row.key, after=0, limit=99)
    assert [json.loads(text) for _, _, text in as_json] == [event.as_json() for event in read]
    assert [(seq, type) for seq, type, _ in as_json] == [(event.seq, event.type) for event in read]
    assert as_json[0][2].startswith(b'{"seq":1,"at":1700000000000,"type":"workflow_queued","execution":null,"data":{')


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
async def test_a_large_value_comes_back_whole(store):
    row = await running(store, params={"text": "x" * 1_000_000})
    await store.append(row.key, quick(do(), "ñ" * 500_000), execution=1, at=AT)
    snapshot = await store.load(row.key)
    assert plain(snapshot.steps[do()].result) == "ñ" * 500_000
    assert plain(snapshot.row.params) == {"text": "x" * 1_000_000}
    assert snapshot.row.stored_bytes == len('{"text":""}""') + 2_000_000


@with_store
async def test_instances_are_listed_newest_first(store):
    rows = await create(store, *(f"a{n}" for n in range(6)), tenant="x") + await create(store, "b", tenant="y")
    await store.append(rows[2].key, [NewEvent(ev.WORKFLOW_TERMINATED)], execution=None, at=AT)
    ids = [row.id for row in await store.list(None, limit=3)]
    assert ids == ["b", "a5", "a4"]
    assert [row.id for row in await store.list("x", before=rows[4].key, limit=2)] == ["a3", "a2"]
    assert [row.id for row in await store.list("x", status="terminated")] == ["a2"]
    assert [row.id for row in await store.list(None, status="terminated")] == ["a2"]
    assert [row.id for row in await store.list("x")] == ["a5", "a4", "a3", "a2", "a1", "a0"]
    assert await store.list("z") == []


@with_store
async def test_counts_follow_every_change(store):
    await create(store, "a", "b", tenant="x", queue="q1")
    await create(store, "c", tenant="x", queue="q2")
    await create(store, "d", tenant="y", queue="q2")
    [row] = await store.claim(NODE, 1, at=AT, full={})
    await store.append(row.key, [execution_started()], execution=1, at=AT)
    assert await store.count() == {"queued": 3, "running": 1}
    assert await store.count(tenant="x") == {"queued": 2, "running": 1}
    assert await store.count(queue="q2") == {"queued": 2}
    assert await store.count(tenant="x", queue="q1") == {"queued": 1, "running": 1}
    await store.append(row.key, [execution_ended(), NewEvent(ev.WORKFLOW_COMPLETED, {"output": 0})], execution=1, at=AT)
    assert await store.count(tenant="x", queue="q1") == {"queued": 1, "complete": 1}
    await store.delete(row.key)
    assert await store.count(tenant="x", queue="q1") == {"queued": 1}
    assert await store.count(tenant="nobody") == {}


@with_store
async def test_counts_are_right_when_changes_of_one_commit_cancel_out(store):
    [row] = await create(store, "a")

    def status_of(snapshot):
        return []

    await asyncio.gather(
        store.append(row.key, [NewEvent(ev.WORKFLOW_PAUSED)], execution=None, at=AT),
        store.decide(row.key, status_of, execution=None, at=AT),
        store.append(row.key, [NewEvent(ev.WORKFLOW_RESUMED)], execution=None, at=AT),
    )
    assert await store.count() == {"queued": 1}


@with_store
async def test_a_deleted_instance_leaves_nothing(store):
    row = await running(store)
    await store.append(row.key, [*quick(do()), NewEvent(ev.EVENT_RECEIVED, {"type": "go", "payload": 1})], execution=1, at=AT)
    await store.delete(row.key)
    with pytest.raises(InstanceNotFound):
        await store.find("", "i")
    with pytest.raises(InstanceNotFound):
        await store.append(row.key, [printed("late")], execution=1, at=AT)
    assert await store.events(row.key, after=0, limit=9) == []
    assert await store.count() == {}
    again = await running(store)
    assert again.key != row.key
    snapshot = await store.load(again.key)
    assert (dict(snapshot.steps), list(snapshot.inbox)) == ({}, [])


@with_store
async def test_retention_removes_only_what_ended_long_ago(store):
    old, newer, _ = await create(store, "old", "newer", "open")
    await store.append(old.key, [NewEvent(ev.WORKFLOW_TERMINATED)], execution=None, at=AT + 10)
    await store.append(newer.key, [NewEvent(ev.WORKFLOW_TERMINATED)], execution=None, at=AT + 20)
    assert await store.expire(AT + 20) == 1
    assert {row.id for row in await store.list("")} == {"newer", "open"}
    assert await store.expire(AT + 20) == 0
    assert await store.count() == {"terminated": 1, "queued": 1}


@with_store
async def test_retention_takes_a_bounded_number_at_a_time(store):
    for row in await create(store, *(f"i{n}" for n in range(7))):
        await store.append(row.key, [NewEvent(ev.WORKFLOW_TERMINATED)], execution=None, at=AT)
    assert [await store.expire(AT + 1, limit=5) for _ in range(3)] == [5, 2, 0]


@with_store
async def test_a_restarted_instance_is_not_expired(store):
    [row] = await create(store, "a")
    ended = [NewEvent(ev.WORKFLOW_TERMINATED), NewEvent(ev.WORKFLOW_RESTARTED)]
    await store.append(row.key, ended, execution=None, at=AT)
    assert await store.expire(AT + 1) == 0


@with_store
async def test_snippets_are_stored_once_under_their_content(store):
    first = await store.put_snippet("print(1)", None, at=AT)
    again = await store.put_snippet("print(1)", None, at=AT + 9)
    assert again == first
    assert await store.snippet(first.id) == first
    others = [
        await store.put_snippet(source, params, at=AT)
        for source, params in [
            ("print(1)", ""),
            ("print(1)", "{}"),
            ("print(2)", None),
            ("print(1", ")"),
            ("", None),
            ("\x00ñ", "{}"),
        ]
    ]
    assert len({snippet.id for snippet in [first, *others]}) == 7
    assert await store.snippet("nothing") is None


@with_store
async def test_text_of_tenants_is_never_sql(store):
    evil = "x'); DROP TABLE instance; --"
    await create(store, evil, tenant=evil, queue=evil, workflow=evil, class_name=evil)
    await store.put_snippet(evil, evil, at=AT)
    [row] = await store.claim(evil, 5, at=AT, full={evil: 5}, full_workflows=[(evil, "other")])
    assert (row.id, row.owner) == (evil, evil)
    assert [found.id for found in await store.owned(evil)] == [evil]
    assert [found.id for found in await store.list(evil, status="queued")] == [evil]


@with_store
async def test_a_cancelled_caller_disturbs_nobody(store):
    row = await running(store)
    calls = [asyncio.create_task(store.append(row.key, quick(do(count=n)), execution=1, at=AT)) for n in range(1, 20)]
    await asyncio.sleep(0)
    calls[3].cancel()
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(answer, BaseException) for answer in done) == 1
    assert dense(await store.events(row.key, after=0, limit=200))


@with_store
async def test_an_instance_begins_with_the_steps_and_keys_that_it_is_given(store):
    ((parent,), _) = await store.create([new("parent")], at=AT)
    copied = [
        NewEvent(ev.STEP_COPIED, {"status": "completed", "line": 3, "config": CONFIG, "output": {"a": 1}, "rollback": CONFIG}, do("one")),
        NewEvent(ev.STEP_COPIED, {"status": "completed", "line": 4, "config": {"sensitive": "output"}, "output": ev.REDACTED}, do("two"), "x" * 500),
        NewEvent(ev.STEP_COPIED, {"status": "timed_out", "line": 5, "event_type": "go", "error": {"name": "E", "message": "m"}}, wait()),
        NewEvent(ev.KV_PUT, {"key": "k", "value": 7}, do("one")),
    ]
    trigger = {"kind": "fork", "of": "parent", "seq": 1}
    made, refused = await store.create(
        [new("child", events=copied, parent=parent.key, trigger=trigger), new("other", trigger={**trigger, "kind": "chaos"}, parent=parent.key)], at=AT + 5
    )
    assert not refused and [row.last_seq for row in made] == [5, 1]
    loaded = await store.load(made[0].key)
    one, two, third = (loaded.steps[key] for key in (do("one"), do("two"), wait()))
    assert (one.status, plain(one.result), one.rollback, one.rollback_config) == ("completed", {"a": 1}, "pending", CONFIG)
    assert (plain(two.result), two.result_bytes, third.status, third.error["name"]) == ("x" * 500, 502, "errored", "E")
    assert loaded.row.stored_bytes >= 502 and not loaded.open
    journal = await store.events(made[0].key, after=0, limit=10)
    assert [event.seq for event in journal] == [1, 2, 3, 4, 5] and journal[0].data["trigger"] == trigger
    assert journal[2].data["output"] == ev.REDACTED
    assert await store.kv.get(scope_of(made[0]), "k") == (True, 7)
    assert [row.id for row in await store.children(parent.key, "fork")] == ["child"]
    assert [row.id for row in await store.children(parent.key, "chaos")] == ["other"]
    await store.delete(made[0].key)
    assert list(await store.children(parent.key, "fork")) == []
