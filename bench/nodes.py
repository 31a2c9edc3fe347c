"""Nodes over PostgreSQL as a user meets them, beside SQLite and DBOS on the same server in the same run.

    ./run python -m bench.nodes [--processes 2] [--peers PYTHON] [--url postgresql://...]

Without --url it starts a PostgreSQL of its own that syncs each commit, in a temporary folder. All figures go through
HTTP and the processes' one port. `--peers` is an interpreter that has DBOS with its PostgreSQL driver.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import uvloop

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from postgres_support import DURABLE

from bench.postgres import databases
from bench.runs import WARM_RUNS, runs
from bench.speed import LISTENING, SEQUENTIAL, call, dbos_steps, run_to_end, server

ROUNDS = 3
EVENTS = 200


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
    limits = {"reads_per_minute": 10**6, "streams_per_address": 100}
    with server(database, processes=processes, idle_grace_ms=60_000, **limits) as (base, _):
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
    with databases(options.url, DURABLE) as new_database, tempfile.TemporaryDirectory() as folder:
        measure("SQLite, one process", f"sqlite:///{folder}/bench.db", 1)
        url = new_database()
        measure("PostgreSQL, one process", url, 1)
        measure(f"PostgreSQL, {options.processes} processes", url, options.processes)
        if options.peers and not options.url:
            rate = dbos_steps(options.peers, new_database(), warm=50, count=1_000)
            print(f"{'DBOS on the same PostgreSQL':34} 1,000 sequential steps {rate:8,.0f}/s")


if __name__ == "__main__":
    main()
