"""`env.WORKFLOWS`: a tenant's code starts, finds and steers instances of its own, and children come back to their
parents.
"""

from typing import Any

import pytest
from dispatch_support import error, journal, journal_until, on_engine, output, workflow

from playground import Code, Dispatcher, Engine
from playground.workflows import events as ev
from playground.workflows.errors import EventRejected

CHILD = """
    if event["payload"].get("role") == "child":
        parent = await self.env.WORKFLOWS.get(event["payload"]["parent"])

        @step.do("tell the parent")
        async def tell():
            await parent.send_event("child-done", {"doubled": event["payload"]["n"] * 2})

        await tell()
        return "told"
    """
PARENT = (
    CHILD
    + """
    @step.do("start a child")
    async def start():
        child = await self.env.WORKFLOWS.create(params={"role": "child", "parent": event["instanceId"], "n": 21})
        return child.id

    child = await start()
    answer = await step.wait_for_event("child", "child-done", timeout="1 minute")
    return {"child": child, "answer": answer["payload"]}
    """
)
WAITS = """
    got = await step.wait_for_event("go", "go", timeout="1 hour")
    return got["payload"]
    """


def dispatcher(engine: Engine, body: str, name: str = "flow") -> Dispatcher:
    return Dispatcher(engine, lambda metadata: Code(workflow(body)), name=name)


def flows(engine: Engine, body: str, tenant: str = "acme", name: str = "flow") -> Any:
    return dispatcher(engine, body, name).wrap_binding({"tenant": tenant})


@on_engine()
async def test_a_child_is_started_in_a_step_and_its_result_comes_as_an_event(engine: Engine) -> None:
    mine = flows(engine, PARENT)
    result = await output(await mine.create("parent"))
    assert result["answer"] == {"doubled": 42}
    child = await mine.get(result["child"])
    assert await output(child) == "told"


@on_engine()
async def test_a_lost_attempt_finds_the_child_that_it_had_started(engine: Engine) -> None:
    body = PARENT.replace(
        '@step.do("start a child")', 'await step.wait_for_event("go", "go")\n    @step.do("start a child")'
    )
    parent = await flows(engine, body).create("parent")
    await journal_until(parent, ev.WORKFLOW_WAITING)
    await engine.kill_worker(await engine.store.find("acme", "parent"), "before-commit")
    await parent.send_event("go")
    assert (await output(parent))["answer"] == {"doubled": 42}
    assert len(await engine.store.list("acme")) == 2, "one parent, one child"
    assert [event.data["attempt"] for event in await journal(parent) if event.type == ev.ATTEMPT_STARTED] == [1, 2]


@on_engine()
async def test_children_of_one_step_are_told_apart_and_a_batch_too(engine: Engine) -> None:
    body = """
    if event["payload"].get("leaf") is not None:
        return event["payload"]["leaf"]

    @step.do("starts", config={"retries": {"limit": 1, "delay": 0}})
    async def starts(ctx):
        flows = self.env.WORKFLOWS
        one, two = await flows.create(params={"leaf": 1}), await flows.create({"params": {"leaf": 2}})
        more = await flows.create_batch([
            {"params": {"leaf": 3}}, {"id": "named", "params": {"leaf": 4}}, {"params": {"leaf": 5}}])
        if ctx["attempt"] == 1:
            raise ValueError("again")
        return [[one.id, two.id, *(made.id for made in more)], [dict(left) for left in more.refused]]

    return await starts()
    """
    mine = flows(engine, body)
    ids, refused = await output(await mine.create())
    assert len(set(ids)) == len(ids) == 4
    assert refused == [{"index": 1, "id": "named", "code": "instance.already_exists"}]
    assert [await output(await mine.get(id)) for id in ids] == [1, 2, 3, 5]
    assert len(await engine.store.list("acme")) == 6


@on_engine()
async def test_code_makes_a_batch_of_instances_that_are_alike_and_deletes_it(engine: Engine) -> None:
    body = """
    if "leaf" in event["payload"]:
        return await step.wait_for_event("go", "go", timeout="1 hour")

    @step.do("starts", config={"retries": {"limit": 1, "delay": 0}})
    async def starts(ctx):
        made = await self.env.WORKFLOWS.createBatch({"count": 2, "params": {"leaf": 1}})
        named = await self.env.WORKFLOWS.createBatch({"instances": [{"id": "n", "params": {"leaf": 1}}, {"id": "n"}]})
        if ctx["attempt"] == 1:
            raise ValueError("again")
        return [[one.id for one in made.created], [[left.index, left.code] for left in named.errors]]

    @step.do("deletes")
    async def deletes(starts):
        gone = await self.env.WORKFLOWS.deleteBatch([*starts[0], "nobody"])
        await (await self.env.WORKFLOWS.get("n")).delete()
        return [[one.id for one in gone.deleted], [[left["id"], left.code] for left in gone.errors]]

    return [await starts(), await deletes()]
    """
    (ids, errors), (deleted, missing) = await output(await flows(engine, body).create())
    assert len(set(ids)) == 2 and deleted == ids, "the second attempt found the children of the first"
    assert (errors, missing) == ([[0, 10405], [1, 10415]], [["nobody", 10400]])
    assert len(await engine.store.list("acme")) == 1


@on_engine()
async def test_instances_of_a_batch_come_in_its_order(engine: Engine) -> None:
    body = """
    if "leaf" in event["payload"]:
        return event["payload"]["leaf"]
    made = await self.env.WORKFLOWS.create_batch([
        {"params": {"leaf": 1}}, {"id": "named", "params": {"leaf": 2}}, {"params": {"leaf": 3}}])
    return [one.id for one in made]
    """
    mine = flows(engine, body)
    ids = await output(await mine.create())
    assert [await output(await mine.get(id)) for id in ids] == [1, 2, 3]


@on_engine()
async def test_all_that_can_be_done_to_an_instance_can_be_done_from_inside(engine: Engine) -> None:
    body = """
    flows = self.env.WORKFLOWS
    if event["payload"].get("held"):
        got = await step.wait_for_event("go", "go", timeout="1 hour")
        return got["payload"]
    seen = []
    other = await flows.create("other", {"held": True})
    again = await flows.get("other")
    seen.append([other.id, again.id, repr(other), repr(flows)])
    await other.pause()
    await other.send_event("go", {"n": 1})
    seen.append(dict(await other.status()))
    await other.resume()
    while (await other.status())["status"] != "complete":
        await asyncio.sleep(0.01)
    seen.append((await other.status()).output)
    await other.restart()
    await other.send_event({"type": "go", "payload": 2})
    while (await other.status())["status"] != "complete":
        await asyncio.sleep(0.01)
    third = await flows.create("third", {"held": True})
    await third.terminate(rollback=True)
    seen.append((await third.status())["status"])
    failures = []
    for attempt in (
        lambda: flows.create("other"), lambda: flows.create("no spaces"),
        lambda: flows.get("nobody"), lambda: third.terminate(),
        lambda: other.send_event("go"), lambda: other.restart({"name": "x"}), lambda: third.send_event("no.dot"),
        lambda: flows.create_batch([]), lambda: flows.create_batch(["x"]), lambda: flows.create_batch([{"nope": 1}]),
    ):
        try:
            await attempt()
        except Exception as refused:
            failures.append([type(refused).__name__, refused.code])
    return [seen, failures]
    """
    seen, failures = await output(await flows(engine, body).create())
    assert seen[0] == ["other", "other", "<instance other>", "<workflow binding WORKFLOWS>"]
    assert seen[1] == {"status": "paused", "output": None, "error": None, "rollback": None}
    assert seen[2:] == [{"n": 1}, "terminated"]
    assert failures == [
        ["InstanceAlreadyExists", "instance.already_exists"],
        ["InvalidId", "instance.invalid_id"],
        ["InstanceNotFound", "instance.not_found"],
        ["CannotTerminate", "instance.cannot_terminate"],
        ["InstanceInFiniteState", "instance.in_finite_state"],
        ["CannotRestart", "instance.cannot_restart"],
        ["InvalidEventType", "workflow.invalid_event_type"],
        ["InvalidBatch", "workflow.invalid_batch"],
        ["InvalidBatch", "workflow.invalid_batch"],
        ["InvalidBatch", "workflow.invalid_batch"],
    ]


@on_engine()
async def test_a_failed_childs_error_and_a_running_ones_status_can_be_read(engine: Engine) -> None:
    body = """
    if event["payload"] == "fails":
        raise ValueError("no luck")
    child = await self.env.WORKFLOWS.create("child", "fails")
    while (status := await child.status()).status != "errored":
        await asyncio.sleep(0.01)
    return [status.error["name"], status.error["message"],
        (await (await self.env.WORKFLOWS.get(event.instanceId)).status()).status]
    """
    assert await output(await flows(engine, body).create()) == ["ValueError", "no luck", "running"]


@on_engine()
async def test_an_instance_may_end_itself(engine: Engine) -> None:
    body = "await (await self.env.WORKFLOWS.get(event.instanceId)).terminate()\nawait asyncio.sleep(60)"
    instance = await flows(engine, body).create()
    await journal(instance)
    assert (await instance.status()).status == "terminated"


@on_engine()
async def test_a_loader_may_give_another_binding_or_none(engine: Engine) -> None:
    reports = flows(engine, "return f\"report on {event['payload']}\"", name="reports")
    body = """
    made = await self.env.REPORTS.create(params="sales")
    while (status := await made.status())["status"] != "complete":
        await asyncio.sleep(0.01)
    return [status["output"], self.env.WORKFLOWS]
    """
    code = Code(workflow(body), env={"REPORTS": reports, "WORKFLOWS": None})
    mine = Dispatcher(engine, lambda metadata: code).wrap_binding({"tenant": "acme"})
    assert await output(await mine.create()) == ["report on sales", None]


@on_engine()
async def test_code_that_came_as_a_snippet_has_only_children_of_its_own(engine: Engine) -> None:
    from playground import WorkflowInstance
    from playground.engine import CreateInstance

    row = await engine.create(
        CreateInstance(workflow('return [sorted(self.env), hasattr(self.env.WORKFLOWS, "create")]'))
    )
    names = ["AI", "APPROVALS", "EFFECTS", "FETCH", "KV", "MCP", "STREAMS", "WORKFLOWS"]
    assert await output(WorkflowInstance(engine, "", row.id)) == [names, False]


@on_engine(workers=1, queued_per_tenant=20)
async def test_a_tenant_that_starts_too_many_is_told_so_and_may_wait(engine: Engine) -> None:
    body = """
    if event["payload"]:
        return
    for _ in range(20):
        await self.env.WORKFLOWS.create_batch([{"params": 1}] * 10)
    """
    name, message = await error(await flows(engine, body).create())
    assert name == "Busy" and "20 is the most" in message


@on_engine()
async def test_an_instance_answers_another_that_sends_it_an_event(engine: Engine) -> None:
    body = """
    if event["payload"].get("answers"):
        while True:
            asked = await step.wait_for_event("question", "ask", timeout="1 hour")
            if asked.payload < 0:
                asked.reject("no")
                return
            asked.reply({"doubled": asked.payload * 2})
    other = await self.env.WORKFLOWS.create("other", {"answers": True})

    @step.do("ask")
    async def ask():
        answer = await other.send_event("ask", 4, reply=True)
        try:
            await other.send_event("ask", -1, reply=True)
        except Exception as refused:
            return [answer, str(refused)]

    return await ask()
    """
    mine = flows(engine, body)
    answer, refused = await output(await mine.create("asks"))
    assert answer == {"doubled": 8} and refused.startswith("no"), refused
    handle = await mine.create("answers", {"answers": True})
    assert await handle.send_event("ask", 5, reply=True) == {"doubled": 10}
    with pytest.raises(EventRejected, match="^no$"):
        await handle.send_event("ask", -1, reply=True)
