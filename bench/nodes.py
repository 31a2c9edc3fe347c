"""Nodes over PostgreSQL as a user meets them, beside SQLite and DBOS on the same server in the same run.

    ./run python -m bench.nodes [--processes 2] [--peers PYTHON] [--url postgresql://...]

Without --url it starts a PostgreSQL of its own that syncs each commit, in a temporary folder. All figures go through
HTTP and the processes' one port. `--peers` is an interpreter that has DBOS with its PostgreSQL driver.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from postgres_support import DURABLE, PostgresServer

from bench.runs import WARM_RUNS, runs
from bench.speed import LISTENING, SEQUENTIAL, UNLIMITED, call, run_to_end

ROUNDS = 3
EVENTS = 200
DBOS = """
import sys, time
from dbos import DBOS
DBOS(config={"name": "bench", "system_database_url": sys.argv[1], "log_level": "ERROR", "run_admin_server": False})
@DBOS.step()
def nothing(number):
    return number
@DBOS.workflow()
def run(count):
    for number in range(count):
        nothing(number)
DBOS.launch()
run(50)
began = time.perf_counter()
run(1000)
print(1000 / (time.perf_counter() - began))
DBOS.destroy()
"""


@contextmanager
def serving(database: str, processes: int) -> Iterator[str]:
    """A server on a database; gives its address once all of its processes serve."""
    limits = dict.fromkeys(UNLIMITED, 100_000) | {"reads_per_minute": 10**6, "streams_per_address": 100}
    given = {f"PLAYGROUND_{name.upper()}": str(value) for name, value in limits.items()}
    command = [sys.executable, "-m", "playground", "--port", "0", "--idle-grace-ms", "60000"]
    command += ["--database", database, "--processes", str(processes)]
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **given}
    )
    assert server.stdout is not None
    address, started = "", 0
    try:
        for line in server.stdout:
            address = found[0].rstrip("/") if (found := re.search(r"http://[\w.:]+", line)) else address
            started += " start " in line
            if address and started == processes:
                break
        threading.Thread(target=server.stdout.read, daemon=True).start()
        yield address
    finally:
        server.terminate()
        server.wait(40)


def going_on(base: str) -> list[float]:
    """Milliseconds from each event's request, on a connection of its own, until the code's next line is on the stream:
    the event comes in by any node, the stream goes out by any, and the worker is one node's.
    """
    made = call(base, "/api/instances", {"source": LISTENING})
    path, token = f"/api/instances/{made['id']}", made["control_token"]
    while call(base, path)["status"] != "waiting":
        time.sleep(0.05)
    taken = []
    last = call(base, path)["last_seq"]
    with urllib.request.urlopen(f"{base}{path}/stream?after={last}", timeout=60) as stream:
        for number in range(EVENTS):
            time.sleep(0.05)
            began = time.perf_counter()
            call(base, f"{path}/events/go", {"n": f"mark {number}."}, "POST", token)
            while f"got mark {number}.".encode() not in stream.readline():
                pass
            taken.append((time.perf_counter() - began) * 1000)
    return sorted(taken)


def measure(what: str, database: str, processes: int) -> None:
    with serving(database, processes) as base:
        port = int(base.rpartition(":")[2])
        steps = statistics.median(1000 / run_to_end(base, SEQUENTIAL) for _ in range(ROUNDS))
        uvloop.run(runs(port, WARM_RUNS, 10))
        rate = statistics.median(uvloop.run(runs(port, 200, 10))[0] for _ in range(ROUNDS))
        taken = going_on(base)
    p50, p99 = statistics.median(taken), taken[len(taken) * 99 // 100]
    print(
        f"{what:34} 1,000 sequential steps {steps:8,.0f}/s   3-step runs, 10 at once {rate:5,.0f}/s   "
        f"an event until the code's next line: p50 {p50:.1f} ms, p99 {p99:.1f} ms   load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--peers", help="an interpreter that has DBOS")
    parser.add_argument("--url", help="an empty database")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        server = None if options.url else PostgresServer(Path(folder) / "postgres", settings=DURABLE).create().start()
        try:
            url = options.url or (server.database() if server is not None else "")
            measure("SQLite, one process", f"sqlite:///{folder}/bench.db", 1)
            measure("PostgreSQL, one process", url, 1)
            measure(f"PostgreSQL, {options.processes} processes", url, options.processes)
            if options.peers and server is not None:
                command = [options.peers, "-c", DBOS, server.database()]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                rate = float(done.stdout.split()[-1])
                print(f"{'DBOS on the same PostgreSQL':34} 1,000 sequential steps {rate:8,.0f}/s")
        finally:
            if server is not None:
                server.stop()


if __name__ == "__main__":
    main()
