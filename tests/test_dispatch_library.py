"""The library: an engine on a database URL, a dispatcher, and the instances that a program holds by their handles."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aio import run, story
from dispatch_support import error, journal, journal_until, on_engine, output, workflow

import playground
from playground import Code, Dispatcher, Engine, library
from playground.settings import BadSetting
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
    code = workflow("import resource\nreturn [resource.getrlimit(limit)[0] for limit in (resource.RLIMIT_CPU, resource.RLIMIT_AS)]")
    limits = {"worker_cpu_seconds": 77, "worker_memory_bytes": 200 << 20}
    async with playground.open_engine(f"sqlite:///{tmp_path}/flows.db", parked_workers=1, **limits) as engine:
        flows = Dispatcher(engine, lambda metadata: Code(code)).wrap_binding({"tenant": "acme"})
        assert await output(await flows.create("one")) == list(limits.values())


@pytest.mark.parametrize(
    ("given", "said"),
    [({"slots": 4}, "there is no setting 'slots'"), ({"workers": -1}, "workers is -1"), ({"value_bytes": "x"}, "takes a whole number")],
)
def test_a_setting_that_can_not_be_used_is_said(given: dict[str, Any], said: str) -> None:
    async def story() -> None:
        async with playground.open_engine("sqlite:///never.db", **given):
            raise AssertionError("it opened")

    with pytest.raises(BadSetting, match=said):
        run(story())


def test_every_name_of_the_library_is_there_and_only_those() -> None:
    assert set(playground.__all__) <= set(dir(playground)) | {name for name in playground.__all__ if hasattr(playground, name)}
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
    assert await output(made[0]) == 2
    bads: list[Any] = [[], [{}] * 101, [{"name": "x"}], ["x"], "x"]
    for bad in bads:
        with pytest.raises(errors.InvalidBatch):
            await flows.create_batch(bad)


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
    flows = Dispatcher(engine, lambda metadata: Code(workflow("raise ValueError('no')"))).wrap_binding({"tenant": "acme"})
    instance = await flows.create()
    assert await error(instance) == ("ValueError", "no")
    assert (await journal(instance))[-1].type == ev.WORKFLOW_ERRORED
