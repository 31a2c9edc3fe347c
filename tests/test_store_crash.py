"""kill -9 of a process that commits as fast as it can: what was acknowledged is there, whole, and rows agree with the
journal.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from aio import story
from store_support import AT, claim, do, execution_ended, execution_started, running, started, wait

from playground.store import open_store
from playground.store.projection import first_event, initial_row, project
from playground.store.projection_rules import replace
from playground.store.rows import NewInstance
from playground.workflows import events as ev
from playground.workflows.events import NewEvent

KILLED_AFTER = (1, 40, 333)  # lines of acknowledgement seen before the kill

CHILD = """
import asyncio, sys
from store_support import AT, claim, create, execution_started, quick, do, printed, started, attempt, completed
from playground.store import open_store

async def main():
    store = open_store(sys.argv[1])
    await create(store, *(f"i{n}" for n in range(8)))
    rows = await claim(store, 8, at=AT)

    async def work(row):
        await store.append(row.key, [execution_started()], execution=1, at=AT)
        for n in range(1, 10**6):
            if n % 3:
                await store.append(row.key, quick(do(count=n), "x" * (n % 700)), execution=1, at=AT)
            else:
                await store.append(row.key, [started(do(count=n)), attempt(do(count=n)), printed("é" * n)],
                    execution=1, at=AT)
                await store.append(row.key, [completed(do(count=n))], execution=1, at=AT)
            seq = (await store.append(row.key, [printed("done")], execution=1, at=AT)).row.last_seq
            sys.stdout.write(f"{row.id} {n} {seq}\\n")
            sys.stdout.flush()

    await asyncio.gather(*(work(row) for row in rows))

asyncio.run(main())
"""


def killed_in_mid_commit(url: str, after: int) -> dict[str, tuple[int, int]]:
    """Run the child until it has acknowledged so many rounds, kill it, and give each instance's last (round, seq) it
    acknowledged.
    """
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)])}
    child = subprocess.Popen([sys.executable, "-c", CHILD, url], stdout=subprocess.PIPE, text=True, env=environment)
    acknowledged = {}
    with child:
        for number, line in enumerate(child.stdout, 1):
            if number == after:
                child.send_signal(signal.SIGKILL)
            if line.endswith("\n"):
                id, done, seq = line.split()
                acknowledged[id] = (int(done), int(seq))
    assert child.returncode == -signal.SIGKILL
    return acknowledged


def projected(row, journal):
    """The rows as the journal alone tells them; owner and execution are the claim's, which has no event."""
    new = NewInstance(row.tenant, row.id, row.workflow, row.snippet, row.params, row.queue)
    assert journal[0].type == first_event(new).type
    told = replace(initial_row(new, row.key, journal[0].at), owner=row.owner, execution=row.execution)
    steps, inbox = {}, {}
    for event in journal:
        change = project(told, [NewEvent(event.type, event.data, event.step)], event.at, steps)
        if change.keep_before_seq is not None:
            steps = {key: step for key, step in steps.items() if step.started_seq < change.keep_before_seq}
        told, steps = change.row, {**steps, **change.steps}
        inbox = {} if change.inbox_cleared else inbox
        inbox |= {kept.seq: kept for kept in change.inbox_added}
        inbox = {seq: kept for seq, kept in inbox.items() if seq not in change.inbox_removed}
    return replace(told, owner=row.owner), steps, list(inbox.values())


async def rows_agree_with_their_journal(store, key):
    snapshot = await store.load(key)
    journal = await store.events(key, after=0, limit=10**6)
    assert [event.seq for event in journal] == list(range(1, snapshot.row.last_seq + 1))
    told, steps, inbox = projected(snapshot.row, journal)
    assert told == snapshot.row
    assert steps == snapshot.steps
    assert inbox == list(snapshot.inbox)


@pytest.mark.parametrize("after", KILLED_AFTER)
@story
async def test_after_a_kill_every_acknowledged_commit_is_there(tmp_path, after):
    url = f"sqlite:///{tmp_path}/store.db"
    acknowledged = killed_in_mid_commit(url, after)
    assert sum(done for done, _ in acknowledged.values()) >= after
    store = open_store(url)
    assert await store.count() == {"running": 8}
    for row in await store.nodes.abandoned(99):
        done, seq = acknowledged.get(row.id, (0, 0))
        assert row.last_seq >= seq
        steps = (await store.load(row.key)).steps
        assert all(steps[do(count=n)].status == "completed" for n in range(1, done + 1))
        await rows_agree_with_their_journal(store, row.key)
    await store.close()


@story
async def test_rows_agree_with_their_journal_after_a_life_with_everything_in_it(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    row = await running(store)
    received = NewEvent(ev.EVENT_RECEIVED, {"type": "go", "payload": "é"})
    handler = {"rollback": {"retries": {"limit": 0}}}
    await store.append(
        row.key, [started(do("a"), **handler), started(wait()), received, received], execution=1, at=AT + 1
    )
    taken = {"event": {"type": "go", "payload": "é"}, "received": 6}
    await store.append(row.key, [NewEvent(ev.WAIT_COMPLETED, taken, wait())], execution=1, at=AT + 2)
    await store.append(row.key, [NewEvent(ev.WORKFLOW_WAITING), execution_ended()], execution=1, at=AT + 3)
    await store.append(row.key, [NewEvent(ev.WORKFLOW_PAUSED)], execution=None, at=AT + 4)
    await store.append(row.key, [NewEvent(ev.WORKFLOW_RESUMED), received], execution=None, at=AT + 9)
    await rows_agree_with_their_journal(store, row.key)
    [again] = await claim(store, 1, at=AT + 9, node="b")
    end = [execution_started(2), NewEvent(ev.ROLLBACK_STARTED, {"error": {"name": "E"}})]
    await store.append(
        row.key, [*end, NewEvent(ev.ROLLBACK_STEP_STARTED, {}, do("a"))], execution=again.execution, at=AT + 10
    )
    await rows_agree_with_their_journal(store, row.key)
    end = [NewEvent(ev.ROLLBACK_STEP_COMPLETED, {}, do("a")), NewEvent(ev.ROLLBACK_COMPLETED), execution_ended()]
    await store.append(
        row.key, [*end, NewEvent(ev.WORKFLOW_ERRORED, {"error": {"name": "E"}})], execution=2, at=AT + 11
    )
    await rows_agree_with_their_journal(store, row.key)
    origin = {"from_step": {"kind": "wait", "name": "approval", "count": 1}}
    await store.append(row.key, [NewEvent(ev.WORKFLOW_RESTARTED, origin)], execution=None, at=AT + 12)
    await rows_agree_with_their_journal(store, row.key)
    assert list((await store.load(row.key)).steps) == [do("a")]
    await store.close()
