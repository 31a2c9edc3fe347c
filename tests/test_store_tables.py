"""What a store keeps beside the journals: keys and values with their transactions, the ledger of effects, tenants and
their code.
"""

import asyncio

import pytest
from aio import story
from store_support import AT, claim, create, do, opened, quick, running, with_store

from playground.store import open_store
from playground.store.messages import NewMessage, Outcome, QueueSettings
from playground.store.open import open_key_admin
from playground.store.protocol import Store
from playground.store.tables import (
    GONE,
    MISSING,
    NEEDED,
    NEWEST,
    ROW_BYTES,
    VERSIONS_FULL,
    WORKFLOWS_FULL,
    EffectRow,
    NewEffect,
    NewVersion,
    Scope,
    TenantKey,
    Version,
    scope_of,
)
from playground.workflows import events as ev
from playground.workflows.errors import Fenced, InstanceNotFound
from playground.workflows.events import NewEvent, StepKey

MOST = 100  # deliveries of a tenant at once
ACME = Scope("acme", 0)


def put(key: str, value: object, step: StepKey | None = None, secret: object = None) -> NewEvent:
    return NewEvent(ev.KV_PUT, {"key": key, "value": value}, step, secret)


def deleted(key: str) -> NewEvent:
    return NewEvent(ev.KV_DELETED, {"key": key})


@with_store
async def test_keys_are_written_with_the_events_that_tell_of_them(store: Store) -> None:
    row = await running(store, tenant="acme")
    assert await store.kv.get(ACME, "a") == (False, None)
    await store.append(row.key, [*quick(do()), put("a", {"n": 1}, do())], execution=row.execution, at=AT)
    assert await store.kv.get(ACME, "a") == (True, {"n": 1})
    await store.append(row.key, [put("a", None), put("b", 2), deleted("a")], execution=row.execution, at=AT)
    assert await store.kv.get(ACME, "a") == (False, None)
    await store.append(row.key, [put("a", None)], execution=row.execution, at=AT)
    assert await store.kv.get(ACME, "a") == (True, None)


@with_store
async def test_a_refused_append_writes_no_key(store: Store) -> None:
    row = await running(store, tenant="acme")
    with pytest.raises(Fenced):
        await store.append(row.key, [put("a", 1)], execution=row.execution + 1, at=AT)
    assert await store.kv.get(ACME, "a") == (False, None)


@with_store
async def test_a_value_kept_out_of_the_journal_is_in_the_key(store: Store) -> None:
    row = await running(store, tenant="acme")
    await store.append(row.key, [put("token", "[REDACTED]", secret="sk_live")], execution=row.execution, at=AT)
    assert await store.kv.get(ACME, "token") == (True, "sk_live")
    assert (await store.events(row.key, after=row.last_seq, limit=1))[0].data == {"key": "token", "value": "[REDACTED]"}


@with_store
async def test_the_later_commit_of_two_instances_counts_also_within_one_transaction(store: Store) -> None:
    one = await running(store, "one", tenant="acme")
    two = await running(store, "two", tenant="acme")
    entries = [
        (one, put("k", "first")),
        (two, put("k", "second")),
        (one, NewEvent(ev.LOG, {"text": "x"})),
        (two, put("k", "last")),
    ]
    await asyncio.gather(*(store.append(row.key, [event], execution=row.execution, at=AT) for row, event in entries))
    assert await store.kv.get(ACME, "k") == (True, "last")


@with_store
async def test_tenants_and_instances_of_nobody_do_not_see_each_others_keys(store: Store) -> None:
    rows = {
        name: await running(store, id, tenant=tenant)
        for name, id, tenant in (("acme", "i", "acme"), ("other", "i", "other"), ("a", "a", ""), ("b", "b", ""))
    }
    for name, row in rows.items():
        await store.append(row.key, [put("k", name), put(f"only-{name}", 1)], execution=row.execution, at=AT)
    for name, row in rows.items():
        scope = scope_of(row)
        assert await store.kv.get(scope, "k") == (True, name)
        assert await store.kv.keys(scope, prefix="", after="", limit=10) == ["k", f"only-{name}"]


@with_store
async def test_keys_are_listed_by_prefix_in_order_and_in_pages(store: Store) -> None:
    row = await running(store, tenant="acme")
    names = ["a", "ab", "ab/1", "ab/2", "ab\U0010ffff", "ac", "\ud7ff", "\ud7ff1", "\ue000", "é"]
    await store.append(row.key, [put(name, 1) for name in names], execution=row.execution, at=AT)

    async def keys(prefix: str, after: str = "", limit: int = 100) -> list[str]:
        return await store.kv.keys(ACME, prefix=prefix, after=after, limit=limit)

    assert await keys("") == sorted(names)
    assert await keys("ab") == ["ab", "ab/1", "ab/2", "ab\U0010ffff"]
    assert await keys("ab", after="ab/1", limit=1) == ["ab/2"]
    assert await keys("\ud7ff") == ["\ud7ff", "\ud7ff1"]
    assert await keys("ab\U0010ffff") == ["ab\U0010ffff"]
    assert await keys("zz") == []


@with_store
async def test_bytes_count_keys_and_values_as_they_come_and_go(store: Store) -> None:
    row = await running(store, tenant="acme")
    assert await store.kv.bytes(ACME) == 0
    await store.append(row.key, [put("é", "12345")], execution=row.execution, at=AT)
    assert await store.kv.bytes(ACME) == ROW_BYTES + 2 + len('"12345"')
    await store.append(row.key, [put("é", "1")], execution=row.execution, at=AT)
    assert await store.kv.bytes(ACME) == ROW_BYTES + 2 + len('"1"')
    await store.append(row.key, [deleted("é")], execution=row.execution, at=AT)
    assert await store.kv.bytes(ACME) == 0


@with_store
async def test_what_an_instance_of_nobody_has_goes_with_it_and_a_tenants_keys_stay(store: Store) -> None:
    own = await running(store, "own")
    theirs = await running(store, "theirs", tenant="acme")
    for row in (own, theirs):
        await store.append(row.key, [put("k", 1)], execution=row.execution, at=AT)
        await store.effects.record(effect(row.key, scope=scope_of(row)), at=AT, most=9)
        await store.delete(row.key)
        assert await store.effects.of_instance(row.key) == []
    assert await store.kv.get(scope_of(own), "k") == (False, None)
    assert await store.kv.bytes(scope_of(own)) == 0
    assert await store.kv.get(ACME, "k") == (True, 1)


def effect(
    instance: int, *, scope: Scope = ACME, kind: str = "charge", key: str | None = None, amount: int = 5
) -> NewEffect:
    return NewEffect(scope, instance, kind, key, {"amount": amount}, "pay-1", 1, 1)


@with_store
async def test_an_effect_happens_each_time_and_with_a_key_once(store: Store) -> None:
    row = await running(store, tenant="acme")
    first = await store.effects.record(effect(row.key), at=AT, most=9)
    assert first == EffectRow(1, AT, "charge", None, {"amount": 5}, "pay-1", 1, 1, 1)
    second = await store.effects.record(effect(row.key), at=AT + 1, most=9)
    assert second is not None and second.number == 2
    kept = await store.effects.record(effect(row.key, key="order-7"), at=AT + 2, most=9)
    again = await store.effects.record(effect(row.key, key="order-7", amount=99), at=AT + 3, most=9)
    assert kept is not None and again is not None
    assert (again.number, again.at, again.data, again.asked) == (kept.number, AT + 2, {"amount": 5}, 2)
    other_kind = await store.effects.record(effect(row.key, kind="email", key="order-7"), at=AT, most=9)
    assert other_kind is not None and other_kind.number == 4
    assert [(it.number, it.asked) for it in await store.effects.of_instance(row.key)] == [
        (1, 1),
        (2, 1),
        (3, 2),
        (4, 1),
    ]


@with_store
async def test_a_key_of_one_scope_means_nothing_in_another_and_effects_are_bounded(store: Store) -> None:
    one, two = await running(store, "one", tenant="acme"), await running(store, "two", tenant="other")
    for row in (one, two):
        made = await store.effects.record(effect(row.key, scope=scope_of(row), key="k"), at=AT, most=1)
        assert made is not None and (made.number, made.asked) == (1, 1)
    assert await store.effects.record(effect(one.key), at=AT, most=1) is None
    again = await store.effects.record(effect(one.key, key="k"), at=AT, most=1)
    assert again is not None and again.asked == 2


@with_store
async def test_no_effect_is_recorded_of_an_instance_that_has_been_deleted(store: Store) -> None:
    row = await running(store, tenant="acme")
    deleting = asyncio.ensure_future(store.delete(row.key))
    recording = asyncio.ensure_future(store.effects.record(effect(row.key), at=AT, most=9))  # in one commit or two
    await deleting
    with pytest.raises(InstanceNotFound):
        await recording
    with pytest.raises(InstanceNotFound):
        await store.effects.record(effect(row.key, key="order-7"), at=AT, most=9)
    assert await store.effects.change_counters(row.key) == (0, 0)


async def deploy(
    store: Store,
    source: str,
    class_name: str = "TenantWorkflow",
    *,
    tenant: str = "acme",
    at: int = AT,
    most: int = 99,
    workflow: str = "main",
) -> tuple[Version, bool]:
    new = NewVersion(source, class_name, workflow)
    made = await store.tenants.deploy(tenant, new, at=at, most=most, workflows_most=9)
    assert isinstance(made, tuple)
    return made


@with_store
async def test_versions_are_numbered_hashed_and_kept(store: Store) -> None:
    first, fresh = await deploy(store, "one")
    assert (first.number, fresh) == (1, True)
    assert await deploy(store, "one", at=AT + 1) == (first, False)
    second, _ = await deploy(store, "two")
    other_class, _ = await deploy(store, "two", "Other")
    back, fresh = await deploy(store, "one", at=AT + 4)
    assert (back.number, back.source, fresh) == (4, "one", True)
    assert len({first.id, second.id, other_class.id, back.id}) == 4
    assert (await deploy(store, "one", tenant="other"))[0].id == first.id, "the hash of its content"
    assert await store.tenants.version("acme", first.id) == first, "what came back is another version"
    assert [it.number for it in await store.tenants.versions("acme", limit=3)] == [4, 3, 2]
    assert [it.source for it in await store.tenants.versions("acme", before=2, limit=3)] == [""]
    assert await store.tenants.newest_version("acme") == back
    found = await store.tenants.version("acme", second.id)
    assert found is not None and found.source == "two"
    assert await store.tenants.version("other", second.id) is None
    assert await store.tenants.newest_version("nobody") is None


@with_store
async def test_versions_that_no_unfinished_instance_needs_go_when_there_are_too_many(store: Store) -> None:
    one, two = [(await deploy(store, source, most=3))[0] for source in ("one", "two")]
    [needs] = await create(store, "needs", tenant="acme", snippet=one.id)
    [done] = await create(store, "done", tenant="acme", snippet=two.id)
    await store.append(done.key, [NewEvent(ev.WORKFLOW_TERMINATED)], execution=None, at=AT)
    for source in ("three", "four"):
        await deploy(store, source, most=3)
    assert [it.number for it in await store.tenants.versions("acme", limit=9)] == [4, 3, 1]
    for number, source in enumerate(("a", "b", "c"), 5):
        made, _ = await deploy(store, source, most=3)
        assert made.number == number
    assert [it.number for it in await store.tenants.versions("acme", limit=9)] == [7, 6, 1]
    [also] = await create(store, "also", tenant="acme", snippet=(await store.tenants.versions("acme", limit=9))[1].id)
    assert await store.tenants.deploy("acme", NewVersion("d"), at=AT, most=2, workflows_most=9) == VERSIONS_FULL, (
        "the newest and what is needed stay"
    )
    assert [it.number for it in await store.tenants.versions("acme", limit=9)] == [7, 6, 1]
    for row in (needs, also):
        await store.append(row.key, [NewEvent(ev.WORKFLOW_TERMINATED)], execution=None, at=AT)
    assert (await deploy(store, "d", most=2))[0].number == 8
    assert [it.number for it in await store.tenants.versions("acme", limit=9)] == [8, 7]


@with_store
async def test_workflows_have_versions_of_their_own_and_count_together(store: Store) -> None:
    main, _ = await deploy(store, "one")
    mail, fresh = await deploy(store, "one", workflow="mail", at=AT + 1)
    assert (fresh, mail.number, mail.workflow) == (True, 1, "mail") and mail.id != main.id
    assert await store.tenants.version("acme", mail.id) == mail
    limited = NewVersion("one", workflow="mail", limits={"step_limit": 5})
    second, fresh = await store.tenants.deploy("acme", limited, at=AT + 2, most=3, workflows_most=9)  # type: ignore[misc]
    assert (fresh, second.number, second.limits) == (True, 2, {"step_limit": 5})
    assert await store.tenants.deploy("acme", limited, at=AT + 3, most=3, workflows_most=2) == (second, False)
    assert await store.tenants.newest_version("acme", "mail") == second
    assert await store.tenants.newest_version("acme", "post") is None
    for most, expected in ((3, WORKFLOWS_FULL), (2, WORKFLOWS_FULL)):
        new = NewVersion("new", workflow="new")
        assert await store.tenants.deploy("acme", new, at=AT, most=most, workflows_most=2) == expected
    await deploy(store, "new", workflow="new", most=3)
    assert [(it.workflow, it.number, it.source) for it in await store.tenants.workflows("acme")] == [
        ("mail", 2, ""), ("main", 1, ""), ("new", 1, ""),
    ], "the oldest version that nothing needs went, and no workflow's newest"  # fmt: skip
    assert await store.tenants.deploy("acme", NewVersion("x"), at=AT, most=2, workflows_most=9) == VERSIONS_FULL
    assert await store.tenants.delete_version("acme", second.id) == GONE, "with its only version a workflow is gone"
    assert [it.workflow for it in await store.tenants.workflows("acme")] == ["main", "new"]


@with_store
async def test_a_version_is_deleted_unless_it_is_the_newest_or_needed(store: Store) -> None:
    old, new = [(await deploy(store, source))[0] for source in ("old", "new")]
    creating = asyncio.ensure_future(create(store, "i", tenant="acme", snippet=old.id))
    deleting = asyncio.ensure_future(store.tenants.delete_version("acme", old.id))  # in the same commit
    [row] = await creating
    assert await deleting == NEEDED
    assert await store.tenants.delete_version("acme", new.id) == NEWEST
    assert (
        await store.tenants.delete_version("acme", "v9")
        == await store.tenants.delete_version("other", old.id)
        == MISSING
    )
    await store.append(row.key, [NewEvent(ev.WORKFLOW_TERMINATED)], execution=None, at=AT)
    assert await store.tenants.delete_version("acme", old.id) == GONE
    assert await store.tenants.version("acme", old.id) is None


@with_store
async def test_a_tenant_that_is_removed_leaves_nothing_and_others_keep_theirs(store: Store) -> None:
    for tenant in ("acme", "other"):
        await deploy(store, "one", tenant=tenant)
        await store.tenants.add_key(tenant, "laptop", f"hash of {tenant}", at=AT)
        await store.tenants.set_secret(tenant, "TOKEN", "value")
        await store.tenants.set_trigger(tenant, "hash")
        [row] = await create(store, "i", tenant=tenant)
        await store.append(
            row.key,
            [NewEvent(ev.KV_PUT, {"key": "k", "value": 1}), NewEvent(ev.WORKFLOW_TERMINATED)],
            execution=None,
            at=AT,
        )
    await store.tenants.close("acme")
    closed = await store.tenants.tenant("acme")
    assert closed is not None and closed.trigger_hash is None
    assert await store.tenants.key("hash of acme") is None and await store.tenants.newest_version("acme") is None
    assert [await store.delete_ended("acme") for _ in range(2)] == [1, 0]
    await store.tenants.remove("acme")
    assert await store.tenants.tenant("acme") is None
    assert await store.tenants.secrets("acme") == {} and await store.kv.bytes(Scope("acme", 0)) == 0
    assert await store.kv.keys(Scope("acme", 0), prefix="", after="", limit=9) == []
    assert await store.tenants.secrets("other") == {"TOKEN": "value"}
    assert await store.kv.keys(Scope("other", 0), prefix="", after="", limit=9) == ["k"]
    assert (
        await store.tenants.key("hash of other") is not None
        and (await store.find("other", "i")).status == ev.TERMINATED
    )


@with_store
async def test_keys_of_a_tenant_are_numbered_and_the_first_makes_it(store: Store) -> None:
    assert await store.tenants.tenant("acme") is None
    assert [await store.tenants.add_key("acme", name, f"hash of {name}", at=AT) for name in ("one", "two")] == [1, 2]
    assert await store.tenants.add_key("other", "", "hash", at=AT + 1) == 1
    assert await store.tenants.key("hash of two") == TenantKey("acme", 2, "two", AT, None)
    assert await store.tenants.revoke_key("acme", 2, at=AT + 1) and await store.tenants.revoke_key("acme", 2, at=AT + 9)
    assert not await store.tenants.revoke_key("acme", 3, at=AT)
    keys = [TenantKey("acme", 1, "one", AT, None), TenantKey("acme", 2, "two", AT, AT + 1)]
    assert await store.tenants.keys("acme") == keys
    assert [it.name for it in await store.tenants.all(after="", limit=9)] == ["acme", "other"]


@with_store
async def test_secrets_and_the_trigger_are_the_tenants_own(store: Store) -> None:
    await deploy(store, "one")
    await store.tenants.set_secret("acme", "TOKEN", "old")
    await store.tenants.set_secret("acme", "TOKEN", "new")
    await store.tenants.set_secret("acme", "GONE", "x")
    await store.tenants.set_secret("acme", "GONE", None)
    assert await store.tenants.secrets("acme") == {"TOKEN": "new"}
    assert await store.tenants.secrets("other") == {}
    await store.tenants.set_trigger("acme", "hash")
    found = await store.tenants.tenant("acme")
    assert found is not None and found.trigger_hash == "hash"
    assert await store.tenants.tenant("other") is None
    assert [it.name for it in await store.tenants.all(after="", limit=5)] == ["acme"]


@with_store
async def test_of_many_secrets_set_at_once_no_more_are_kept_than_there_may_be(store: Store) -> None:
    setting = [store.tenants.set_secret("acme", f"S{number}", "value", most=3) for number in range(8)]
    assert sum(await asyncio.gather(*setting)) == 3
    kept = await store.tenants.secret_names("acme")
    assert len(kept) == 3
    assert await store.tenants.set_secret("acme", kept[0], "another", most=3), "one that is there may be changed"
    assert await store.tenants.set_secret("other", "FIRST", "value", most=3)
    assert await store.tenants.set_secret("acme", kept[1], None)
    assert await store.tenants.set_secret("acme", "FREE", "value", most=3)
    assert (await store.tenants.secrets("acme"))[kept[0]] == "another"


@with_store
async def test_of_many_versions_deployed_at_once_no_more_are_kept_than_there_may_be(store: Store) -> None:
    await asyncio.gather(*(deploy(store, f"source {number}", most=3) for number in range(8)))
    assert len(await store.tenants.versions("acme", limit=99)) == 3


@story
async def test_keys_are_made_and_revoked_by_another_program_while_the_store_is_open(store_url: str) -> None:
    store = open_store(store_url)
    await store.nodes.join("serving", 600_000)
    try:
        with open_key_admin(store_url) as admin:
            assert admin.is_served
            assert admin.add_key("acme", "laptop", "h1", at=AT) == 1
            assert admin.add_key("acme", "server", "h2", at=AT) == 2
            assert admin.revoke_key("acme", 1, at=AT + 5)
            assert admin.revoke_key("acme", 1, at=AT + 9)
            assert not admin.revoke_key("acme", 3, at=AT)
            found = admin.keys("acme")
        assert found == await store.tenants.keys("acme")
        assert [(it.number, it.name, it.revoked_at) for it in found] == [(1, "laptop", AT + 5), (2, "server", None)]
        key = await store.tenants.key("h2")
        assert key is not None and (key.tenant, key.revoked_at) == ("acme", None)
        assert await store.tenants.key("h3") is None
        await create(store, "i", tenant="acme")
    finally:
        await store.close()


@story
async def test_migrating_changes_which_code_an_instance_has(store_url: str) -> None:
    store = opened(store_url)
    try:
        [row] = await create(store, "i", tenant="acme")
        committed = await store.decide(
            row.key,
            lambda snapshot: [NewEvent(ev.WORKFLOW_MIGRATED, {"from": "snip", "to": "v2"})],
            execution=None,
            at=AT,
        )
        assert committed.row.snippet == "v2"
        assert (await store.find("acme", "i")).snippet == "v2"
        [claimed] = await claim(store, 1, at=AT)
        assert claimed.snippet == "v2"
    finally:
        await store.close()


# Chores.


@story
async def test_a_chore_is_one_node_s_until_its_time_is_over_also_after_a_restart(store_url: str) -> None:
    store = opened(store_url)
    assert sum(await asyncio.gather(*(store.take_chore("tidy", at=AT, until=AT + 10) for _ in range(5)))) == 1
    assert await store.take_chore("other", at=AT, until=AT + 10)
    await store.close()
    store = opened(store_url)
    assert not await store.take_chore("tidy", at=AT + 9, until=AT + 19)
    assert await store.take_chore("tidy", at=AT + 10, until=AT + 20)
    assert await store.take_chore("tidy", at=AT - 50, until=AT - 40), "a clock that was set back does not stop it"
    await store.close()


# Queues of messages.


def sent(*ids: str, delay_ms: int = 0) -> list[NewMessage]:
    return [NewMessage(id, "json", {"of": id}, delay_ms) for id in ids]


@with_store
async def test_messages_are_taken_in_batches_and_settled_once(store: Store) -> None:
    messages, settings = store.messages, QueueSettings("main", max_batch_size=2, max_batch_timeout_ms=10)
    assert await messages.put_queue("acme", "q", settings, most=1)
    assert not await messages.put_queue("acme", "other", settings, most=1)
    assert await messages.put_queue("acme", "q", settings, most=1)
    assert await messages.queue("acme", "q") == settings and await messages.queue("globex", "q") is None
    assert await messages.send("acme", "q", sent("a", "b", "c"), at=AT, most=4)
    assert not await messages.send("acme", "q", sent("d", "e"), at=AT, most=4)
    assert await messages.send("acme", "q", sent("late", delay_ms=100), at=AT, most=4)
    assert (await messages.count("acme"), await messages.next_due()) == (4, AT)
    taken = await messages.take(at=AT, most_per_tenant=MOST)
    [first] = taken.deliveries
    assert (first.tenant, first.queue, taken.next_at) == ("acme", "q", AT + 10), "the third waits for company"
    assert [(it.id, it.attempts, it.body) for it in await messages.delivered(first)] == [
        ("a", 1, {"of": "a"}), ("b", 1, {"of": "b"}),
    ]  # fmt: skip
    taken = await messages.take(at=AT + 10, most_per_tenant=MOST)
    [second] = taken.deliveries
    assert taken.next_at == AT + 100 and second.id != first.id
    assert set(await messages.open_deliveries()) == {first, second}
    [row] = await messages.queues("acme")
    assert (row.name, tuple(row.counts)) == ("q", (1, 3, 0))
    for _ in range(2):  # again it has no effect
        outcomes = {"a": Outcome(acked=True), "b": Outcome(due_at=AT + 50), "c": Outcome(acked=True)}
        await messages.settle(first, outcomes, at=AT + 20)
    await messages.settle(second, {"c": Outcome(dead=True)}, at=AT + 20)
    assert await messages.delivered(first) == [] and await messages.open_deliveries() == []
    assert [(it.id, it.dead_at) for it in await messages.dead("acme", "q", limit=9)] == [("c", AT + 20)]
    again = (await messages.take(at=AT + 60, most_per_tenant=MOST)).deliveries[0]
    assert [(it.id, it.attempts) for it in await messages.delivered(again)] == [("b", 2)] and again.id != first.id
    assert not await messages.revive("acme", "q", "b", at=AT) and await messages.revive("acme", "q", "c", at=AT)
    assert not await messages.delete_dead("acme", "q", "c")
    assert await messages.delete_queue("acme", "q") and not await messages.delete_queue("acme", "q")
    assert (await messages.count("acme"), await messages.next_due()) == (0, None)


@with_store
async def test_a_message_goes_into_its_queue_with_the_commit_that_sends_it(store: Store) -> None:
    data = {"queue": "q", "id": "m", "content_type": "json", "body": {"n": 1}, "delay_ms": 5}
    event = NewEvent(ev.MESSAGE_SENT, data, do())
    row = await running(store, tenant="acme")
    assert await store.messages.put_queue("acme", "q", QueueSettings("main", max_batch_timeout_ms=0), most=9)
    with pytest.raises(Fenced):
        await store.append(row.key, [*quick(do()), event], execution=9, at=AT)
    assert await store.messages.count("acme") == 0
    await store.append(row.key, [*quick(do()), event], execution=1, at=AT)
    assert (await store.messages.take(at=AT, most_per_tenant=MOST)).deliveries == []
    [delivery] = (await store.messages.take(at=AT + 5, most_per_tenant=MOST)).deliveries
    assert [(it.id, it.sent_at, it.body) for it in await store.messages.delivered(delivery)] == [("m", AT, {"n": 1})]


@with_store
async def test_two_that_take_at_once_get_no_message_twice_and_keep_the_limit(store: Store) -> None:
    settings = QueueSettings("main", max_batch_size=1, max_batch_timeout_ms=0, max_concurrency=3)
    assert await store.messages.put_queue("acme", "q", settings, most=9)
    assert await store.messages.send("acme", "q", sent(*map(str, range(9))), at=AT, most=99)
    found = await asyncio.gather(*(store.messages.take(at=AT, most_per_tenant=MOST) for _ in range(4)))
    begun = [delivery for taken in found for delivery in taken.deliveries]
    assert len(begun) == len(set(begun)) == 3


@with_store
async def test_a_tenant_has_so_many_deliveries_at_once_and_another_has_its_own(store: Store) -> None:
    settings = QueueSettings("main", max_batch_size=1, max_batch_timeout_ms=0, max_concurrency=250)
    for tenant, count in (("acme", MOST + 20), ("globex", 1)):
        assert await store.messages.put_queue(tenant, "q", settings, most=9)
        assert await store.messages.send(tenant, "q", sent(*map(str, range(count))), at=AT, most=999)
    begun = [
        delivery for _ in range(4) for delivery in (await store.messages.take(at=AT, most_per_tenant=MOST)).deliveries
    ]
    assert [sum(it.tenant == tenant for it in begun) for tenant in ("acme", "globex")] == [MOST, 1]


@with_store
async def test_queues_of_programs_and_all_others_are_taken_apart(store: Store) -> None:
    for queue, metadata in (("deployed", None), ("of-program", {"tenant": "acme"})):
        settings = QueueSettings("main", max_batch_timeout_ms=0, metadata=metadata)
        assert await store.messages.put_queue("acme", queue, settings, most=9)
        assert await store.messages.send("acme", queue, sent(queue), at=AT, most=9)
    for of_programs, queue in ((True, "of-program"), (False, "deployed")):
        [delivery] = (await store.messages.take(at=AT, most_per_tenant=MOST, of_programs=of_programs)).deliveries
        assert delivery.queue == queue
        assert await store.messages.open_deliveries(of_programs=of_programs) == [delivery]
