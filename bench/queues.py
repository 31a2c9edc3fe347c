"""Queues of messages: how fast they are sent and handled, and how long from a message that is ready to its handler.

    ./run python -m bench.queues [--messages 20000] [--ways 200] [--postgres]

Rates: the library sends so many messages of 20 bytes in batches of 100, each batch durable before the next, into a
queue that hands them on in batches of 100, eight at once, to a handler that returns. Both rates are from the first
batch: until the last is sent, and until none is left. Sending and handling share the machine.

The way: one step after another sends one message, into a queue that waits for no company. It is measured from the
commit that sends it (`message_sent`) to the first line that the handler prints, both by the journals' times, in whole
milliseconds; in between are the pump's look, a commit that takes, one that creates the delivery, one that claims it,
and the start of a worker.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from postgres_support import DURABLE

from bench.postgres import databases
from playground import Engine
from playground.engine.code.tenants import Tenants
from playground.library import open_engine
from playground.store.messages import NewMessage, QueueSettings
from playground.store.tables import NewVersion
from playground.workflows import events as ev
from playground.workflows.events import Event

BATCH = 100
SOURCE = """
import asyncio
from workers import WorkerEntrypoint, WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        async def send():
            await asyncio.sleep(0.05)
            await self.env.QUEUE.send("a message of 20 byte")

        for number in range(event["payload"]["ways"]):
            await step.do(f"send {number}", send)


class Default(WorkerEntrypoint):
    async def queue(self, batch):
        print("began")
"""
SETTINGS = {
    "starts_per_second_per_tenant": 1_000_000,
    "running_per_tenant": 1_000,
    "messages_per_tenant": 1_000_000,
    "tenant_attempt_wall_seconds": 600,
}


async def empty(engine: Engine) -> None:
    """Wait until no message is left."""
    while await engine.store.messages.count("acme"):
        await asyncio.sleep(0.002)


async def rates(engine: Engine, tenants: Tenants, count: int) -> tuple[float, float]:
    """Messages a second: sent, and handled."""
    await tenants.queues.put("acme", "rates", QueueSettings("main", BATCH, 0, max_concurrency=8))
    since = time.perf_counter()
    for first in range(0, count, BATCH):
        batch = [NewMessage(str(number), "json", "a message of 20 byte") for number in range(first, first + BATCH)]
        await tenants.queues.send("acme", "rates", batch)
    sent = time.perf_counter() - since
    await empty(engine)
    return count / sent, count / (time.perf_counter() - since)


async def journal(engine: Engine, key: int) -> Sequence[Event]:
    """A whole journal."""
    return await engine.store.events(key, after=0, limit=1_000_000)


async def ways(engine: Engine, tenants: Tenants, count: int) -> list[int]:
    """Milliseconds from the commit of each message to its handler's first line, sorted."""
    await tenants.queues.put("acme", "default", QueueSettings("main", max_batch_timeout_ms=0))
    row = await tenants.create("acme", {"ways": count})
    async with engine.store.subscribe(row.key) as grown:
        while (row := await engine.store.find("acme", row.id)).status not in ev.FINAL_STATUSES:
            await grown(row.last_seq)
    assert row.status == ev.COMPLETE, row
    await empty(engine)
    sent_at = {it.data["id"]: it.at for it in await journal(engine, row.key) if it.type == ev.MESSAGE_SENT}
    late = []
    for delivery in await engine.store.list("acme", limit=2 * count):
        if not delivery.id.startswith("queue-"):
            continue
        events = await journal(engine, delivery.key)
        began = next(event.at for event in events if event.type == ev.LOG)
        ids = [message["id"] for message in events[0].data["params"]["messages"]]
        late += [began - sent_at.pop(id) for id in ids if id in sent_at]
    assert len(late) == count and not sent_at, "each was delivered"
    return sorted(late)


async def measure(what: str, database: str, options: argparse.Namespace) -> None:
    async with open_engine(database, **SETTINGS) as engine:
        tenants = Tenants(engine)
        await tenants.deploy("acme", NewVersion(SOURCE))
        late = await ways(engine, tenants, options.ways)
        sent, handled = await rates(engine, tenants, options.messages)
    print(
        f"{what:10} ready to handler p50 {late[len(late) // 2]} ms, p99 {late[len(late) * 99 // 100]} ms; "
        f"{sent:,.0f} messages/s sent in batches of {BATCH}, {handled:,.0f}/s handled; load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--ways", type=int, default=200)
    parser.add_argument("--postgres", action="store_true")
    options = parser.parse_args()
    with contextlib.ExitStack() as opened:
        folder = opened.enter_context(tempfile.TemporaryDirectory())
        uvloop.run(measure("SQLite", f"sqlite:///{folder}/bench.db", options))
        if options.postgres:
            uvloop.run(measure("PostgreSQL", opened.enter_context(databases(None, DURABLE))(), options))


if __name__ == "__main__":
    main()
