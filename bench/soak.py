"""Ten thousand runs through HTTP on one real server, so that its fork server is put aside for a fresh one twice; what
is left afterwards?

    ./run python bench/soak.py                  10,000 runs
    ./run python bench/soak.py --runs 1000      fewer

More is asked for than can run, so that something always waits: the longest time between two starts is then the longest
in which none was possible. Says what the server held before and after (bench/footprint.py), the rate, processor time
per start, and that gap. Exits with 1 when an instance is not complete, anything is left behind, the memory has grown by
more than a fifth, or the gap is too long.
"""

import argparse
import asyncio
import itertools
import json
import os
import re
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from server_support import Server

from bench.footprint import Footprint, processes, processor, settled
from bench.verdict import verdict

JUDGED, MEMORY_SHARE = "tree_mb", 0.2  # that the server and all below it may have grown by
GAP_SECONDS = 0.5  # between two starts, on a machine that does other things too
WARM_RUNS = 300
CALM_SECONDS = 10.0  # after which the server has given back what it does not need (engine/scheduler.py)
LANES = 8  # connections
ASKED_AHEAD = 300  # instances that wait
GENEROUS = (
    "starts-per-minute",
    "checks-per-minute",
    "snippets-per-minute",
    "changes-per-minute",
    "reads-per-minute",
    "running-per-address",
)
SOURCE = """
from workers import WorkflowEntrypoint

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return 1
"""
BODY = json.dumps({"source": SOURCE}).encode()


class Line:
    """One connection of HTTP/1.1, with as little work as there can be: it shares the machine with what it measures."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def call(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of one request."""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
            f"{len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)
        assert found is not None, "every answer of the API says how long it is"
        return int(answer.split()[1]), await self._reader.readexactly(int(found[1]))


class Load:
    """Asks for runs, and looks how many have not ended."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.unfinished = 0
        self.asked = 0
        self.refused: Counter[int] = Counter()

    async def run(self, runs: int) -> float:
        """Have so many instances run to their end; seconds."""
        began = time.monotonic()
        self.asked, wanted = 0, runs
        watching = asyncio.create_task(self._watch())
        await asyncio.gather(*(self._ask(wanted) for _ in range(LANES)))
        watching.cancel()
        async with Line(self._port) as line:
            while await self._look(line):
                await asyncio.sleep(0.02)
        return time.monotonic() - began

    async def _ask(self, wanted: int) -> None:
        async with Line(self._port) as line:
            while self.asked < wanted:
                if self.unfinished > ASKED_AHEAD:
                    await asyncio.sleep(0.01)
                    continue
                self.asked += 1
                self.unfinished += 1
                status, _ = await line.call("POST", "/api/instances", BODY)
                if status != 201:
                    self.refused[status] += 1
                    self.asked -= 1

    async def _watch(self) -> None:
        async with Line(self._port) as line:
            while True:
                self.unfinished = await self._look(line)
                await asyncio.sleep(0.05)

    async def _look(self, line: Line) -> int:
        _, body = await line.call("GET", "/healthz")
        return sum(json.loads(body)["instances"].values())


def main() -> int:
    words = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    words.add_argument("--runs", type=int, default=10_000)
    given = words.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    (folder / "tmp").mkdir()
    os.environ["TMPDIR"] = str(folder / "tmp")  # for the server
    options = [word for name in GENEROUS for word in (f"--{name}", "1000000")]
    server = Server(folder, *options).start()
    pid = server.pid

    def take() -> Footprint:
        return Footprint.of(pid, folder)

    load = Load(server.port)
    asyncio.run(load.run(WARM_RUNS))
    time.sleep(CALM_SECONDS)
    before = take()
    print(f"before   {before.said()}", flush=True)
    used = processor(pid)
    seconds = asyncio.run(load.run(given.runs))
    used = processor(pid) - used
    time.sleep(CALM_SECONDS)
    after = settled(take, before)
    print(f"after    {after.said()}")
    print(
        f"{given.runs:,} runs in {seconds:.1f} s: {given.runs / seconds:.0f}/s; {used / given.runs * 1000:.2f} ms of "
        "processor time each"
    )
    wrongs = after.left_over(before)
    wrongs += [f"{number} requests were refused with {status}" for status, number in load.refused.items()]
    tree = processes(pid)
    server.stop()
    wrongs += [f"process {one} outlived the server" for one in tree if Path(f"/proc/{one}").exists()]
    wrongs += judged(folder / "playground.db", given.runs + WARM_RUNS, before, after)
    recycled = sum("zygote_recycled" in line for line in server.printed)
    print(f"the fork server was put aside for a fresh one {recycled} times")
    return verdict(wrongs, "every run complete, nothing left behind, no gap", folder, "".join(server.printed))


def judged(path: Path, runs: int, before: Footprint, after: Footprint) -> list[str]:
    """What the journals and the memory tell."""
    wrongs = []
    database = sqlite3.connect(path)
    ended = dict(database.execute("SELECT status, count(*) FROM instance GROUP BY status"))
    if ended != {"complete": runs}:
        wrongs.append(f"{runs} instances ended so: {ended}")
    starts = [at for (at,) in database.execute("SELECT at FROM event WHERE type = 'execution_started' ORDER BY at")][
        WARM_RUNS:
    ]
    gap, at = max((later - earlier, earlier) for earlier, later in itertools.pairwise(starts))
    print(f"longest time without a start: {gap} ms, {(at - starts[0]) / 1000:.1f} s after the first")
    if gap > GAP_SECONDS * 1000:
        wrongs.append(f"for {gap} ms nothing could start")
    for name in ("server_mb", "tree_mb"):
        then, now = getattr(before, name), getattr(after, name)
        print(f"{name}: {then:.1f} before, {now:.1f} after ({(now / then - 1) * 100:+.0f} %)")
        if name == JUDGED and now > then * (1 + MEMORY_SHARE):
            wrongs.append("the memory has grown")
    return wrongs


if __name__ == "__main__":
    sys.exit(main())
