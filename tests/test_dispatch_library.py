"""The library: an engine on a database URL, a dispatcher, and the instances that a program holds by their handles."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aio import run, story
from dispatch_support import Place, error, journal, journal_until, on_engine, output, workflow

import playground
from playground import Code, Dispatcher, Engine, library
from playground.engine.queues import LimitsOfTenants
from playground.settings import BadSetting, Settings
from playground.workflows import errors
from playground.workflows import events as ev

ECHO = workflow("return event['payload']")
HELD = workflow(
    """
    @step.do("before")
    async def before():
        return 1
    await before()
    got = await step.wait_for_event("go", "go", timeout="1 hour")
    return got["payload"]
    """
)


@story
async def test_an_engine_is_opened_on_a_database_url_and_closed_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/flows.db"
    async with playground.open_engine(url, workers=4, parked_workers=1, synchronous="normal") as engine:
        flows = playground.Dispatcher(engine, lambda metadata: playground.Code(ECHO)).wrap_binding({"tenant": "acme"})
        assert await output(await flows.create("one", {"n": 1})) == {"n": 1}
    async with playground.open_engine(url, parked_workers=1) as engine:
        flows = Dispatcher(engine, lambda metadata: Code(ECHO)).wrap_binding({"tenant": "acme"})
        assert (await (await flows.get("one")).status()).output == {"n": 1}


@story
async def test_a_worker_lives_by_the_limits_that_the_settings_name(tmp_path: Path) -> None:
    code = workflow(
        "import resource\nreturn [resource.getrlimit(limit)[0] for limit in (resource.RLIMIT_CPU, resource.RLIMIT_AS)]"
    )
    limits = {"worker_cpu_seconds": 77, "worker_memory_bytes": 200 << 20}
    async with playground.open_engine(f"sqlite:///{tmp_path}/flows.db", parked_workers=1, **limits) as engine:
        flows = Dispatcher(engine, lambda metadata: Code(code)).wrap_binding({"tenant": "acme"})
        assert await output(await flows.create("one")) == list(limits.values())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"slots": 4}, "there is no setting 'slots'"),
        ({"workers": -1}, "workers is -1"),
        ({"value_bytes": "x"}, "takes a whole number"),
    ],
)
def test_a_setting_that_can_not_be_used_is_said(given: dict[str, Any], said: str) -> None:
    async def story() -> None:
        async with playground.open_engine("sqlite:///never.db", **given):
            raise AssertionError("it opened")

    with pytest.raises(BadSetting, match=said):
        run(story())


def test_every_name_of_the_library_is_there_and_only_those() -> None:
    assert set(playground.__all__) <= set(dir(playground)) | {
        name for name in playground.__all__ if hasattr(playground, name)
    }
    assert all(getattr(playground, name) is not None for name in playground.__all__)
    assert library.__all__ == playground.__all__
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        playground.Nothing  # noqa: B018


def test_importing_the_package_reads_nothing_else_so_that_workers_stay_small() -> None:
    code = "import sys, playground; print([name for name in sys.modules if name.startswith('playground')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['playground']"


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(playground.__file__).parent / "py.typed").exists()


@on_engine()
async def test_a_handle_does_all_that_can_be_done_to_an_instance(engine: Engine) -> None:
    flows = Dispatcher(engine, lambda metadata: Code(HELD)).wrap_binding({"tenant": "acme"})
    held = await flows.create("held")
    assert held.id == "held"
    await journal_until(held, ev.WORKFLOW_WAITING)
    assert (await held.status()).status == "waiting"
    await held.pause()
    await held.pause()
    assert (await held.status()).status == "paused"
    await held.send_event("go", {"kept": True})
    await held.resume()
    assert await output(held) == {"kept": True}
    await held.restart({"name": "before"})
    await held.send_event("go", "again")
    assert await output(held) == "again"
    with pytest.raises(errors.CannotRestart, match="no step"):
        await held.restart({"name": "nowhere"})
    with pytest.raises(errors.CannotRestart, match="takes a dict"):
        await held.restart({"count": 1})
    with pytest.raises(errors.InstanceInFiniteState):
        await held.send_event("go")
    with pytest.raises(errors.CannotTerminate):
        await held.terminate()
    other = await flows.create()
    await other.terminate(rollback=True)
    assert (await other.status()).status == "terminated"
    await held.delete()
    with pytest.raises(errors.InstanceNotFound):
        await held.status()


@on_engine()
async def test_subscribe_gives_what_comes_after_a_cursor_and_ends_with_the_instance(engine: Engine) -> None:
    flows = Dispatcher(engine, lambda metadata: Code(HELD)).wrap_binding({"tenant": "acme"})
    held = await flows.create()
    seen = await journal_until(held, ev.WAIT_STARTED)
    await held.send_event("go")
    rest = [event async for event in held.subscribe(seen[-1].seq)]
    assert [event.seq for event in seen + rest] == list(range(1, len(seen) + len(rest) + 1))
    assert rest[-1].type == ev.WORKFLOW_COMPLETED
    assert [event async for event in held.subscribe(rest[-1].seq)] == []


@on_engine()
async def test_a_batch_leaves_out_taken_ids_and_says_which(engine: Engine) -> None:
    flows = Dispatcher(engine, lambda metadata: Code(ECHO)).wrap_binding({"tenant": "acme"})
    await flows.create("a")
    made = await flows.create_batch([{"id": "a"}, {"id": "b", "params": 2}, {}, {"id": "b"}])
    assert next(instance.id for instance in made) == "b" and len(made) == 2
    assert [(it.index, it.id, it.code) for it in made.refused] == [
        (0, "a", "instance.already_exists"),
        (3, "b", "instance.already_exists"),
    ]
    assert [it.as_json() for it in made.errors] == [
        {"index": 0, "id": "a", "code": 10405, "message": 'There is, or was, an instance "a"; it was left as it is.'},
        {"index": 3, "id": "b", "code": 10415, "message": 'An earlier entry of this batch has the id "b" already.'},
    ]
    assert await output(made[0]) == 2
    alike = await flows.create_batch({"count": 3, "params": 7, "retention": {"successRetention": "1 day"}})
    assert [await output(it) for it in alike.created] == [7, 7, 7] and alike.errors == ()
    given = await flows.create_batch({"instances": [{"id": "c", "params": 1}, {"id": "a"}]})
    assert ([it.id for it in given], [it.code for it in given.errors]) == (["c"], [10405])
    bads: list[Any] = [
        [], [{}] * 101, [{"name": "x"}], ["x"], "x", {}, {"count": 0}, {"count": 101}, {"count": True},
        {"count": 1, "instances": []}, {"count": 1, "id": "x"}, {"instances": 5}, {"instances": [], "params": 1},
    ]  # fmt: skip
    for bad in bads:
        with pytest.raises(errors.InvalidBatch):
            await flows.create_batch(bad)


@on_engine()
async def test_a_batch_is_deleted_and_each_id_is_answered(engine: Engine) -> None:
    flows = Dispatcher(engine, lambda metadata: Code(HELD)).wrap_binding({"tenant": "acme"})
    others = Dispatcher(engine, lambda metadata: Code(ECHO), name="others").wrap_binding({"tenant": "acme"})
    for id in ("a", "b", "c"):
        await flows.create(id)
    await output(await others.create("of-others"))
    gone = await flows.delete_batch(["a", "nobody", "b", "a", "of-others"])
    assert gone["deleted"] == [{"id": "a"}, {"id": "b"}, {"id": "a"}]
    assert [(it["id"], it["code"]) for it in gone["errors"]] == [("nobody", 10400), ("of-others", 10400)]
    assert gone["errors"][0]["message"]
    assert {row.id for row in await engine.store.list("acme")} == {"c", "of-others"}
    await flows.create("a")
    bads: list[Any] = [[], ["x"] * 101, "abc", [1], None]
    for bad in bads:
        with pytest.raises(errors.InvalidBatch):
            await flows.delete_batch(bad)


@on_engine()
async def test_subscribe_may_leave_out_types_of_events_and_ends_as_without(engine: Engine) -> None:
    flows = Dispatcher(engine, lambda metadata: Code(HELD)).wrap_binding({"tenant": "acme"})
    held = await flows.create()
    await journal_until(held, ev.WAIT_STARTED)
    await held.send_event("go")
    whole = [event async for event in held.subscribe()]
    wanted = (ev.WAIT_STARTED, ev.WAIT_COMPLETED)
    assert [event async for event in held.subscribe(filter=wanted)] == [it for it in whole if it.type in wanted]
    assert [event.type async for event in held.subscribe(whole[-1].seq - 1, [ev.LOG])] == []
    for bad in ([], ["nothing_like_it"], "log"):
        with pytest.raises(ValueError, match="type"):
            async for _ in held.subscribe(filter=bad):
                pass


@on_engine(retention_days=7)
async def test_an_instance_may_be_kept_for_less_than_others_by_how_it_ends(engine: Engine) -> None:
    flows = Dispatcher(engine, lambda metadata: Code(ECHO)).wrap_binding({"tenant": "acme"})
    made = await flows.create(retention={"success_retention": "1 hour", "errorRetention": 60_000})
    await output(made)
    row = await flows.row(made.id)
    assert row.limits == {"success_retention_ms": 3_600_000, "error_retention_ms": 60_000}
    assert row.ended_at is not None and row.wait_until == row.ended_at + 3_600_000
    bads: list[tuple[Any, str]] = [
        ({"success_retention": "8 days"}, r"at most 7 days.* retention_days \(PLAYGROUND_RETENTION_DAYS\)"),
        ({"success_retention": 999}, "at least 1 second"),
        ({"success_retention": "soon"}, "Invalid duration"),
        ({"retention": "1 day"}, "has success_retention and error_retention"),
        ("1 day", "is an object"),
    ]
    for bad, said in bads:
        with pytest.raises(errors.InvalidRetention, match=said):
            await flows.create(retention=bad)
        with pytest.raises(errors.InvalidRetention, match=f"^Entry 1 of the batch: .*{said}"):
            await flows.create_batch([{}, {"retention": bad}] if bad else [])


@on_engine()
async def test_params_and_ids_are_refused_by_the_same_rules_as_everywhere(engine: Engine) -> None:
    flows = Dispatcher(engine, lambda metadata: Code(ECHO)).wrap_binding({"tenant": "acme"})
    with pytest.raises(errors.InvalidId):
        await flows.create("no spaces")
    with pytest.raises(errors.NotSerialisable, match=r"\$\.x: object"):
        await flows.create(params={"x": object()})
    with pytest.raises(errors.TooLarge):
        await flows.create(params="x" * 1_100_000)
    await flows.create("twice")
    with pytest.raises(errors.InstanceAlreadyExists):
        await flows.create("twice")


@on_engine(workers=1, queued_per_tenant=3)
async def test_a_tenant_has_so_many_queued_and_no_more(engine: Engine) -> None:
    dispatcher = Dispatcher(engine, lambda metadata: Code(HELD))
    flows = dispatcher.wrap_binding({"tenant": "acme"})
    await flows.create_batch([{}] * 4)
    with pytest.raises(errors.Busy, match="3 is the most"):
        while True:
            await flows.create_batch([{}] * 10)
    await dispatcher.wrap_binding({"tenant": "other"}).create()


def test_code_says_what_in_it_can_not_be_used() -> None:
    for given, message in (
        ({"source": 5}, "takes the source as a str"),
        ({"source": "", "env": {"a-b": 1}}, "env has the name 'a-b'"),
        ({"source": "", "env": {"_x": 1}}, "not beginning with _"),
        ({"source": "", "env": {"KV": playground.KV}}, "is the class KV"),
        ({"source": "", "limits": {"memory": 1}}, "limits has 'memory'"),
        ({"source": "", "limits": {"step_limit": 0}}, "whole numbers from 1"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            Code(**given)  # type: ignore[arg-type]
    with pytest.raises(errors.NotSerialisable, match=r"\$\.x: object"):
        Code("", env={"X": {"x": object()}})
    assert Code("a").version == Code("a", class_name="B").version != Code("b").version


@on_engine()
async def test_an_error_of_the_code_is_the_instances(engine: Engine) -> None:
    flows = Dispatcher(engine, lambda metadata: Code(workflow("raise ValueError('no')"))).wrap_binding(
        {"tenant": "acme"}
    )
    instance = await flows.create()
    assert await error(instance) == ("ValueError", "no")
    assert (await journal(instance))[-1].type == ev.WORKFLOW_ERRORED


# Looking at many.


@on_engine()
async def test_a_status_has_params_and_times(engine: Engine) -> None:
    flows = Dispatcher(engine, lambda metadata: Code(HELD)).wrap_binding({"tenant": "acme"})
    held = await flows.create("held", {"n": 1})
    await journal_until(held, ev.WORKFLOW_WAITING)
    status = await held.status()
    assert (status.id, status.params, status.ended_at) == ("held", {"n": 1}, None)
    assert status.started_at is not None and status.created_at <= status.started_at
    assert status.waiting_until is not None and abs(status.waiting_until - status.started_at - 3_600_000) < 60_000
    await held.send_event("go", 5)
    await output(held)
    status = await held.status()
    assert (status.status, status.output, status.params, status.waiting_until) == ("complete", 5, {"n": 1}, None)
    assert status.started_at is not None and status.ended_at is not None and status.started_at <= status.ended_at


@on_engine()
async def test_instances_are_listed_by_status_in_pages_and_only_a_workflows_and_a_tenants_own(engine: Engine) -> None:
    dispatcher = Dispatcher(engine, lambda metadata: Code(HELD))
    flows = dispatcher.wrap_binding({"tenant": "acme"})
    other = Dispatcher(engine, lambda metadata: Code(ECHO), name="other").wrap_binding({"tenant": "acme"})
    for number in range(5):
        held = await flows.create(f"i{number}", number)
        await output(await other.create(f"o{number}"))
        await journal_until(held, ev.WORKFLOW_WAITING)
    await dispatcher.wrap_binding({"tenant": "globex"}).create("elsewhere")
    for number in (1, 3):
        await (await flows.get(f"i{number}")).send_event("go", number * 10)
        await output(await flows.get(f"i{number}"))
    first = await flows.list(limit=2)
    assert [(it.id, it.status, it.params, it.output) for it in first] == [
        ("i4", "waiting", 4, None),
        ("i3", "complete", 3, 30),
    ]
    second = await flows.list(limit=2, cursor=first.cursor)
    await (await flows.get("i2")).delete()
    rest = await flows.list(limit=2, cursor=second.cursor)
    assert [it.id for it in (*second, *rest)] == ["i2", "i1", "i0"] and rest.cursor is None
    assert [it.id for it in await flows.list(status="complete")] == ["i3", "i1"]
    assert [it.id for it in await flows.list("waiting", 1)] == ["i4"]
    assert len(await other.list()) == 5 and (await other.list("errored")).cursor is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"status": "done"}, "there is no status 'done'; there are: queued, running"),
        ({"limit": 0}, "limit is 0; it takes a whole number from 1 to 200"),
        ({"limit": True}, "limit is True"),
        ({"cursor": "i4"}, "cursor is 'i4'; it takes the `cursor` of a page"),
    ],
)
@on_engine()
async def test_a_list_that_can_not_be_given_says_why(engine: Engine, given: dict[str, Any], said: str) -> None:
    flows = Dispatcher(engine, lambda metadata: Code(ECHO)).wrap_binding({"tenant": "acme"})
    with pytest.raises(ValueError, match=said):
        await flows.list(**given)


# Limits of one tenant.


@on_engine(workers=6, spare_slots=0)
async def test_a_tenant_may_have_limits_of_its_own_and_others_keep_the_settings(engine: Engine) -> None:
    inside: dict[Any, int] = {"small": 0, "other": 0}
    most: dict[Any, int] = {"small": 0, "other": 0}
    opened = asyncio.Event()

    class Gate(playground.Binding):
        async def enter(self, *, call: playground.CallContext) -> None:
            inside[call.tenant] += 1
            most[call.tenant] = max(most[call.tenant], inside[call.tenant])
            if sum(inside.values()) >= 4:
                opened.set()
            await opened.wait()
            inside[call.tenant] -= 1

    engine.limit_tenant({"tenant": "small", "plan": "free"}, playground.TenantLimits(running=1, queued=3))
    code = Code(workflow("await self.env.GATE.enter()"), env={"GATE": Gate()})
    dispatcher = Dispatcher(engine, lambda metadata: code)
    small, other = [dispatcher.wrap_binding({"tenant": name}) for name in ("small", "other")]
    made = [*await small.create_batch([{}] * 4), *await other.create_batch([{}] * 4)]
    with pytest.raises(
        errors.Busy, match=r"3 is the most.* queued_per_tenant \(PLAYGROUND_QUEUED_PER_TENANT\)"
    ) as busy:
        await small.create()
    assert busy.value.details["setting"] == "queued_per_tenant"
    for instance in made:
        await output(instance)
    assert most["small"] == 1 and most["other"] > 1


def test_a_tenant_begins_no_more_in_a_second_than_its_own_limit() -> None:
    limits = LimitsOfTenants(Settings(starts_per_second_per_tenant=5, running_per_tenant=7))
    limits.set("slow", playground.TenantLimits(starts_per_second=1))
    claims = limits.claim_limits(spare=0)
    assert (claims.for_queue("slow"), claims.for_queue("other")) == ((7, 1), (7, 5))


@pytest.mark.parametrize("given", [{"running": 0}, {"queued": "5"}, {"starts_per_second": True}])
def test_limits_that_make_no_sense_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(given))} is .*; it takes a whole number from 1 on"):
        playground.TenantLimits(**given)


@on_engine()
async def test_a_value_of_env_that_can_not_be_kept_is_named(engine: Engine) -> None:
    with pytest.raises(
        errors.NotSerialisable, match=r"env\.CONNECTION is not serialisable: \$: object\. It takes a Binding"
    ):
        Code("", env={"CONNECTION": object()})
    flows = Dispatcher(engine, lambda metadata: Code(ECHO)).wrap_binding({"tenant": "acme"})
    with pytest.raises(errors.NotSerialisable, match=r"^The params are not serialisable: \$: object"):
        await flows.create(params=object())
    held = await flows.create()
    with pytest.raises(errors.NotSerialisable, match=r"^The event payload is not serialisable: \$\.x: object"):
        await held.send_event("go", {"x": object()})


# The setting that is named.


@on_engine(attempt_wall_seconds=1)
async def test_a_limit_that_a_program_s_tenant_meets_names_the_setting_that_it_is(engine: Engine, place: Place) -> None:
    flows = Dispatcher(
        engine, lambda metadata: Code(workflow("await asyncio.get_running_loop().create_future()"))
    ).wrap_binding({"tenant": "acme"})
    silent = Dispatcher(
        engine, lambda metadata: Code(workflow("import time\ntime.sleep(60)")), name="silent"
    ).wrap_binding({"tenant": "acme"})
    message = (await error(await silent.create()))[1]
    assert message.endswith("The setting is attempt_wall_seconds (PLAYGROUND_ATTEMPT_WALL_SECONDS).")
    assert [line["limit"] for line in place.log.of("limit")] == ["attempt_wall_seconds"]
    assert (await error(await flows.create()))[0] == "Stuck"
