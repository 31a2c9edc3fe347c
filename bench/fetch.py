"""What a fetch in a step adds to the bare call, and 200 of them in flight from 50 runs.

    ./run python bench/fetch.py

The server answers at once, on a real socket of this machine; the engine runs real workers on a SQLite file. A bare call
is one of the same guarded client, in the server's own process. What a fetch adds is what the code sees beyond that: two
frames over the channel to another process, which on a busy machine waits for its turn; a call of a binding that does
nothing says how long that takes now.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from bad_server_support import BadServer

from playground import Binding, Code, Dispatcher, open_engine
from playground.engine.bindings.fetch import Fetch
from playground.outbound.addresses import read_networks
from playground.outbound.client import Outbound
from playground.outbound.hosts import read_rule

CALLS, RUNS, EACH = 200, 50, 4
ALONE = """
import time
from workers import WorkflowEntrypoint, fetch

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("ask")
        async def ask():
            took = []
            for _ in range(event["payload"]["calls"]):
                began = time.perf_counter()
                await fetch(event["payload"]["url"])
                took.append(time.perf_counter() - began)
            return took
        return await ask()
"""
NOTHING = ALONE.replace('await fetch(event["payload"]["url"])', "await self.env.NOTHING.call()")
TOGETHER = """
import asyncio
from workers import WorkflowEntrypoint, fetch

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("ask")
        async def ask():
            answers = await asyncio.gather(*(fetch(event["payload"]["url"]) for _ in range(event["payload"]["calls"])))
            return [answer.status for answer in answers]
        return await ask()
"""


class Nothing(Binding):
    """A binding that does nothing."""

    async def call(self) -> None:
        """Do nothing."""


async def bare(url: str, rule: str) -> list[float]:
    """Seconds of each of the same calls without an engine."""
    outbound, took = Outbound(read_networks("127.0.0.1")), []
    for _ in range(CALLS):
        began = time.perf_counter()
        await outbound.fetch([read_rule(rule)], url, owner="")
        took.append(time.perf_counter() - began)
    await outbound.aclose()
    return took


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            BadServer() as server,
            open_engine(f"sqlite:///{folder}/fetch.db", fetch_reachable="127.0.0.1", workers=RUNS) as engine,
        ):
            place = f"http://127.0.0.1:{server.port}"
            env = {"FETCH": Fetch([place]), "NOTHING": Nothing()}
            codes = {name: Code(source, env=env) for name, source in (("a", ALONE), ("n", NOTHING), ("t", TOGETHER))}
            flows = Dispatcher(engine, lambda metadata: codes[metadata["code"]])

            async def output(code: str, calls: int) -> list[float]:
                params = {"url": f"{place}/echo", "calls": calls}
                instance = await flows.wrap_binding({"tenant": "acme", "code": code}).create(params=params)
                async for _ in instance.subscribe():
                    pass
                return list((await instance.status()).output)

            for _ in range(2):  # the first time warms both up
                alone, within = await bare(f"{place}/echo", place), await output("a", CALLS)
                nothing = await output("n", CALLS)
            for name, took in (("bare", alone), ("in a step", within), ("nothing", nothing)):
                print(f"{name:>10}: p50 {statistics.median(took) * 1000:.2f} ms, best {min(took) * 1000:.2f} ms")
            print(f"{'adds':>10}: p50 {(statistics.median(within) - statistics.median(alone)) * 1000:.2f} ms")
            began = time.perf_counter()
            answers = await asyncio.gather(*(output("t", EACH) for _ in range(RUNS)))
            assert answers == [[200] * EACH] * RUNS
            seconds = time.perf_counter() - began
            print(f"{RUNS} runs with {EACH} each in flight: {RUNS * EACH} answers in {seconds:.2f} s")


asyncio.run(main())
