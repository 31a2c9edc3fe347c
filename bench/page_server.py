"""The server that `bench/page.py` looks at: the product's own, with two long finished runs and one that goes on when
told to.

Journals are appended straight to the store, so that the page gets exactly so many events at exactly such a pace. Each
line on its standard input is an order: `feed EVENTS_PER_SECOND SECONDS` adds to the living run. It prints its address,
and `fed` when it is done.
"""

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from playground.log import open_log
from playground.serving import Node, open_app
from playground.settings import Settings
from playground.store.protocol import Store
from playground.store.rows import NewInstance
from playground.web.app import count_protocol_refusals
from playground.web.http import server
from playground.web.http.connections import ConnectionLimits
from playground.workflows import events as ev
from playground.workflows.events import NewEvent, StepKey
from playground.workflows.values import dumps

EVENTS = 15_000
LINES = 10_000
VALUE_BYTES = 900_000  # of the one result of the run "large", half of it a list and half a text
SIDE_BY_SIDE, TURNS = 600, 12_200  # of the wide run: 25,000 steps, as each turn has two
FAILED = 300  # every so many of those side by side failed
LINES_EACH = 5  # in one event of the log
BATCH = 500  # events to a transaction while a journal is made
TICK_S = 0.02
NODE = "bench"
SOURCE = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        for number in range(2_000):
            print("one line of what was printed")
            await step.do(f"step {number}", lambda: number)
"""
WIDE = """import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        films = range(600)
        jobs = [step.do(f"transcode film-{film:04d}.mov", lambda: film) for film in films]
        await asyncio.gather(*jobs, return_exceptions=True)
        for turn in range(12_200):
            await step.do("poll queue", lambda: turn)
            await step.do("store answer", lambda: turn)
"""
CONFIG = {"retries": {"limit": 5, "delay": 10_000, "backoff": "exponential"}, "timeout": 600_000}


def of_step(number: int, execution: int = 1) -> list[NewEvent]:
    """One step from its start to its end, with a log line of its own now and then."""
    key = StepKey(ev.DO, f"step {number}", 1)
    return [
        NewEvent(ev.STEP_STARTED, {"config": CONFIG, "line": 8}, key),
        NewEvent(ev.ATTEMPT_STARTED, {"attempt": 1}, key),
        NewEvent(ev.ATTEMPT_COMPLETED, {"attempt": 1}, key),
        NewEvent(ev.STEP_COMPLETED, {"output": {"number": number, "square": number * number}}, key),
    ]


def side_by_side() -> list[NewEvent]:
    """Steps that ran at once, of which some failed."""
    keys = [StepKey(ev.DO, f"transcode film-{number:04d}.mov", 1) for number in range(SIDE_BY_SIDE)]
    error = {"name": "BrokenFrame", "message": "a frame is broken", "line": 9, "traceback": []}
    events = [NewEvent(ev.STEP_STARTED, {"config": CONFIG, "line": 9}, key) for key in keys]
    events += [NewEvent(ev.ATTEMPT_STARTED, {"attempt": 1}, key) for key in keys]
    for number, key in enumerate(keys):
        if number % FAILED == FAILED - 1:
            events.append(NewEvent(ev.ATTEMPT_ERRORED, {"attempt": 1, "error": error, "retry_delay_ms": None}, key))
            events.append(NewEvent(ev.STEP_ERRORED, {"error": error}, key))
        else:
            events.append(NewEvent(ev.ATTEMPT_COMPLETED, {"attempt": 1, "took_us": 31_000 + number * 80}, key))
            events.append(NewEvent(ev.STEP_COMPLETED, {"output": number}, key))
    return events


def turn(number: int) -> list[NewEvent]:
    """One turn of a loop."""
    events = []
    for name, line, took_us in (("poll queue", 12, 9_000 + number * 7_919 % 9_000), ("store answer", 13, 800)):
        key = StepKey(ev.DO, name, number)
        events += [
            NewEvent(ev.STEP_STARTED, {"config": CONFIG, "line": line}, key),
            NewEvent(ev.ATTEMPT_STARTED, {"attempt": 1}, key),
            NewEvent(ev.ATTEMPT_COMPLETED, {"attempt": 1, "took_us": took_us}, key),
            NewEvent(ev.STEP_COMPLETED, {"output": number}, key),
        ]
    return events


def lines(number: int) -> NewEvent:
    text = "\n".join(
        f"step {number}, line {line}: what a workflow prints is about as long as this" for line in range(LINES_EACH)
    )
    return NewEvent(ev.LOG, {"stream": "stdout", "level": None, "text": text, "replay": False})


async def make(store: Store, id: str, source: str = SOURCE) -> int:
    """A run that has begun and belongs to nobody who could go on with it."""
    snippet = await store.put_snippet(source, None, at=now())
    new = NewInstance(tenant="", id=id, workflow="playground", snippet=snippet.id, params=None, queue="bench")
    (row,), _ = await store.create([new], at=now())
    await store.claim((await store.nodes.join("bench", 1_000)).owner, 1, at=now())
    begun = {"execution": 1, "worker": "w1", "replayed": 0, "code_version": snippet.id}
    await store.append(
        row.key, [NewEvent(ev.WORKFLOW_STARTED), NewEvent(ev.EXECUTION_STARTED, begun)], execution=1, at=now()
    )
    return row.key


async def finish(store: Store, key: int, events: list[NewEvent], output: int) -> None:
    """Appends the events of a run, as if it had gone on for a while, and its end."""
    at = now()
    for first in range(0, len(events), BATCH):
        at += 900
        await store.append(key, events[first : first + BATCH], execution=1, at=at)
    end = [NewEvent(ev.EXECUTION_ENDED, {"reason": "completed"}), NewEvent(ev.WORKFLOW_COMPLETED, {"output": output})]
    await store.append(key, end, execution=1, at=at + 10)


async def wide(store: Store) -> None:
    """A run of 25,000 steps that come of three lines."""
    key = await make(store, "wide", WIDE)
    events = side_by_side()
    for number in range(1, TURNS + 1):
        events += turn(number)
    await finish(store, key, events, TURNS)


async def finished(store: Store) -> None:
    key = await make(store, "long")
    logs = LINES // LINES_EACH
    steps = (EVENTS - logs - 5) // 4
    events: list[NewEvent] = []
    for number in range(max(steps, logs)):
        events += [lines(number)] if number < logs else []
        events += of_step(number) if number < steps else []
    events += [NewEvent(ev.EVENT_RECEIVED, {"type": "hello", "payload": None})] * (EVENTS - 5 - len(events))
    await finish(store, key, events, steps)


async def large(store: Store) -> None:
    """A run of one step, whose result is large, and is the output too."""
    key = await make(store, "large")
    item = {"sku": "lamp-0000", "amount": 49.9, "note": None}
    half = VALUE_BYTES // 2
    value = {"items": [item] * (half // len(dumps(item))), "page": "<p>a line of the receipt</p>\n" * (half // 30)}
    step = [one if one.type != ev.STEP_COMPLETED else one._replace(data={"output": value}) for one in of_step(0)]
    end = [NewEvent(ev.EXECUTION_ENDED, {"reason": "completed"}), NewEvent(ev.WORKFLOW_COMPLETED, {"output": value})]
    await store.append(key, [*step, *end], execution=1, at=now())


async def feed(store: Store, key: int, rate: int, seconds: float) -> None:
    """`rate` events a second, in ticks of TICK_S; a late tick is made up for."""
    began, sent, number = time.monotonic(), 0, 0
    waiting: list[NewEvent] = []
    while (passed := time.monotonic() - began) < seconds:
        due = int(passed * rate) - sent
        while len(waiting) < due:
            waiting += [lines(number), *of_step(number)]
            number += 1
        if due:
            await store.append(key, waiting[:due], execution=1, at=now())
            del waiting[:due]
            sent += due
        await asyncio.sleep(TICK_S)
    print(f"fed {sent / seconds:.0f}", flush=True)


def now() -> int:
    return time.time_ns() // 1_000_000


async def main() -> None:
    stop = asyncio.Event()
    with TemporaryDirectory() as folder:
        async with AsyncExitStack() as opened:
            settings = Settings(database=f"sqlite:///{Path(folder) / 'page.db'}", port=0, reads_per_minute=1_000_000)
            sock, app, _ = await open_app(settings, Node(), opened, open_log())
            app.state.context.engine._scheduler._loop_task.cancel()  # it would claim the runs that are made here
            store = app.state.context.store
            await finished(store)
            await large(store)
            await wide(store)
            key = await make(store, "living")

            opened_stdin = asyncio.StreamReader()
            await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(opened_stdin), sys.stdin
            )

            async def orders() -> None:
                while line := (await opened_stdin.readline()).split():
                    await feed(store, key, int(line[1]), float(line[2]))
                stop.set()

            ordered = asyncio.create_task(orders())
            connections = ConnectionLimits.from_settings(settings, count_protocol_refusals(app.state.context))
            address = f"http://127.0.0.1:{sock.getsockname()[1]}"
            await server.serve(
                app,
                sock,
                stop,
                connections,
                on_started=lambda: print(address, flush=True),
                on_stop=app.state.context.streams.stop,
            )
            await ordered


if __name__ == "__main__":
    asyncio.run(main())
