"""What every store promises of what is new: instances, alone, in batches and as forks, and snippets."""

import asyncio

import msgspec
import pytest
from msgspec.structs import replace
from store_support import (
    AT,
    CONFIG,
    claim,
    create,
    do,
    new,
    wait,
    with_store,
)

from playground.store.encoding import as_objects
from playground.store.errors import ChildrenUnfinished, QueueFull
from playground.store.rows import Awaited
from playground.store.snippets import make_snippet
from playground.store.tables import scope_of
from playground.workflows import events as ev
from playground.workflows.errors import InstanceNotFound, NotSerialisable
from playground.workflows.events import NewEvent, StepKey


@with_store
async def test_a_created_instance_is_found_with_all_it_was_given(store):
    given = {
        "params": {"a": [1, None]},
        "control_hash": "h",
        "class_name": "C",
        "metadata": {"plan": "pro"},
        "limits": {"x": 1},
    }
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


MANY = 150  # instances that are alike are written many to a statement (store/sqlite/alike.py)


def alike(count=MANY, first=0, **given):
    given = {"tenant": "acme", "metadata": {"plan": "pro"}, "limits": {"x": 1}, "trigger": "binding"} | given
    values = [None, {"n": 1}, "ä", msgspec.Raw(b'"%b"' % (b"x" * 300)), [1, None], 'a "quoted" null', 7, False]
    return [
        new(f"i{number}", params=values[number % len(values)], nonce=f"n{number}", **given)
        for number in range(first, first + count)
    ]


async def seen(store, row):
    """All that is kept of an instance, but for its key."""
    assert await store.find(row.tenant, row.id) == row
    loaded = await store.load(row.key)
    assert loaded.row == row and not loaded.steps
    return replace(row, key=0), await store.events(row.key, after=0, limit=10)


@with_store
async def test_instances_that_are_alike_are_as_they_are_alone(store):
    rows, refused = await store.create(alike(), at=AT)
    assert not refused and [row.id for row in rows] == [f"i{n}" for n in range(MANY)]
    alone = [(await store.create([one], at=AT))[0][0] for one in alike(tenant="other")]
    for row, other in zip(rows, alone, strict=True):
        mine, theirs = await seen(store, row), await seen(store, other)
        assert mine == (replace(theirs[0], tenant="acme"), theirs[1])
    assert await store.count(tenant="acme") == await store.count(tenant="other") == {"queued": MANY}
    assert [row.id for row in await claim(store, MANY)][:2] == ["i0", "i1"], "they are due, oldest first"


@with_store
async def test_ids_that_are_taken_are_left_out_of_many_that_are_alike(store):
    await store.create(alike(1, first=40), at=AT)
    batch = [*alike(60), *alike(1, first=3), *alike(60, first=60)]
    rows, refused = await store.create(batch, at=AT + 1)
    assert [(entry.index, entry.id) for entry in refused] == [(40, "i40"), (60, "i3")]
    assert [row.id for row in rows] == [f"i{n}" for n in range(120) if n != 40]
    for row in rows:
        await seen(store, row)
    assert await store.count(tenant="acme") == {"queued": 120}
    again = await asyncio.gather(*(store.create(alike(20, first=200), at=AT) for _ in range(3)))
    assert sorted(len(rows) for rows, _ in again) == [0, 0, 20], "of creates in one commit one gets the ids"


@with_store
async def test_a_batch_of_different_instances_keeps_its_order(store):
    code = make_snippet("print(1)", "{}", AT)
    [parent] = await create(store, "parent")
    batch = [
        new("a"),
        *alike(20),
        new("child", parent=parent.key, trigger={"kind": "fork"}),
        *alike(20, first=20, workflow="other", snippet=code),
        new("b", events=[NewEvent(ev.KV_PUT, {"key": "k", "value": 7}, do("one"))]),
        *alike(5, first=40),
    ]
    rows, refused = await store.create(batch, at=AT)
    assert not refused and [row.id for row in rows] == [one.id for one in batch]
    assert [row.key for row in rows] == list(range(rows[0].key, rows[0].key + len(rows)))
    for row, one in zip(rows, batch, strict=True):
        assert await store.find(row.tenant, row.id) == row
        assert (row.workflow, row.snippet, row.params, row.nonce) == (
            one.workflow,
            one.snippet_id,
            one.params,
            one.nonce,
        )
    await store.shrink()
    assert await store.snippet(code.id) == code
    assert [row.id for row in await store.children(parent.key, "fork")] == ["child"]


@with_store
async def test_many_that_are_alike_are_refused_as_one(store):
    for bad in ({"params": "\udc80"}, {"limits": {"x": object()}}):
        wrong = [*alike(30), *alike(30, first=30, **bad)] if "limits" in bad else [*alike(59), new("i59", **bad)]
        with pytest.raises(NotSerialisable):
            await store.create(wrong, at=AT)
    with pytest.raises(QueueFull):
        await store.create([*alike(30), *alike(30, tenant="full")], at=AT, queued_most={"full": 0})
    assert await store.count() == {}
    assert len((await store.create(alike(), at=AT))[0]) == MANY


@with_store
async def test_creates_at_once_of_one_id_give_it_to_one(store):
    answers = await asyncio.gather(*(store.create([new("same")], at=AT) for _ in range(20)))
    assert sum(len(rows) for rows, _ in answers) == 1
    assert await store.count() == {"queued": 1}


@with_store
async def test_creates_at_once_cannot_fill_a_queue_past_its_length(store):
    """Whoever creates: the count is looked at in the transaction, with what others have created in the same commit."""
    asked = [new(f"i{n}", tenant="acme", queue=f"q{n}") for n in range(20)]
    creating = [store.create([each], at=AT, queued_most={"acme": 5}) for each in asked]
    answers = await asyncio.gather(*creating, return_exceptions=True)
    refused = [it for it in answers if isinstance(it, QueueFull)]
    assert [(it.tenant, it.queued, it.most) for it in refused] == [("acme", 5, 5)] * 15
    assert await store.count(tenant="acme") == {"queued": 5}
    await store.create([new("other", tenant="other"), new("nobodys")], at=AT, queued_most={"acme": 5, "": 1})
    with pytest.raises(QueueFull):
        await store.create([new("fits", tenant="other"), new("too-many")], at=AT, queued_most={"other": 9, "": 1})
    assert await store.count(tenant="other") == {"queued": 1}, "a batch is all or nothing"
    await claim(store, 1)
    await store.delete((await store.find("acme", answers[0][0][0].id)).key)
    assert len((await store.create([new("room", tenant="acme")], at=AT, queued_most={"acme": 5}))[0]) == 1


@with_store
async def test_the_same_id_in_two_tenants_is_two_instances(store):
    await create(store, "a", tenant="x")
    await create(store, "a", tenant="y")
    assert (await store.find("x", "a")).key != (await store.find("y", "a")).key
    with pytest.raises(InstanceNotFound):
        await store.find("z", "a")


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
async def test_an_instance_and_its_code_are_one_commit(store):
    code = make_snippet("print(1)", "{}", AT)
    before = store.metrics.commits
    rows, _ = await store.create([new("a", snippet=code), new("b", snippet=code), new("c", snippet="elsewhere")], at=AT)
    assert store.metrics.commits == before + 1
    assert [row.snippet for row in rows] == [code.id, code.id, "elsewhere"]
    await store.shrink()
    assert await store.snippet(code.id) == code
    [again], _ = await store.create([new("d", snippet=make_snippet("print(1)", "{}", AT + 9))], at=AT + 9)
    assert again.snippet == code.id
    await store.shrink()
    assert await store.snippet(code.id) == code, "what was stored first stays"


@with_store
async def test_the_code_of_an_instance_that_is_refused_is_not_stored(store):
    await create(store, "taken")
    code = make_snippet("print(2)", None, AT)
    assert (await store.create([new("taken", snippet=code)], at=AT))[0] == []
    assert await store.snippet(code.id) is None
    with pytest.raises(UnicodeEncodeError):
        await store.create([new("a", snippet=make_snippet("print('\udc80')", None, AT))], at=AT)
    with pytest.raises(InstanceNotFound):
        await store.find("", "a")


@with_store
async def test_an_instance_begins_with_the_steps_and_keys_that_it_is_given(store):
    ((parent,), _) = await store.create([new("parent")], at=AT)
    copied = [
        NewEvent(
            ev.STEP_COPIED,
            {"status": "completed", "line": 3, "config": CONFIG, "output": {"a": 1}, "rollback": CONFIG},
            do("one"),
        ),
        NewEvent(
            ev.STEP_COPIED,
            {"status": "completed", "line": 4, "config": {"sensitive": "output"}, "output": ev.REDACTED},
            do("two"),
            "x" * 500,
        ),
        NewEvent(
            ev.STEP_COPIED,
            {"status": "timed_out", "line": 5, "event_type": "go", "error": {"name": "E", "message": "m"}},
            wait(),
        ),
        NewEvent(ev.KV_PUT, {"key": "k", "value": 7}, do("one")),
    ]
    trigger = {"kind": "fork", "of": "parent", "seq": 1}
    made, refused = await store.create(
        [
            new("child", events=copied, parent=parent.key, trigger=trigger),
            new("other", trigger={**trigger, "kind": "chaos"}, parent=parent.key),
        ],
        at=AT + 5,
    )
    assert not refused and [row.last_seq for row in made] == [5, 1]
    loaded = await store.load(made[0].key)
    one, two, third = (loaded.steps[key] for key in (do("one"), do("two"), wait()))
    assert (one.status, as_objects(one.result), one.rollback, one.rollback_config) == (
        "completed",
        {"a": 1},
        "pending",
        CONFIG,
    )
    assert (as_objects(two.result), two.result_bytes, third.status, third.error["name"]) == (
        "x" * 500,
        502,
        "errored",
        "E",
    )
    assert loaded.row.stored_bytes >= 502 and not loaded.open
    journal = await store.events(made[0].key, after=0, limit=10)
    assert [event.seq for event in journal] == [1, 2, 3, 4, 5] and journal[0].data["trigger"] == trigger
    assert journal[2].data["output"] == ev.REDACTED
    assert await store.kv.get(scope_of(made[0]), "k") == (True, 7)
    assert [row.id for row in await store.children(parent.key, "fork")] == ["child"]
    assert [row.id for row in await store.children(parent.key, "chaos")] == ["other"]
    await store.delete(made[0].key)
    assert list(await store.children(parent.key, "fork")) == []


@with_store
async def test_instances_that_take_the_place_of_others_wait_until_those_have_ended(store):
    """Of several at once one does, since what it created has not ended either."""
    trigger = {"kind": "chaos", "of": "parent"}
    [parent] = await create(store, "parent", at=AT)
    [fork] = await create(store, "fork", parent=parent.key, trigger={"kind": "fork"})
    [old] = await create(store, "old", parent=parent.key, trigger=trigger)

    def put_in_place(id):
        return store.create([new(id, parent=parent.key, trigger=trigger)], at=AT, instead_of=(parent.key, "chaos"))

    with pytest.raises(ChildrenUnfinished):
        await put_in_place("too-early")
    await store.decide(old.key, lambda _: [NewEvent(ev.WORKFLOW_TERMINATED)], execution=None, at=AT)
    answers = await asyncio.gather(*(put_in_place(f"i{n}") for n in range(5)), return_exceptions=True)
    assert [type(it) for it in answers] == [tuple, *[ChildrenUnfinished] * 4]
    assert [row.id for row in await store.children(parent.key, "chaos")] == ["i0"]
    assert [row.id for row in await store.children(parent.key, "fork")] == [fork.id]
    assert (await store.find("", "old")).key == old.key, "who replaced it deletes it"


@with_store
async def test_what_needs_an_instance_is_not_created_once_that_is_deleted(store):
    [control] = await create(store, "control")
    await store.create([new("one")], at=AT, needs=control.key)
    deleting = asyncio.ensure_future(store.delete(control.key))
    creating = asyncio.ensure_future(store.create([new("two")], at=AT, needs=control.key))  # in the same commit or next
    await deleting
    with pytest.raises(InstanceNotFound):
        await creating
    assert await store.count() == {"queued": 1}


@with_store
async def test_a_child_that_is_waited_for_says_what_is_to_be_done_about_it(store):
    [parent] = await create(store, "parent", at=AT)
    step = StepKey(ev.CHILD, "kid", 1, StepKey(ev.DO, "outer", 2))
    started = [NewEvent(ev.CHILD_STARTED, {"child": "kid", "line": 1}, step)]
    committed = await store.decide(parent.key, lambda _: started, execution=None, at=AT)
    awaited = Awaited(parent.key, step, committed.events[0].seq, cascades=True)
    trigger = {"kind": ev.CHILD, "of": "parent"}
    ended = []
    unsubscribe = store.listen_ended(ended.extend)
    [kid] = (await store.create([new("kid", parent=parent.key, trigger=trigger, awaited=awaited)], at=AT))[0]
    other = awaited._replace(started_seq=99)
    [stray] = (await store.create([new("stray", parent=parent.key, trigger=trigger, awaited=other)], at=AT))[0]

    async def stand():
        found = await store.families.of([parent.key])
        assert found == await store.families.of([kid.key, stray.key]) == await store.families.after(0, 10)
        return [(child.id, child.ended, child.wanted) for child in found]

    assert await stand() == [("kid", False, True), ("stray", False, False)], "a step of another start is another step"
    assert (await store.families.of([kid.key]))[0].awaited == awaited
    await store.decide(kid.key, lambda _: [NewEvent(ev.WORKFLOW_TERMINATED)], execution=None, at=AT)
    assert await stand() == [("kid", True, True), ("stray", False, False)] and ended == [kid.key]
    end = [NewEvent(ev.CHILD_ERRORED, {"error": {"name": "E", "message": "m"}}, step)]
    await store.decide(parent.key, lambda _: end, execution=None, at=AT)
    assert await stand() == [("kid", True, False), ("stray", False, False)]
    await store.delete(stray.key)
    assert await stand() == [("kid", True, False), (None, True, False)], "a row outlives its instance"
    await store.families.forget([kid.key])
    await store.families.add(stray.key, awaited)
    assert [child.awaited for child in await store.families.after(kid.key, 10)] == [other], "one that is stays"
    unsubscribe()
    await store.decide(parent.key, lambda _: [NewEvent(ev.WORKFLOW_TERMINATED)], execution=None, at=AT)
    assert ended == [kid.key]
