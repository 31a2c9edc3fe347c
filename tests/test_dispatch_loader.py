"""A dispatcher's loader: asked for every execution, and one that fails, hangs, changes or is not there yet."""

import asyncio
import threading
from typing import Any

import pytest
from dispatch_support import Place, error, greeter, journal, journal_until, logged, on_engine, output, workflow
from store_support import passes

from playground.engine import Engine
from playground.engine.clock import FakeClock
from playground.engine.code.dispatcher import Dispatcher
from playground.engine.code.sources import Code
from playground.workflows import errors
from playground.workflows import events as ev
from playground.workflows.events import Event

WAITS = workflow(
    """
    got = await step.wait_for_event("go", "go", timeout="1 hour")
    return "VERSION"
    """
)


@on_engine(idle_grace_ms=0)
async def test_the_loader_is_asked_for_every_execution_and_new_code_goes_on_where_the_old_was(engine: Engine) -> None:
    code = WAITS.replace("VERSION", "old")
    instance = await Dispatcher(engine, lambda metadata: Code(code)).wrap_binding({"tenant": "acme"}).create()
    await journal_until(instance, ev.EXECUTION_ENDED)
    code = WAITS.replace("VERSION", "new")
    await instance.send_event("go")
    assert await output(instance) == "new"
    versions = [event.data["code_version"] for event in await journal(instance) if event.type == ev.EXECUTION_STARTED]
    assert versions == [Code(WAITS.replace("VERSION", name)).version for name in ("old", "new")]


class Callable:
    """A loader that is an object."""

    async def __call__(self, metadata: dict[str, Any]) -> Code:
        return greeter("an object")


@on_engine()
async def test_a_loader_may_be_a_coroutine_function_a_plain_one_or_an_object(engine: Engine) -> None:
    threads = []

    async def awaited(metadata: dict[str, Any]) -> Code:
        await asyncio.sleep(0)
        return greeter("a coroutine")

    def plain(metadata: dict[str, Any]) -> Code:
        threads.append(threading.current_thread().name)
        return greeter("a function")

    for number, load in enumerate((awaited, plain, Callable())):
        flows = Dispatcher(engine, load, name=f"flow-{number}").wrap_binding({"tenant": "acme"})
        said = await output(await flows.create(params={"name": "Ada"}))
        assert said == f"Ada, by {('a coroutine', 'a function', 'an object')[number]}"
    assert threads == ["load-flow-1"], "a plain function must not hold up the event loop"


@on_engine()
async def test_the_class_env_and_limits_come_from_the_loader(engine: Engine) -> None:
    source = workflow("return [self.env.REGION, self.env.PLAN]").replace("TenantWorkflow", "Import")
    code = Code(source, "Import", env={"REGION": "eu", "PLAN": {"seats": 5}})
    flows = Dispatcher(engine, lambda metadata: code).wrap_binding({"tenant": "acme"})
    assert await output(await flows.create()) == ["eu", {"seats": 5}]
    loops = Code(
        workflow("for n in range(9):\n            await step.do(f'n{n}', lambda: n)"), limits={"step_limit": 3}
    )
    flows = Dispatcher(engine, lambda metadata: loops, name="loops").wrap_binding({"tenant": "acme"})
    assert "3 steps" in (await error(await flows.create()))[1]


def ended(events: list[Event]) -> list[tuple[str, Any]]:
    return [(event.data["reason"], event.data.get("failures")) for event in events if event.type == ev.EXECUTION_ENDED]


def test_a_loader_that_fails_is_tried_again_with_growing_waits_and_shows(place: Place) -> None:
    clock = FakeClock()

    async def story(engine: Engine) -> None:
        left = 3

        async def load(metadata: dict[str, Any]) -> Code:
            nonlocal left
            left -= 1
            if left:
                raise ConnectionError(f"no database ({left})")
            return greeter("acme")

        instance = await Dispatcher(engine, load).wrap_binding({"tenant": "acme"}).create(params={"name": "Ada"})
        events = await journal_until(instance, ev.EXECUTION_ENDED)
        assert [event.type for event in events] == [
            ev.WORKFLOW_QUEUED, ev.EXECUTION_STARTED, ev.LOG, ev.WORKFLOW_WAITING, ev.EXECUTION_ENDED,
        ]  # fmt: skip
        assert events[3].data == {"until": clock.now() + 1000}
        assert (await instance.status()).status == "waiting"
        text = (
            "The code could not be loaded: ConnectionError: no database (2) (tried 1 of 20 times; the next is in 1 s)"
        )
        assert (events[2].data["stream"], events[2].data["text"]) == ("stderr", text)
        await passes(lambda: clock.next_due() == clock.now() + 1000)
        clock.advance(1000)
        events = await journal_until(instance, ev.EXECUTION_ENDED, after=events[-1].seq)
        assert events[2].data == {"until": clock.now() + 2000}
        await passes(lambda: clock.next_due() == clock.now() + 2000)
        clock.advance(2000)
        assert await output(instance) == "Ada, by acme"
        assert ended(await journal(instance)) == [("not_loaded", 1), ("not_loaded", 2), ("completed", None)]
        assert [line["error"] for line in place.log.of("load_failed")] == [
            "ConnectionError: no database (2)",
            "ConnectionError: no database (1)",
        ]

    place.run(story, clock=clock)


@pytest.mark.parametrize("raised", [LookupError("no such tenant"), TimeoutError("no answer from the registry")])
@on_engine(load_attempts=1)
async def test_a_loader_that_never_succeeds_ends_the_instance_with_its_last_error(
    engine: Engine, raised: Exception
) -> None:
    def load(metadata: dict[str, Any]) -> Code:
        raise raised

    instance = await Dispatcher(engine, load).wrap_binding({"tenant": "acme"}).create()
    assert await error(instance) == (type(raised).__name__, str(raised))
    assert ended(await journal(instance)) == [("not_loaded", 1)]


@on_engine()
async def test_a_loader_may_say_that_trying_again_is_of_no_use(engine: Engine) -> None:
    def load(metadata: dict[str, Any]) -> Code:
        raise errors.NonRetryableError("This customer has left.")

    instance = await Dispatcher(engine, load).wrap_binding({"tenant": "acme"}).create()
    assert await error(instance) == ("NonRetryableError", "This customer has left.")


@pytest.mark.parametrize(
    "load",
    [lambda metadata: "code", lambda metadata: Code("x" * 70_000), lambda metadata: Code(5)],  # type: ignore[arg-type]
)
@on_engine(load_attempts=1)
async def test_a_loader_that_gives_what_is_no_code_is_told_so(engine: Engine, load: Any) -> None:
    instance = await Dispatcher(engine, load).wrap_binding({"tenant": "acme"}).create()
    name, message = await error(instance)
    assert name in ("TypeError", "TooLarge") and any(word in message for word in ("Code", "the limit is 65,536"))


@on_engine(load_attempts=1, load_seconds=1)
async def test_a_loader_that_hangs_is_given_up_and_holds_up_nobody(engine: Engine) -> None:
    release = threading.Event()

    async def hangs(metadata: dict[str, Any]) -> Code:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    def blocks(metadata: dict[str, Any]) -> Code:
        release.wait(20)
        return greeter("late")

    slow = [
        await Dispatcher(engine, load, name=load.__name__).wrap_binding({"tenant": "slow"}).create()
        for load in (hangs, blocks)
    ]
    quick = (
        await Dispatcher(engine, lambda metadata: greeter("quick"))
        .wrap_binding({"tenant": "quick"})
        .create(params={"name": "A"})
    )
    assert await output(quick) == "A, by quick"
    for instance in slow:
        assert await error(instance) == ("LoaderTimeout", "the code was not there within 1 s")
    release.set()


@on_engine()
async def test_an_operation_does_not_wait_for_a_loader(engine: Engine) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def hangs(metadata: dict[str, Any]) -> Code:
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()
        raise AssertionError

    instance = await Dispatcher(engine, hangs).wrap_binding({"tenant": "acme"}).create()
    await begun.wait()
    await instance.terminate()
    await cancelled.wait()
    assert [event.type for event in await journal(instance)] == [ev.WORKFLOW_QUEUED, ev.WORKFLOW_TERMINATED]
    await instance.delete()


@on_engine(idle_grace_ms=0)
async def test_an_event_that_comes_while_the_loader_works_is_not_lost(engine: Engine) -> None:
    loading, go_on = asyncio.Event(), asyncio.Event()
    go_on.set()

    async def load(metadata: dict[str, Any]) -> Code:
        loading.set()
        await go_on.wait()
        return Code(WAITS)

    instance = await Dispatcher(engine, load).wrap_binding({"tenant": "acme"}).create()
    await journal_until(instance, ev.EXECUTION_ENDED)
    go_on.clear()
    loading.clear()
    await instance.pause()
    await instance.resume()
    await loading.wait()
    await instance.send_event("go")
    go_on.set()
    assert await output(instance) == "VERSION"


def test_instances_wait_at_boot_until_their_dispatcher_is_there(place: Place) -> None:
    async def stories() -> None:
        url = place.new_url()
        async with place.engine(url, workers=1) as engine:
            flows = Dispatcher(engine, lambda metadata: Code(WAITS)).wrap_binding({"tenant": "acme"})
            instance = await flows.create("held")
            await journal_until(instance, ev.WORKFLOW_WAITING)
        async with place.engine(url, workers=1) as engine:
            await engine.send_event(await engine.store.find("acme", "held"), "go")
            there = Dispatcher(engine, lambda metadata: greeter("there"), name="other").wrap_binding({"tenant": "acme"})
            for _ in range(2):
                assert await output(await there.create(params={"name": "Ada"})) == "Ada, by there", (
                    "the only slot must stay free"
                )
            row = await engine.store.find("acme", "held")
            assert (row.status, row.owner, row.due_at is not None) == ("waiting", None, True)
            assert len(place.log.of("no_dispatcher")) == 1, "it is passed over from then on"
            flows = Dispatcher(engine, lambda metadata: Code(WAITS)).wrap_binding({"tenant": "acme"})
            assert await output(await flows.get("held")) == "VERSION"
            assert not place.log.of("scheduler_failed")

    place.call(stories)


@on_engine(load_attempts=1)
async def test_what_a_failing_loader_says_is_cut_and_readable(engine: Engine) -> None:
    def load(metadata: dict[str, Any]) -> Code:
        raise RuntimeError("\ud800" + "x" * 100_000)

    instance = await Dispatcher(engine, load).wrap_binding({"tenant": "acme"}).create()
    name, message = await error(instance)
    assert name == "RuntimeError" and message.startswith("?x") and len(message) == 2_000
    assert "RuntimeError" in logged(await journal(instance))
