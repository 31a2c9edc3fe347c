"""Values of one run's stream to many readers over HTTP: none may be lost, and none may come twice.

    ./run python -m bench.streams [--readers 100] [--rate 2000] [--seconds 10] [--postgres] [--kill]

One step appends so many values a second, each with the time; readers are there before it begins, and check each value
by its number. A value's way is from the append to the reader, by one clock, with both in the same machine; processor
time is the server's own process. `--kill` kills the worker in the middle: then each reader must have got one reset,
and all values of the second attempt once.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import uvloop

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from postgres_support import DURABLE

from bench.postgres import databases
from bench.speed import Spent, call, server

SOURCE = """
import asyncio, time
from workers import WorkflowEntrypoint

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        rate, count = event["payload"]["rate"], event["payload"]["count"]

        async def write():
            began = time.monotonic()
            for number in range(count):
                await self.env.STREAMS.append("values", time.time())
                ahead = (number + 1) / rate - (time.monotonic() - began)
                if ahead > 0.005:
                    await asyncio.sleep(ahead)
            return time.monotonic() - began

        await step.wait_for_event("readers are there", "go")
        return await step.do("write", write)
"""
SETTINGS = {"reads_per_minute": 10**6, "streams_per_address": 1_000, "connections_per_address": 1_000}
_decode = msgspec.json.Decoder(list[dict[str, Any]]).decode


class Reader:
    """One reader, who counts values by attempt and number. `late` has each value's way in seconds."""

    def __init__(self) -> None:
        self.attempt = self.number = 0
        self.lost = self.twice = self.resets = 0
        self.late: list[float] = []

    async def read(self, port: int, path: str, ready: "asyncio.Semaphore") -> None:
        """Follow a stream to its end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**22)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.split()[1] == b"200", head.decode()
        event = b""
        while line := await reader.readline():
            if line.startswith(b"event: "):
                event = line[7:].strip()
                if event == b"hello":
                    ready.release()
                elif event == b"end":
                    break
                self.resets += event == b"reset"
            elif line.startswith(b"data: ") and event == b"values":
                self._take(_decode(line[6:]), time.time())
        writer.close()

    def _take(self, values: list[dict[str, Any]], now: float) -> None:
        for value in values:
            if value["attempt"] != self.attempt:
                self.attempt, self.number = value["attempt"], 0
            self.lost += max(0, value["number"] - self.number - 1)
            self.twice += value["number"] <= self.number
            self.number = value["number"]
            self.late.append(now - value["value"])


async def follow(base: str, made: dict[str, Any], readers: int, kill_after: float | None) -> list[Reader]:
    """Read with so many readers from before the first value to the end."""
    port, path = int(base.rpartition(":")[2]), f"/api/instances/{made['id']}"
    ready = asyncio.Semaphore(0)
    found = [Reader() for _ in range(readers)]
    reading = [asyncio.create_task(one.read(port, f"{path}/streams/values", ready)) for one in found]
    for _ in found:
        await ready.acquire()
    await asyncio.to_thread(call, base, f"{path}/events/go", 1, "POST", made["control_token"])
    if kill_after is not None:
        await asyncio.sleep(kill_after)
        await asyncio.to_thread(call, base, f"{path}/kill-worker", {}, "POST", made["control_token"])
    await asyncio.gather(*reading)
    return found


def measure(what: str, database: str, options: argparse.Namespace) -> None:
    count = options.rate * options.seconds
    settings = {**SETTINGS, "stream_bytes": count * 200, "attempt_cpu_seconds": 60}
    with server(database, **settings) as (base, process):
        made = call(base, "/api/instances", {"source": SOURCE, "params": {"rate": options.rate, "count": count}})
        with Spent(process.pid) as spent:
            readers = uvloop.run(follow(base, made, options.readers, options.seconds / 2 if options.kill else None))
        run = call(base, f"/api/instances/{made['id']}")
    if run["status"] != "complete":
        raise SystemExit(f"the run ended as {run['status']}: {run['error']}")
    lost = sum(one.lost + count - one.number for one in readers)
    late = sorted(seconds * 1000 for one in readers for seconds in one.late)
    resets = {one.resets for one in readers}
    print(
        f"{what:12} {count:,} values to {len(readers)} readers: {count / run['output']:,.0f}/s written, "
        f"{lost} lost, {sum(one.twice for one in readers)} twice, resets {sorted(resets)}, way p50 "
        f"{late[len(late) // 2]:.0f} ms, p99 {late[len(late) * 99 // 100]:.0f} ms, server {spent.server:.1f} s of "
        f"{options.seconds} s, load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    if lost or any(one.twice for one in readers) or resets != {1 if options.kill else 0}:
        raise SystemExit("a reader did not get each value once")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--readers", type=int, default=100)
    parser.add_argument("--rate", type=int, default=2_000)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--kill", action="store_true")
    options = parser.parse_args()
    with contextlib.ExitStack() as opened:
        folder = opened.enter_context(tempfile.TemporaryDirectory())
        measure("SQLite", f"sqlite:///{folder}/bench.db", options)
        if options.postgres:
            measure("PostgreSQL", opened.enter_context(databases(None, DURABLE))(), options)


if __name__ == "__main__":
    main()
