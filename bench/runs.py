"""Runs of three steps through HTTP, each in a new isolated process and followed by its stream, beside bare forks.

    ./run python -m bench.runs [--runs 500] [--times 5] [--at-once 10] [--profile FILE]

Each of ten lanes creates a run, follows its stream until `end`, and creates the next; nothing is polled. The peer is
that of bench/starts.py: a fork of an interpreter with the same imports, whose child writes a byte and ends. Rounds of
both alternate. Printed are runs a second, their ratio to bare forks, the time from the POST to `end`, and processor
time of a run: the server's own process, its fork server and workers, and this client, which shares the machine.

`--profile` samples the server's event loop by its processor time (`SIGPROF`) and writes where it was, per run.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import uvloop

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from bench.footprint import processor, times
from bench.soak import Line
from bench.speed import server

SOURCE = """
from workers import WorkflowEntrypoint
class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        total = 0
        for number in range(3):
            total += await step.do(f"step {number}", lambda: number)
        return total
"""
BODY = json.dumps({"source": SOURCE}).encode()
WARM_RUNS = 60
FORK_SECONDS = 1.0


class Follower(Line):
    """A connection that also reads streams."""

    async def follow(self, path: str) -> bytes:
        """A stream to its end."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".encode())
        head = await self._reader.readuntil(b"\r\n\r\n")
        assert head.split()[1] == b"200", head.decode()
        return await self._reader.readuntil(b"\r\n0\r\n\r\n")


async def runs(port: int, count: int, at_once: int) -> tuple[float, list[float]]:
    """Runs a second, and milliseconds of each from its POST to the end of its stream."""
    left, took = iter(range(count)), []

    async def lane() -> None:
        async with Follower(port) as line:
            for _ in left:
                since = time.perf_counter()
                status, made = await line.call("POST", "/api/instances", BODY)
                assert status == 201, made.decode()
                stream = await line.follow(f"/api/instances/{json.loads(made)['id']}/stream")
                assert b'"status":"complete"' in stream.replace(b" ", b""), stream.decode()
                took.append((time.perf_counter() - since) * 1000)

    began = time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(at_once)))
    return count / (time.perf_counter() - began), took


def bare_forks() -> float:
    """Forks a second of a process that holds no more than a fork server does."""
    command = [sys.executable, "-m", "bench.starts", "--bare", "--seconds", str(FORK_SECONDS)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    found = re.search(r"bare forks, 1 at once\s+(\d+)/s", printed)
    assert found is not None, printed
    return float(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--runs", type=int, default=500, help="of each round")
    parser.add_argument("--times", type=int, default=5, help="rounds, of which the median is shown")
    parser.add_argument("--at-once", type=int, default=10)
    parser.add_argument("--profile", type=Path, help="where the server's profile is written")
    options = parser.parse_args()
    module = "bench.profiled" if options.profile else "playground"
    environment: Mapping[str, str] = {"BENCH_PROFILE": str(options.profile)} if options.profile else {}
    settings = {"reads_per_minute": 1_000_000, "streams_per_address": 100}
    rates, forks, took, parts = [], [], [], []
    with server(module=module, environment=environment, **settings) as (base, process):
        port = int(base.rpartition(":")[2])
        uvloop.run(runs(port, WARM_RUNS, options.at_once))
        if options.profile:
            process.send_signal(signal.SIGUSR1)  # forget what was sampled until now
        for _ in range(options.times):
            forks.append(bare_forks())
            here, ours, all_ = time.process_time(), sum(times(process.pid)[:2]), processor(process.pid)
            rate, each = uvloop.run(runs(port, options.runs, options.at_once))
            ours, all_ = sum(times(process.pid)[:2]) - ours, processor(process.pid) - all_
            parts.append([seconds / options.runs * 1000 for seconds in (ours, all_ - ours, time.process_time() - here)])
            rates.append(rate)
            took += each
    rate, bare = statistics.median(rates), statistics.median(forks)
    print(
        f"3-step runs through HTTP, {options.at_once} at once, followed by stream: {rate:.0f}/s, "
        f"bare forks {bare:.0f}/s (ratio {rate / bare:.2f}); load {os.getloadavg()[0]:.1f}"
    )
    took.sort()
    print(f"    POST to `end`: p50 {statistics.median(took):.1f} ms, p99 {took[len(took) * 99 // 100]:.1f} ms")
    own, sandbox, client = (statistics.median(part) for part in zip(*parts, strict=True))
    print(
        f"    processor time a run: server {own:.2f} ms, fork server and workers {sandbox:.2f} ms, "
        f"this client {client:.2f} ms"
    )


if __name__ == "__main__":
    main()
