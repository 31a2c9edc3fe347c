"""Whether a tenant with a great many queued instances holds up another's first, beside the same start with nobody else
there.

    python -m bench.fairness [--queued 2000000] [--rounds 60] [--work 5] [--slots N]

One tenant has `--queued` instances waiting and keeps every slot it may have busy, each with a step that computes for
`--work` milliseconds. Meanwhile tenants that were never heard of create one instance each. Measured is the time from
create() to the first line that the newcomer's code prints, as it stands in the journal; before that, the same with an
empty queue. The store is on the disk, with synchronous=FULL.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playground import Code, Dispatcher, Engine, WorkflowInstance, open_engine
from playground.store import open_store
from playground.store.rows import NewInstance
from playground.workflows import events as ev

WORKFLOW = "bench"
LARGE = "large"
BATCH = 5_000  # instances queued in one transaction
ALLOWED = 50.0  # milliseconds that a newcomer's first start may be later
WARM_UP = 10

BUSY = """
import time
from workers import WorkflowEntrypoint

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        def work():
            until = time.process_time() + {work} / 1000
            while time.process_time() < until:
                pass
        await step.do("work", work)
"""
FIRST = """
from workers import WorkflowEntrypoint

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        print("here")
"""


def line(what: str, figure: str) -> None:
    print(f"{what:<66} {figure:>24}", flush=True)


async def fill(url: str, queued: int) -> None:
    """Queue so many instances of the one tenant."""
    store = open_store(url, synchronous="normal")
    begun, at = time.perf_counter(), time.time_ns() // 1_000_000
    for start in range(0, queued, BATCH):
        batch = [
            NewInstance(LARGE, f"i{number}", WORKFLOW, "", None, LARGE, metadata={"tenant": LARGE})
            for number in range(start, min(queued, start + BATCH))
        ]
        await store.create(batch, at=at)
        sys.stderr.write(f"\rqueueing {start + len(batch):,}")
    sys.stderr.write("\r" + " " * 40 + "\r")
    seconds = time.perf_counter() - begun
    await store.close()
    line(f"queued {queued:,} instances of one tenant", f"{seconds:.1f} s ({queued / max(seconds, 1e-9):,.0f}/s)")


async def first_start(dispatcher: Dispatcher, tenant: str) -> float:
    """Milliseconds from create() to the first line of a newcomer."""
    begun = time.perf_counter()
    instance: WorkflowInstance = await dispatcher.wrap_binding({"tenant": tenant}).create()
    async for event in instance.subscribe():
        if event.type == ev.LOG:
            return (time.perf_counter() - begun) * 1000
    raise AssertionError("it ended without a line")


async def measure(engine: Engine, dispatcher: Dispatcher, rounds: int, name: str) -> list[float]:
    for number in range(WARM_UP):
        await first_start(dispatcher, f"warm-{name}-{number}")
    return [await first_start(dispatcher, f"{name}-{number}") for number in range(rounds)]


def told(what: str, times: list[float]) -> None:
    line(what, f"median {statistics.median(times):.1f}, worst {max(times):.1f} ms")


async def run(url: str, rounds: int, work: float, slots: int) -> list[float]:
    async def load(metadata: dict[str, Any]) -> Code:
        return Code(BUSY.format(work=work) if metadata["tenant"] == LARGE else FIRST)

    async with open_engine(url, workers=slots, starts_per_second_per_tenant=100_000, synchronous="full") as engine:
        dispatcher = Dispatcher(engine, load, name=WORKFLOW)
        before = await engine.store.count(tenant=LARGE)
        begun = time.perf_counter()
        times = await measure(engine, dispatcher, rounds, "newcomer")
        done = (await engine.store.count(tenant=LARGE)).get(ev.COMPLETE, 0) - before.get(ev.COMPLETE, 0)
        if before:
            line("instances of the one tenant that ended meanwhile", f"{done / (time.perf_counter() - begun):,.0f}/s")
    return times


async def main(queued: int, rounds: int, work: float, slots: int, folder: Path) -> bool:
    """Print the figures; whether the newcomers were held up by no more than is allowed."""
    normal = await run(f"sqlite:///{folder}/empty.db", rounds, work, slots)
    told("first start of a newcomer, nobody else there", normal)
    crowded_url = f"sqlite:///{folder}/crowded.db"
    await fill(crowded_url, queued)
    crowded = await run(crowded_url, rounds, work, slots)
    told(f"first start of a newcomer, {queued:,} queued before it", crowded)
    delay = statistics.median(crowded) - statistics.median(normal)
    late = statistics.quantiles(crowded, n=20)[-1] - statistics.median(normal)
    line("delay beyond normal, median and 95th percentile", f"{delay:.1f} and {late:.1f} ms")
    line(f"at most {ALLOWED:.0f} ms", "yes" if late <= ALLOWED else "NO")
    return late <= ALLOWED


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--queued", type=int, default=2_000_000)
    options.add_argument("--rounds", type=int, default=60)
    options.add_argument(
        "--work", type=float, default=5.0, help="milliseconds of processor time of each queued instance"
    )
    options.add_argument("--slots", type=int, default=0, help="as the setting `workers`")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        fine = asyncio.run(main(given.queued, given.rounds, given.work, given.slots, Path(scratch)))
    sys.exit(0 if fine else 1)
