"""A server that is stopped lets running attempts end and hands its instances over; what takes too long is lost."""

from typing import Any

from dispatch_support import Place, journal, journal_until, output, workflow

from playground import Code, Dispatcher, Engine
from playground.engine.bindings.workflows import Workflow
from playground.workflows import events as ev

SLOW = workflow(
    """
    a = await step.do("slow", lambda: asyncio.sleep(event["payload"]["seconds"], "slept"))
    b = await step.do("next", lambda: "went on")
    return [a, b]
    """
)
WAITS = workflow('return (await step.wait_for_event("go", "go"))["payload"]')


def flows(engine: Engine, source: str) -> Workflow:
    return Dispatcher(engine, lambda metadata: Code(source)).wrap_binding({"tenant": "acme"})


def ends(events: list[Any]) -> list[str]:
    return [event.data["reason"] for event in events if event.type == ev.EXECUTION_ENDED]


def test_a_running_attempt_ends_before_its_server_does(place: Place) -> None:
    async def story() -> None:
        url = place.new_url()
        async with place.engine(url, drain_seconds=30) as engine:
            instance = await flows(engine, SLOW).create("one", {"seconds": 0.3})
            await journal_until(instance, ev.ATTEMPT_STARTED)
        async with place.engine(url) as engine:
            instance = await flows(engine, SLOW).get("one")
            assert await output(instance) == ["slept", "went on"]
            events = await journal(instance)
            assert ends(events) == [ev.EVICTED, ev.COMPLETED]
            attempts = [event for event in events if event.type == ev.ATTEMPT_STARTED]
            assert [(event.step.name, event.data["attempt"], event.execution) for event in attempts if event.step] == [
                ("slow", 1, 1),
                ("next", 1, 2),
            ]

    place.call(story)


def test_an_attempt_that_takes_longer_is_lost_with_its_server(place: Place) -> None:
    async def story() -> None:
        url = place.new_url()
        async with place.engine(url, drain_seconds=1) as engine:
            instance = await flows(engine, SLOW).create("one", {"seconds": 3600})
            await journal_until(instance, ev.ATTEMPT_STARTED)
        async with place.engine(url) as engine:
            events = await journal_until(await flows(engine, SLOW).get("one"), ev.ATTEMPT_ERRORED)
            assert ends(events) == [] and events[-1].data["error"]["name"] == "WorkerLost"

    place.call(story)


def test_an_instance_that_waits_is_handed_over_at_once(place: Place) -> None:
    async def story() -> None:
        url = place.new_url()
        async with place.engine(url, drain_seconds=3600) as engine:
            instance = await flows(engine, WAITS).create("one")
            await journal_until(instance, ev.WORKFLOW_WAITING)
        async with place.engine(url) as engine:
            instance = await flows(engine, WAITS).get("one")
            await instance.send_event("go", {"by": "Ada"})
            assert await output(instance) == {"by": "Ada"}
            assert ends(await journal(instance)) == [ev.EVICTED, ev.COMPLETED]

    place.call(story)
