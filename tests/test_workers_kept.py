"""Workers that are used again: a tenant's warm workers, and the child that checked a source and then runs it."""

import asyncio
from typing import Any

import pytest
from dispatch_support import error, journal, on_engine, output, workflow
from http_support import MakeSite
from sandbox_support import held, tell
from tenants_support import Tenant

from playground import Code, Dispatcher, Engine
from playground.engine import workers
from playground.engine.bindings.workflows import Workflow
from playground.engine.execution import watchdog
from playground.sandbox.kept import KeptWorkers
from playground.sandbox.pool import Sandbox
from playground.workflows import events as ev

COUNT = workflow(
    """
    global RUNS
    RUNS += 1
    if event["payload"].get("wait"):
        await step.sleep("a while", "1 hour")
    if event["payload"].get("fail"):
        raise NonRetryableError("as asked")
    if event["payload"].get("leave"):
        asyncio.get_running_loop().create_task(asyncio.sleep(3600))
    KEPT.append(bytearray(event["payload"].get("bytes", 0)))
    return RUNS
    """,
    head="RUNS = 0\nKEPT = []",
)


def warm_flows(engine: Engine, source: str = COUNT, tenant: str = "acme", version: str = "") -> Workflow:
    """A tenant's workflow on a dispatcher of its own, whose code asks for warm workers."""
    code = Code(source, warm=True, version=version)
    return Dispatcher(engine, lambda metadata: code, name=f"flows-{tenant}-{version}").wrap_binding({"tenant": tenant})


async def runs(engine: Engine, flows: Workflow, *params: dict[str, Any]) -> list[Any]:
    """The outputs of instances, each created when the one before is over and has given its worker back."""
    outputs = []
    for given in params:
        outputs.append(await output(await flows.create(params=given)))
        await at_rest(engine)
    return outputs


async def at_rest(engine: Engine) -> None:
    while engine.running():
        await asyncio.sleep(0)


@on_engine()
async def test_a_module_keeps_its_variables_in_a_warm_worker(engine: Engine) -> None:
    assert await runs(engine, warm_flows(engine), {}, {}, {}) == [1, 2, 3]


@on_engine()
async def test_without_asking_every_run_has_a_worker_of_its_own(engine: Engine) -> None:
    flows = Dispatcher(engine, lambda metadata: Code(COUNT)).wrap_binding({"tenant": "acme"})
    assert await runs(engine, flows, {}, {}) == [1, 1]


@on_engine()
async def test_the_journal_says_which_run_had_a_warm_worker(engine: Engine) -> None:
    flows = warm_flows(engine)
    said = []
    for _ in range(2):
        instance = await flows.create(params={})
        begun = [event for event in await journal(instance) if event.type == ev.EXECUTION_STARTED]
        said.append(begun[0].data.get("warm", False))
        await at_rest(engine)
    assert said == [False, True]


@on_engine()
async def test_a_warm_worker_is_never_another_tenants(engine: Engine) -> None:
    mine, theirs = warm_flows(engine), warm_flows(engine, tenant="globex")
    assert await runs(engine, mine, {}, {}) == [1, 2]
    assert await runs(engine, theirs, {}) == [1]


@on_engine()
async def test_a_warm_worker_never_runs_other_code_whatever_its_version_is_called(engine: Engine) -> None:
    code = [Code(COUNT, warm=True, version="v1")]
    flows = Dispatcher(engine, lambda metadata: code[0]).wrap_binding({"tenant": "acme"})
    assert await runs(engine, flows, {}, {}) == [1, 2]
    code[0] = Code(COUNT.replace("return RUNS", "return -RUNS"), warm=True, version="v1")
    assert await runs(engine, flows, {}) == [-1]


@on_engine()
async def test_two_runs_at_once_have_two_workers(engine: Engine) -> None:
    flows = warm_flows(engine)
    together = [await flows.create(params={}) for _ in range(2)]
    assert [await output(each) for each in together] == [1, 1]
    await at_rest(engine)
    assert engine._services.workers.warm == 2


@pytest.mark.parametrize("given", [{"fail": True}, {"leave": True}], ids=["failed", "left a task behind"])
def test_a_worker_that_is_not_done_is_not_used_again(place: Any, given: dict[str, Any]) -> None:
    async def story(engine: Engine) -> None:
        flows = warm_flows(engine)
        await journal(await flows.create(params=given))
        await at_rest(engine)
        assert await runs(engine, flows, {}) == [1]

    place.run(story)


@on_engine(idle_grace_ms=1)
async def test_a_worker_of_a_run_that_sleeps_is_not_used_again(engine: Engine) -> None:
    flows = warm_flows(engine)
    asleep = await flows.create(params={"wait": True})
    async for event in asleep.subscribe():
        if event.type == ev.EXECUTION_ENDED:
            break
    await at_rest(engine)
    assert await runs(engine, flows, {}) == [1]


@on_engine(warm_executions=2)
async def test_a_warm_worker_ends_after_so_many_runs(engine: Engine) -> None:
    assert await runs(engine, warm_flows(engine), {}, {}, {}) == [1, 2, 1]


@on_engine(warm_workers=0)
async def test_no_worker_is_kept_where_none_may_be(engine: Engine) -> None:
    assert await runs(engine, warm_flows(engine), {}, {}) == [1, 1]


@on_engine(warm_growth_bytes=8 << 20)
async def test_a_warm_worker_that_grows_is_ended(engine: Engine) -> None:
    flows, every = warm_flows(engine), workers.MEASURED_EVERY
    counted = await runs(engine, flows, {}, {"bytes": 16 << 20}, *[{}] * every)
    assert counted == [*range(1, every + 2), 1]


@on_engine(worker_cpu_seconds=1)
async def test_a_warm_worker_that_has_used_its_time_is_ended(engine: Engine) -> None:
    flows = warm_flows(
        engine,
        workflow(
            """
            global RUNS
            RUNS += 1
            until = time.process_time() + 0.7
            while time.process_time() < until:
                pass
            return RUNS
            """,
            head="import time\nRUNS = 0",
        ),
    )
    assert await runs(engine, flows, {}, {}) == [1, 1]


@pytest.mark.parametrize("left", ["while True: pass", "time.sleep(0.2); os._exit(1)"], ids=["spins", "dies"])
def test_a_warm_worker_that_does_not_begin_is_replaced(place: Any, monkeypatch: Any, left: str) -> None:
    source = workflow(
        """
        global RUNS
        RUNS += 1
        self.last = Last() if event["payload"].get("leave") else None
        return RUNS
        """,
        head=f"import os, time\nRUNS = 0\nclass Last:\n    def __del__(self):\n        {left}",
    )
    monkeypatch.setattr(watchdog, "BEGIN_SECONDS", 0.5)  # a healthy worker that needs longer is replaced, too

    async def story(engine: Engine) -> None:
        flows = warm_flows(engine, source)
        assert await runs(engine, flows, {"leave": True}) == [1]
        held = await flows.create(params={})
        assert await output(held) == 1, "a new worker, not one more run of the module"
        said = [event for event in await journal(held) if event.type in (ev.EXECUTION_STARTED, ev.EXECUTION_ENDED)]
        assert [event.data.get("reason", event.data.get("warm")) for event in said] == [True, "lost", None, "completed"]
        await at_rest(engine)
        assert await runs(engine, flows, {}) == [2], "which is kept warm as any other"

    place.run(story)


STALE = workflow(
    """
    global OLD
    old, OLD = OLD, (step, self.env)
    if old is not None and event["payload"]["use"] == "step":
        await old[0].do("again", lambda: 1)
    if old is not None and event["payload"]["use"] == "env":
        await old[1].WORKFLOWS.create()
    """,
    head="OLD = None",
)


@pytest.mark.parametrize(
    ("use", "said"), [("step", 'Step "again" is called on the `step` of a run'), ("env", "env.WORKFLOWS is of a run")]
)
def test_what_a_module_keeps_of_an_earlier_run_cannot_be_used(place: Any, use: str, said: str) -> None:
    async def story(engine: Engine) -> None:
        flows = warm_flows(engine, STALE)
        await runs(engine, flows, {"use": "nothing"})
        name, message = await error(await flows.create(params={"use": use}))
        assert name == "WorkflowFatalError" and said in message

    place.run(story)


@on_engine()
async def test_steps_logs_and_locks_work_in_every_run_of_a_warm_worker(engine: Engine) -> None:
    flows = warm_flows(
        engine,
        workflow(
            """
            async def locked(n):
                async with LOCK:
                    print("in", n)
                    return n
            return await asyncio.gather(*(step.do(f"s{n}", lambda n=n: locked(n)) for n in range(3)))
            """,
            head="import asyncio\nLOCK = asyncio.Lock()",
        ),
    )
    for _ in range(3):
        instance = await flows.create(params={})
        assert await output(instance) == [0, 1, 2]
        lines = [event for event in await journal(instance) if event.type == ev.LOG]
        assert [(event.data["text"], event.step.name) for event in lines if event.step] == [
            (f"in {n}", f"s{n}") for n in range(3)
        ]
        await at_rest(engine)


def test_a_kept_worker_that_says_anything_or_dies_is_closed() -> None:
    async def story(sandbox: Sandbox) -> None:
        kept = KeptWorkers(4)
        talker, dead = await sandbox.take_worker(), await sandbox.take_worker()
        for worker in (talker, dead):
            kept.keep("mine", worker, 60)
        await tell(talker, "channel.send(b'hello'); import time; time.sleep(60)")
        dead.kill()
        await asyncio.wait((talker.exited, dead.exited))
        while len(kept):
            await asyncio.sleep(0)
        assert kept.take("mine") is None

    with held() as bench:
        bench.runner.run(story(bench.sandbox))


def test_a_kept_worker_is_closed_when_its_time_is_over_and_when_there_are_too_many() -> None:
    async def story(sandbox: Sandbox) -> None:
        kept = KeptWorkers(2)
        first, *others = [await sandbox.take_worker() for _ in range(3)]
        for worker in (first, *others):
            kept.keep("mine", worker, 60)
        await first.exited  # the one that has waited longest
        assert kept.take("another's") is None
        assert kept.take("mine") is others[1]
        kept.keep("mine", others[1], 0)
        await others[1].exited
        kept.close()
        await others[0].exited
        assert len(kept) == 0

    with held() as bench:
        bench.runner.run(story(bench.sandbox))


def test_a_kept_worker_of_a_fork_server_that_is_replaced_is_not_used() -> None:
    async def story(sandbox: Sandbox) -> None:
        kept = KeptWorkers(2)
        worker = await sandbox.take_worker()
        kept.keep("mine", worker, 60)
        worker.is_outdated = True
        assert kept.take("mine") is None
        await worker.exited

    with held() as bench:
        bench.runner.run(story(bench.sandbox))


def test_the_child_that_checked_new_code_runs_it(make_site: MakeSite) -> None:
    site = make_site()

    def starts(source: str) -> int:
        before = site.engine.sandbox.metrics.starts
        made = site.client.post("/api/instances", json={"source": source, "params": {}}).json()
        with site.client.stream("GET", f"/api{made['url']}/stream") as stream:
            assert "workflow_completed" in "".join(stream.iter_text())
        return site.engine.sandbox.metrics.starts - before

    assert starts(COUNT) == 1
    assert starts(COUNT) == 1  # it is known to be right, so no child checks it
    assert starts(COUNT + "\n# other code\n") == 1


def test_the_child_that_checked_code_runs_no_other_and_for_nobody_else(make_site: MakeSite) -> None:
    site = make_site(trusted_proxies="127.0.0.1")
    other = {"X-Forwarded-For": "203.0.113.7"}

    async def check() -> None:
        found = await site.engine.check(COUNT, "ip:198.51.100.1", to_run=True)
        assert found.ok

    site.call(check())
    before = site.engine.sandbox.metrics.starts
    made = site.client.post("/api/instances", json={"source": COUNT, "params": {}}, headers=other).json()
    with site.client.stream("GET", f"/api{made['url']}/stream") as stream:
        assert "workflow_completed" in "".join(stream.iter_text())
    assert site.engine.sandbox.metrics.starts - before == 1


def test_a_tenant_deploys_code_with_warm_workers(make_site: MakeSite) -> None:
    site = make_site()
    tenant = Tenant(site, "acme")
    cold = tenant.deploy(COUNT)
    warm = tenant.deploy(COUNT, warm=True)
    assert (cold["warm"], warm["warm"], warm["created"]) == (False, True, True)
    assert tenant.deploy(COUNT, warm=True)["created"] is False
    assert [each["warm"] for each in tenant.ask("GET", "/workflow").json()["versions"]] == [True, False]

    async def rest() -> None:
        await at_rest(site.engine)

    outputs = []
    for _ in range(2):
        outputs.append(tenant.finish(tenant.create(params={})["id"])["output"])
        site.call(rest())
    assert outputs == [1, 2]
