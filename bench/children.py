"""How fast a parent runs children: one workflow that runs a thousand others and waits for all of them.

    ./run python -m bench.children [--children 1000] [--times 5] [--new-workers] [--postgres]

The parent calls `self.env.WORKFLOWS.run` a thousand times in one `gather`; each child returns a number. Measured is
from the parent's creation to its end, with everything durable: an instance, an execution and an end for each child,
and the end brought to the parent. By default children run in warm workers of the tenant's code; with
`--new-workers` each has an isolated process of its own. `running_per_tenant` and `starts_per_second_per_tenant` are
raised, since they would count.
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import uvloop

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from postgres_support import DURABLE

from bench.postgres import databases
from playground import Code, Dispatcher, Engine
from playground.library import open_engine
from playground.workflows import events as ev

SOURCE = """
import asyncio
from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        if event["payload"].get("n") is not None:
            return event["payload"]["n"]
        many = event["payload"]["children"]
        return sum(await asyncio.gather(*(self.env.WORKFLOWS.run({"n": n}) for n in range(many))))
"""


async def seconds(engine: Engine, flows: Dispatcher, children: int) -> float:
    """From the creation of a parent with so many children to its end."""
    since = time.perf_counter()
    parent = await flows.wrap_binding({"tenant": "acme"}).create(params={"children": children})
    ends = 0
    async for event in parent.subscribe():
        ends += event.type == ev.CHILD_COMPLETED
    took = time.perf_counter() - since
    status = await parent.status()
    assert (status.status, status.output) == ("complete", children * (children - 1) // 2), status
    assert ends == children, "each end comes once"
    return took


async def measured(database: str, children: int, times: int, *, warm: bool) -> list[float]:
    """Children a second of each round."""
    raised = {"starts_per_second_per_tenant": 1_000_000, "running_per_tenant": 1_000}
    async with open_engine(database, **raised) as engine:

        async def load(metadata: object) -> Code:
            return Code(SOURCE, warm=warm)

        flows = Dispatcher(engine, load, name="flows")
        await seconds(engine, flows, 20)
        return [children / await seconds(engine, flows, children) for _ in range(times)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--children", type=int, default=1_000)
    parser.add_argument("--times", type=int, default=5, help="rounds, of which the median is shown")
    parser.add_argument("--new-workers", action="store_true", help="no warm workers")
    parser.add_argument("--postgres", action="store_true", help="a server of its own, instead of a file")
    options = parser.parse_args()
    with contextlib.ExitStack() as opened:
        folder = opened.enter_context(tempfile.TemporaryDirectory())
        database = f"sqlite:///{folder}/children.db"
        if options.postgres:
            database = opened.enter_context(databases(None, DURABLE))()
        rates = uvloop.run(measured(database, options.children, options.times, warm=not options.new_workers))
    print(
        f"a parent with {options.children:,} children, {'new' if options.new_workers else 'warm'} workers: "
        f"{statistics.median(rates):.0f} children/s (rounds {', '.join(f'{rate:.0f}' for rate in rates)}); "
        f"load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
