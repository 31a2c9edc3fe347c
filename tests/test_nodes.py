"""Two nodes over one store: what one is asked for reaches a worker of the other, and one that dies or freezes is
replaced.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nodes_support import LEASE_MS, Cluster, Freezable, Node, cluster
from puppet_support import Puppet, do, done, ended, frame, has, hears
from semantics_support import assert_dense, story, turns_until

from playground.engine import CreateInstance
from playground.engine.execution.faults import NewBreak
from playground.engine.instances import WorkflowInstance
from playground.store.errors import StoreError
from playground.store.protocol import Claimed, Store
from playground.store.rows import InstanceRow
from playground.workflows import events as ev
from playground.workflows.errors import NoWorker
from playground.workflows.streams import StreamReset, StreamValue


class Unreliable:
    """A node's way to the store, on which the answer of chosen calls is lost or late: `fate` is what becomes of it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.fate: dict[str, Callable[[Any], Any]] = {}

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name not in self.fate:
            return found

        async def through(*args: Any, **options: Any) -> Any:
            fate = self.fate.pop(name)
            return await fate(await found(*args, **options))

        return through


async def lost(answer: object) -> None:
    raise StoreError("the connection was lost")


def waits(name: str = "w") -> bytes:
    return frame(op="wait", step=["wait", name, 1], event_type="go", timeout=3_600_000)


async def waiting(found: Cluster, node: Node) -> tuple[InstanceRow, Puppet]:
    """An instance that this node plays and whose worker waits for an event."""
    row, puppet = await found.start(node)
    await puppet.say(waits())
    await found.journal(row, has(ev.WAIT_STARTED))
    return row, puppet


@story
async def test_an_event_sent_through_the_other_node_reaches_the_worker(tmp_path: Path) -> None:
    async with cluster(tmp_path, "a") as found:
        row, puppet = await waiting(found, found.nodes["a"])
        b = await found.open("b")
        committed = await b.engine.send_event(row, "go", {"n": 1})
        assert [event.type for event in committed.events] == [ev.EVENT_RECEIVED, ev.WAIT_COMPLETED]
        assert (await hears(puppet, "over"))["value"]["payload"] == {"n": 1}
        await puppet.say(frame(op="finish", output="done"))
        assert_dense(await found.journal(row, ended))


@story
async def test_an_instance_starts_though_its_journal_grows_whenever_its_history_is_read(tmp_path: Path) -> None:
    async with cluster(tmp_path) as found:
        store = Unreliable(found.store)
        a = await found.open("a", store)
        row, puppet = await waiting(found, a)
        read: list[int] = []

        async def grown(history: Any) -> Any:
            store.fate["load"] = grown
            read.append(history.row.last_seq)
            await a.engine.send_event(row, "go", len(read))
            return history

        store.fate["load"] = grown
        await a.engine.kill_worker(row)
        puppet = await a.puppets.next(row.id)
        await puppet.say(waits())
        assert (await hears(puppet, "over"))["value"]["payload"] == 1, "what came after the history was read"
        await puppet.say(frame(op="finish", output="done"))
        journal = await found.journal(row, ended)
        assert_dense(journal)
        assert len(read) == 1 and sum(event.type == ev.EVENT_RECEIVED for event in journal) == 1


@story
async def test_a_pause_through_the_other_node_holds_the_worker_and_a_resumption_lets_it_go_on(tmp_path: Path) -> None:
    async with cluster(tmp_path, "a") as found:
        a = found.nodes["a"]
        row, puppet = await found.start(a)
        await puppet.say(do())
        await found.journal(row, has(ev.ATTEMPT_STARTED))
        b = await found.open("b")
        assert (await b.engine.pause(row)).row.status == ev.WAITING_FOR_PAUSE
        assert (await hears(puppet, "hold"))["held"] is True
        assert (await b.engine.resume(row)).row.status == ev.RUNNING
        assert (await hears(puppet, "hold"))["held"] is False
        await b.engine.pause(row)
        await hears(puppet, "hold")
        await puppet.say(done())
        journal = await found.journal(row, has(ev.WORKFLOW_PAUSED))
        assert [event.type for event in journal[-4:]] == [
            ev.ATTEMPT_COMPLETED,
            ev.STEP_COMPLETED,
            ev.EXECUTION_ENDED,
            ev.WORKFLOW_PAUSED,
        ]
        await puppet.exited


@pytest.mark.parametrize("operation", ["terminate", "restart", "kill", "delete"])
@story
async def test_what_ends_an_execution_through_the_other_node_kills_its_worker(tmp_path: Path, operation: str) -> None:
    async with cluster(tmp_path, "a") as found:
        a = found.nodes["a"]
        row, puppet = await waiting(found, a)
        b = await found.open("b")
        if operation == "terminate":
            await b.engine.terminate(row)
        elif operation == "restart":
            await b.engine.restart(row)
        elif operation == "kill":
            await b.engine.kill_worker(row)
        else:
            await b.engine.delete(row)
        await puppet.exited
        await turns_until(lambda: all(execution.worker is not puppet for execution in a.engine.executions()))
        assert "execution_failed" not in a.said() and "commit_failed" not in a.said()


@story
async def test_breaks_armed_kills_and_wake_ups_through_the_other_node_reach_the_worker(tmp_path: Path) -> None:
    async with cluster(tmp_path, "a") as found:
        row, puppet = await found.start(found.nodes["a"])
        await puppet.say(frame(op="sleep", step=["sleep", "nap", 1], duration=3_600_000))
        await found.journal(row, has(ev.SLEEP_STARTED))
        b = await found.open("b")
        await b.engine.set_break(row, NewBreak("s", None, "fail"))
        assert len((await hears(puppet, "breaks"))["breaks"]) == 1
        await b.engine.wake(row)
        assert (await hears(puppet, "over"))["step"][:3] == ["sleep", "nap", 1]
        await b.engine.kill_worker(row, ev.KILL_BEFORE_COMMIT)
        [playing] = found.nodes["a"].engine.executions()
        await turns_until(lambda: playing.armed_kill == ev.KILL_BEFORE_COMMIT)
        await puppet.say(do("t"), done("t"))
        journal = await found.journal(row, has(ev.EXECUTION_ENDED))
        first = next(event for event in journal if event.type == ev.EXECUTION_ENDED)  # the next may have begun
        assert first.data["reason"] == ev.KILLED and not has(ev.STEP_COMPLETED)(journal)
        await puppet.exited


@story
async def test_there_is_nothing_to_kill_where_no_node_has_a_worker(tmp_path: Path) -> None:
    async with cluster(tmp_path, "a", idle_grace_ms=0) as found:
        row, puppet = await waiting(found, found.nodes["a"])
        await puppet.say(frame(op="idle", seen=1))
        await found.journal(row, has(ev.EXECUTION_ENDED))
        b = await found.open("b")
        for when in (ev.KILL_NOW, ev.KILL_DURING_STEP):
            with pytest.raises(NoWorker, match="has no worker now"):
                await b.engine.kill_worker(row, when)


@story
async def test_a_node_with_free_slots_takes_what_another_has_no_room_for(tmp_path: Path) -> None:
    async with cluster(tmp_path, "a", workers=1) as found:
        a = found.nodes["a"]
        await waiting(found, a)
        b = await found.open("b")
        second = await a.engine.create(_puppet())
        puppet = await b.puppets.next(second.id)
        third = await a.engine.create(_puppet())
        await puppet.say(frame(op="finish", output=1))
        await b.puppets.next(third.id)


@story
async def test_a_limit_of_what_runs_holds_for_all_nodes_together(tmp_path: Path) -> None:
    async with cluster(tmp_path, "a", "b", running_per_address=1) as found:
        a, b = found.nodes.values()
        rows = [await a.engine.create(_puppet(queue="addr:x")) for _ in range(3)]
        for row in rows:
            took = [asyncio.create_task(node.puppets.next(row.id)) for node in (a, b)]
            [first], [other] = await asyncio.wait(took, return_when=asyncio.FIRST_COMPLETED)
            assert (await found.store.count(queue="addr:x")).get(ev.RUNNING, 0) <= 1
            other.cancel()
            await first.result().say(frame(op="finish", output=1))
            await found.journal(row, ended)


@story
async def test_a_node_that_is_killed_is_replaced_when_its_lease_is_over(tmp_path: Path) -> None:
    async with cluster(tmp_path, "a") as found:
        a = found.nodes["a"]
        row, puppet = await found.start(a)
        await puppet.say(do("one"), done("one", value=1), do("two"))
        await found.journal(row, has(ev.ATTEMPT_STARTED, 2))
        b = await found.open("b")
        await a.engine.abandon()
        await found.pass_time(LEASE_MS - LEASE_MS // 5, b)
        assert not has(ev.EXECUTION_ENDED)(await found.journal(row, has(ev.ATTEMPT_STARTED, 2)))
        await found.pass_time(LEASE_MS // 5, b)
        again = await b.puppets.next(row.id)
        await again.say(frame(op="resume", step=["do", "two", 1]))
        assert (await hears(again, "run"))["attempt"] == 2
        await again.say(frame(op="done", step=["do", "two", 1], attempt=2, value=2), frame(op="finish", output=3))
        journal = await found.journal(row, ended)
        assert_dense(journal)
        lost = [event.data["reason"] for event in journal if event.type == ev.EXECUTION_ENDED]
        assert (lost, journal[-1].data) == ([ev.LOST, ev.COMPLETED], {"output": 3})


@story
async def test_a_node_that_was_frozen_past_its_lease_writes_nothing_more_when_it_thaws(tmp_path: Path) -> None:
    async with cluster(tmp_path) as found:
        ice = Freezable(found.store)
        a = await found.open("a", ice)
        row, puppet = await found.start(a)
        await puppet.say(do("one"))
        await found.journal(row, has(ev.ATTEMPT_STARTED))
        b = await found.open("b")
        ice.freeze()
        await puppet.say(done("one", value="late"), frame(op="finish", output="late"))
        await found.pass_time(LEASE_MS, b)
        again = await b.puppets.next(row.id)
        ice.thaw()
        await puppet.exited
        await again.say(frame(op="resume", step=["do", "one", 1]))
        await hears(again, "run")
        await again.say(
            frame(op="done", step=["do", "one", 1], attempt=2, value="in time"), frame(op="finish", output="in time")
        )
        journal = await found.journal(row, ended)
        assert_dense(journal)
        assert "late" not in [event.data.get("output") for event in journal] and journal[-1].data == {
            "output": "in time"
        }
        await a.membership.beat()
        await turns_until(lambda: "node_lost" in a.said() and a.membership.owner == "a.2")
        await b.engine.abandon()  # which would take it as well
        other, _ = await found.start(a)
        assert (await found.store.find("", other.id)).owner == "a.2"


@story
async def test_a_node_that_cannot_renew_stops_its_workers_before_others_take_over(tmp_path: Path) -> None:
    async with cluster(tmp_path) as found:
        ice = Freezable(found.store)
        a = await found.open("a", ice)
        row, puppet = await waiting(found, a)
        b = await found.open("b")
        ice.freeze()
        beating = asyncio.create_task(a.membership.beat())  # it hangs, as its database does
        found.clock.now += LEASE_MS * 2 // 3 - 1
        await b.membership.beat()
        await a.membership.check()
        assert a.engine.running() == 1
        found.clock.now += 1
        stopping = asyncio.create_task(a.membership.check())
        await puppet.exited
        await turns_until(lambda: a.engine.running() == 0)
        assert a.membership.owner is None
        assert await found.store.nodes.abandoned(9) == [], "the lease is not over yet, so nobody else has the instance"
        ice.thaw()
        await asyncio.gather(beating, stopping)
        assert a.membership.owner == "a.2"
        journal = await found.journal(row, has(ev.EXECUTION_STARTED, 2))
        assert [event.data["reason"] for event in journal if event.type == ev.EXECUTION_ENDED] == [ev.LOST]


@story
async def test_workers_that_die_in_a_row_are_counted_wherever_they_run(tmp_path: Path) -> None:
    """Given a worker that dies on one node and the next on another, expect the instance to end, as on one node."""
    async with cluster(tmp_path, "a", worker_losses=2) as found:
        a = found.nodes["a"]
        row, puppet = await found.start(a)
        puppet.leave()
        puppet = await a.puppets.next(row.id)
        b = await found.open("b")
        await a.engine.abandon()
        await found.pass_time(LEASE_MS, b)
        puppet = await b.puppets.next(row.id)
        puppet.leave()
        journal = await found.journal(row, ended)
        assert [event.data["reason"] for event in journal if event.type == ev.EXECUTION_ENDED] == [
            ev.CRASHED,
            ev.LOST,
            ev.CRASHED,
        ]
        assert "The worker died 2 times in a row" in journal[-1].data["error"]["message"]


@story
async def test_of_one_name_only_the_last_node_goes_on(tmp_path: Path) -> None:
    async with cluster(tmp_path, "a") as found:
        first = found.nodes["a"]
        row, puppet = await waiting(found, first)
        second = await found.open("a")
        await puppet.exited
        await second.puppets.next(row.id)
        await first.membership.beat()
        assert (first.said().count("node_superseded"), first.membership.owner) == (1, None)
        assert second.membership.owner == "a.2" and "node_superseded" not in second.said()


def _puppet(**given: object) -> CreateInstance:
    return CreateInstance("# a puppet", **given)  # type: ignore[arg-type]


@story
async def test_an_instance_that_is_deleted_with_its_workers_last_commit_costs_nobody_anything(tmp_path: Path) -> None:
    """Given a deletion in the commit that holds what the worker waits for, expect the execution to end and to be no
    fault.
    """
    async with cluster(tmp_path, "a") as found:
        a = found.nodes["a"]
        for _ in range(20):
            row, puppet = await waiting(found, a)
            await asyncio.gather(
                found.store.append(row.key, [], execution=None, at=0),
                puppet.say(frame(op="cancel", step=["wait", "w", 1])),
                found.store.delete(row.key),
            )
            await puppet.exited
        await turns_until(lambda: not a.engine.running())
        assert not {"execution_failed", "commit_failed", "recovery_failed"} & set(a.said())


@story
async def test_what_a_node_has_by_a_claim_whose_answer_was_lost_is_played_all_the_same(tmp_path: Path) -> None:
    async with cluster(tmp_path) as found:
        connection = Unreliable(found.store)
        a = await found.open("a", connection)
        await turns_until(lambda: a.engine.at_rest)

        async def lost_with_rows(answer: Claimed) -> Claimed:
            connection.fate["claim"] = lost_with_rows  # a poll may claim before there is anything
            if answer.rows:
                del connection.fate["claim"]
                await lost(answer)
            return answer

        connection.fate["claim"] = lost_with_rows
        row = await a.engine.create(_puppet())
        await turns_until(lambda: "scheduler_failed" in a.said())
        assert (await found.store.find("", row.id)).owner == "a.1" and a.engine.running() == 0
        await a.membership.beat()
        await a.puppets.next(row.id)
        assert (await found.store.find("", row.id)).execution == 2
        await a.membership.beat()
        assert a.engine.running() == 1, "what it plays is left alone"


@story
async def test_a_claim_that_is_answered_after_the_lease_is_lost_starts_nothing(tmp_path: Path) -> None:
    async with cluster(tmp_path) as found:
        connection, late = Unreliable(found.store), asyncio.Event()

        async def answered_late(answer: object) -> object:
            await late.wait()
            return answer

        a = await found.open("a", connection)
        await turns_until(lambda: a.engine.at_rest)
        connection.fate["claim"] = answered_late
        row = await a.engine.create(_puppet())
        while (await found.store.find("", row.id)).owner is None:
            await asyncio.sleep(0)
        found.clock.now += LEASE_MS * 2 // 3
        await a.membership.check()
        assert a.membership.owner == "a.2"
        late.set()
        await a.puppets.next(row.id)
        [playing] = a.engine.executions()
        assert (playing.row.owner, playing.row.execution) == ("a.2", 2)


@story
async def test_a_failed_look_for_what_is_due_costs_no_more_than_a_retry(tmp_path: Path) -> None:
    async with cluster(tmp_path, workers=1) as found:
        connection = Unreliable(found.store)
        a = await found.open("a", connection)
        _, puppet = await waiting(found, a)
        await puppet.say(frame(op="idle", seen=1))
        [playing] = a.engine.executions()
        await turns_until(lambda: playing.idle)
        connection.fate["next_due"] = lost
        second = await a.engine.create(_puppet())
        await turns_until(lambda: "scheduler_failed" in a.said())
        a.engine._scheduler.wake()  # as its timer does a second later
        await a.puppets.next(second.id)


@story
async def test_the_lease_is_renewed_while_take_over_takes_its_time(tmp_path: Path) -> None:
    async with cluster(tmp_path) as found:
        connection, slow = Unreliable(found.store.nodes), asyncio.Event()  # type: ignore[arg-type]

        async def answered_late(answer: object) -> object:
            await slow.wait()
            return answer

        b = await found.open("b")
        await waiting(found, b)
        a = await found.open("a")
        assert b.membership.lease is not None
        await b.engine.abandon()
        await found.store.nodes.leave(b.membership.lease)
        a.membership._nodes = connection
        connection.fate["abandoned"] = answered_late
        taking_over = asyncio.create_task(a.membership.beat())
        await turns_until(lambda: not connection.fate)
        for _ in range(3):
            found.clock.now += LEASE_MS // 2
            await a.membership.beat()
            await a.membership.check()
        assert a.membership.owner == "a.1" and not taking_over.done()
        slow.set()
        await taking_over


@story
async def test_a_take_over_that_fails_as_the_node_joins_is_done_with_the_next_renewal(tmp_path: Path) -> None:
    async with cluster(tmp_path, "a") as found:
        a = found.nodes["a"]
        row, _ = await waiting(found, a)
        b, connection = await found.open("b"), Unreliable(found.store.nodes)  # type: ignore[arg-type]
        b.membership._nodes = connection
        lease = a.membership.lease
        assert lease is not None
        await a.engine.abandon()
        await found.store.nodes.leave(lease)
        connection.fate["abandoned"] = lost
        await b.membership.join()
        assert b.membership.owner == "b.2" and "renewal_failed" in b.said()
        await b.membership.beat()
        await b.puppets.next(row.id)


@story
async def test_what_is_due_here_and_not_yet_in_the_store_is_claimed_as_soon_as_it_is(tmp_path: Path) -> None:
    """Given a store whose clock is behind the node's, expect no claim to be skipped for what it was too early for."""

    class Behind:
        def __init__(self, store: Store) -> None:
            self._store, self.early = store, 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        async def claim(self, owner: str, limit: int, *, at: int, **options: Any) -> Claimed:
            claimed = await self._store.claim(owner, limit, at=at - 30, **options)
            self.early += not claimed.rows and await self._store.next_due(after=at - 30) is not None
            return claimed._replace(at=at - 30)

    async with cluster(tmp_path, idle_grace_ms=0) as found:
        behind = Behind(found.store)
        a = await found.open("a", behind)
        row, puppet = await waiting(found, a)
        await puppet.say(frame(op="idle", seen=1))
        await found.journal(row, has(ev.EXECUTION_ENDED))
        await a.engine.send_event(row, "go")
        await a.puppets.next(row.id)
        least = 1 if found.store.product[0] == "SQLite" else 0  # elsewhere the claim may take longer than that
        assert least <= behind.early <= 5, "it waits for as long as the store is behind"


@story
async def test_a_stream_is_read_through_another_node_and_begun_anew_by_the_one_that_takes_over(tmp_path: Path) -> None:
    def append(value: str, attempt: int) -> bytes:
        return frame(op="append", step=["do", "s", 1], attempt=attempt, stream="tokens", value=value)

    async with cluster(tmp_path, "a") as found:
        row, puppet = await found.start(found.nodes["a"])
        b = await found.open("b")
        reading = aiter(WorkflowInstance(b.engine, row.tenant, row.id).stream("tokens"))
        await puppet.say(do(), append("one", 1), append("two", 1))
        assert [(await anext(reading)).value for _ in range(2)] == ["one", "two"]
        await found.nodes["a"].engine.abandon()
        await found.pass_time(LEASE_MS, b)
        again = await b.puppets.next(row.id)
        await again.say(frame(op="resume", step=["do", "s", 1]))
        assert (await hears(again, "run"))["attempt"] == 2
        await again.say(append("one again", 2))
        await again.say(frame(op="done", step=["do", "s", 1], attempt=2), frame(op="finish", output=None))
        reset, value = [item async for item in reading]
        assert isinstance(reset, StreamReset) and isinstance(value, StreamValue)
        assert (reset.attempt, value.value, value.number) == (2, "one again", 1)
