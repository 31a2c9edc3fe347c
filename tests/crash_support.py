"""Workflows that hypothesis writes, as source, and the bookkeeping that shows whether a committed callback ever ran
again.
"""

import itertools
import os
import textwrap
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from database_support import Chosen
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from semantics_support import HEAD, assert_dense, assert_rows_agree, started
from store_support import POSTGRES

from playground.store.protocol import Committed
from playground.testing import Run, ServerCrashed, WorkflowTester
from playground.workflows import events as ev
from playground.workflows.state import State

EXAMPLES = int(os.environ.get("CRASH_EXAMPLES", "2"))
EVERY_DAY = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
# On PostgreSQL one, after the one that is tried first: it is the store that differs there, not the engine.
ON_POSTGRES = settings(EVERY_DAY, max_examples=1)
# Every day, every other commit: the crash before one is the crash after the one before it, so that tests which try
# both moments leave nothing out.
EVERY = 1 if EXAMPLES > 2 else 2
DEADLINE = 1200.0
GRACES = st.sampled_from([10_000, 0])  # milliseconds that an idle worker is kept: with none, every wait hibernates
Node = tuple[Any, ...]
LEAF = st.one_of(
    st.tuples(
        st.just("do"), st.integers(0, 2), st.sampled_from(["pass", "await asyncio.sleep(2)", "sum(range(1000))"])
    ),
    st.tuples(st.just("refuse"), st.sampled_from(["NonRetryableError('no')", "LookupError('no')"])),
    st.tuples(st.just("sleep"), st.sampled_from(["1 second", "5 seconds", "1 hour"])),
    st.tuples(st.just("wait"), st.sampled_from(["early", "late", "never"])),
)
NODES: st.SearchStrategy[Node] = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.tuples(st.just("sequence"), st.lists(inner, min_size=1, max_size=3)),
        st.tuples(st.just("parallel"), st.lists(inner, min_size=2, max_size=3)),
        st.tuples(st.just("loop"), st.integers(1, 3), inner),
    ),
    max_leaves=7,
)
# One of everything, tried first whatever hypothesis comes upon.
RICH: Node = (
    "sequence",
    [
        ("parallel", [("do", 1, "await asyncio.sleep(2)"), ("loop", 2, ("do", 0, "pass")), ("wait", "early")]),
        ("parallel", [("sleep", "1 hour"), ("wait", "late"), ("wait", "never")]),
        (
            "sequence",
            [
                ("refuse", "NonRetryableError('no')"),
                ("loop", 2, ("parallel", [("do", 0, "pass"), ("sleep", "1 second")])),
            ],
        ),
    ],
)


def every_day(test: Callable[..., None]) -> Callable[..., None]:
    """As many examples as a run of all tests has time for."""
    decorated: Callable[..., None] = (ON_POSTGRES if Chosen.kind == POSTGRES else EVERY_DAY)(test)
    return decorated


NAMES = "from crash_support import WORLD\n"
DO = """
async def callback(ctx):
    fails = WORLD.ran(event.instanceId, ctx.step.name, ctx.step.count, most_failures={failures})
    {work}
    if fails:
        raise ConnectionError("not yet")
    return f"{{ctx.step.name}}-{{ctx.step.count}}"
return await step.do("{name}", callback,
    config={{"retries": {{"limit": 10, "delay": "3 seconds", "backoff": "constant"}}}})
"""
REFUSE = """
async def callback(ctx):
    WORLD.ran(event.instanceId, ctx.step.name, ctx.step.count)
    raise {error}
try:
    return await step.do("{name}", callback, config={{"retries": {{"limit": 0, "delay": 1}}}})
except Exception as refused:
    return f"{{type(refused).__name__}}: {{refused}}"
"""
NEVER = """
try:
    return await step.wait_for_event("{name}", "{name}", timeout="10 minutes")
except WorkflowTimeoutError as late:
    return str(late)
"""


UNDO = """
async def undo(info):
    fails = WORLD.ran(event.instanceId, f"undo {{info.ctx.step.name}}", info.ctx.step.count, most_failures={failures})
    {work}
    if fails:
        raise ConnectionError("not yet")
"""
SAGA_DO = """
return await step.do("{name}", lambda: "{name}", rollback=undo,
    rollback_config={{"retries": {{"limit": 2, "delay": "1 minute"}}}})
"""
FAILURES = st.sampled_from([0, 1, 2, 1000])  # two are forgiven
HANDLER = st.tuples(FAILURES, st.sampled_from(["pass", "await asyncio.sleep(2)"]))
SAGAS = st.lists(st.lists(HANDLER, min_size=1, max_size=2), min_size=1, max_size=2)


@dataclass
class Source:
    """A workflow on its way: every step gets a name of its own.

    `early` are events to send at once, by type and number; `late` types are sent when they are waited for. Payloads
    count the events of their type, unless not `numbered`.
    """

    text: str = ""
    early: dict[str, int] = field(default_factory=dict)
    late: set[str] = field(default_factory=set)
    steps: int = 0
    numbered: bool = True

    def name(self, kind: str) -> str:
        self.steps += 1
        return f"{kind}{self.steps}"


def written(node: Node) -> Source:
    """The workflow that a node stands for."""
    source = Source()
    source.text = NAMES + HEAD + textwrap.indent(_body(node, source, 1), " " * 8)
    return source


def written_saga(groups: list[list[tuple[int, str]]]) -> Source:
    """A workflow of groups of parallel steps with rollback handlers, and a failure at the end."""
    source = Source()
    body = ""
    for group in groups:
        names = [source.name("do") for _ in group]
        for name, (failures, work) in zip(names, group, strict=True):
            inside = UNDO.format(failures=failures, work=work) + SAGA_DO.format(name=name)
            body += f"async def {name}():\n" + textwrap.indent(inside.lstrip("\n"), "    ")
        body += f"await asyncio.gather({', '.join(f'{name}()' for name in names)})\n"
    body += 'await step.sleep("long", "1 minute")\nraise ValueError("the failure")\n'
    source.text = NAMES + HEAD + textwrap.indent(body, " " * 8)
    return source


def _body(node: Node, source: Source, times: int) -> str:
    """The body of a function that returns the node's value and is called `times` times."""
    kind = node[0]
    if kind == "do":
        return DO.format(name=source.name("do"), failures=node[1], work=node[2])
    if kind == "refuse":
        return REFUSE.format(name=source.name("refuse"), error=node[1])
    if kind == "sleep":
        return f'return await step.sleep("{source.name("sleep")}", "{node[1]}")\n'
    if kind == "wait":
        name = source.name("wait")
        if node[1] == "never":
            return NEVER.format(name=name)
        if node[1] == "early":
            source.early[name] = times
        else:
            source.late.add(name)
        return f'return (await step.wait_for_event("{name}", "{name}", timeout="300 days")).payload\n'
    if kind == "loop":
        return (
            _function("part", node[2], source, times * node[1]) + f"return [await part() for _ in range({node[1]})]\n"
        )
    functions = "".join(_function(f"part{place}", inner, source, times) for place, inner in enumerate(node[1]))
    calls = ", ".join(f"{'await ' * (kind == 'sequence')}part{place}()" for place in range(len(node[1])))
    return functions + (
        f"return [{calls}]\n" if kind == "sequence" else f"return list(await asyncio.gather({calls}))\n"
    )


def _function(name: str, node: Node, source: Source, times: int) -> str:
    return f"async def {name}():\n" + textwrap.indent(_body(node, source, times), "    ")


class World:
    """What is outside: it remembers what callbacks did to it, which no crash undoes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: dict[tuple[str, str, int], int] = {}
        self._ended: set[tuple[int, str, int]] = set()
        self._keys: dict[str, int] = {}
        self.ran_again: list[tuple[str, str, int]] = []

    def ran(self, id: str, name: str, count: int, *, most_failures: int = 0) -> bool:
        """Called by every callback when it begins. True when it is to fail: the first `most_failures` times."""
        with self._lock:
            if (self._keys.get(id), name, count) in self._ended:
                self.ran_again.append((id, name, count))
            failed = self._failures.get((id, name, count), 0)
            self._failures[id, name, count] = failed + 1
            return failed < most_failures

    def created(self, run: Run) -> None:
        with self._lock:
            self._keys[run.id] = run.key

    def committed(self, commit: Committed) -> None:
        """Called for every commit when it is durable: the callbacks of its ended steps must not run again before a
        restart.
        """
        with self._lock:
            for event in commit.events:
                if event.type in (ev.STEP_COMPLETED, ev.STEP_ERRORED):
                    self._ended.add((commit.row.key, event.step.name, event.step.count))
                elif event.type in (ev.ROLLBACK_STEP_COMPLETED, ev.ROLLBACK_STEP_ERRORED):
                    self._ended.add((commit.row.key, f"undo {event.step.name}", event.step.count))
                elif event.type == ev.WORKFLOW_RESTARTED:
                    self._ended = {ended for ended in self._ended if ended[0] != commit.row.key}

    def begin(self) -> None:
        """Forget everything: another test begins."""
        with self._lock:
            self._failures.clear()
            self._ended.clear()
            self._keys.clear()
            self.ran_again.clear()


WORLD = World()


def open_tester(source: Source, grace: int) -> WorkflowTester:
    """A tester for a workflow whose idle workers are kept for `grace` milliseconds."""
    return WorkflowTester(source.text, on_commit=WORLD.committed, idle_grace_ms=grace)


async def play(tester: WorkflowTester, source: Source) -> tuple[Any, Any]:
    """Run one instance to its end and send it its events; gives its output and its steps."""
    run = await tester.create()
    WORLD.created(run)
    await to_the_end(run, source)
    return await outcome(run)


async def to_the_end(run: Run, source: Source) -> None:
    """Go on with an instance, and send it its events, until it has ended."""
    while (wanted := await run.wait_until(lambda state: wants(run, state, source))) is not True:
        try:
            await run.send_event(*wanted)
        except ServerCrashed:
            pass  # whether it was taken, the journal says


async def saga(tester: WorkflowTester) -> Any:
    """Run one saga to its end; gives what became of it and of its handlers, in the order they ended."""
    run = await tester.create()
    WORLD.created(run)
    await run.wait_for_status(ev.ERRORED)
    state, journal = await run.state(), await run.journal()
    assert_dense(journal)
    await assert_rows_agree(run)
    ended = [
        (event.type, event.step)
        for event in journal
        if event.type.startswith("rollback_step_") and event.type != ev.ROLLBACK_STEP_STARTED
    ]
    return state.error["message"], state.rollback, ended, await started(run, ev.ROLLBACK_STEP_STARTED)


async def outcome(run: Run) -> tuple[Any, Any]:
    """The output and the steps of an instance that is complete."""
    state = await run.state()
    assert state.status == ev.COMPLETE, state.error
    assert_dense(await run.journal())
    await assert_rows_agree(run)
    steps = {
        key: (step.status, _timeless(step.output), step.error and step.error["message"])
        for key, step in state.steps.items()
    }
    return state.output, steps


def wants(run: Run, state: State, source: Source) -> Any:
    """The next event to send (type, payload), True at the end, None when there is nothing to do."""
    if state.status in ev.FINAL_STATUSES:
        return True
    sent: list[str] = []
    for event in run.seen:
        if event.type == ev.WORKFLOW_RESTARTED:
            sent.clear()
        elif event.type == ev.EVENT_RECEIVED:
            sent.append(event.data["type"])
    for type, number in source.early.items():
        if sent.count(type) < number:
            return type, f"{type} {sent.count(type) * source.numbered}"
    for key, step in state.steps.items():
        if (
            key.kind == ev.WAIT
            and key.name in source.late
            and step.status == "waiting"
            and sent.count(key.name) < key.count
        ):
            return key.name, f"{key.name} {sent.count(key.name) * source.numbered}"
    return None


def _timeless(output: Any) -> Any:
    """A step's output without the time at which an event came."""
    return {**output, "timestamp": None} if isinstance(output, dict) and "timestamp" in output else output


async def nothing_ran_again(tester: WorkflowTester, when: str) -> None:
    """No callback of a committed step ran again."""
    assert WORLD.ran_again == [], when


async def crash_at_every_commit(
    source: Source, victim: str, moment: str, grace: int, play: Any, check: Any = nothing_ran_again, every: int = EVERY
) -> None:
    """Run it once for every commit it makes, or for so many of them, and once more undisturbed; `check` looks at what
    ran again.
    """
    WORLD.begin()
    async with open_tester(source, grace) as tester:
        expected = await play(tester)
        for number in itertools.count(1, every):
            when = f"{victim} crashed {moment} commit {number}"
            await tester.settle()
            tester.crash(victim, commit=tester.commits + number, moment=moment)
            assert await play(tester) == expected, when
            await check(tester, when)
            if tester.crashes_left:
                break
        assert number > 3
