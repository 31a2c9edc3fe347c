"""What a person feels and what the engine can do, each beside a bare peer measured in the same run.

    ./run python bench/speed.py                   everything (about a minute)
    ./run python bench/speed.py steps replay      only some: first-message steps operations page memory start replay
    ./run python bench/speed.py steps --peers PYTHON    beside DBOS too, which that Python has (`pip install dbos`)

A peer does the same work with nothing around it: one sqlite3 connection that commits the same rows, one small Starlette
app that streams a constant. Quote the ratios; single figures depend on the machine.
"""

import http.client
import json
import os
import re
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import quote

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from bench.footprint import processes, proportional_mb, times

HELLO = """
from workers import WorkflowEntrypoint
class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return await step.do("hello", lambda: "hello")
"""
SEQUENTIAL = """
from workers import WorkflowEntrypoint
class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        for number in range(1000):
            await step.do(f"step {number}", lambda: number)
"""
PARALLEL = """
import asyncio
from workers import WorkflowEntrypoint
class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        for turn in range(5):
            await asyncio.gather(*(step.do(f"step {turn}-{number}", lambda: number) for number in range(200)))
"""
REPLAY = """
from workers import WorkflowEntrypoint
class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        for number in range(1000):
            await step.do(f"step {number}", lambda: number)
        await step.wait_for_event("go on", "go")
        print("first new line")
"""
ASLEEP = """
from workers import WorkflowEntrypoint
class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        await step.sleep("long", "30 days")
"""
LISTENING = """
from workers import WorkflowEntrypoint
class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        for number in range(2000):
            found = await step.wait_for_event(f"wait {number}", "go", timeout="1 hour")
            print("got", found["payload"]["n"])
"""
DBOS = """
import sys, time
from dbos import DBOS
url, warm, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR", "run_admin_server": False})
@DBOS.step()
def one(number):
    return number
@DBOS.workflow()
def run(count):
    for number in range(count):
        one(number)
DBOS.launch()
run(warm)
began = time.perf_counter()
run(count)
print(count / (time.perf_counter() - began))
DBOS.destroy()
"""
PEER_APP = """
import asyncio, sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route
async def create(request):
    await request.json()
    return JSONResponse({"id": "x", "status": "queued"}, 201)
async def stream(request):
    async def chunks():
        yield b"event: journal\\ndata: [{}]\\n\\n"
        await asyncio.sleep(30)
    return StreamingResponse(chunks(), media_type="text/event-stream")
app = Starlette(routes=[Route("/api/instances", create, methods=["POST"]), Route("/api/instances/{id}/stream", stream)])
uvicorn.run(app, port=int(sys.argv[1]), log_level="error")
"""


TIMES = 5  # of which the median is shown
PEERS: list[str] = []  # an interpreter that has them
UNLIMITED = (
    "starts_per_minute",
    "checks_per_minute",
    "snippets_per_minute",
    "changes_per_minute",
    "running_per_address",
    "queue_length",
)


def call(base: str, path: str, body: object = None, method: str | None = None, token: str = "") -> dict:
    """One JSON call."""
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or b"null")


@contextmanager
def server(
    database: str | None = None,
    *,
    processes: int = 1,
    module: str = "playground",
    environment: Mapping[str, str] = {},
    **settings: object,
):
    """A real server on a fresh database, or on the one of this URL; gives its address and first process once all of
    its processes serve.
    """
    with tempfile.TemporaryDirectory() as fresh:
        command = [sys.executable, "-m", module, "--port", "0", "--database", database or f"sqlite:///{fresh}/bench.db"]
        generous = {**dict.fromkeys(UNLIMITED, 100_000), "processes": processes, **settings}
        given = {f"PLAYGROUND_{name.upper()}": str(value) for name, value in generous.items()}
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **given, **environment},
        )
        try:
            address, serving, printed = "", 0, []
            for line in process.stdout:
                printed.append(line)
                if found := re.match(r"Serving on (\S+)", line):
                    address = found[1].rstrip("/")
                serving += " start " in line
                if serving == processes:
                    break
            assert serving == processes, "".join(printed)
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield address, process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(40)


def until_first_message(base: str, source: str = HELLO) -> float:
    """Seconds from POST to the first journal message on the stream."""
    began = time.perf_counter()
    made = call(base, "/api/instances", {"source": source})
    with urllib.request.urlopen(f"{base}/api/instances/{made['id']}/stream", timeout=30) as stream:
        for line in stream:
            if line.startswith(b"event: journal"):
                return time.perf_counter() - began
    raise SystemExit("the stream ended without a journal message")


def first_message() -> None:
    port = 18_237
    peer = subprocess.Popen([sys.executable, "-c", PEER_APP, str(port)])
    try:
        with server() as (base, _):
            bare = f"http://127.0.0.1:{port}"
            for address in (base, bare):
                retry(lambda address=address: until_first_message(address))
            ours, fresh, theirs = [], [], []
            for number in range(200):
                ours.append(until_first_message(base) * 1000)
                fresh.append(until_first_message(base, f"{HELLO}# {number}\n") * 1000)
                theirs.append(until_first_message(bare) * 1000)
            show_spread("POST to first journal message", ours, theirs, "bare Starlette")
            show_spread("POST of new code to first journal message", fresh, theirs, "bare Starlette")
    finally:
        peer.kill()
        peer.wait()


def retry(action: object) -> None:
    for _ in range(100):
        try:
            action()
            return
        except OSError:
            time.sleep(0.05)


def run_to_end(base: str, source: str) -> float:
    """Run to completion; seconds between `execution_started` and the last event, by the journal's own clock."""
    made = call(base, "/api/instances", {"source": source})
    with urllib.request.urlopen(f"{base}/api/instances/{made['id']}/stream", timeout=120) as stream:
        for line in stream:
            if line.startswith(b"event: end"):
                break
    seen = call(base, f"/api/instances/{made['id']}")
    if seen["status"] != "complete":
        raise SystemExit(f"the run ended as {seen['status']}: {seen['error']}")
    return (seen["ended_at"] - seen["started_at"]) / 1000


def bare_commits(count: int, steps_each: int) -> float:
    """Seconds in which one connection commits the rows of `count` steps, `steps_each` to a transaction, under FULL."""
    with tempfile.TemporaryDirectory() as folder:
        database = sqlite3.connect(f"{folder}/peer.db", isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE events(instance, seq, at, type, data, PRIMARY KEY(instance, seq)) WITHOUT ROWID")
        database.execute("CREATE TABLE steps(instance, name, result, PRIMARY KEY(instance, name)) WITHOUT ROWID")
        began = time.perf_counter()
        for number in range(0, count, steps_each):
            database.execute("BEGIN IMMEDIATE")
            for inner in range(number, number + steps_each):
                rows = [(1, inner * 4 + place, 0, "event", '{"attempt":1}') for place in range(4)]
                database.executemany("INSERT INTO events VALUES(?,?,?,?,?)", rows)
                database.execute("INSERT INTO steps VALUES(1,?,?)", (f"step {inner}", "1"))
            database.execute("COMMIT")
        return time.perf_counter() - began


def steps() -> None:
    """Steps of one run, the server's and the worker's processor time for them, and what peers do in the same minute."""
    bare = statistics.median(1000 / bare_commits(1000, 1) for _ in range(TIMES))
    bare_many = statistics.median(1000 / bare_commits(1000, 200) for _ in range(TIMES))
    with server(reads_per_minute=1_000_000) as (base, process):
        run_to_end(base, SEQUENTIAL)
        for count in (1_000, 10_000):
            source, spent = SEQUENTIAL.replace("1000", str(count)), []
            rates = []
            for _ in range(TIMES):
                with Spent(process.pid) as times:
                    rates.append(count / run_to_end(base, source))
                spent.append((times.server / count * 1e6, times.workers / count * 1e6))
            ahead = statistics.median(rates)
            show(f"{count:,} sequential steps, FULL", ahead, "steps/s", bare, "bare sqlite3")
            in_server, in_worker = (statistics.median(each) for each in zip(*spent, strict=True))
            print(
                f"    processor time a step: server {in_server:.0f} us (its stream included), worker {in_worker:.0f} us"
            )
        many = statistics.median(1000 / run_to_end(base, PARALLEL) for _ in range(TIMES))
        show("200 parallel steps, FULL", many, "steps/s", bare_many, "bare sqlite3, 200 a commit")
    with server(commit_each_step=True) as (base, _):
        run_to_end(base, SEQUENTIAL)
        each = statistics.median(1000 / run_to_end(base, SEQUENTIAL) for _ in range(TIMES))
        show("1,000 steps, each acknowledged after its commit", each, "steps/s", bare, "bare sqlite3")
        print(f"    code that runs ahead: {ahead / each:.1f} times as many")
    if PEERS:
        with tempfile.TemporaryDirectory() as folder:
            peer = dbos_steps(PEERS[0], f"sqlite:///{folder}/peer.db", warm=10, count=300)
        show("10,000 sequential steps, FULL", ahead, "steps/s", peer, "DBOS on SQLite", 0)


def dbos_steps(python: str, url: str, *, warm: int, count: int) -> float:
    """Sequential steps a second of DBOS, which this interpreter has, on an empty database."""
    command = [python, "-c", DBOS, url, str(warm), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def used_by(pid: int) -> float:
    """Seconds of processor time that one process has used itself."""
    return sum(times(pid)[:2])


class Spent:
    """Processor time, in seconds, that a server and the workers it had meanwhile used."""

    def __init__(self, pid: int) -> None:
        self._pid, self._over = pid, threading.Event()
        self._seen: dict[int, float] = {}
        self.server = self.workers = 0.0

    def __enter__(self) -> Self:
        self._began = used_by(self._pid)
        self._before = {pid: used_by(pid) for pid in processes(self._pid)}
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watcher.join()
        self.server = used_by(self._pid) - self._began
        # The one that ran is the one that used most; parked ones and the fork server do nothing meanwhile.
        self.workers = max((used - self._before.get(pid, 0.0) for pid, used in self._seen.items()), default=0.0)

    def _watch(self) -> None:
        while not self._over.wait(0.005):
            for pid in processes(self._pid):
                if pid != self._pid:
                    self._seen[pid] = max(self._seen.get(pid, 0.0), used_by(pid))


def operations() -> None:
    """One event after the other by one connection: to a worker that waits for it, and to a run that is paused and keeps
    it.
    """
    port = 18_238
    peer = subprocess.Popen([sys.executable, "-c", PEER_APP, str(port)])
    try:
        with server(idle_grace_ms=60_000) as (base, _):
            made = call(base, "/api/instances", {"source": LISTENING})
            while call(base, f"/api/instances/{made['id']}")["status"] != "waiting":
                time.sleep(0.05)
            token, path = {"Authorization": f"Bearer {made['control_token']}"}, f"/api/instances/{made['id']}"
            bare = f"http://127.0.0.1:{port}"
            retry(lambda: call(bare, "/api/instances", {}))
            theirs = posted(bare, "/api/instances", {})
            show_spread("an event to a waiting worker, answered", posted(base, f"{path}/events/go", token), theirs)
            went_on = going_on(base, path, token)
            show_spread("the same, until the code's next line is on the stream", went_on, theirs)
            call(base, f"{path}/pause", {}, "POST", made["control_token"])
            show_spread("an event to a paused run, answered", posted(base, f"{path}/events/go", token), theirs)
    finally:
        peer.kill()
        peer.wait()


def going_on(base: str, path: str, headers: dict[str, str]) -> list[float]:
    """Milliseconds from each event's request until what the code prints after it is read from the stream.

    They come a tenth of a second apart, as those of people do: a stream gathers what comes faster into one message.
    """
    connection, taken = http.client.HTTPConnection(base.removeprefix("http://")), []
    last = call(base, path)["last_seq"]
    with urllib.request.urlopen(f"{base}{path}/stream?after={last}", timeout=60) as stream:
        for number in range(100):
            time.sleep(0.1)
            began = time.perf_counter()
            body = json.dumps({"n": f"mark {number}."})
            connection.request("POST", f"{path}/events/go", body, {**headers, "Content-Type": "application/json"})
            while f"got mark {number}.".encode() not in stream.readline():
                pass
            taken.append((time.perf_counter() - began) * 1000)
            connection.getresponse().read()
    return taken


def posted(base: str, path: str, headers: dict[str, str]) -> list[float]:
    """Milliseconds from each request to its answer, of many by one connection."""
    connection, taken = http.client.HTTPConnection(base.removeprefix("http://")), []
    for number in range(600):
        began = time.perf_counter()
        connection.request("POST", path, json.dumps({"n": number}), {**headers, "Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        taken.append((time.perf_counter() - began) * 1000)
        if answer.status >= 300:
            raise SystemExit(f"{path} was answered with {answer.status}")
    return taken[100:]


def page() -> None:
    """Processor time of the server for one page, beside /healthz, which is asked in the same run."""
    with server(reads_per_minute=1_000_000) as (base, process):
        # The code of the first is an example's; of the second, one of its own.
        runs = [ended_run(base, call(base, "/api/examples/hello")["source"]), ended_run(base, HELLO)]
        asleep = call(base, "/api/instances", {"source": ASLEEP})["id"]
        shared = call(base, "/api/snippets", {"source": HELLO})["url"]
        paths = ["/", "/examples/saga", "/examples", "/about", "/security", "/nowhere", shared, f"{shared}/embed"]
        paths += ["/tenants", "/tenants/acme", "/tenants/acme/instances/x", f"/new?source={quote(HELLO)}"]
        paths += [f"/instances/{id}" for id in (*runs, asleep)] + [f"/instances/{runs[0]}?at=5"]
        paths += ["/compare", f"/compare?a={runs[0]}&b={runs[1]}"]
        for path in paths:
            bare, taken = [], []
            for _ in range(3):
                bare.append(processor_ms(base, process.pid, "/healthz", "application/json"))
                taken.append(processor_ms(base, process.pid, path, "text/html"))
            more = statistics.median(taken) - statistics.median(bare)
            what = f"{path[:28]}, processor time ({more:+.2f})"
            show(what, statistics.median(taken), "ms", statistics.median(bare), "/healthz", digits=2)


def ended_run(base: str, source: str) -> str:
    """The id of a run of this source that is over."""
    id = call(base, "/api/instances", {"source": source})["id"]
    while call(base, f"/api/instances/{id}")["status"] not in ("complete", "errored"):
        time.sleep(0.05)
    return id


def processor_ms(base: str, pid: int, path: str, accept: str, count: int = 200) -> float:
    """Milliseconds that all threads of a process take for a request, the mean of many by one connection."""
    connection = http.client.HTTPConnection(base.removeprefix("http://"))
    headers = {"Accept": accept, "Accept-Encoding": "gzip"}
    before = 0
    for number in range(count + 10):
        if number == 10:
            before = nanoseconds(pid)
        connection.request("GET", path, headers=headers)
        connection.getresponse().read()
    taken = (nanoseconds(pid) - before) / count / 1e6
    connection.close()
    return taken


def nanoseconds(pid: int) -> int:
    """What the scheduler has given a process, user and system, of all its threads."""
    return sum(int(file.read_text().split()[0]) for file in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def memory() -> None:
    with server() as (base, process):
        run_to_end(base, HELLO)
        show("idle server, all its processes", proportional_mb(processes(process.pid)), "MB", 120, "budget")


def start() -> None:
    taken = []
    for _ in range(4):
        began = time.perf_counter()
        with server() as (base, _):
            urllib.request.urlopen(base + "/", timeout=10).read()
            taken.append(time.perf_counter() - began)
    bare = []
    for _ in range(4):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import starlette.applications, uvicorn, jinja2"], check=True)
        bare.append(time.perf_counter() - began)
    show(
        "start to served page, warm",
        statistics.median(taken[1:]),
        "s",
        statistics.median(bare[1:]),
        "python importing the libraries",
    )


def replay() -> None:
    for count, budget in ((1_000, 25), (25_000, 500)):
        show(f"{count:,} steps replayed: wake to first new line", woken(count), "ms", budget, "budget")


def woken(count: int) -> float:
    """Milliseconds from an event to a run that sleeps until its code, replayed over so many steps, prints."""
    with server(idle_grace_ms=100, reads_per_minute=1_000_000) as (base, _):
        taken = []
        for _ in range(TIMES):
            made = call(base, "/api/instances", {"source": REPLAY.replace("1000", str(count))})
            path = f"/api/instances/{made['id']}"
            while not any(e.get("ended_at") for e in call(base, path)["executions"]):
                time.sleep(0.05)
            call(base, f"{path}/events/go", {}, "POST", made["control_token"])
            while (seen := call(base, path))["status"] != "complete":
                time.sleep(0.02)
            events = call(base, f"{path}/events?after={seen['last_seq'] - 12}&limit=20")["events"]
            sent = next(event["at"] for event in events if event["type"] == "event_received")
            line = next(event["at"] for event in events if event["type"] == "log")
            taken.append(line - sent)
        return statistics.median(taken)


def show(what: str, ours: float, unit: str, theirs: float, peer: str, digits: int = 1) -> None:
    print(
        f"{what:50} {ours:10,.{digits}f} {unit:12} {peer}: {theirs:,.{digits}f} (ratio {ours / theirs:.2f})", flush=True
    )


def show_spread(what: str, ours: list[float], theirs: list[float], peer: str = "bare Starlette") -> None:
    """The medians with their ratio, and the worst of a hundred."""
    show(what, statistics.median(ours), "ms", statistics.median(theirs), peer)
    worst, bare = (sorted(each)[len(each) * 99 // 100] for each in (ours, theirs))
    print(f"    p99 {worst:.1f} ms, {peer} {bare:.1f} ms", flush=True)


BENCHES = {
    "first-message": first_message,
    "steps": steps,
    "operations": operations,
    "page": page,
    "memory": memory,
    "start": start,
    "replay": replay,
}

if __name__ == "__main__":
    if "--peers" in sys.argv:
        place = sys.argv.index("--peers")
        PEERS.append(sys.argv[place + 1])
        del sys.argv[place : place + 2]
    for name in sys.argv[1:] or BENCHES:
        BENCHES[name]()
