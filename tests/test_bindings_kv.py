"""`env.KV`: a tenant's keys and values, committed with the step that writes them, and out of everybody else's reach."""

import asyncio
from typing import Any

import pytest
from dispatch_support import error, journal, journal_until, on_engine, output, workflow

from playground import KV, Binding, Code, Dispatcher, Engine, WorkflowInstance
from playground.engine import CreateInstance
from playground.store.tables import Scope
from playground.workflows import events as ev

ACME = Scope("acme", 0)


def flows(engine: Engine, body: str, tenant: str = "acme", name: str = "kv") -> Any:
    return Dispatcher(engine, lambda metadata: Code(workflow(body), env={"KV": KV()}), name=name).wrap_binding(
        {"tenant": tenant}
    )


async def run(engine: Engine, body: str, **given: Any) -> Any:
    return await output(await flows(engine, body, **given).create())


@on_engine()
async def test_values_of_every_kind_come_back_as_they_were_put(engine: Engine) -> None:
    body = """
    from datetime import datetime, timezone
    kept = {"when": datetime(2026, 1, 31, tzinfo=timezone.utc), "raw": b"hi", "set": {1, 2},
                "big": 2**60, "none": None, "list": [1.5, "é"]}
    kv = self.env.KV
    await kv.put("k", kept)
    missing = [await kv.get("missing"), await kv.get("missing", "default")]
    await kv.put("gone", 1)
    await kv.delete("gone")
    await kv.delete("never was")
    return [await kv.get("k") == kept, missing, await kv.get("gone", "gone"), await kv.list()]
    """
    assert await run(engine, body) == [True, [None, "default"], "gone", ["k"]]


@on_engine()
async def test_a_steps_writes_are_committed_with_its_result_and_it_reads_them_before(engine: Engine) -> None:
    body = """
    kv = self.env.KV
    await kv.put("n", 1)
    await kv.put("old", 1)

    @step.do("writes")
    async def writes():
        await kv.put("n", await kv.get("n") + 1)
        await kv.put("new", {"a": 1})
        await kv.delete("old")
        return [await kv.get("n"), await kv.get("new"), await kv.get("old"), await kv.list()]

    return await writes()
    """
    instance = await flows(engine, body).create()
    assert await output(instance) == [2, {"a": 1}, None, ["n", "new"]]
    events = [event for event in await journal(instance) if event.step is not None]
    assert [(event.type, event.data.get("key")) for event in events] == [
        (ev.STEP_STARTED, None),
        (ev.ATTEMPT_STARTED, None),
        (ev.ATTEMPT_COMPLETED, None),
        (ev.KV_PUT, "n"),
        (ev.KV_PUT, "new"),
        (ev.KV_DELETED, "old"),
        (ev.STEP_COMPLETED, None),
    ]
    assert len({event.at for event in events[2:]}) == 1, "one transaction"
    assert await engine.store.kv.keys(ACME, prefix="", after="", limit=9) == ["n", "new"]


@on_engine()
async def test_a_failed_attempt_leaves_no_trace(engine: Engine) -> None:
    body = """
    kv = self.env.KV

    @step.do("writes", config={"retries": {"limit": 1, "delay": 0}})
    async def writes(ctx):
        seen = await kv.get("n", "nothing")
        await kv.put("n", ctx["attempt"])
        await kv.put(f"attempt-{ctx['attempt']}", True)
        if ctx["attempt"] == 1:
            raise ValueError("no")
        return [seen, await kv.list()]

    return await writes()
    """
    assert await run(engine, body) == ["nothing", ["attempt-2", "n"]]


@pytest.mark.parametrize("when", ["now", "before-commit"])
@on_engine()
async def test_an_attempt_that_loses_its_worker_leaves_no_trace(engine: Engine, when: str) -> None:
    body = """
    kv = self.env.KV
    await step.wait_for_event("go", "go")

    @step.do("writes")
    async def writes(ctx):
        seen = await kv.get("n", "nothing")
        await kv.put("n", ctx["attempt"])
        if ctx["attempt"] == 1:
            print("written")
            await asyncio.sleep(0.05 if WHEN == "before-commit" else 60)
        return seen

    return [await writes(), await kv.get("n")]
    """
    instance = await flows(engine, body.replace("WHEN", repr(when))).create()
    await journal_until(instance, ev.WORKFLOW_WAITING)
    if when == "before-commit":
        await engine.kill_worker(await engine.store.find("acme", instance.id), when)
    await instance.send_event("go")
    if when == "now":
        await journal_until(instance, ev.LOG)
        assert await engine.store.kv.get(ACME, "n") == (False, None), "nothing is there before the step is"
        await engine.kill_worker(await engine.store.find("acme", instance.id), when)
    assert await output(instance) == ["nothing", 2]


@on_engine(idle_grace_ms=0)
async def test_a_replayed_step_writes_nothing_again(engine: Engine) -> None:
    body = """
    kv = self.env.KV
    await step.do("adds", lambda: kv.put("n", 1))
    await step.wait_for_event("go", "go")
    return await kv.get("n")
    """
    instance = await flows(engine, body).create()
    await journal_until(instance, ev.EXECUTION_ENDED)
    other = await flows(engine, "await self.env.KV.put('n', 2)", name="other").create()
    await output(other)
    await instance.send_event("go")
    assert await output(instance) == 2


@on_engine()
async def test_a_rollback_handlers_writes_are_committed_with_it(engine: Engine) -> None:
    body = """
    kv = self.env.KV
    tried = []

    async def undo(info):
        await kv.put("undone", info["output"])
        if not tried:
            tried.append(1)
            await kv.put("from a failed one", 1)
            raise ValueError("once more")

    config = {"retries": {"limit": 1, "delay": 0}}
    await step.do("books", lambda: kv.put("booked", "yes"), rollback=undo, rollback_config=config)
    raise RuntimeError("no room")
    """
    assert (await error(await flows(engine, body).create()))[0] == "RuntimeError"
    assert await engine.store.kv.keys(ACME, prefix="", after="", limit=9) == ["booked", "undone"]


@on_engine()
async def test_parallel_steps_see_their_own_writes_only_until_each_is_done(engine: Engine) -> None:
    body = """
    kv = self.env.KV
    written = asyncio.Event()

    async def writes():
        await kv.put("k", "mine")
        written.set()
        await read.wait()

    async def reads():
        await written.wait()
        found = await kv.get("k", "nothing")
        read.set()
        return found

    read = asyncio.Event()
    both = await asyncio.gather(step.do("writes", writes), step.do("reads", reads))
    return [both[1], await kv.get("k")]
    """
    assert await run(engine, body) == ["nothing", "mine"]


@on_engine()
async def test_keys_are_the_tenants_whichever_workflow_asks(engine: Engine) -> None:
    await run(engine, "await self.env.KV.put('k', 'acme')", name="one")
    await run(engine, "await self.env.KV.put('k', 'globex')", name="two", tenant="globex")
    assert await run(engine, "return [await self.env.KV.get('k'), await self.env.KV.list()]", name="three") == [
        "acme",
        ["k"],
    ]


@on_engine()
async def test_instances_of_nobody_have_keys_of_their_own_each(engine: Engine) -> None:
    source = workflow("await self.env.KV.put(event['payload'], 1)\nreturn await self.env.KV.list()")
    for name in ("a", "b"):
        row = await engine.create(CreateInstance(source, name))
        assert await output(WorkflowInstance(engine, "", row.id)) == [name]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("get('')", "A KV key must be a string of 1 to 256 characters"),
        ("get(5)", "A KV key must be a string"),
        ("put('a' * 257, 1)", "A KV key must be a string"),
        ("delete('a\\nb')", "without control characters"),
        ("put('k', 'x' * 3000)", 'The value of key "k" is 3,002 bytes when stored; the limit is 2,000'),
        ("list(limit=0)", "KV.list takes a prefix, a limit from 1 to 1,000"),
        ("list(prefix=5)", "KV.list takes a prefix"),
        ("put('k')", "missing a required argument: 'value'"),
    ],
)
@on_engine(kv_value_bytes=2_000)
async def test_misuse_is_an_error_that_says_what_is_wrong(engine: Engine, call: str, said: str) -> None:
    assert said in (await error(await flows(engine, f"await self.env.KV.{call}").create()))[1]


@on_engine(kv_bytes=2_000)
async def test_a_tenant_has_so_much_room_and_no_more_and_another_has_its_own(engine: Engine) -> None:
    body = """
    @step.do("fills")
    async def fills():
        for n in range(100):
            await self.env.KV.put(f"k{n}", "x" * 100)
    try:
        await fills()
    except Exception as full:
        return str(full)
    """
    filling = body.replace('"fills"', '"fills", config={"retries": {"limit": 0, "delay": 0}}')
    assert "KV is full: it holds at most 2,000 bytes" in await run(engine, filling)
    assert (
        await run(engine, "for n in range(9):\n            await self.env.KV.put(f'k{n}', 'x' * 100)", name="b") is None
    )
    assert (
        "KV is full"
        in (await error(await flows(engine, "await self.env.KV.put('more', 'x' * 500)", name="c").create()))[1]
    )
    assert await run(engine, "await self.env.KV.put('k', 'x' * 1500)", tenant="globex", name="d") is None


TWO_STEPS = """
    reached, there = asyncio.Event(), asyncio.Event()

    @step.do("one", config={"retries": {"limit": 0, "delay": 0}})
    async def one():
        await self.env.KV.put("a", "x" * 1_200)
        reached.set()
        await there.wait()

    @step.do("two", config={"retries": {"limit": 0, "delay": 0}})
    async def two():
        await reached.wait()
        try:
            await self.env.KV.put("b", "x" * 1_200)
        except Exception as full:
            return str(full)
        finally:
            there.set()

    return (await asyncio.gather(one(), two()))[1]
    """


@on_engine(kv_bytes=2_000)
async def test_attempts_that_are_open_together_cannot_pass_the_limit_together(engine: Engine) -> None:
    assert "KV is full" in await run(engine, TWO_STEPS)


class Gate(Binding):
    """Lets instances wait for each other, and for the test."""

    def __init__(self) -> None:
        self.reached, self.opened = asyncio.Event(), asyncio.Event()

    async def wait(self) -> None:
        """Say that one is here, and wait until it is opened."""
        self.reached.set()
        await self.opened.wait()


@pytest.mark.parametrize("ends_well", [True, False])
@on_engine(kv_bytes=2_000)
async def test_what_another_instance_s_attempt_holds_counts_until_it_is_over(engine: Engine, ends_well: bool) -> None:
    gate = Gate()
    body = """
    @step.do("it", config={"retries": {"limit": 0, "delay": 0}})
    async def it():
        await self.env.KV.put(event["payload"]["key"], "x" * 1_200)
        if event["payload"]["key"] == "a":
            await self.env.GATE.wait()
            if not event["payload"]["ends_well"]:
                raise RuntimeError("no")
    await it()
    """
    code = Code(workflow(body), env={"KV": KV(), "GATE": gate})
    dispatcher = Dispatcher(engine, lambda metadata: code, name="kv")
    acme, other = (dispatcher.wrap_binding({"tenant": tenant}) for tenant in ("acme", "other"))
    first = await acme.create(params={"key": "a", "ends_well": ends_well})
    await gate.reached.wait()
    assert "KV is full" in (await error(await acme.create(params={"key": "b"})))[1]
    assert await output(await other.create(params={"key": "b"})) is None
    gate.opened.set()
    await journal(first)
    again = await acme.create(params={"key": "c"})
    if ends_well:
        assert "KV is full" in (await error(again))[1]
    else:
        assert await output(again) is None
    assert await engine.store.kv.bytes(ACME) <= 2_000


@on_engine()
async def test_listing_goes_by_prefix_and_in_pages_over_what_is_written_and_deleted(engine: Engine) -> None:
    body = """
    kv = self.env.KV
    for key in ("a/1", "a/2", "a/3", "b/1"):
        await kv.put(key, 1)

    @step.do("lists")
    async def lists():
        await kv.put("a/0", 1)
        await kv.delete("a/2")
        return [await kv.list("a/"), await kv.list("a/", limit=2),
            await kv.list("a/", after="a/1"), await kv.list("", 1, "a/3")]

    return await lists()
    """
    assert await run(engine, body) == [["a/0", "a/1", "a/3"], ["a/0", "a/1"], ["a/3"], ["b/1"]]


@on_engine(instance_bytes=20_000)
async def test_an_instance_writes_no_more_than_it_may_hold(engine: Engine) -> None:
    body = """
    for n in range(100):
        await self.env.KV.put("k", "x" * 1_000)
    """
    assert "The instance holds 20,000 bytes, which is the limit" in (await error(await flows(engine, body).create()))[1]


@on_engine(journal_events=30)
async def test_an_instance_makes_its_journal_no_longer_than_it_may_be(engine: Engine) -> None:
    body = """
    for n in range(100):
        await self.env.KV.delete("k")
    """
    instance = await flows(engine, body).create()
    assert "journal has 30 events, which is the limit" in (await error(instance))[1]
    assert [event.type for event in await journal(instance)].count(ev.KV_DELETED) == 27  # beside three of its start
