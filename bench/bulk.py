"""How fast one operation on many runs is, and what it costs somebody else's first start.

    ./run python -m bench.bulk [--runs 10000] [--seconds 6] [--database URL]

A tenant has so many runs that wait; another starts one now and then, first alone, then while all of those are
terminated. Printed are the rate and, of the starts, the median and the longest until the code runs.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

import uvloop

from playground.engine import CreateInstance
from playground.engine.bulk_runs import BulkRuns, Operation
from playground.engine.code.tenants import Tenants
from playground.engine.engine import Engine
from playground.library import open_engine
from playground.store.rows import NewInstance
from playground.store.search import RunFilter
from playground.workflows import events as ev
from playground.workflows.events import NewEvent, StepKey

SOURCE = """\
from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return 1
"""
BATCH = 500
PAUSE_SECONDS = 0.1


async def fill(engine: Engine, runs: int) -> None:
    """Runs of one tenant that wait for an event, without a worker having run."""
    now = engine.clock.now()
    wait = NewEvent(ev.WAIT_STARTED, {"event_type": "go", "until": now + 10**9}, StepKey(ev.WAIT, "go", 1))
    events = [
        NewEvent(ev.EXECUTION_STARTED, {"execution": 1, "worker": "w"}),
        wait,
        NewEvent(ev.WORKFLOW_WAITING, {"until": now + 10**9}),
        NewEvent(ev.EXECUTION_ENDED, {"reason": ev.HIBERNATED}),
    ]
    for first in range(0, runs, BATCH):
        numbers = range(first, min(first + BATCH, runs))
        new = [NewInstance("acme", f"r{number}", "w", "s", None, "acme", events=events) for number in numbers]
        await engine.store.create(new, at=now)


async def starts(engine: Engine, until: "asyncio.Event", seconds: float) -> list[float]:
    """Milliseconds from each create until its code runs."""
    took: list[float] = []
    began = time.perf_counter()
    while not until.is_set() and time.perf_counter() - began < seconds:
        since = time.perf_counter()
        row = await engine.create(CreateInstance(SOURCE, queue=f"address-{len(took)}"))
        async with engine.store.subscribe(row.key) as grown:
            while (now := await engine.store.row(row.key)).started_at is None:
                await grown(now.last_seq)
        took.append((time.perf_counter() - since) * 1_000)
        await asyncio.sleep(PAUSE_SECONDS)
    return took


def shown(name: str, took: list[float]) -> None:
    """Print what starts took."""
    print(f"{name}: {len(took)} starts, median {statistics.median(took):.1f} ms, longest {max(took):.1f} ms")


async def main(options: argparse.Namespace, database: str) -> None:
    """Measure, and print."""
    async with open_engine(database, workers=2, queued_per_tenant=10_000_000) as engine:
        await fill(engine, options.runs)
        await starts(engine, asyncio.Event(), 1.0)  # the first is slower
        shown("alone", await starts(engine, asyncio.Event(), options.seconds))
        over, bulks = asyncio.Event(), BulkRuns(engine, Tenants(engine))
        others = asyncio.create_task(starts(engine, over, 3_600))
        since = time.perf_counter()
        bulk = await bulks.begin("acme", Operation("terminate"), RunFilter(statuses=("waiting",)))
        print(f"{bulk.matched:,} runs chosen in {(time.perf_counter() - since) * 1_000:.0f} ms")
        while (bulk := await bulks.get("acme", bulk.id)).state == "running":
            await asyncio.sleep(PAUSE_SECONDS)
        took = time.perf_counter() - since
        over.set()
        shown("meanwhile", await others)
        assert bulk.done == options.runs, bulk
        print(f"{bulk.done:,} runs terminated in {took:.1f} s, {bulk.done / took:,.0f}/s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--database", default="")
    with tempfile.TemporaryDirectory(prefix="bench-bulk-") as folder:
        options = parser.parse_args()
        uvloop.run(main(options, options.database or f"sqlite:///{Path(folder) / 'bulk.db'}"))
