"""Queues of messages: sent with a step or over HTTP, handled by the tenant's own code, and kept when they are dead."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from dispatch_support import journal, journal_until, on_engine, output, workflow
from http_support import MakeSite, Site, code_of
from msgspec.structs import replace
from tenants_support import Tenant

from playground.engine import CreateInstance, Engine
from playground.engine.code.tenants import Tenants
from playground.engine.instances import WorkflowInstance
from playground.engine.message_queues import MessageQueues, joined_marks, settled
from playground.engine.message_rules import delay_ms, new_messages
from playground.store.messages import Message, NewMessage, Outcome, QueueSettings, owner_of
from playground.store.tables import NewVersion
from playground.workflows import errors
from playground.workflows import events as ev

HEAD = "from workers import WorkerEntrypoint\n"
HANDLER = HEAD + "\n\nclass Default(WorkerEntrypoint):\n    async def queue(self, batch):\n"
AT_ONCE = QueueSettings("main", max_batch_timeout_ms=0)


def handler(body: str) -> NewVersion:
    lines = body.strip("\n").splitlines()
    indent = len(lines[0]) - len(lines[0].lstrip())
    return NewVersion(HANDLER + "".join(f"        {line[indent:]}\n" for line in lines))


def message(id: str, attempts: int = 1) -> Message:
    return Message(id, 0, attempts, "json", None)


async def send(tenants: Tenants, *bodies: Any, queue: str = "default", **given: Any) -> None:
    sent = [NewMessage(f"{queue}-{body}", "json", body, **given) for body in bodies]
    await tenants.queues.send("acme", queue, sent)


async def until(tenants: Tenants, *counts: int, queue: str = "default") -> None:
    """Wait until so many messages wait, are being delivered, and are dead."""
    while True:
        [found] = [row for row in await tenants.queues.queues("acme") if row.name == queue]
        if tuple(found.counts) == counts:
            return
        await asyncio.sleep(0.005)


async def deliveries(engine: Engine) -> list[WorkflowInstance]:
    """The deliveries so far, oldest first."""
    rows = [row for row in await engine.store.list("acme") if row.id.startswith("queue-")]
    return [WorkflowInstance(engine, "acme", row.id) for row in reversed(rows)]


@on_engine()
async def test_a_batch_is_an_instance_of_the_consumer_and_what_it_handles_is_gone(engine: Engine) -> None:
    tenants = Tenants(engine)
    await tenants.deploy(
        "acme",
        handler("""
        for message in batch.messages:
            await self.env.KV.put(str(message.body), [batch.queue, message.attempts, message.id])
        """),
    )
    await tenants.queues.put("acme", "default", AT_ONCE)
    await send(tenants, 1, 2)
    await until(tenants, 0, 0, 0)
    [delivery] = await deliveries(engine)
    assert await output(delivery) == {"acked": 2, "retried": 0}
    events = await journal(delivery)
    assert events[0].data["trigger"] == {"kind": "queue", "queue": "default"}
    assert [it.data for it in events if it.type == ev.BATCH_MARKED] == [
        {"acked": ["default-1", "default-2"], "retried": []}
    ]
    found, value = await engine.store.kv.get(("acme", 0), "2")  # type: ignore[arg-type]
    assert found and value == ["default", 1, "default-2"]


@on_engine(idle_grace_ms=0)
async def test_what_a_step_sends_is_there_with_its_result_and_not_when_its_attempt_fails(engine: Engine) -> None:
    tenants = Tenants(engine)
    source = workflow("""
        @step.do("sends", config={"retries": {"limit": 1, "delay": 0}})
        async def sends(ctx):
            await self.env.QUEUE.send({"n": ctx["attempt"]})
            raw, text = {"body": b"raw", "contentType": "bytes"}, {"body": "text", "contentType": "text"}
            await self.env.QUEUES.get("later").sendBatch([raw, text], {"delaySeconds": 60})
            if ctx["attempt"] == 1:
                raise ValueError("again")
            return "sent"

        return await sends()
        """)
    source += """

class Default(WorkerEntrypoint):
    async def queue(self, batch, env, ctx, step):
        [message] = batch.messages
        slept = await step.sleep("a while", 1)
        await step.do("note", lambda: message.body)
"""
    await tenants.deploy("acme", NewVersion(source.replace("import asyncio", "from workers import WorkerEntrypoint")))
    for name in ("default", "later"):
        await tenants.queues.put("acme", name, AT_ONCE)
    sender = WorkflowInstance(engine, "acme", (await tenants.create("acme")).id)
    assert await output(sender) == "sent"
    sent = [event for event in await journal(sender) if event.type == ev.MESSAGE_SENT]
    assert [(it.data["queue"], it.data["content_type"], it.data["delay_ms"]) for it in sent] == [
        ("default", "json", 0), ("later", "bytes", 60_000), ("later", "text", 60_000),
    ]  # fmt: skip
    assert {it.seq - sent[0].seq for it in sent} == {0, 1, 2} and sent[0].data["body"] == {"n": 2}
    await until(tenants, 0, 0, 0)
    await until(tenants, 2, 0, 0, queue="later")
    [delivery] = await deliveries(engine)
    noted = [event for event in await journal(delivery) if event.type == ev.STEP_COMPLETED]
    assert noted[0].data["output"] == {"n": 2}


@on_engine()
async def test_marks_count_retries_are_bounded_and_dead_letters_can_be_sent_again_or_deleted(engine: Engine) -> None:
    tenants = Tenants(engine)
    await tenants.deploy(
        "acme",
        handler("""
        for message in batch.messages:
            if message.body == "good":
                message.ack()
                message.retry()
        raise ValueError("the others")
        """),
    )
    await tenants.queues.put("acme", "default", QueueSettings("main", max_batch_timeout_ms=0, max_retries=1))
    await send(tenants, "good", "bad", "worse")
    await until(tenants, 0, 0, 2)
    ended = [await delivery.status() for delivery in await deliveries(engine)]
    assert [it.status for it in ended] == ["errored", "errored"], "good was gone after the first"
    dead = await tenants.queues.dead("acme", "default")
    assert [(it.id, it.attempts, it.body) for it in dead] == [("default-bad", 2, "bad"), ("default-worse", 2, "worse")]
    await tenants.queues.delete_dead("acme", "default", "default-worse")
    with pytest.raises(errors.QueueNotFound, match="no dead message"):
        await tenants.queues.revive("acme", "default", "default-worse")
    await tenants.deploy("acme", handler("batch.ackAll()"))
    await tenants.queues.revive("acme", "default", "default-bad")
    await until(tenants, 0, 0, 0)


@on_engine(attempt_cpu_seconds=1, tenant_attempt_wall_seconds=10, step_limit=3)
async def test_what_a_handler_has_acknowledged_stays_so_however_it_is_stopped(engine: Engine) -> None:
    tenants = Tenants(engine)
    await tenants.deploy(
        "acme",
        handler("""
        step = self.ctx.step
        good, later, bad = batch.messages
        good.ack()
        await step.do("between", lambda: later.retry({"delaySeconds": 3600}))
        if bad.body == "spins":
            while True:
                pass
        for number in range(9 if bad.body == "steps" else 0):
            await step.do(f"step {number}", lambda: number)
        if bad.body == "exits":
            raise SystemExit(1)
        await step.wait_for_event("never", "never")
        """),
    )
    settings = QueueSettings("main", 3, max_batch_timeout_ms=60_000, max_retries=0, max_concurrency=1)
    await tenants.queues.put("acme", "dying", settings)
    for number, how in enumerate(("spins", "steps", "exits", "terminated")):
        await send(tenants, f"good {number}", f"later {number}", how, queue="dying")
        if how == "terminated":
            while len(await deliveries(engine)) <= number:
                await asyncio.sleep(0.005)
            delivery = (await deliveries(engine))[-1]
            await journal_until(delivery, ev.BATCH_MARKED)
            await delivery.terminate()
        await until(tenants, 0, 0, 2 * (number + 1), queue="dying")
    dead = [it.body for it in await tenants.queues.dead("acme", "dying")]
    assert not [body for body in dead if body.startswith("good")], dead
    for delivery in await deliveries(engine):
        marks = [event.data for event in await journal(delivery) if event.type == ev.BATCH_MARKED]
        assert marks[0]["retried"] == [] and len(marks[0]["acked"]) == 1, "it stood when it was made"


@on_engine()
async def test_dead_letters_go_into_the_queue_that_is_named_for_them(engine: Engine) -> None:
    tenants = Tenants(engine)
    await tenants.deploy("acme", handler("batch.retry_all(delay_seconds=0)\nreturn"))
    await tenants.deploy("acme", NewVersion(handler("self.env.QUEUE").source, workflow="undertaker"))
    dying = QueueSettings("main", max_batch_timeout_ms=0, max_retries=0, dead_letter_queue="dead")
    await tenants.queues.put("acme", "default", dying)
    await tenants.queues.put("acme", "dead", QueueSettings("undertaker", max_batch_timeout_ms=0))
    await send(tenants, "poison")
    await until(tenants, 0, 0, 0)
    await until(tenants, 0, 0, 0, queue="dead")
    rows = [await engine.store.find("acme", it.id) for it in await deliveries(engine)]
    assert [row.workflow for row in rows] == ["tenant-workflow", "tenant-workflow/undertaker"]


@on_engine()
async def test_a_killed_handler_goes_on_and_its_batch_is_settled_once(engine: Engine) -> None:
    tenants = Tenants(engine)
    await tenants.deploy(
        "acme",
        handler("""
        import asyncio

        @self.ctx.step.do("slow", config={"retries": {"limit": 3, "delay": 0}})
        async def slow(ctx):
            await asyncio.sleep(30 if ctx["attempt"] == 1 else 0)

        await slow()
        """),
    )
    await tenants.queues.put("acme", "default", AT_ONCE)
    await send(tenants, 1)
    await until(tenants, 0, 1, 0)
    while not await deliveries(engine):
        await asyncio.sleep(0.005)
    [delivery] = await deliveries(engine)
    async for event in delivery.subscribe():
        if event.type == ev.ATTEMPT_STARTED:
            break
    await engine.kill_worker(await engine.store.find("acme", delivery.id))
    await until(tenants, 0, 0, 0)
    assert (await delivery.status()).output == {"acked": 1, "retried": 0}
    assert len(await deliveries(engine)) == 1


@on_engine()
async def test_a_sender_that_is_killed_before_its_commit_sends_once(engine: Engine) -> None:
    tenants = Tenants(engine)
    body = """
    await step.wait_for_event("go", "go")

    @step.do("sends", config={"retries": {"limit": 3, "delay": 0}})
    async def sends(ctx):
        await self.env.QUEUE.send(ctx["attempt"])

    await sends()
    """
    await tenants.deploy("acme", NewVersion(workflow(body)))
    await tenants.queues.put("acme", "default", QueueSettings("main", delivery_delay_ms=60_000))
    sender = WorkflowInstance(engine, "acme", (await tenants.create("acme")).id)
    async for event in sender.subscribe():
        if event.type == ev.WAIT_STARTED:
            break
    await engine.kill_worker(await engine.store.find("acme", sender.id), "before-commit")
    await sender.send_event("go")
    await output(sender)
    sent = [event.data["body"] for event in await journal(sender) if event.type == ev.MESSAGE_SENT]
    assert sent == [2] and await engine.store.messages.count("acme") == 1


@on_engine()
async def test_a_delivery_whose_node_died_before_its_instance_was_made_is_made_by_another(engine: Engine) -> None:
    tenants, messages = Tenants(engine), engine.store.messages
    await tenants.deploy("acme", handler("pass"))
    await messages.put_queue("acme", "default", AT_ONCE, most=9)
    later = engine.clock.now() + 60_000  # so that this node's own pump, which is told of it, does not take it first
    await messages.send("acme", "default", [NewMessage("m", "json", 1)], at=later, most=9)
    [begun] = (await messages.take(at=later, most_per_tenant=9)).deliveries  # by a node that dies now
    again = MessageQueues(engine, lambda tenant, workflow, _, trigger: tenants.template(tenant, "", trigger, workflow))
    for pump in (again, tenants.queues):
        pump.wake()
    await until(tenants, 0, 0, 0)
    assert [it.id for it in await deliveries(engine)] == [begun.id], "two pumps make one instance"


@on_engine()
async def test_messages_whose_consumer_is_not_deployed_are_dead_in_the_end_and_their_tenant_is_deleted_with_them(
    engine: Engine,
) -> None:
    tenants = Tenants(engine)
    await engine.store.tenants.add_key("acme", "", "hash", at=1)
    await tenants.queues.put("acme", "default", QueueSettings("nobody", max_batch_timeout_ms=0, max_retries=0))
    await send(tenants, 1)
    await until(tenants, 0, 0, 1)
    assert await deliveries(engine) == []
    await tenants.delete("acme")
    assert (await engine.store.messages.count("acme"), await tenants.queues.queues("acme")) == (0, [])


@on_engine(queues_per_tenant=1, messages_per_tenant=3)
async def test_limits_say_what_to_do(engine: Engine) -> None:
    tenants = Tenants(engine)
    await tenants.queues.put("acme", "default", QueueSettings("main", delivery_delay_ms=60_000))
    with pytest.raises(errors.InvalidQueue, match=r"at most 1 queues.* queues_per_tenant \(PLAYGROUND"):
        await tenants.queues.put("acme", "other", AT_ONCE)
    await send(tenants, 1, 2, 3)
    with pytest.raises(errors.MessagesFull, match=r"at most 3 messages.* messages_per_tenant \(PLAYGROUND"):
        await send(tenants, 4)
    body = 'await self.env.QUEUE.send("x")'
    await tenants.deploy("acme", NewVersion(workflow(body)))
    refused = WorkflowInstance(engine, "acme", (await tenants.create("acme")).id)
    events = await journal(refused)
    assert "at most 3 messages" in events[-1].data["error"]["message"]
    with pytest.raises(errors.QueueNotFound, match='no queue "other"'):
        await send(tenants, 1, queue="other")
    for given, said in (
        ({"max_batch_size": 101}, "max_batch_size of a queue takes 1 to 100"),
        ({"max_batch_timeout_ms": 61_000}, "max_batch_timeout of a queue takes 0 to 60 seconds"),
        ({"max_concurrency": 0}, "max_concurrency of a queue takes 1 to 250"),
        ({"dead_letter_queue": "default"}, "can't go into the queue itself"),
    ):
        with pytest.raises(errors.InvalidQueue, match=said):
            await tenants.queues.put("acme", "default", QueueSettings("main", **given))


DESK = (
    workflow("""
@step.do("send", config={"retries": {"limit": 0, "delay": 0}})
async def send():
    await self.env.QUEUE.send_batch([{"body": it, "delay_seconds": 60 * (it == "later")} for it in event["payload"]])

await send()
""")
    + """

class Default(WorkerEntrypoint):
    async def queue(self, batch, env, ctx, step):
        for message in batch.messages:
            if message.body == "deeper":
                await self.env.QUEUE.send("deepest")
            if message.body == "child":
                return print(await self.env.WORKFLOWS.run(["good"]))
            await step.do(message.body, lambda: message.body)
"""
)
DESK = DESK.replace("import asyncio", "from workers import WorkerEntrypoint")


async def delivered(engine: Engine, key: int, count: int) -> list[WorkflowInstance]:
    """A run's deliveries once there are so many and all have ended."""
    while True:
        found = await engine.store.children(key, "queue")
        if len(found) == count and all(child.ended_at for child in found):
            return [WorkflowInstance(engine, "", child.id) for child in reversed(found)]
        await asyncio.sleep(0.005)


@on_engine(messages_per_run=2, child_depth=1)
async def test_a_run_without_a_tenant_has_a_queue_of_its_own(engine: Engine) -> None:
    Tenants(engine)
    new = CreateInstance(DESK, ["good", "bad"], control_hash="secret", queue="addr:1.2.3.4", limits={"step_limit": 9})
    row = await engine.create(new)
    other = await engine.create(replace(new, params=["deeper"]))
    [delivery] = await delivered(engine, row.key, 1)
    events = await journal(delivery)
    assert events[0].data["trigger"] == {"kind": "queue", "queue": "default", "of": row.id}
    assert [it.step.name for it in events if it.type == ev.STEP_COMPLETED and it.step] == ["good", "bad"]
    made = await engine.store.find("", delivery.id)
    assert (made.control_hash, made.queue, made.snippet) == ("secret", "addr:1.2.3.4", row.snippet)
    assert made.limits == {"step_limit": 9, "child_depth": 0}
    while not (found := await engine.store.children(other.key, "queue")) or not found[-1].ended_at:
        await asyncio.sleep(0.005)
    failed = await WorkflowInstance(engine, "", found[-1].id).status()
    assert "This run handles messages of a run" in failed.error["message"]
    full = await engine.create(replace(new, params=["a", "b", "c"]))
    error = (await journal(WorkflowInstance(engine, "", full.id)))[-1].data["error"]["message"]
    assert "at most 2 messages" in error and "messages_per_run (PLAYGROUND" in error


@on_engine()
async def test_messages_of_a_run_go_with_it_and_leave_those_of_others(engine: Engine) -> None:
    Tenants(engine)
    rows = [await engine.create(CreateInstance(DESK, ["later"])) for _ in range(2)]
    for row in rows:
        await output(WorkflowInstance(engine, "", row.id))
    owners = [owner_of(row) for row in rows]
    await engine.store.delete(rows[0].key)
    assert [await engine.store.messages.count(owner) for owner in owners] == [0, 1]
    assert [len(await engine.store.messages.queues(owner)) for owner in owners] == [0, 1]


@on_engine(children_per_minute=2)
async def test_deliveries_are_children_of_their_address_and_run_the_workflow_as_a_child(engine: Engine) -> None:
    Tenants(engine)
    row = await engine.create(CreateInstance(DESK, ["child"], queue="addr:1.2.3.4"))
    [delivery] = await delivered(engine, row.key, 1)
    [child] = await engine.store.children((await engine.store.find("", delivery.id)).key, "child")
    assert (await engine.store.find("", child.id)).class_name == "TenantWorkflow"
    assert child.status == "complete", "its own messages wait: its address has started two children in this minute"


@on_engine()
async def test_a_batch_waits_until_it_is_full_or_old_and_only_so_many_run_at_once(engine: Engine) -> None:
    tenants = Tenants(engine)
    await tenants.deploy("acme", handler('await self.ctx.step.wait_for_event("go", "go")'))
    await tenants.queues.put("acme", "default", QueueSettings("main", 2, 60_000, max_concurrency=1))
    await send(tenants, 1)
    await send(tenants, 2, 3, 4, 5)
    await until(tenants, 3, 2, 0)
    for count in (1, 2):
        while len(await deliveries(engine)) < count:
            await asyncio.sleep(0.005)
        assert len(await deliveries(engine)) == count, "one at a time"
        await (await deliveries(engine))[-1].send_event("go")
    await until(tenants, 1, 0, 0)
    assert len(await deliveries(engine)) == 2, "the fifth waits for company"


@on_engine(deliveries_per_tenant=2)
async def test_a_tenants_queues_together_have_so_many_batches_at_once(engine: Engine) -> None:
    tenants = Tenants(engine)
    await tenants.deploy("acme", handler('await self.ctx.step.wait_for_event("go", "go")'))
    with pytest.raises(errors.InvalidQueue, match=r"takes 1 to 2 here.* deliveries_per_tenant \(PLAYGROUND"):
        await tenants.queues.put("acme", "default", QueueSettings("main", max_concurrency=3))
    for name in ("default", "other"):
        await tenants.queues.put("acme", name, QueueSettings("main", 1, 0, max_concurrency=2))
    await send(tenants, 1, 2)
    await until(tenants, 0, 2, 0)
    await send(tenants, 3, queue="other")
    while len(await deliveries(engine)) < 2:
        await asyncio.sleep(0.005)
    await until(tenants, 1, 0, 0, queue="other")
    await (await deliveries(engine))[0].send_event("go")
    await until(tenants, 0, 1, 0, queue="other")
    await until(tenants, 0, 1, 0)


def test_of_several_marks_of_a_message_the_first_counts() -> None:
    first = {"acked": ["a"], "retried": [{"id": "b", "delay_ms": 5}]}
    last = {"acked": ["b", "c"], "retried": [{"id": "a"}, {"id": "d"}]}
    assert joined_marks([first, last]) == {"acked": ["a", "c"], "retried": [{"id": "b", "delay_ms": 5}, {"id": "d"}]}
    assert joined_marks([]) is None


def test_the_dead_letters_of_a_run_without_a_tenant_over_http(site: Site) -> None:
    source = DESK.replace("await send()", 'await step.wait_for_event("go", "go")\n        await send()')
    made = site.create(
        source.replace("await step.do(message.body, lambda: message.body)", "raise ValueError"), params=["a", "b"]
    )
    site.until(made, "wait_started")
    path, key = f"/api{made['url']}/dead", {"Authorization": f"Bearer {made['control_token']}"}
    assert site.client.get(path).json() == {"messages": []}, "of a queue that is not there yet"
    row = site.call(site.engine.store.find("", made["id"]))
    at_once = QueueSettings("main", max_batch_timeout_ms=0, max_retries=0)
    site.call(site.engine.store.messages.put_queue(owner_of(row), "default", at_once, most=1))
    site.operate(made, "events/go", {})
    while len(dead := site.client.get(path).json()["messages"]) < 2:
        site.client.get(f"/api{made['url']}")
    assert [(it["body"], it["attempts"]) for it in dead] == [("a", 1), ("b", 1)]
    first, second = (f"{path}/{it['id']}" for it in dead)
    assert code_of(site.client.post(f"{first}/retry")) == (401, "token.missing")
    assert code_of(site.client.delete(first)) == (401, "token.missing")
    assert site.client.delete(first, headers=key).status_code == 204
    assert site.client.post(f"{second}/retry", headers=key).status_code == 202
    while [it["attempts"] for it in site.client.get(path).json()["messages"]] != [1]:  # it has died again
        site.client.get(f"/api{made['url']}")
    deliveries = site.client.get(f"/api{made['url']}/children").json()["children"]
    assert [child["kind"] for child in deliveries] == ["queue", "queue"]
    assert code_of(site.client.post(f"{first}/retry", headers=key)) == (404, "queue.not_found")


def test_queues_over_http(make_shared_site: MakeSite) -> None:
    acme = Tenant(make_shared_site(), "acme")
    acme.deploy(
        handler("""
        for message in batch.messages:
            if message.body == "poison":
                raise ValueError(repr(message.body))
            await self.env.KV.put(message.id, str(message.body))
        """).source
    )
    settings = {"max_batch_timeout": 0, "max_retries": 0, "retry_delay": 0.5}
    made = acme.ask("PUT", "/queues/mail", json=settings)
    assert made.status_code == 201 and made.json()["consumer"] == "main" and made.json()["retry_delay"] == 0.5
    sent = acme.ask("POST", "/queues/mail/messages", json={"body": "poison"})
    assert sent.status_code == 202
    [poison] = sent.json()["messages"]
    raw = {"body": "aGk=", "content_type": "bytes"}
    batch = acme.ask(
        "POST", "/queues/mail/messages", json={"messages": [raw, {"body": {"n": 1}}], "delay_seconds": 3600}
    )
    assert len(batch.json()["messages"]) == 2
    while True:
        [shown] = acme.ask("GET", "/queues").json()["queues"]
        if shown["dead"] == 1:
            break
        acme.ask("GET", "/instances")
    assert (shown["name"], shown["waiting"], shown["delivering"]) == ("mail", 2, 0)
    [dead] = acme.ask("GET", "/queues/mail/dead").json()["messages"]
    assert (dead["id"], dead["body"], dead["attempts"]) == (poison["id"], "poison", 1)
    [delivery] = acme.ask("GET", "/instances").json()["instances"]
    assert delivery["status"] == "errored" and delivery["error"]["message"] == "'poison'"
    path = f"/queues/mail/dead/{poison['id']}"
    assert acme.ask("POST", f"{path}/retry").status_code == 202
    assert code_of(acme.ask("DELETE", path)) == (404, "queue.not_found"), "it waits, or is being delivered"
    for method, path, body, code in (
        ("PUT", "/queues/mail", {"max_batch_size": 0}, (400, "queue.invalid")),
        ("PUT", "/queues/mail", {"max_batch_timeout": 90}, (400, "queue.invalid")),
        ("PUT", "/queues/no%20spaces", {}, (400, "workflow.invalid_name")),
        ("POST", "/queues/other/messages", {"body": 1}, (404, "queue.not_found")),
        ("POST", "/queues/mail/messages", {}, (400, "queue.invalid")),
        ("POST", "/queues/mail/messages", {"body": "?", "content_type": "bytes"}, (400, "queue.invalid")),
        ("POST", "/queues/mail/messages", {"body": 1, "content_type": "text"}, (400, "not_serialisable")),
        ("POST", "/queues/mail/messages", {"body": 1, "delay_seconds": 10**6}, (400, "queue.invalid")),
        ("POST", "/queues/mail/messages", {"body": "x" * 140_000}, (413, "too_large")),
        ("DELETE", "/queues/other", None, (404, "queue.not_found")),
        ("GET", "/queues/other/dead", None, (404, "queue.not_found")),
    ):
        assert code_of(acme.ask(method, path, **({} if body is None else {"json": body}))) == code, (method, path, body)
    assert acme.ask("DELETE", "/queues/mail").status_code == 204
    assert acme.ask("GET", "/queues").json() == {"queues": []}


@pytest.mark.parametrize(
    ("marks", "completed", "expected"),
    [
        (None, True, ["acked"] * 3),
        (None, False, [100, 100, "dead"]),
        ({"acked": ["a"], "retried": []}, False, ["acked", 100, "dead"]),
        ({"acked": [], "retried": [{"id": "b", "delay_ms": 7}, {"id": "c"}]}, True, ["acked", 7, "dead"]),
        ({"acked": ["nobody"], "retried": [{"id": "nobody"}]}, True, ["acked"] * 3),
    ],
)
def test_what_becomes_of_messages(marks: Any, completed: bool, expected: Sequence[Any]) -> None:
    settings = QueueSettings("main", max_retries=3, retry_delay_ms=100)
    messages = [message("a"), message("b", 3), message("c", 4)]
    found = settled(messages, settings, marks, completed=completed, now=1_000)
    told = ["acked" if it.acked else "dead" if it.dead else it.due_at - 1_000 for it in found.values()]
    assert told == expected and all(isinstance(it, Outcome) for it in found.values())


def test_messages_are_checked() -> None:
    for batch, error in (
        ([], errors.InvalidQueue),
        ([(1, None, None)] * 101, errors.InvalidQueue),
        ([(1, "xml", None)], errors.InvalidQueue),
        ([(1, None, -1)], errors.InvalidQueue),
        ([(1, None, 86_401)], errors.InvalidQueue),
        ([(1, "text", None)], errors.NotSerialisable),
        ([("x", "bytes", None)], errors.NotSerialisable),
        ([({"$datetime": "2026-01-01T00:00:00+00:00"}, "json", None)], errors.NotSerialisable),
        ([("x" * 140_000, None, None)], errors.TooLarge),
        ([("x" * 120_000, None, None)] * 3, errors.TooLarge),
    ):
        with pytest.raises(error):
            new_messages(batch, ["id"] * 101)  # type: ignore[arg-type]
    [made] = new_messages([({"$datetime": "2026-01-01T00:00:00+00:00"}, "v8", 1.5)], ["id"])
    assert (made.id, made.delay_ms, delay_ms(None)) == ("id", 1_500, None)
