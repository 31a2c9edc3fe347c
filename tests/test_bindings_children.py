"""`env.WORKFLOWS.run`: a workflow runs another and waits for its end, whatever dies in between."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from dispatch_support import Place, error, journal, journal_until, on_engine, output, workflow

from playground import KV, Code, Dispatcher, Engine, WorkflowInstance
from playground.engine import CreateInstance, forks
from playground.engine.families import Families
from playground.store.rows import InstanceRow
from playground.workflows import events as ev
from playground.workflows.events import Event
from playground.workflows.tags import tags_of

DOUBLES = """
    n = event["payload"].get("n")
    if n is not None:
        return n * 2
    """
WAITS = """
    if event["payload"].get("child"):
        got = await step.wait_for_event("go", "go", timeout="1 hour")
        return got["payload"]
    """
LONE_PARENT = (
    WAITS
    + """
    return {"got": await self.env.WORKFLOWS.run({"child": True}, id="kid")}
    """
)


def flows(engine: Engine, body: str, head: str = "", *, tenant: str = "acme", name: str = "flow") -> Any:
    return Dispatcher(engine, lambda metadata: Code(workflow(body, head)), name=name).wrap_binding({"tenant": tenant})


async def row_of(engine: Engine, id: str) -> InstanceRow:
    return await engine.store.find("acme", id)


async def until_waiting_for(parent: WorkflowInstance, *, after: int = 0) -> list[Event]:
    """The journal of a parent up to its waiting for children."""
    return await journal_until(parent, ev.WORKFLOW_WAITING, after)


async def until_created(engine: Engine, id: str) -> WorkflowInstance:
    while not [row for row in await engine.store.list("acme") if row.id == id]:
        await asyncio.sleep(0.01)
    return WorkflowInstance(engine, "acme", id)


async def until_ended(engine: Engine, id: str) -> str:
    """The status of an instance once it has been created and has ended."""
    instance = await until_created(engine, id)
    await journal(instance)
    return (await row_of(engine, id)).status


def types(events: Sequence[Event], *wanted: str) -> list[str]:
    return [event.type for event in events if event.type in wanted]


@on_engine()
async def test_a_child_gives_its_output_to_its_parent(engine: Engine) -> None:
    body = (
        DOUBLES
        + """
    one = await self.env.WORKFLOWS.run(params={"n": 1})
    rest = await asyncio.gather(*(self.env.WORKFLOWS.run({"n": n}, name="rest") for n in range(2, 5)))
    return [one, rest, await self.env.WORKFLOWS.run({"n": 50}, id="fifty")]
    """
    )
    mine = flows(engine, body)
    parent = await mine.create("parent")
    assert await output(parent) == [2, [4, 6, 8], 100]
    events = await journal(parent)
    started = [event for event in events if event.type == ev.CHILD_STARTED]
    assert [str(event.step) for event in started] == ["child-1", "rest-1", "rest-2", "rest-3", "fifty-1"]
    assert started[-1].data["child"] == "fifty" and await output(await mine.get("fifty")) == 100
    assert all(event.data["line"] for event in started)
    first = await engine.store.events((await row_of(engine, started[0].data["child"])).key, after=0, limit=1)
    assert first[0].data["trigger"] == {"kind": "child", "of": "parent", "step": started[0].key.as_json()}
    children = await engine.store.children((await row_of(engine, "parent")).key, ev.CHILD)
    assert {child.id for child in children} == {event.data["child"] for event in started}
    assert await engine.store.families.after(0, 10) == [], "nothing is left to be done"


@on_engine()
async def test_the_error_of_a_child_is_raised_with_its_name_and_message(engine: Engine) -> None:
    body = """
    if event["payload"].get("fails"):
        raise {"own": Own, "value": ValueError, "final": NonRetryableError}[event["payload"]["fails"]]("no luck")
    seen = []
    for kind in ("own", "value", "final"):
        try:
            await self.env.WORKFLOWS.run({"fails": kind}, name=kind)
        except (Own, ValueError, NonRetryableError) as error:
            seen.append([type(error).__name__, str(error)])
    await step.sleep("so that it is read again", "1 hour")
    return seen
    """
    parent = await flows(engine, body, "class Own(Exception): pass\n").create("parent")
    await until_waiting_for(parent)
    while not (await row_of(engine, "parent")).wait_until:
        await asyncio.sleep(0.01)
    await engine.wake(await row_of(engine, "parent"))
    assert await output(parent) == [["Own", "no luck"], ["ValueError", "no luck"], ["NonRetryableError", "no luck"]]


@on_engine()
async def test_an_error_that_nobody_catches_ends_the_parent(engine: Engine) -> None:
    body = DOUBLES + 'await self.env.WORKFLOWS.run({"n": "a" if False else {}})'
    name, message = await error(await flows(engine, body).create())
    assert name == "TypeError" and "unsupported operand" in message


@on_engine(idle_grace_ms=0)
async def test_a_parent_is_a_row_while_it_waits_and_its_childs_end_wakes_it(engine: Engine) -> None:
    parent = await flows(engine, LONE_PARENT).create("parent")
    await journal_until(parent, ev.EXECUTION_ENDED)
    row = await row_of(engine, "parent")
    assert (row.status, row.owner, row.due_at, row.wait_until) == (ev.WAITING, None, None, None)
    await WorkflowInstance(engine, "acme", "kid").send_event("go", 7)
    assert await output(parent) == {"got": 7}
    assert types(await journal(parent), ev.CHILD_STARTED, ev.CHILD_COMPLETED) == [ev.CHILD_STARTED, ev.CHILD_COMPLETED]


@on_engine()
async def test_a_worker_that_is_killed_finds_its_child_again(engine: Engine) -> None:
    parent = await flows(engine, LONE_PARENT).create("parent")
    await until_waiting_for(parent)
    await engine.kill_worker(await row_of(engine, "parent"))
    await journal_until(parent, ev.EXECUTION_ENDED)
    await WorkflowInstance(engine, "acme", "kid").send_event("go", 7)
    assert await output(parent) == {"got": 7}
    assert len(await engine.store.list("acme")) == 2, "one parent, one child"


@on_engine()
async def test_a_child_that_ended_before_the_parents_next_execution_is_not_run_again(engine: Engine) -> None:
    parent = await flows(engine, LONE_PARENT).create("parent")
    await until_waiting_for(parent)
    await engine.pause(await row_of(engine, "parent"))
    await WorkflowInstance(engine, "acme", "kid").send_event("go", 7)
    await journal_until(parent, ev.CHILD_COMPLETED)
    assert (await row_of(engine, "parent")).status == ev.PAUSED, "the end is kept, and wakes nobody"
    await engine.resume(await row_of(engine, "parent"))
    assert await output(parent) == {"got": 7}


TREE = """
    depth = event["payload"].get("depth", 0)
    if depth < 2:
        return await self.env.WORKFLOWS.run({"depth": depth + 1}, id=f"depth-{depth + 1}")
    await step.wait_for_event("go", "go", timeout="1 hour")
    """


async def until_there(engine: Engine, id: str) -> WorkflowInstance:
    """An instance that has been created and waits for something."""
    instance = await until_created(engine, id)
    await until_waiting_for(instance)
    return instance


@on_engine()
async def test_terminate_goes_down_to_children_of_children(engine: Engine) -> None:
    root = await flows(engine, TREE).create("depth-0")
    await until_there(engine, "depth-2")
    await root.terminate()
    assert [await until_ended(engine, f"depth-{n}") for n in range(3)] == ["terminated"] * 3


@on_engine()
async def test_cascade_false_leaves_the_child(engine: Engine) -> None:
    body = LONE_PARENT.replace('id="kid"', 'id="kid", cascade=False')
    parent = await flows(engine, body).create("parent")
    kid = await until_there(engine, "kid")
    await parent.terminate()
    await until_settled(engine)
    assert (await row_of(engine, "kid")).status == ev.WAITING
    await kid.send_event("go", 1)
    assert await output(kid) == 1


async def until_settled(engine: Engine) -> None:
    while await engine.store.families.after(0, 10):
        await asyncio.sleep(0.01)


@on_engine()
async def test_a_terminated_and_a_deleted_child_are_errors_of_the_parent(engine: Engine) -> None:
    mine = flows(engine, LONE_PARENT)
    for how, message in (("terminate", "was terminated"), ("delete", "was terminated")):
        parent = await mine.create(how)
        kid = await until_there(engine, "kid")
        await getattr(kid, how)()
        name, said = await error(parent)
        assert name == "ChildTerminated" and said == f'The child "kid" {message}.'
        if how == "terminate":
            await kid.delete()


@on_engine()
async def test_a_child_is_terminated_when_its_parent_waits_no_more(engine: Engine) -> None:
    body = (
        WAITS
        + """
    try:
        async with asyncio.timeout(0.05):
            await self.env.WORKFLOWS.run({"child": True}, id="kid")
    except TimeoutError:
        await step.wait_for_event("end", "end")
    """
    )
    parent = await flows(engine, body).create("parent")
    await journal_until(parent, ev.CHILD_CANCELLED)
    assert await until_ended(engine, "kid") == "terminated"
    await parent.send_event("end")
    assert await output(parent) is None


@on_engine()
async def test_a_child_that_is_given_up_before_it_is_created_is_terminated_at_once(engine: Engine) -> None:
    body = (
        WAITS
        + """
    run = asyncio.create_task(self.env.WORKFLOWS.run({"child": True}, id="kid"))
    await asyncio.sleep(0)
    run.cancel()
    await asyncio.sleep(60)
    """
    )
    cancelled = asyncio.Event()

    async def load(metadata: Any) -> Code:
        if loads:
            await cancelled.wait()
        loads.append(metadata)
        return Code(workflow(body))

    loads: list[Any] = []
    parent = await Dispatcher(engine, load, name="flow").wrap_binding({"tenant": "acme"}).create("parent")
    await journal_until(parent, ev.CHILD_CANCELLED)
    with pytest.MonkeyPatch.context() as without:
        without.setattr(Families, "walk_on", lambda families: None)  # the walk finds it too, seconds later
        cancelled.set()
        assert await until_ended(engine, "kid") == "terminated"
    assert (await row_of(engine, "parent")).status == "running"
    await parent.terminate()


@on_engine()
async def test_children_that_a_failed_parent_left_running_end_with_it(engine: Engine) -> None:
    body = (
        WAITS
        + """
    async def fails():
        while True:
            await asyncio.sleep(0.01)
            if await self.env.KV.get("go"):
                raise ValueError("first")
    await asyncio.gather(self.env.WORKFLOWS.run({"child": True}, id="kid"), fails())
    """
    )
    source = Dispatcher(engine, lambda metadata: Code(workflow(body), env={"KV": KV()}), name="flow")
    parent = await source.wrap_binding({"tenant": "acme"}).create("parent")
    await until_there(engine, "kid")
    other = Dispatcher(
        engine,
        lambda metadata: Code(workflow('await self.env.KV.put("go", 1)'), env={"KV": KV()}),
        name="other",
    )
    await output(await other.wrap_binding({"tenant": "acme"}).create("sets"))
    assert (await error(parent))[0] == "ValueError"
    assert await until_ended(engine, "kid") == "terminated"


@on_engine()
async def test_a_restart_ends_the_children_and_runs_new_ones(engine: Engine) -> None:
    body = LONE_PARENT.replace(', id="kid"', "")
    parent = await flows(engine, body).create("parent")
    first = next(event for event in await until_waiting_for(parent) if event.type == ev.CHILD_STARTED).data["child"]
    await parent.restart()
    after = (await row_of(engine, "parent")).last_seq
    events = await until_waiting_for(parent, after=after)
    second = next(event for event in events if event.type == ev.CHILD_STARTED).data["child"]
    assert second != first and await until_ended(engine, first) == "terminated"
    await WorkflowInstance(engine, "acme", second).send_event("go", 2)
    assert await output(parent) == {"got": 2}


@on_engine()
async def test_a_restart_from_a_later_step_keeps_the_childs_output(engine: Engine) -> None:
    body = (
        DOUBLES
        + """
    got = await self.env.WORKFLOWS.run({"n": 4})
    return [got, await step.do("after", lambda: got + 1)]
    """
    )
    parent = await flows(engine, body).create("parent")
    assert await output(parent) == [8, 9]
    await parent.restart({"name": "after"})
    assert await output(parent) == [8, 9]
    assert len(await engine.store.list("acme")) == 2


@on_engine()
async def test_a_run_that_ended_while_it_waited_and_goes_on_finds_its_child_terminated(engine: Engine) -> None:
    body = (
        WAITS
        + """
    async def kid():
        try:
            return await self.env.WORKFLOWS.run({"child": True}, id="kid")
        except Exception as error:
            return str(error)
    waiting = asyncio.create_task(kid())
    await asyncio.sleep(0)
    await step.do("later", lambda: None)
    await step.wait_for_event("hold", "hold")
    return await waiting
    """
    )
    parent = await flows(engine, body).create("parent")
    await until_there(engine, "kid")
    await journal_until(parent, ev.WAIT_STARTED)
    await parent.terminate()
    assert await until_ended(engine, "kid") == "terminated"
    await until_settled(engine)
    await parent.restart({"name": "later"})
    await parent.send_event("hold")
    assert await output(parent) == 'The child "kid" was terminated.'


@on_engine()
async def test_in_a_step_a_lost_attempt_finds_its_child_and_a_failed_one_runs_another(engine: Engine) -> None:
    body = """
    if event["payload"].get("fails"):
        raise ValueError("no luck")
    if event["payload"].get("child"):
        return (await step.wait_for_event("go", "go"))["payload"]

    @step.do("calls", config={"retries": {"limit": 1, "delay": 0}})
    async def calls(ctx):
        got = await self.env.WORKFLOWS.run({"child": True}, name="kid")
        await self.env.WORKFLOWS.run({"fails": ctx["attempt"] < 3, "child": False, "n": 1}, name="once")
        return got
    if event["payload"].get("n"):
        return "fine"
    return await calls()
    """
    parent = await flows(engine, body).create("parent")
    events = await journal_until(parent, ev.CHILD_STARTED)
    kid = await until_there(engine, events[-1].data["child"])
    await engine.kill_worker(await row_of(engine, "parent"))
    await kid.send_event("go", "there")
    assert await output(parent) == "there"
    named = [event.key.name for event in await journal(parent) if event.type == ev.CHILD_STARTED]
    assert named == ["kid", "once", "once"], "the lost attempt's child is found, the failed one is run again"
    parents = {event.key.parent for event in await journal(parent) if event.type == ev.CHILD_STARTED}
    assert {str(one) for one in parents} == {"calls-1"}


@on_engine()
async def test_an_id_that_is_taken_is_refused_and_the_code_may_catch_it(engine: Engine) -> None:
    body = (
        DOUBLES
        + """
    try:
        await self.env.WORKFLOWS.run({"n": 1}, id="taken")
    except Exception as error:
        return [type(error).__name__, str(error)]
    """
    )
    mine = flows(engine, body)
    await output(await mine.create("taken", {"n": 3}))
    name, message = await output(await mine.create("parent"))
    assert name == "InstanceAlreadyExists" and '"taken"' in message


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("run({'n': 1}, id='no spaces')", 'The instance id "no spaces" can\'t be used'),
        ("run({'n': object()})", "is not serialisable"),
        ("run({'n': 1}, name='')", "exceeds max length"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(place: Place, call: str, expected: str) -> None:
    async def story(engine: Engine) -> None:
        _, message = await error(await flows(engine, f"await self.env.WORKFLOWS.{call}").create())
        assert expected in message

    place.run(story)


@on_engine(child_depth=2)
async def test_children_of_children_are_only_so_deep(engine: Engine) -> None:
    body = 'return await self.env.WORKFLOWS.run({"n": event["payload"].get("n", 0) + 1})'
    root = await flows(engine, body).create("root")
    name, message = await error(root)
    assert name == "LimitExceeded" and "child depth: children of children may be 2 deep" in message
    assert "child_depth (PLAYGROUND_CHILD_DEPTH)" in message
    assert len(await engine.store.list("acme")) == 3


@on_engine(children_limit=3)
async def test_one_instance_runs_only_so_many_children(engine: Engine) -> None:
    body = (
        DOUBLES
        + """
    got = []
    for n in range(5):
        try:
            got.append(await self.env.WORKFLOWS.run({"n": n}))
        except Exception as error:
            got.append(str(error))
    return got
    """
    )
    got = await output(await flows(engine, body).create("root"))
    assert got[:3] == [0, 2, 4] and all("the limit of 3 children" in each for each in got[3:])
    assert "children_limit (PLAYGROUND_CHILDREN_LIMIT)" in got[4]
    assert len(await engine.store.list("acme")) == 4


@on_engine(children_per_minute=2)
async def test_code_of_nobody_runs_itself_as_a_child_and_only_so_often(engine: Engine) -> None:
    body = (
        DOUBLES
        + """
    got = [await self.env.WORKFLOWS.run({"n": n}) for n in (1, 2)]
    try:
        await self.env.WORKFLOWS.run({"n": 3})
    except Exception as error:
        got.append(f"{type(error).__name__}: {error}")
    try:
        self.env.WORKFLOWS.create
    except AttributeError as error:
        got.append(str(error))
    return got
    """
    )
    row = await engine.create(CreateInstance(workflow(body), queue="addr:1.2.3.4", control_hash="its hash"))
    got = await output(WorkflowInstance(engine, "", row.id))
    assert got[:2] == [2, 4]
    assert got[2].startswith("Busy: One address may start 2 children in a minute.")
    assert got[3].startswith("env.WORKFLOWS has no method 'create' here; it has: run.")
    child = (await engine.store.children(row.key, ev.CHILD))[0]
    found = await engine.store.find("", child.id)
    assert (found.queue, found.control_hash, found.snippet) == (row.queue, row.control_hash, row.snippet)


@on_engine()
async def test_code_of_nobody_runs_another_class_of_its_own_by_its_name(engine: Engine) -> None:
    other = """
class Invoice(WorkflowEntrypoint):
    async def run(self, event, step):
        if event["payload"]["deeper"]:
            return ["Invoice", await self.env.WORKFLOWS.run({"deeper": False})]
        return "Invoice again"
    """
    body = """
    got = [await self.env.WORKFLOWS.run({"deeper": True}, workflow="Invoice")]
    for wrong in ("Nothing", "another-workflow"):
        try:
            await self.env.WORKFLOWS.run(workflow=wrong)
        except Exception as error:
            got.append(f"{type(error).__name__}: {error}")
    return got
    """
    row = await engine.create(CreateInstance(workflow(body, other)))
    got = await output(WorkflowInstance(engine, "", row.id))
    assert got[0] == ["Invoice", "Invoice again"], "a class that runs itself without a name stays itself"
    assert "The source has no class Nothing with a method run" in got[1]
    assert 'Code of the page has no workflow "another-workflow"' in got[2]


@on_engine()
async def test_another_dispatchers_workflow_may_be_the_child(engine: Engine) -> None:
    reports = flows(engine, "return f\"report on {event['payload']}\"", name="reports")
    code = Code(workflow('return await self.env.REPORTS.run("sales")'), env={"REPORTS": reports})
    mine = Dispatcher(engine, lambda metadata: code).wrap_binding({"tenant": "acme"})
    assert await output(await mine.create()) == "report on sales"


@on_engine()
async def test_sleeps_that_the_parent_skips_are_skipped_by_its_children(engine: Engine) -> None:
    body = """
    if event["payload"].get("child"):
        await step.sleep("long", "30 days")
        return "woken"
    await step.wait_for_event("go", "go")
    return await self.env.WORKFLOWS.run({"child": True})
    """
    parent = await flows(engine, body).create("parent")
    await until_waiting_for(parent)
    await engine.skip_sleeps(await row_of(engine, "parent"))
    await parent.send_event("go")
    assert await output(parent) == "woken"


@on_engine()
async def test_a_fork_keeps_the_output_of_a_child_and_runs_those_that_had_not_ended(engine: Engine) -> None:
    body = (
        DOUBLES
        + WAITS
        + """
    return [await self.env.WORKFLOWS.run({"n": 4}), await self.env.WORKFLOWS.run({"child": True}, name="kid")]
    """
    )
    parent = await flows(engine, body).create("parent")
    while not [row for row in await engine.store.list("acme") if row.status == ev.WAITING and row.id != "parent"]:
        await asyncio.sleep(0.01)
    plan = await forks.plan(engine, await row_of(engine, "parent"))
    fork = WorkflowInstance(engine, "acme", (await engine.create(plan.template)).id)
    events = await journal_until(fork, ev.CHILD_STARTED)
    assert types(events, ev.STEP_COPIED, ev.CHILD_STARTED) == [ev.STEP_COPIED, ev.CHILD_STARTED]
    copied = next(event for event in events if event.type == ev.STEP_COPIED)
    assert copied.data["output"] == 8 and copied.data["child"]
    kid = await until_there(engine, events[-1].data["child"])
    await kid.send_event("go", "forked")
    assert await output(fork) == [8, "forked"]
    await parent.terminate()


def test_what_a_server_left_undone_the_next_one_does(place: Place) -> None:
    url = place.new_url()

    async def story() -> None:
        async with place.engine(url) as engine:
            parent = await flows(engine, LONE_PARENT).create("parent")
            orphan = await flows(engine, LONE_PARENT.replace('"kid"', '"orphan"'), name="other").create("ends")
            await until_there(engine, "kid")
            await until_there(engine, "orphan")
            await engine._services.families.stop()  # as if it died right after the commits
            await WorkflowInstance(engine, "acme", "kid").send_event("go", "late")
            await until_ended(engine, "kid")
            await orphan.terminate()
        async with place.engine(url) as engine:
            flows(engine, LONE_PARENT)
            flows(engine, LONE_PARENT, name="other")
            assert await output(WorkflowInstance(engine, "acme", parent.id)) == {"got": "late"}
            assert await until_ended(engine, "orphan") == "terminated"

    place.call(story)


def test_two_nodes_bring_an_end_once(place: Place) -> None:
    async def story() -> None:
        async with place.nodes(2, idle_grace_ms=0) as (one, other):
            mine = [flows(engine, LONE_PARENT) for engine in (one, other)]
            parent = await mine[0].create("parent")
            await journal_until(parent, ev.EXECUTION_ENDED)
            await WorkflowInstance(other, "acme", "kid").send_event("go", 1)
            for engine in (one, other):
                engine._services.families.walk_all()
            assert await output(parent) == {"got": 1}
            assert len(types(await journal(parent), ev.CHILD_COMPLETED)) == 1

    place.call(story)


@on_engine(tags_per_run=2)
async def test_children_have_the_tags_that_their_parent_gives_them(engine: Engine) -> None:
    body = (
        DOUBLES
        + """
    said = []
    for tags in ["order"], ["a", "b", "c"]:
        try:
            await self.env.WORKFLOWS.run({"n": 1}, tags=tags[0] if len(tags) == 1 else tags)
        except Exception as refused:
            said.append(str(refused))
    await self.env.WORKFLOWS.run({"n": 1}, id="kid", tags=["order-7", "eu", "order-7"])

    @step.do("leave")
    async def leave():
        await self.env.WORKFLOWS.create("left", {"n": 2}, tags=["order-7"])
        await self.env.WORKFLOWS.create({"id": "alike", "params": {"n": 2}, "tags": ["eu"]})
        try:
            await self.env.WORKFLOWS.create("not", {"n": 2}, tags=["a", "b", "c"])
        except Exception as refused:
            return str(refused)

    return [*said, await leave()]
    """
    )
    parent = await flows(engine, body).create("parent")
    no_list, *too_many = await output(parent)
    assert no_list == "Tags are a list of texts."
    assert ["A run has at most 2 tags" in text for text in too_many] == [True, True]
    for id, tags in {"kid": ["order-7", "eu"], "left": ["order-7"], "alike": ["eu"], "parent": []}.items():
        assert [*tags_of((await row_of(engine, id)).injected)] == tags
    assert await until_ended(engine, "left") == ev.COMPLETE
