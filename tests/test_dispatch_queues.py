"""Queues of a program's own tenants: made and sent to by the program, sent to and handled by the tenants' code."""

import asyncio
from typing import Any

import pytest
from dispatch_support import on_engine, output, workflow

import playground
from playground import Code, Dispatcher, Engine
from playground.engine.code.dispatcher_queues import TenantQueues
from playground.engine.code.sources import DEPLOYED
from playground.engine.code.tenants import Tenants
from playground.store.messages import NewMessage, QueueSettings
from playground.store.tables import NewVersion
from playground.workflows import errors

SOURCE = (
    workflow("""
    @step.do("order")
    async def order():
        await self.env.QUEUES.get("mail").send({"for": event["payload"]})

    await order()
    return NAME
    """)
    + """

class Default(WorkerEntrypoint):
    async def queue(self, batch, env, ctx, step):
        for message in batch.messages:
            if message.body == "poison":
                raise ValueError("poison")
            await step.do("handle", lambda: self.env.NOTES.note(NAME, message.body))
"""
).replace("import asyncio", "from workers import WorkerEntrypoint")


class Notes(playground.Binding):
    """What the handlers of all tenants have noted."""

    def __init__(self) -> None:
        self.noted: list[list[Any]] = []

    async def note(self, tenant: str, body: Any) -> None:
        self.noted.append([tenant, body])


async def counts(queues: TenantQueues, name: str, *expected: int) -> None:
    """Wait until so many messages wait, are being delivered, and are dead."""
    while tuple((await queues.list())[name]) != expected:
        await asyncio.sleep(0.005)


@on_engine()
async def test_a_programs_tenants_have_queues_that_their_own_code_handles(engine: Engine) -> None:
    notes, queues = Notes(), playground.Queues(engine)

    async def load(metadata: dict[str, Any]) -> Code:
        env = {"NOTES": notes, **queues.of(metadata).bindings()}
        return Code(SOURCE.replace("NAME", repr(metadata["tenant"])), env=env)

    flows = Dispatcher(engine, load, name="orders")
    acme, globex = queues.of({"tenant": "acme"}), queues.of({"tenant": "globex", "plan": "free"})
    for each in (acme, globex):
        await each.put("mail", "orders", max_batch_size=2, max_batch_timeout=0, max_retries=0)
    assert await output(await flows.wrap_binding({"tenant": "acme"}).create(params=7)) == "acme"
    await counts(acme, "mail", 0, 0, 0)
    await globex.send("mail", b"raw", content_type="bytes")
    await counts(globex, "mail", 0, 0, 0)
    assert notes.noted == [["acme", {"for": 7}], ["globex", b"raw"]]

    ids = await globex.send_batch("mail", [{"body": "poison"}, {"body": "later", "delay_seconds": 3_600}])
    await counts(globex, "mail", 1, 0, 1)
    [dead] = await globex.dead("mail")
    assert (dead.id, dead.body, dead.attempts, await acme.dead("mail")) == (ids[0], "poison", 1, [])
    await globex.retry_dead("mail", dead.id)
    while (again := await globex.dead("mail")) == [] or again[0].dead_at == dead.dead_at:
        await asyncio.sleep(0.005)
    await globex.delete_dead("mail", dead.id)
    await counts(globex, "mail", 1, 0, 0)
    await globex.delete("mail")
    assert await globex.list() == {} and list(await acme.list()) == ["mail"]
    for refused, wrong in (
        (errors.QueueNotFound, globex.send("mail", 1)),
        (errors.InvalidQueue, acme.send_batch("mail", [{"text": "no body"}])),
        (errors.InvalidQueue, acme.put("mail", max_concurrency=0)),
        (errors.NotSerialisable, acme.send("mail", object())),
    ):
        with pytest.raises(refused):
            await wrong
    with pytest.raises(playground.MissingDispatcherMetadataError):
        queues.of({})


@on_engine()
async def test_a_program_and_a_server_over_one_database_each_deliver_their_own_queues(engine: Engine) -> None:
    tenants, notes, queues = Tenants(engine), Notes(), playground.Queues(engine)

    async def load(metadata: dict[str, Any]) -> Code:
        env = {"NOTES": notes, **queues.of(metadata).bindings()}
        return Code(SOURCE.replace("NAME", repr(metadata["tenant"])), env=env)

    Dispatcher(engine, load, name="orders")
    program = queues.of({"tenant": "acme"})
    await program.put("mail", "orders", max_batch_timeout=0, max_retries=0)
    await tenants.deploy("acme", NewVersion(SOURCE.replace("self.env.NOTES.note(NAME, message.body)", "1")))
    await tenants.queues.put("acme", "default", QueueSettings("main", max_batch_timeout_ms=0, max_retries=0))
    await tenants.queues.send("acme", "default", [NewMessage("to-deployed-code", "json", 1)])
    await counts(program, "default", 0, 0, 0)
    ids = [await program.send("mail", number) for number in range(20)]
    await counts(program, "mail", 0, 0, 0)
    assert len(ids) == 20 and sorted(body for _, body in notes.noted) == [*range(20)], "each once, by its own code"
    handled = [row for row in await engine.store.list("acme") if row.id.startswith("queue-")]
    assert [row.workflow for row in handled if row.workflow != "orders"] == [DEPLOYED], "all others are the program's"
