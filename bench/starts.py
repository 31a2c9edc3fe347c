"""How fast and how small isolated starts are, beside a bare fork server of the same interpreter and imports in the same
run.

    python -m bench.starts [--seconds 3] [--parked 4]

On a machine that others use, processor time per start is the figure to go by: `chrt -r 5 python -m bench.starts` keeps
them away from the others too (but not for the line with endless loops, which then have the same priority).

A start is: take a worker, have it run a workflow that returns at once, read its result, throw it away. The peer forks,
and the child writes one byte and ends: no isolation, no channel, no workflow.
"""

import argparse
import asyncio
import importlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playground.sandbox import frames
from playground.sandbox.pool import Sandbox, Worker
from playground.sandbox.zygote import WARM

MEMORY = 160 * 1024 * 1024
SOURCE = """
import time
STARTED = time.monotonic_ns()
from workers import WorkflowEntrypoint

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return STARTED
"""


def start_frame(source: str) -> bytes:
    return frames.encode(
        {
            "op": "start",
            "source": source,
            "class_name": "TenantWorkflow",
            "event": {"payload": None, "timestamp": 0, "instance": "i", "workflow": "w"},
            "execution": 1,
            "metadata": None,
            "steps": [],
            "env": {},
            "limits": {
                "value_bytes": 1 << 20,
                "step_bytes_limit": 1,
                "step_limit": 10_000,
                "patch_limit": 200,
                "delay_function_ms": 1000,
            },
            "mode": "run",
        }
    )


START = start_frame(SOURCE)
HOG = start_frame("while True: pass")


def line(what: str, figure: str) -> None:
    print(f"{what:<66} {figure:>24}", flush=True)


def spread(milliseconds: Sequence[float]) -> str:
    ordered = sorted(milliseconds)
    return f"{statistics.median(ordered):.2f} ms, p95 {ordered[int(len(ordered) * 0.95)]:.2f} ms"


async def result(worker: Worker) -> Any:
    """The output of the workflow that a worker runs."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(worker.sock, START)
    data = b""
    while True:
        data += await loop.sock_recv(worker.sock, 65536)
        while len(data) >= frames.HEADER_BYTES:
            size = int.from_bytes(data[: frames.HEADER_BYTES], "big")
            if len(data) < frames.HEADER_BYTES + size:
                break
            said = frames.decode(data[frames.HEADER_BYTES : frames.HEADER_BYTES + size])
            data = data[frames.HEADER_BYTES + size :]
            if isinstance(said, frames.Finish):
                return said.output
            if isinstance(said, frames.Crash):
                raise SystemExit(f"the workflow failed: {said.error}")


async def start(sandbox: Sandbox) -> tuple[float, float, float, float]:
    """Milliseconds to a taken worker, to the first line of tenant code, and to its result; and of the worker's
    processor time in all.
    """
    begun = time.monotonic_ns()
    worker = await sandbox.take_worker()
    taken = time.monotonic_ns()
    first = await result(worker)
    done = time.monotonic_ns()
    worker.close()
    end = await worker.exited
    return (taken - begun) / 1e6, (first - begun) / 1e6, (done - begun) / 1e6, end.cpu_seconds * 1000


async def opened(parked: int) -> Sandbox:
    return await Sandbox.open(memory_bytes=MEMORY, cpu_seconds=10, parked=parked, log=lambda event, **fields: None)


async def spaced(parked: int, seconds: float) -> None:
    sandbox = await opened(parked)
    figures = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        await asyncio.sleep(0.02)  # time to park again
        figures.append(await start(sandbox))
    name = f"{parked} parked" if parked else "none parked"
    for index, what in enumerate(("take()", "first line of tenant code", "result", "processor time of the worker")):
        line(f"{what}, {name}", spread([figure[index] for figure in figures]))
    await sandbox.close()


async def rates(parked: int, seconds: float) -> None:
    sandbox = await opened(parked)
    await start(sandbox)
    for lanes in (1, 4, 16):
        until = time.monotonic() + seconds
        begun = time.monotonic()
        assert sandbox.zygote is not None
        ours, forker = time.process_time(), on_processor(sandbox.zygote)

        async def lane(until: float = until) -> list[float]:
            used = []
            while time.monotonic() < until:
                used.append((await start(sandbox))[3])
            return used

        used = [each for lane in await asyncio.gather(*(lane() for _ in range(lanes))) for each in lane]
        line(f"starts, {lanes} at once", f"{len(used) / (time.monotonic() - begun):.0f}/s")
        parts = (time.process_time() - ours) * 1000, (on_processor(sandbox.zygote) - forker) * 1000, sum(used)
        told = " + ".join(f"{part / len(used):.2f}" for part in parts)
        line("  processor time of each: here + fork server + worker", f"{told} = {sum(parts) / len(used):.2f} ms")
    await sandbox.close()


async def crowded(hogs: int, seconds: float) -> None:
    """An innocent start while others do nothing but use the processor."""
    sandbox = await opened(4)
    busy = [await sandbox.take_worker() for _ in range(hogs)]
    for worker in busy:
        await asyncio.get_running_loop().sock_sendall(worker.sock, HOG)
    figures = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        await asyncio.sleep(0.02)
        figures.append((await start(sandbox))[2])
    line(f"result, beside {hogs} endless loops", spread(figures))
    for worker in busy:
        worker.close()
    await sandbox.close()


async def sizes(parked: int) -> None:
    begun = time.monotonic()
    sandbox = await opened(parked)
    line("open(): fork server up, attacked, first worker locked", f"{(time.monotonic() - begun) * 1000:.0f} ms")
    workers = [await sandbox.take_worker() for _ in range(parked)]
    while sandbox.zygote is None or len(children(sandbox.zygote)) < 2 * parked:
        await asyncio.sleep(0.01)
    line("fork server, resident", f"{memory(sandbox.zygote, 'Rss'):.1f} MB")
    each = [memory(child, "Private_Dirty") for child in children(sandbox.zygote)]
    line("locked worker, private", f"{statistics.median(each):.1f} MB")
    for worker in workers:
        worker.close()
    await sandbox.close()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def on_processor(pid: int) -> float:
    """Seconds that a process of one thread was on a processor, without its children."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def memory(pid: int, name: str) -> float:
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith(f"{name}:")) / 1024


def bare(seconds: float) -> None:
    """The peer, in a process of its own so that it holds no more than a fork server does."""
    for module in (*WARM, "playground.worker.main"):
        importlib.import_module(module)
    reading, writing = os.pipe()
    times = []
    used = sum(os.times()[:4])
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        begun = time.monotonic_ns()
        child = os.fork()
        if child == 0:
            os.write(writing, b"x")
            os._exit(0)
        os.read(reading, 1)
        times.append((time.monotonic_ns() - begun) / 1e6)
        os.waitpid(child, 0)
    line("peer: bare fork to first byte", spread(times))
    line("peer: bare forks, 1 at once", f"{len(times) / seconds:.0f}/s")
    line("  processor time of each, both sides", f"{(sum(os.times()[:4]) - used) * 1000 / len(times):.2f} ms")


def interpreter() -> None:
    times = []
    for _ in range(10):
        begun = time.monotonic_ns()
        subprocess.run([sys.executable, "-I", "-S", "-c", "import asyncio, json"], check=True)
        times.append((time.monotonic_ns() - begun) / 1e6)
    line("peer: a fresh interpreter that imports asyncio, to its end", spread(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--parked", type=int, default=4)
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        bare(options.seconds)
        return
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    asyncio.run(sizes(options.parked))
    asyncio.run(spaced(options.parked, options.seconds))
    asyncio.run(spaced(0, options.seconds))
    asyncio.run(crowded(8, options.seconds))
    asyncio.run(rates(options.parked, options.seconds))
    subprocess.run([sys.executable, "-m", "bench.starts", "--bare", "--seconds", str(options.seconds)], check=True)
    interpreter()


if __name__ == "__main__":
    main()
