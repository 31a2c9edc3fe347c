"""Tenants that deploy: versions are immutable and kept, instances stay on theirs,
and migrate where their history fits.
"""

import asyncio
from typing import Any

import pytest
from dispatch_support import journal, journal_until, on_engine, output, workflow

from playground.engine import Engine
from playground.engine.code.sources import shown_workflow
from playground.engine.code.tenants import SECRETS_MOST, Tenants
from playground.engine.instances import WorkflowInstance
from playground.store.rows import InstanceRow
from playground.store.tables import NewVersion
from playground.workflows import errors
from playground.workflows import events as ev

HELD = """
    await step.do("first", lambda: "first of NAME")
    got = await step.wait_for_event("go", "go", timeout="1 hour")
    return ["NAME", got["payload"]]
    """


def code(body: str) -> NewVersion:
    return NewVersion(workflow(body))


def held(name: str, **more: Any) -> NewVersion:
    return NewVersion(workflow(HELD.replace("NAME", name)), **more)


def handle(engine: Engine, row: InstanceRow) -> WorkflowInstance:
    return WorkflowInstance(engine, row.tenant, row.id)


async def row_of(engine: Engine, instance: WorkflowInstance) -> InstanceRow:
    return await engine.store.find("acme", instance.id)


async def asleep(engine: Engine, tenants: Tenants, **given: Any) -> WorkflowInstance:
    """An instance that has done its first step, waits, and has given its worker up."""
    instance = handle(engine, await tenants.create("acme", **given))
    await journal_until(instance, ev.EXECUTION_ENDED)
    return instance


def versions_of(events: list[Any]) -> list[str]:
    return [event.data["code_version"] for event in events if event.type == ev.EXECUTION_STARTED]


@on_engine(idle_grace_ms=0)
async def test_new_instances_get_the_newest_version_and_old_ones_stay_on_theirs(engine: Engine) -> None:
    tenants = Tenants(engine)
    first, _ = await tenants.deploy("acme", held("one"))
    old = await asleep(engine, tenants)
    second, _ = await tenants.deploy("acme", held("two"))
    new = await asleep(engine, tenants)
    pinned = await asleep(engine, tenants, version=first.id)
    for instance in (old, new, pinned):
        await instance.send_event("go", 1)
    assert [await output(instance) for instance in (old, new, pinned)] == [["one", 1], ["two", 1], ["one", 1]]
    assert versions_of(await journal(old)) == [first.id, first.id]
    assert versions_of(await journal(new)) == [second.id, second.id]


@on_engine()
async def test_versions_are_found_by_their_tenant_only(engine: Engine) -> None:
    tenants = Tenants(engine)
    version, fresh = await tenants.deploy("acme", held("one"))
    assert fresh and (await tenants.deploy("acme", held("one")))[1] is False
    assert (await tenants.version("acme")).id == version.id
    with pytest.raises(errors.TenantNotFound, match="PUT its workflow first"):
        await tenants.create("globex")
    with pytest.raises(errors.VersionNotFound):
        await tenants.create("globex", version=version.id)
    with pytest.raises(errors.VersionNotFound, match='no version "v9"'):
        await tenants.create("acme", version="v9")
    with pytest.raises(errors.InvalidName):
        await tenants.deploy("no good", held("one"))
    with pytest.raises(errors.InvalidName, match="class name"):
        await tenants.deploy("acme", held("one", class_name="not a name"))


@on_engine()
async def test_the_code_finds_what_a_tenants_code_finds(engine: Engine) -> None:
    tenants = Tenants(engine)
    await tenants.set_secret("acme", "TOKEN", "sk_live_1")
    body = """
    if event["payload"] == "child":
        return "child"
    await self.env.KV.put("k", 1)
    child = await self.env.WORKFLOWS.create(params="child")
    token = await self.env.SECRETS.get("TOKEN")
    return [sorted(self.env), token, token == "sk_live_" + "1", child.id, event["workflowName"]]
    """
    await tenants.deploy("acme", code(body))
    env, shown, same, child, name = await output(handle(engine, await tenants.create("acme")))
    assert env == [
        "AI", "APPROVALS", "EFFECTS", "FETCH", "KV", "MCP", "MCPS", "QUEUE", "QUEUES", "SECRETS", "STREAMS",
        "WORKFLOWS",
    ]  # fmt: skip
    assert (shown, same, name) == ("[REDACTED]", True, "tenant-workflow")
    assert await output(await tenants.workflow("acme").get(child)) == "child"
    with pytest.raises(errors.InstanceNotFound):
        await tenants.workflow("globex").get(child)


@on_engine(idle_grace_ms=0, versions_per_tenant=3)
async def test_old_versions_that_nothing_needs_make_room_for_new_ones(engine: Engine) -> None:
    tenants = Tenants(engine)
    first, _ = await tenants.deploy("acme", held("0"))
    instance = await asleep(engine, tenants)
    for number in range(1, 7):
        made, _ = await tenants.deploy("acme", held(str(number)))
        assert made.number == number + 1, "a number is never given twice"
    assert [it.number for it in await tenants.versions("acme", None, 9)] == [7, 6, 1]
    other = await asleep(engine, tenants, version=(await tenants.versions("acme", None, 9))[1].id)
    await asleep(engine, tenants)
    assert (await tenants.deploy("acme", held("6")))[1] is False
    with pytest.raises(
        errors.VersionsFull,
        match=r"3 versions, which is the most.* versions_per_tenant \(PLAYGROUND_VERSIONS_PER_TENANT\)",
    ) as full:
        await tenants.deploy("acme", held("8"))
    assert full.value.details == {"setting": "versions_per_tenant"}
    for going, answer in ((instance, "0"), (other, "5")):
        await going.send_event("go", 1)
        assert await output(going) == [answer, 1]
    made, _ = await tenants.deploy("acme", held("8"))
    assert [it.number for it in await tenants.versions("acme", None, 9)] == [8, 7, 6]
    with pytest.raises(errors.VersionNotFound):
        await tenants.version("acme", first.id)


@on_engine(idle_grace_ms=0)
async def test_a_version_that_nothing_needs_can_be_deleted(engine: Engine) -> None:
    tenants = Tenants(engine)
    old, _ = await tenants.deploy("acme", held("old"))
    instance = await asleep(engine, tenants)
    for others in (False, True):
        if others:
            new, _ = await tenants.deploy("acme", held("new"))
            with pytest.raises(errors.VersionNeeded, match="is the newest"):
                await tenants.delete_version("acme", new.id)
        with pytest.raises(errors.VersionNeeded, match="Unfinished runs need"):
            await tenants.delete_version("acme", old.id)
    with pytest.raises(errors.VersionNotFound):
        await tenants.delete_version("globex", old.id)
    await instance.send_event("go", 1)
    assert await output(instance) == ["old", 1]
    await tenants.delete_version("acme", old.id)
    assert [it.number for it in await tenants.versions("acme", None, 9)] == [2]
    await instance.restart()
    await journal_until(instance, ev.WORKFLOW_RESTARTED)
    events = await journal(instance)
    assert events[-1].type == ev.WORKFLOW_ERRORED and "it was deleted" in events[-1].data["error"]["message"]


@on_engine()
async def test_older_code_that_is_deployed_again_is_a_version_of_its_own_and_earlier_runs_keep_theirs(
    engine: Engine,
) -> None:
    tenants = Tenants(engine)
    first, _ = await tenants.deploy("acme", held("one"))
    early = await engine.store.find("acme", (await tenants.create("acme")).id)
    await tenants.deploy("acme", held("two"))
    again, fresh = await tenants.deploy("acme", held("one"))
    late = await engine.store.find("acme", (await tenants.create("acme")).id)
    assert fresh and again.number == 3
    assert [(await tenants.version("acme", row.snippet)).number for row in (early, late)] == [1, 3]
    assert (early.snippet, late.snippet) == (first.id, again.id)


# Several workflows.


@on_engine(idle_grace_ms=0)
async def test_each_workflow_has_versions_of_its_own_and_its_runs_are_the_tenants(engine: Engine) -> None:
    tenants = Tenants(engine)
    made = {}
    for name in ("main", "mail", "mail"):
        made[name, len(made)], _ = await tenants.deploy("acme", held(f"{name} {len(made)}", workflow=name))
    assert [(it.workflow, it.number) for it in made.values()] == [("main", 1), ("mail", 1), ("mail", 2)]
    same, fresh = await tenants.deploy("acme", held("main 0", workflow="mail"))
    assert fresh and same.number == 3 and same.id != made["main", 0].id, "an id says whose version it is"
    assert [(it.workflow, it.number, it.source) for it in await tenants.workflows("acme")] == [
        ("mail", 3, ""),
        ("main", 1, ""),
    ]
    assert [it.number for it in await tenants.versions("acme", None, 9, "mail")] == [3, 2, 1]
    runs = [
        await asleep(engine, tenants, **given)
        for given in ({}, {"workflow": "mail"}, {"version": made["mail", 1].id}, {"workflow": "main"})
    ]
    for run in runs:
        await run.send_event("go", 1)
    assert [(await output(run))[0] for run in runs] == ["main 0", "main 0", "mail 1", "main 0"]
    rows = [await row_of(engine, run) for run in runs]
    assert [shown_workflow(row.workflow) for row in rows] == ["main", "mail", "mail", "main"]
    with pytest.raises(errors.InstanceAlreadyExists):
        await tenants.create("acme", id=runs[0].id, workflow="mail")
    for given, error, said in (
        ({"workflow": "post"}, errors.WorkflowNotFound, 'no workflow "post"; it has mail, main.$'),
        ({"workflow": "main", "version": same.id}, errors.VersionNotFound, 'is of the workflow "mail", not of "main"'),
    ):
        with pytest.raises(error, match=said):
            await tenants.create("acme", **given)  # type: ignore[arg-type]
    waiting = await asleep(engine, tenants)
    with pytest.raises(errors.VersionNotFound, match='is of the workflow "mail"'):
        await tenants.migrate(await row_of(engine, waiting), same.id)


@on_engine()
async def test_the_code_starts_instances_of_its_own_workflow_or_of_the_one_it_names(engine: Engine) -> None:
    tenants = Tenants(engine)
    body = """
    if event["payload"]:
        return [event["payload"], event["workflowName"]]

    @step.do("start")
    async def start():
        own = await self.env.WORKFLOWS.create(params="own")
        other = await self.env.WORKFLOWS.create({"id": "other", "params": "other", "workflow": "other"})
        try:
            await self.env.WORKFLOWS.create(workflow="missing")
        except Exception as error:
            return [own.id, other.id, (await self.env.WORKFLOWS.get("other")).id, error.code]

    return await start()
    """
    for name in ("mail", "other"):
        await tenants.deploy("acme", NewVersion(workflow(body), workflow=name))
    own, other, found, code_of_error = await output(handle(engine, await tenants.create("acme", workflow="mail")))
    assert (other, found, code_of_error) == ("other", "other", "workflow.not_found")
    children = [WorkflowInstance(engine, "acme", id) for id in (own, other)]
    assert [await output(child) for child in children] == [["own", "mail"], ["other", "other"]]


@on_engine(workflows_per_tenant=2)
async def test_a_tenant_has_at_most_so_many_workflows_and_one_is_gone_with_its_last_version(engine: Engine) -> None:
    tenants = Tenants(engine)
    first, _ = await tenants.deploy("acme", held("one"))
    await tenants.deploy("acme", held("two", workflow="two"))
    three = held("three", workflow="three")
    with pytest.raises(errors.WorkflowsFull, match="has 2 workflows, which is the most.* workflows_per_tenant"):
        await tenants.deploy("acme", three)
    await tenants.deploy("globex", three)
    await tenants.deploy("acme", held("two again", workflow="two"))
    await tenants.delete_version("acme", first.id)
    with pytest.raises(errors.WorkflowNotFound, match="it has two"):
        await tenants.create("acme")
    assert (await tenants.deploy("acme", three))[0].number == 1


@on_engine(step_limit=5, tenant_attempt_wall_seconds=9)
async def test_a_workflow_has_tighter_limits_than_the_server_where_it_says_so(engine: Engine) -> None:
    tenants = Tenants(engine)
    three_steps = """
    for number in range(3):
        await step.do(str(number), lambda: 1)
    """
    for limits, said in (
        ({"step_limit": 6}, r"step_limit takes 1 to 5 here, not 6.* step_limit \(PLAYGROUND"),
        ({"attempt_wall_seconds": 10}, "attempt_wall_seconds takes 1 to 9 here.* tenant_attempt_wall_seconds"),
        ({"step_limit": 0}, "not 0"),
        ({"workers": 1}, "no limit 'workers' of a workflow; there are attempt_wall_seconds"),
    ):
        with pytest.raises(errors.InvalidLimit, match=said):
            await tenants.deploy("acme", NewVersion(workflow(three_steps), limits=limits))
    for limit, status in ((2, ev.ERRORED), (3, ev.COMPLETE)):
        version, fresh = await tenants.deploy("acme", NewVersion(workflow(three_steps), limits={"step_limit": limit}))
        assert fresh and version.limits == {"step_limit": limit}
        instance = handle(engine, await tenants.create("acme"))
        await journal(instance)
        assert (await instance.status()).status == status


# The end of a tenant.


@on_engine(idle_grace_ms=0)
async def test_a_tenant_is_deleted_with_all_it_has_once_its_runs_have_ended_or_may_be_ended(engine: Engine) -> None:
    tenants = Tenants(engine)
    for tenant in ("acme", "globex"):
        await tenants.deploy(tenant, held(tenant))
        await tenants.set_secret(tenant, "TOKEN", "12345")
    await engine.store.tenants.add_key("acme", "laptop", "hash", at=1)
    done = await asleep(engine, tenants, id="done")
    await done.send_event("go")
    await output(done)
    await asleep(engine, tenants, id="asleep")
    other = handle(engine, await tenants.create("globex", id="other"))
    with pytest.raises(errors.TenantBusy, match="1 runs of tenant acme are not finished") as busy:
        await tenants.delete("acme")
    assert busy.value.details == {"unfinished": 1}
    assert (await done.status()).status == ev.COMPLETE and await engine.store.tenants.key("hash") is not None
    assert await tenants.delete("acme", end=True) == 2
    for gone in ("done", "asleep"):
        with pytest.raises(errors.InstanceNotFound):
            await engine.store.find("acme", gone)
    assert await engine.store.tenants.tenant("acme") is None and await engine.store.tenants.key("hash") is None
    assert (await tenants.secret_names("acme"), await engine.store.count(tenant="acme")) == ([], {})
    with pytest.raises(errors.TenantNotFound):
        await tenants.delete("acme")
    await other.send_event("go", 2)
    assert await output(other) == ["globex", 2]
    version, _ = await tenants.deploy("acme", held("anew"))
    assert version.number == 1
    await tenants.create("acme", id="done")


@on_engine()
async def test_a_batch_that_is_refused_says_which_entry_it_is_about_and_starts_nothing(engine: Engine) -> None:
    tenants = Tenants(engine)
    await tenants.deploy("acme", held("one"))
    await tenants.set_secret("acme", "TOKEN", "s3cret-value")
    for entries, code, index in (
        ([{}, {}, {"id": "no spaces"}], "instance.invalid_id", 2),
        ([{}, {"params": {"x": object()}}], "not_serialisable", 1),
        ([{"params": "x" * 1_100_000}, {}], "too_large", 0),
        ([{"id": "ok"}, {"id": "with-s3cret-value"}], "instance.invalid_id", 1),
    ):
        with pytest.raises(errors.WorkflowError, match=f"^Entry {index} of the batch: ") as refused:
            await tenants.create_batch("acme", entries)  # type: ignore[arg-type]
        assert (refused.value.code, refused.value.details["index"]) == (code, index)
    assert await engine.store.count(tenant="acme") == {}


# Migrating.


@on_engine(idle_grace_ms=0)
async def test_an_instance_goes_on_with_another_version_where_its_history_fits(engine: Engine) -> None:
    tenants = Tenants(engine)
    old, _ = await tenants.deploy("acme", held("old"))
    instance = await asleep(engine, tenants)
    better = code("""
        first = await step.do("first", lambda: "never run again")
        got = await step.wait_for_event("go", "go", timeout="1 hour")
        extra = await step.do("extra", lambda: "more")
        return [first, got["payload"], extra]
        """)
    new, _ = await tenants.deploy("acme", better)
    await tenants.migrate(await row_of(engine, instance), new.id)
    await tenants.migrate(await row_of(engine, instance), new.id)
    await instance.send_event("go", 7)
    assert await output(instance) == ["first of old", 7, "more"]
    events = await journal(instance)
    assert [event.data for event in events if event.type == ev.WORKFLOW_MIGRATED] == [{"from": old.id, "to": new.id}]
    assert versions_of(events) == [old.id, new.id]
    assert (await engine.store.find("acme", instance.id)).snippet == new.id


LONG = """
    await step.do("first", lambda: 1)

    @step.do("long")
    async def long(ctx):
        await asyncio.sleep(SECONDS)
        return ["SECONDS", ctx["attempt"]]

    return await long()
    """


async def in_its_long_step(engine: Engine, tenants: Tenants) -> WorkflowInstance:
    """An instance whose step of a minute runs."""
    await tenants.deploy("acme", code(LONG.replace("SECONDS", "60")))
    instance = handle(engine, await tenants.create("acme"))
    async for event in instance.subscribe():
        if event.type == ev.ATTEMPT_STARTED and event.step is not None and event.step.name == "long":
            break
    return instance


@on_engine()
async def test_a_running_instance_drops_its_worker_and_goes_on_at_once(engine: Engine) -> None:
    tenants = Tenants(engine)
    instance = await in_its_long_step(engine, tenants)
    quick, _ = await tenants.deploy("acme", code(LONG.replace("SECONDS", "0")))
    await tenants.migrate(await row_of(engine, instance), quick.id)
    assert await output(instance) == ["0", 2]


@on_engine()
async def test_a_pause_that_waited_for_the_worker_takes_effect_when_it_is_dropped(engine: Engine) -> None:
    tenants = Tenants(engine)
    instance = await in_its_long_step(engine, tenants)
    await instance.pause()
    assert (await instance.status()).status == ev.WAITING_FOR_PAUSE
    quick, _ = await tenants.deploy("acme", code(LONG.replace("SECONDS", "0")))
    await tenants.migrate(await row_of(engine, instance), quick.id)
    assert (await instance.status()).status == ev.PAUSED
    await instance.resume()
    assert await output(instance) == ["0", 2]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('await step.do("renamed", lambda: 1)\nawait step.wait_for_event("go", "go")', "it does not come to first-1"),
        ("return 1", "it does not come to first-1, go-1"),
        ('raise ValueError("at once")', "it does not come to first-1, go-1"),
        (
            'await self.env.KV.put("k", 1)\nawait step.do("first", lambda: 1)',
            "(it calls KV.put outside steps, which a dry run refuses)",
        ),
        ("await asyncio.sleep(60)", "it does not come to first-1, go-1"),
        ("import os\nos._exit(0)", "could not be tried"),
    ],
)
@on_engine(idle_grace_ms=0)
async def test_a_version_that_does_not_fit_is_refused_with_what_it_lacks(engine: Engine, body: str, said: str) -> None:
    tenants = Tenants(engine)
    old, _ = await tenants.deploy("acme", held("old"))
    instance = await asleep(engine, tenants)
    new, _ = await tenants.deploy("acme", code(body))
    before = (await engine.store.find("acme", instance.id)).last_seq
    with pytest.raises(errors.CannotMigrate) as refused:
        await tenants.migrate(await row_of(engine, instance), new.id)
    assert said in refused.value.message
    if "renamed" in body:
        assert refused.value.details["recorded"][0] == {"kind": "do", "name": "first", "count": 1}
        assert refused.value.details["requested"] == [{"kind": "do", "name": "renamed", "count": 1}]
    row = await engine.store.find("acme", instance.id)
    assert (row.snippet, row.last_seq) == (old.id, before), "nothing was changed"
    assert await engine.store.kv.keys(("acme", 0), prefix="", after="", limit=9) == []  # type: ignore[arg-type]


@on_engine(idle_grace_ms=0)
async def test_whoever_knows_better_may_force_it(engine: Engine) -> None:
    tenants = Tenants(engine)
    await tenants.deploy("acme", held("old"))
    instance = await asleep(engine, tenants)
    new, _ = await tenants.deploy("acme", code("return 'forced'"))
    await tenants.migrate(await row_of(engine, instance), new.id, force=True)
    await instance.send_event("go")
    assert await output(instance) == "forced"


@on_engine()
async def test_what_can_not_be_migrated_says_why(engine: Engine) -> None:
    tenants = Tenants(engine)
    version, _ = await tenants.deploy("acme", code("return 1"))
    done = handle(engine, await tenants.create("acme"))
    await output(done)
    with pytest.raises(errors.CannotMigrate, match="has ended"):
        await tenants.migrate(await row_of(engine, done), version.id)
    with pytest.raises(errors.InstanceNotFound):
        await tenants.migrate(await engine.store.find("acme", "nobody"), version.id)
    with pytest.raises(errors.VersionNotFound):
        await tenants.migrate(await row_of(engine, done), "v9")


# Secrets.


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("no good", "abcd", "name takes"),
        ("1ST", "abcd", "name takes"),
        ("SHORT", "abc", "at least 4"),
        ("LONG", "x" * 17_000, "at most 16,384"),
    ],
)
@on_engine()
async def test_a_secret_that_can_not_be_kept_is_refused(engine: Engine, name: str, value: str, said: str) -> None:
    with pytest.raises((errors.InvalidSecret, errors.TooLarge), match=said):
        await Tenants(engine).set_secret("acme", name, value)


@on_engine()
async def test_secrets_set_at_once_cannot_pass_their_limit_together(engine: Engine) -> None:
    tenants = Tenants(engine)
    for number in range(SECRETS_MOST - 1):
        await tenants.set_secret("acme", f"S{number}", "value")
    setting = [tenants.set_secret("acme", f"LAST{n}", "value") for n in range(3)]
    answers = await asyncio.gather(*setting, return_exceptions=True)
    assert sorted(str(it) for it in answers if it is not None) == [f"A tenant has at most {SECRETS_MOST} secrets."] * 2
    assert len(await tenants.secret_names("acme")) == SECRETS_MOST


@on_engine(idle_grace_ms=0)
async def test_a_changed_secret_is_read_by_the_next_execution(engine: Engine) -> None:
    tenants = Tenants(engine)
    body = """
    first = len(await self.env.SECRETS.get("TOKEN"))
    await step.do("keeps", lambda: first)
    await step.wait_for_event("go", "go")
    return [await step.do("keeps again", lambda: first), await self.env.SECRETS.names()]
    """
    await tenants.deploy("acme", code(body))
    await tenants.set_secret("acme", "TOKEN", "12345")
    instance = await asleep(engine, tenants)
    await tenants.set_secret("acme", "TOKEN", "1234567")
    await tenants.set_secret("acme", "OTHER", "abcd")
    await tenants.remove_secret("acme", "OTHER")
    await instance.send_event("go")
    assert await output(instance) == [7, ["TOKEN"]]
    assert await tenants.secret_names("acme") == ["TOKEN"]
