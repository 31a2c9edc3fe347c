"""Watching a journal grow: no wake-up is lost, none is needed to be right."""

import asyncio

import pytest
from aio import story
from store_support import AT, claim, create, passes, printed, running, with_store

from playground.store.errors import StoreError
from playground.store.messages import NewMessage, Outcome, QueueSettings
from playground.store.notifications import Floor, Notifications
from playground.workflows import events as ev
from playground.workflows.errors import InstanceNotFound
from playground.workflows.events import NewEvent


@with_store
async def test_what_is_already_there_is_told_at_once(store):
    row = await running(store)
    async with store.subscribe(row.key) as wait:
        assert await wait(0) == 3
        assert await wait(2) == 3


@with_store
async def test_a_waiter_is_told_of_the_next_commit(store):
    row = await running(store)
    async with store.subscribe(row.key) as wait:
        waiting = asyncio.create_task(wait(3))
        await asyncio.sleep(0)
        assert not waiting.done()
        await store.append(row.key, [printed("a"), printed("b")], execution=1, at=AT)
        assert await waiting == 5


@with_store
async def test_a_commit_between_two_waits_is_not_lost(store):
    row = await running(store)
    async with store.subscribe(row.key) as wait:
        seq = await wait(0)
        await store.append(row.key, [printed("a")], execution=1, at=AT)
        assert await wait(seq) == seq + 1


@with_store
async def test_a_commit_while_the_subscription_begins_is_not_lost(store):
    row = await running(store)
    for n in range(50):
        seq = 3 + n
        append = asyncio.create_task(store.append(row.key, [printed("a")], execution=1, at=AT))
        async with store.subscribe(row.key) as wait:
            assert await wait(seq) == seq + 1
        await append


@with_store
async def test_readers_that_follow_see_every_event_once(store):
    row = await running(store)
    last = 3 + 200

    async def follow():
        seen = []
        async with store.subscribe(row.key) as wait:
            while len(seen) < last:
                await wait(len(seen))
                seen += [event.seq for event in await store.events(row.key, after=len(seen), limit=17)]
        return seen

    async def write():
        for n in range(200):
            await store.append(row.key, [printed(str(n))], execution=1, at=AT)

    *read, _ = await asyncio.gather(*(follow() for _ in range(5)), write())
    assert all(seen == list(range(1, last + 1)) for seen in read)


@with_store
async def test_only_the_watched_instance_wakes_its_viewers(store):
    one = await running(store, "one")
    other = await running(store, "other")
    async with store.subscribe(one.key) as wait:
        waiting = asyncio.create_task(wait(3))
        await store.append(other.key, [printed("x")], execution=1, at=AT)
        await store.append(one.key, [printed("x")], execution=1, at=AT)
        assert await waiting == 4


@with_store
async def test_a_viewer_who_goes_leaves_the_others(store):
    row = await running(store)
    async with store.subscribe(row.key) as stays:
        async with store.subscribe(row.key) as goes:
            leaving = asyncio.create_task(goes(3))
            staying = asyncio.create_task(stays(3))
            await asyncio.sleep(0)
            leaving.cancel()
            await passes(leaving.done)
        await store.append(row.key, [printed("x")], execution=1, at=AT)
        assert await staying == 4


@with_store
async def test_a_viewer_of_a_deleted_instance_is_told(store):
    [row] = await create(store, "a")
    async with store.subscribe(row.key) as wait:
        waiting = asyncio.create_task(wait(1))
        await store.delete(row.key)
        with pytest.raises(InstanceNotFound):
            await waiting
    with pytest.raises(InstanceNotFound):
        async with store.subscribe(row.key):
            pass


@with_store
async def test_a_listener_hears_of_every_commit_until_it_leaves(store):
    row = await running(store)
    heard: list[int | None] = []
    leave = store.listen(row.key, heard.append)

    def told() -> list[int | None]:
        return list(dict.fromkeys(heard))  # what is told twice costs only time

    await store.append(row.key, [printed("a")], execution=1, at=AT)
    await store.append(row.key, [printed("b")], execution=None, at=AT)
    assert told() == [4, 5]
    await store.delete(row.key)
    assert told() == [4, 5, None]
    leave()
    leave()
    other = await running(store, "other")
    await store.append(other.key, [printed("c")], execution=1, at=AT)
    assert told() == [4, 5, None]


@with_store
async def test_who_waits_for_what_falls_due_hears_when(store):
    heard: list[int] = []
    leave = store.listen_due(heard.append)
    [row] = await create(store, "one")
    assert heard == [AT]
    [claimed] = await claim(store, 1)
    await store.append(row.key, [printed("a")], execution=1, at=AT)
    assert heard == [AT]
    await store.unclaim(row.key, execution=claimed.execution)
    assert heard == [AT, AT]
    leave()
    await create(store, "another")
    assert heard == [AT, AT]


@with_store
async def test_who_waits_for_messages_hears_when_those_that_were_sent_fall_due(store):
    heard: list[int] = []
    leave = store.listen_sent(heard.append)
    row = await running(store)

    def sent(id: str, delay_ms: int) -> NewEvent:
        data = {"queue": "q", "id": id, "content_type": "json", "body": 1, "delay_ms": delay_ms}
        return NewEvent(ev.MESSAGE_SENT, data)

    await store.append(row.key, [printed("a")], execution=1, at=AT)
    assert heard == []
    await store.append(row.key, [sent("m1", 5_000), sent("m2", 1_000)], execution=1, at=AT)
    await store.decide(row.key, lambda _: [sent("m3", 2_000)], execution=1, at=AT)
    assert heard == [AT + 1_000, AT + 2_000], "once for each commit, when it is durable"
    heard.clear()
    messages = store.messages
    await messages.put_queue("acme", "q", QueueSettings("main", max_batch_timeout_ms=0), most=1)
    later, soon = NewMessage("later", "json", 1, 9_000), NewMessage("soon", "json", 1, 3_000)
    await messages.send("acme", "q", [later, soon], at=AT, most=2)
    await messages.send("acme", "q", [NewMessage("too many", "json", 1)], at=AT, most=2)
    assert heard == [AT + 3_000], "once for all that were sent together, and not for what was refused"
    [delivery] = (await messages.take(at=AT + 3_000, most_per_tenant=1)).deliveries
    await messages.settle(delivery, {"soon": Outcome(dead=True)}, at=AT + 3_001)
    assert await messages.revive("acme", "q", "soon", at=AT + 3_002)
    assert not await messages.revive("acme", "q", "soon", at=AT + 3_003)
    assert heard == [AT + 3_000, AT + 3_002]
    leave()
    await store.append(row.key, [sent("m4", 0)], execution=1, at=AT)
    await messages.send("acme", "q", [NewMessage("m5", "json", 1)], at=AT, most=9)
    assert heard == [AT + 3_000, AT + 3_002]


@with_store
async def test_what_is_expected_of_a_journal_that_has_moved_is_not_written(store):
    row = await running(store)
    await store.append(row.key, [printed("theirs")], execution=None, at=AT)
    refused = await store.append(row.key, [printed("mine")], execution=1, at=AT, last_seq=3)
    assert (list(refused.events), refused.row.last_seq) == ([], 4)
    committed = await store.append(row.key, [printed("mine")], execution=1, at=AT, last_seq=4)
    assert [event.seq for event in committed.events] == [5]


class Journals:
    """Journals by their last seq, and what falls due, of which nobody is notified."""

    def __init__(self) -> None:
        self.last = {1: 3, 2: 5}
        self.due: int | None = None
        self.failures = 0
        self.asked: list[list[int]] = []

    async def last_seq(self, key):
        return self.last[key]

    async def last_seqs(self, keys):
        if self.failures:
            self.failures -= 1
            raise StoreError("the connection was lost")
        self.asked.append(list(keys))
        return {key: self.last[key] for key in keys if key in self.last}

    async def next_due(self):
        return self.due

    def polled(self) -> Notifications:
        return Notifications(self.last_seq, Floor(0, self.last_seqs, self.next_due))


@story
async def test_a_lost_notification_is_found_by_the_poll():
    journals = Journals()
    notifications, heard, due = journals.polled(), [], []
    leave = notifications.listen(2, heard.append)
    notifications.listen_due(due.append)
    async with notifications.watch(1) as wait:
        waiting = asyncio.create_task(wait(3))
        journals.last[1], journals.due, journals.failures = 4, 1_000, 2
        assert await waiting == 4
        del journals.last[2]
        await passes(lambda: bool(heard) and heard[-1] is None and bool(due))
        assert set(due) == {1_000}
        leave()
        await passes(lambda: journals.asked[-1] == [1])
        del journals.last[1]
        with pytest.raises(InstanceNotFound):
            await wait(4)
    notifications.close()


@story
async def test_whoever_subscribes_and_finds_a_journal_grown_tells_those_whose_notification_was_lost():
    """Else the poll would find nothing new, and an execution never learn that it has been ended."""
    journals, heard = Journals(), []
    notifications = Notifications(journals.last_seq)
    notifications.listen(1, heard.append)
    async with notifications.watch(1) as wait:
        assert heard == [3]
        waiting = asyncio.create_task(wait(3))
        journals.last[1] = 4
        async with notifications.watch(1):
            assert heard == [3, 4] and await waiting == 4
        async with notifications.watch(1):
            assert heard == [3, 4]


@story
async def test_nothing_polls_without_a_subscription_or_after_the_end():
    journals = Journals()
    notifications = journals.polled()
    for _ in range(20):
        await asyncio.sleep(0)
    assert journals.asked == [] and len(asyncio.all_tasks()) == 1
    notifications.listen(1, lambda last: None)
    await passes(lambda: bool(journals.asked))
    notifications.close()
    await passes(lambda: len(asyncio.all_tasks()) == 1)


@with_store
async def test_only_a_store_of_many_processes_polls_for_lost_notifications(store):
    assert (store.poll_ms is None) == (store.product[0] == "SQLite")
