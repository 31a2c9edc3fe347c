"""The output gate: isolated code goes on before its results are durable, and nothing leaves before they are."""

import asyncio
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gate_program
import pytest
from aio import run, story
from http_support import MakeSite
from puppet_support import CONFIG, ISOLATED, Puppet, Stage, did, do, done, frame, staged

from playground import Binding, CallContext, Code, Dispatcher
from playground.engine.execution.execution import Execution
from playground.engine.execution.gate import OutputGate
from playground.store import open_store
from playground.store.rows import InstanceRow
from playground.store.sqlite.transaction import SqliteTransaction
from playground.workflows import events as ev
from playground.workflows.events import DO, SLEEP, WAIT, Event, NewEvent, StepKey

A, B = (NewEvent(ev.STEP_COMPLETED, {}, StepKey(DO, name, 1)) for name in "AB")
NAP, REST = StepKey(SLEEP, "nap", 1), StepKey(SLEEP, "rest", 1)


# Ends that were sent as these frames (None: kept back by a pause), what the worker says next, and having received how
# many frames, each; then what the commit holds: "A" and "B" are the worker's, a step's name is its end, moved.
@pytest.mark.parametrize(
    ("sent", "spoken", "committed"),
    [
        ([], [(A, 1), (B, 1)], "A B"),
        ([2], [(A, 2), (B, 2)], "A B"),
        ([2], [(A, 1)], "A nap"),
        ([2], [(A, 1), (B, 2)], "A nap B"),
        ([2], [(A, 1), (B, 1)], "A B nap"),
        ([2, 3], [(A, 1), (B, 2)], "A nap B rest"),
        ([2, 3], [(A, 2), (B, 3)], "A rest B"),
        ([None], [(A, 9)], "A nap"),
        ([2], [(A, None), (B, None)], "A B"),
        ([2], [(A, None), (B, 1)], "A B nap"),
        ([2], [(A, 1), (B, None)], "A nap B"),
    ],
)
def test_what_the_worker_sent_first_comes_first(
    sent: list[int | None], spoken: list[tuple[NewEvent, int | None]], committed: str
) -> None:
    gate = OutputGate(allowed=True)
    for key, index in zip((NAP, REST), sent, strict=False):
        end = gate.add_end(key)
        assert end is not None
        end.index = index
    events, _ = gate.arrange([([event], received) for event, received in spoken])
    assert " ".join(event.step.name for event in events if event.step) == committed
    assert all(event.data == {"reordered": True} for event in events if event.type == ev.STEP_RELEASED)


def test_an_end_is_moved_by_each_commit_that_overtakes_it_until_it_is_received() -> None:
    gate = OutputGate(allowed=True)
    end = gate.add_end(NAP)
    assert end is not None
    end.index = 2
    for spoken, moved, left in (((A, 1), 1, 1), ((A, 1), 1, 1), ((B, 2), 0, 0)):
        events, seen = gate.arrange([([spoken[0]], spoken[1])])
        assert len(events) == 1 + moved
        gate.forget(seen)
        assert len(gate.arrange([([A], 1)])[0]) == 1 + left


def test_without_a_gate_no_order_is_kept() -> None:
    assert OutputGate(allowed=False).add_end(NAP) is None
    assert OutputGate(allowed=True).add_end(StepKey(DO, "inner", 1, A.step)) is None, "no replay calls it again"


def ahead(name: str, **more: Any) -> bytes:
    """A step of a worker that goes on at once."""
    return do(name) + done(name, value=name, ahead=True, **more)


def execution_of(stage: Stage, row: InstanceRow) -> Execution:
    [found] = [each for each in stage.engine.executions() if each.row.key == row.key]
    return found


async def until(condition: Any) -> None:
    """Let the engine work until something is so."""
    while not condition():
        await asyncio.sleep(0)


async def journal(stage: Stage, row: InstanceRow) -> Sequence[Event]:
    return await stage.engine.store.events(row.key, after=0, limit=1_000)


@story
async def test_no_step_is_acknowledged_and_all_are_in_the_journal_in_their_order(tmp_path: Path) -> None:
    async with staged(tmp_path, tier=ISOLATED) as stage:
        row, puppet = await stage.begin()
        await puppet.say(*(ahead(name) for name in "abc"), frame(op="finish", output="over"))
        state = await stage.end(row)
        assert (state.status, state.output) == ("complete", "over")
        ended = [event.key.name for event in await journal(stage, row) if event.type == ev.STEP_COMPLETED]
        assert ended == ["a", "b", "c"]
        assert await puppet.hear() is None, "no frame came after the start"


@story
async def test_a_step_in_one_frame_is_in_the_journal_as_one_in_two(tmp_path: Path) -> None:
    more: dict[str, Any] = {"line": 7, "rollback": {**CONFIG, "timeout": 99}, "clock": 5}
    for place, value in enumerate((None, {"a": [1, "\u00e9"]}, "x" * 10_000)):
        journals = []
        for number, spoken in enumerate(
            (
                do(**more) + done(value=value, ahead=True, clock=9, took=3),
                did(value=value, ended=9, took=3, **more),
            )
        ):
            folder = tmp_path / f"{place}-{number}"
            folder.mkdir()
            async with staged(folder, tier=ISOLATED) as stage:
                row, puppet = await stage.begin()
                await puppet.say(spoken, frame(op="finish", output="over"))
                assert (await stage.end(row)).status == "complete"
                journals.append([(event.type, event.step, event.data) for event in await journal(stage, row)])
        assert journals[0] == journals[1] and len(journals[0]) == 9


@story
async def test_a_call_waits_for_all_that_was_said_before_it(tmp_path: Path) -> None:
    called: list[str] = []

    class Out(Binding):
        async def note(self, *, call: CallContext) -> str:
            assert call.step is not None
            stored = await stage.engine.store.events(row.key, after=0, limit=100)
            assert ev.ATTEMPT_STARTED in {event.type for event in stored if event.step == call.step}
            called.append(call.step.name)
            return "noted"

    async with staged(tmp_path, tier=ISOLATED) as stage:
        workflow = Dispatcher(stage.engine, lambda metadata: Code("#", env={"OUT": Out()}))
        made = await workflow.wrap_binding({"tenant": "acme"}).create("one")
        puppet = await stage.puppets.next("one")
        row = await stage.engine.store.find("acme", made.id)
        await until(lambda: execution_of(stage, row).at_rest)
        stage.disk.hold()
        call = frame(op="call", call=1, binding="OUT", method="note", step=["do", "caller", 1])
        await puppet.say(ahead("before"), do("caller"), call)
        await until(lambda: execution_of(stage, row).calls == 1)
        for _ in range(50):
            await asyncio.sleep(0)
        assert called == [], "the disk has nothing of it yet"
        stage.disk.release()
        answer = await puppet.hear()
        assert (answer["op"], answer["value"], called) == ("answer", "noted", ["caller"])


@pytest.mark.parametrize(
    ("limits", "many"),
    [({"ahead_entries": 20}, 400), ({"ahead_bytes": 64 * 1024}, 400), ({"ahead_ms": 1}, 2_000)],
    ids=["ahead_entries", "ahead_bytes", "ahead_ms"],
)
@story
async def test_a_worker_that_outruns_the_disk_is_read_no_further_and_loses_nothing(
    limits: dict[str, int], many: int, tmp_path: Path
) -> None:
    async with staged(tmp_path, tier=ISOLATED, **limits) as stage:
        row, puppet = await stage.begin()
        execution = execution_of(stage, row)
        await until(lambda: execution.at_rest)
        stage.disk.hold()
        text = "x" * 500
        speaking = asyncio.create_task(
            puppet.say(*(do(f"s{n}") + done(f"s{n}", value=text, ahead=True) for n in range(many)))
        )
        await until(lambda: execution.channel is not None and execution.channel.is_paused)
        for _ in range(20):
            await asyncio.sleep(0)
        read = len(execution.steps)
        assert read < many, "the rest waits in the socket and in the worker"
        assert execution.pipeline.backlog <= 2 * read
        stage.disk.release()
        await speaking
        await puppet.say(frame(op="finish", output="all of it"))
        state = await stage.end(row)
        assert (state.status, len(state.steps)) == ("complete", many)


@story
async def test_a_deadline_does_not_strike_what_came_in_time_and_was_not_read(tmp_path: Path) -> None:
    async with staged(tmp_path, tier=ISOLATED, ahead_entries=1) as stage:
        row, puppet = await stage.begin()
        execution = execution_of(stage, row)
        await until(lambda: execution.at_rest)
        stage.disk.hold()
        config = {"retries": {"limit": 0, "delay": 0, "backoff": "constant"}, "timeout": 1}
        await puppet.say(frame(op="do", step=["do", "s", 1], attempt=1, config=config), ahead("t"), ahead("u"))
        await until(lambda: execution.channel is not None and execution.channel.is_paused)
        await puppet.say(done("s", value="in time", ahead=True), frame(op="finish", output="fine"))
        step = execution.steps[StepKey(DO, "s", 1)]
        deadline = step.timer
        await until(lambda: step.timer is not deadline)
        stage.disk.release()
        state = await stage.end(row)
        assert (state.status, state.steps[StepKey(DO, "s", 1)].status) == ("complete", "completed")


async def over(puppet: Puppet, name: str) -> None:
    """Receive the end of a step."""
    received = await puppet.hear()
    assert (received["op"], received["step"][1]) == ("over", name), received


@story
async def test_an_event_that_was_overtaken_comes_later_in_every_replay(tmp_path: Path) -> None:
    async with staged(tmp_path, tier=ISOLATED) as stage:
        row, puppet = await stage.begin()
        await puppet.say(frame(op="wait", step=["wait", "go", 1], event_type="go", timeout=60_000), do("early"))
        await until(lambda: StepKey(DO, "early", 1) in execution_of(stage, row).steps)
        await stage.engine.send_event(await stage.engine.store.find("", row.id), "go", None)
        await over(puppet, "go")
        # It sent this before it received that, and what follows after.
        await puppet.say(done("early", value=1, ahead=True), frame(op="received", frames=2), ahead("late"))
        await until(lambda: execution_of(stage, row).steps.get(StepKey(DO, "late", 1)) is not None)
        await execution_of(stage, row).pipeline.drain()
        history = await stage.engine.store.load(row.key)
        order = sorted(history.steps.values(), key=lambda step: step.ended_seq or 0)
        assert [step.key.name for step in order] == ["early", "go", "late"]
        puppet.leave()
        again = await stage.puppets.next(row.id)
        await again.say(frame(op="finish", output="over"))
        assert (await stage.end(row)).status == "complete"


@story
async def test_a_worker_that_falls_idle_while_an_event_is_being_read_is_not_let_sleep_over_it(tmp_path: Path) -> None:
    """The event is in the journal and on its way to the worker, which has just said that it waits for it."""
    async with staged(tmp_path, tier=ISOLATED, idle_grace_ms=0) as stage:
        row, puppet = await stage.begin()
        await puppet.say(frame(op="wait", step=["wait", "go", 1], event_type="go", timeout=60_000))
        await until(lambda: StepKey(WAIT, "go", 1) in execution_of(stage, row).steps)
        await execution_of(stage, row).pipeline.drain()
        stage.disk.hold_reads()
        await stage.engine.send_event(await stage.engine.store.find("", row.id), "go", None)
        await until(lambda: stage.disk.reads_held)
        await puppet.say(frame(op="idle", seen=1, clock=0))
        await until(lambda: execution_of(stage, row).closing or execution_of(stage, row).idle)
        for _ in range(20):
            await asyncio.sleep(0)
        stage.disk.release_reads()
        again = await stage.puppets.next(row.id)  # at once: it was due, since its event had come
        await again.say(frame(op="finish", output="woken"))
        assert (await stage.end(row)).output == "woken"


@story
async def test_a_kill_or_a_break_closes_the_gate_and_its_end_opens_it(tmp_path: Path) -> None:
    async with staged(tmp_path, tier=ISOLATED) as stage:
        row, puppet = await stage.begin()
        for when, is_open in (("before-commit", False), ("never", True)):
            await stage.engine.kill_worker(await stage.engine.store.find("", row.id), when)
            assert await puppet.hear() == {"op": "gate", "open": is_open}
        await stage.engine.kill_worker(await stage.engine.store.find("", row.id), "before-commit")
        assert (await puppet.hear())["open"] is False
        await puppet.say(ahead("on its way"))
        again = await stage.puppets.next(row.id)
        assert [event.type for event in await journal(stage, row)].count(ev.STEP_COMPLETED) == 0
        await again.say(frame(op="finish", output=None))
        assert (await stage.end(row)).status == "complete"


FORGED: dict[str, tuple[list[bytes], str]] = {
    "more received than was sent": ([frame(op="received", frames=9)], "received what it was not sent"),
    "less received than before": (
        [frame(op="received", frames=1), frame(op="received", frames=1)],
        "or less than before",
    ),
    "a result of nothing": ([done("ghost", ahead=True)], "an outcome for an attempt that never began"),
    "a result twice, the second for more": (
        [ahead("s"), frame(op="done", step=["do", "s", 1], attempt=2, ahead=True)],
        "an outcome for an attempt that never began",
    ),
    "a step twice, in one frame each": ([did(), did()], "started a step twice or out of place"),
    "a step in one frame that is a wait": (
        [did(step=["wait", "s", 1])],
        "started a step twice or out of place",
    ),
    "a step in one frame inside of nothing": (
        [did(step=["do", "s", 1, ["do", "ghost", 1]])],
        "a step inside a step that never began",
    ),
    "a step in one frame that is its second attempt": ([did(attempt=2)], "a frame is not what the protocol allows"),
    "a step in one frame with a result past the limit": ([did(value="x" * 1024 * 1024)], "result: more than 1,048,576"),
    "a flood of calls before the commit": (
        [do("s"), *(frame(op="call", call=n, binding="KV", method="get", step=["do", "s", 1]) for n in range(1, 3000))],
        "calls: 1,000 calls of bindings over their limits",
    ),
}


@pytest.mark.parametrize("case", FORGED)
def test_a_worker_that_lies_ends_its_own_instance(case: str, tmp_path: Path) -> None:
    async def told() -> None:
        spoken, said = FORGED[case]
        async with staged(tmp_path, tier=ISOLATED, calls_per_execution=100) as stage:
            row, puppet = await stage.begin()
            speaking = asyncio.create_task(puppet.say(*spoken))
            state = await stage.end(row)
            await speaking
            assert state.status == "errored" and said in state.error["message"], state.error

    run(told())


@pytest.mark.parametrize("settings", [{"commit_each_step": True}, {}], ids=["commit-each-step", "no isolation"])
@story
async def test_where_the_gate_is_closed_a_worker_that_goes_on_is_ended(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    tier = {"tier": ISOLATED} if settings else {}
    async with staged(tmp_path, **tier, **settings) as stage:
        assert not stage.engine.runs_ahead
        for spoken in (ahead("s"), did()):
            row, puppet = await stage.begin()
            await puppet.say(spoken)
            state = await stage.end(row)
            assert "protocol: the worker went on before its result was acknowledged" in state.error["message"]


def test_healthz_and_about_say_which_is_in_force(make_site: MakeSite) -> None:
    for settings, said in (({}, "goes on as soon as it has sent a result"), ({"commit_each_step": True}, "waits for")):
        client = make_site(**settings).client
        is_open = not settings
        assert client.get("/healthz").json()["store"]["output_gate"] is is_open
        assert client.get("/about", headers={"Accept": "application/json"}).json()["output_gate"] is is_open
        assert said in client.get("/about", headers={"Accept": "text/html"}).text


def play(database: Path, kill_after: int | None, *options: str) -> tuple[list[dict[str, Any]], bool]:
    """Run the program; what it let out until it ended, or was killed after so many lines, and whether it ended."""
    command = [sys.executable, gate_program.__file__, f"sqlite:///{database}", "one", *options]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        for line in program.stdout:
            lines.append(line)
            if len(lines) == kill_after:
                program.kill()
    return [json.loads(line) for line in lines if line.endswith("\n")], program.returncode == 0


async def stored(database: Path) -> list[Event]:
    store = open_store(f"sqlite:///{database}")
    try:
        row = await store.find("acme", "one")
        return await store.events(row.key, after=0, limit=10_000)
    finally:
        await store.close()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2))
def test_what_had_left_a_killed_server_is_in_its_journal(seed: int, tmp_path: Path) -> None:
    """Kill -9 of the server in mid-run, again and again: a recorder at every output is held against the file."""
    database, pick = tmp_path / "gate.db", random.Random(seed)
    calls: Counter[tuple[str, int]] = Counter()
    ended = False
    for life in range(20):
        seen, ended = play(database, None if life >= 6 else pick.randrange(5, 120))
        events = asyncio.run(stored(database))
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        began = {(event.key.name, event.data["attempt"]) for event in events if event.type == ev.ATTEMPT_STARTED}
        for output in seen:
            if "seq" in output:
                assert events[output["seq"] - 1].type == output["type"], "what was streamed is in the journal"
            elif "call" in output:
                calls[output["call"], output["attempt"]] += 1
                assert (output["call"], output["attempt"]) in began, "what was called is in the journal"
            else:
                assert (output["status"], output["output"]) == ("complete", gate_program.EXPECTED)
                assert events[-1].type == ev.WORKFLOW_COMPLETED
        if ended:
            break
    assert ended
    assert max(calls.values()) == 1, "nothing was called twice by one attempt"
    done_steps = Counter(event.key for event in events if event.type == ev.STEP_COMPLETED)
    assert max(done_steps.values()) == 1 and len(done_steps) == 40 + 5 + 20


@pytest.mark.long
@pytest.mark.parametrize("victim", ["worker", "zygote"])
@pytest.mark.parametrize("seed", range(2))
def test_a_killed_worker_or_fork_server_changes_nothing_that_was_seen(seed: int, victim: str, tmp_path: Path) -> None:
    """Killed at instants that no commit marks: what ran ahead and was not durable runs again, and nobody can tell."""
    database = tmp_path / "gate.db"
    seen, ended = play(database, None, victim, str(seed))
    assert ended and seen[-1] == {"status": "complete", "output": gate_program.EXPECTED}
    events = asyncio.run(stored(database))
    assert [(output["seq"], output["type"]) for output in seen if "seq" in output] == [
        (event.seq, event.type) for event in events
    ]
    assert sum(event.type == ev.EXECUTION_STARTED for event in events) > 1, "one was killed"
    calls = Counter((output["call"], output["attempt"]) for output in seen if "call" in output)
    began = {(event.key.name, event.data["attempt"]) for event in events if event.type == ev.ATTEMPT_STARTED}
    assert max(calls.values()) == 1 and set(calls) <= began
    assert max(Counter(event.key for event in events if event.type == ev.STEP_COMPLETED).values()) == 1


@pytest.mark.long
def test_a_slow_disk_changes_only_when_things_are_seen(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commits that take 50 ms: a run of 400 steps takes a few of them, not 400."""
    commits = 0
    commit = SqliteTransaction.commit

    def slow(self: SqliteTransaction) -> Any:
        nonlocal commits
        commits += 1
        time.sleep(0.05)  # a disk, not a wait for something
        return commit(self)

    site = make_site()
    monkeypatch.setattr(SqliteTransaction, "commit", slow)
    source = """
from workers import WorkflowEntrypoint
class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return sum([await step.do(f"s{n}", lambda: n) for n in range(400)])
"""
    made = site.client.post("/api/instances", json={"source": source}).json()["id"]
    with site.client.stream("GET", f"/api/instances/{made}/stream") as stream:
        assert any(line.startswith("event: end") for line in stream.iter_lines())
    shown = site.client.get(f"/api/instances/{made}").json()
    assert (shown["status"], shown["output"]) == ("complete", sum(range(400)))
    assert commits < 100
