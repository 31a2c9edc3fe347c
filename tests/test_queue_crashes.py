"""A producer and its deliveries in the test kit, where a server or a worker dies at any commit, on one node and on two
over one database: every message is handled, acknowledged once, and none is lost or left open.
"""

from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from aio import story
from dispatch_support import workflow

from playground.engine.code.tenants import Tenants
from playground.engine.engine import Engine
from playground.store.messages import QueueSettings
from playground.store.tables import NewVersion
from playground.testing import WorkflowTester, tester
from playground.testing.crashes import AFTER, BEFORE, SERVER, WORKER
from playground.testing.run import Run, ServerCrashed
from playground.testing.server import ALONE, REPLACED, LocalServer, Nodes
from playground.workflows import events as ev

SOURCE = (
    workflow("""
    @step.do("one")
    async def one():
        await self.env.QUEUE.send("good")

    @step.do("two")
    async def two():
        await self.env.QUEUE.sendBatch([{"body": "later"}, {"body": "good"}])

    await one()
    await two()
    """)
    + """

from workers import WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def queue(self, batch, env, ctx, step):
        await step.do("handle", lambda: [message.id for message in batch.messages])
        for message in batch.messages:
            if message.body == "later" and message.attempts == 1:
                message.retry()
"""
)
SENT = 3
TWO = Nodes(("a", "b"), ("a", "b"), REPLACED)


class LocalServerWithTenants(LocalServer):
    """Servers of a test that have tenants, and so a pump each, as those that serve."""

    async def _opened(self, name: str) -> Any:
        node = await super()._opened(name)
        node.engine.tenants_of_test = Tenants(node.engine)  # type: ignore[attr-defined]
        return node

    @property
    def at_rest(self) -> bool:
        return bool(super().at_rest) and all(_tenants(node.engine).queues.at_rest for node in self._nodes)


@pytest.fixture(autouse=True)
def with_tenants(monkeypatch: pytest.MonkeyPatch) -> None:
    """What all testers of a test are made with."""
    monkeypatch.setattr(tester, "LocalServer", LocalServerWithTenants)


def _tenants(engine: Engine) -> Tenants:
    found = engine.tenants_of_test  # type: ignore[attr-defined]
    assert isinstance(found, Tenants)
    return found


async def start(test: WorkflowTester, *crash: Any) -> None:
    """Start the producer; `crash` are a victim, a commit and a moment."""
    tenants = _tenants(test.engine)
    await tenants.deploy("acme", NewVersion(SOURCE))
    await tenants.queues.put("acme", "default", QueueSettings("main", 2, max_batch_timeout_ms=0, max_concurrency=2))
    if crash:
        victim, commit, moment = crash
        test.crash(victim, commit=commit, moment=moment)
    with suppress(ServerCrashed):  # at what comes after the creation
        await test.call(lambda engine: _tenants(engine).create("acme", id="producer"))


async def played(test: WorkflowTester) -> None:
    async def all_gone() -> bool | None:
        producer = await test.store.find("acme", "producer")
        ended = producer.status in ev.FINAL_STATUSES
        return True if ended and await test.store.messages.count("acme") == 0 else None

    run = Run(test, await test.store.find("acme", "producer"))
    await test.drive(all_gone, "the end of every message", 10, run)
    acked: Counter[str] = Counter()
    handled: Counter[str] = Counter()
    for row in await test.store.list("acme"):
        assert row.status == ev.COMPLETE, row
        journal = await test.store.events(row.key, after=0, limit=1000)
        if row.id != "producer":
            handled.update(*(event.data["output"] for event in journal if event.type == ev.STEP_COMPLETED))
            marks = [event.data for event in journal if event.type == ev.BATCH_MARKED]  # several, where its worker died
            acked.update({id for mark in marks for id in mark["acked"]})
            handled.subtract({again["id"] for mark in marks for again in mark["retried"]})
    assert len(acked) == SENT and set(acked.values()) == {1}, "acknowledged once"
    assert handled == acked, "handled once, and once more where it was to come again"
    assert await test.store.messages.open_deliveries() == []


@pytest.mark.parametrize("moment", [BEFORE, AFTER])
@pytest.mark.parametrize(("victim", "nodes"), [(SERVER, ALONE), (WORKER, ALONE), (SERVER, TWO)])
@story
async def test_a_crash_at_any_commit_loses_no_message(
    victim: str, nodes: Nodes, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WorkflowTester, "nodes", nodes)
    async with WorkflowTester(SOURCE) as test:
        await start(test)
        await played(test)
        commits = test.commits
    for commit in range(1, commits + 1, 3):
        async with WorkflowTester(SOURCE) as test:
            await start(test, victim, commit, moment)
            await played(test)
