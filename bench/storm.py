"""Hostile and innocent tenants on one real server, while its workers and fork servers are killed and its viewers
vanish.

    ./run python bench/storm.py                            ten minutes
    ./run python bench/storm.py --seconds 60 --seed 7      shorter, another order

The hostile ones are those of `attacks/`, whose ends are proved elsewhere (tests/test_attacks.py); here they are
weather. At the end every innocent instance must be complete with the right output, the server's memory within a fifth
of what it was at the start, and nothing left behind: no zombie, process, descriptor, socket, thread, memory group or
file. Exits with 1, and says what is wrong, when anything is not.
"""

import argparse
import os
import random
import signal
import socket
import statistics
import struct
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import httpx2
from attacks_support import PROBE, Attack, Field, attacks
from http_support import HELLO, bearer, messages

from bench.footprint import Footprint, processes, settled
from bench.verdict import verdict

JUDGED, MEMORY_SHARE = "tree_mb", 0.2  # that the server and all below it may have grown or shrunk by
HOSTILE_SECONDS = 40.0  # until a person ends what would go on for ever
CALM_SECONDS = 10.0  # after which the server has given back what it does not need (engine/scheduler.py)
INNOCENT_SECONDS = 180.0  # for one innocent run, the worst of the weather included
SAMPLE_SECONDS = 30.0
HOSTILE, INNOCENT, VIEWERS = 4, 3, 4  # threads
KILLS = {"worker": 6, "worker by a person": 3, "fork server": 1}
KILL_EVERY = (0.3, 2.0)  # seconds
HELD_SECONDS = 4.0  # at most, for a viewer that does not read
WARM_RUNS, WARM_AT_ONCE = 60, 6
OPTIONS = ("--worker-losses", "20", "--attempt-wall-seconds", "20", "--idle-grace-ms", "200", "--synchronous", "full")
CONNECTIONS = httpx2.Limits(max_connections=100)
FINAL = ("complete", "errored", "terminated")
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset

SEQUENCE = """
from workers import WorkflowEntrypoint

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        total = 0
        for number in range(5):
            total += await step.do(f"add {number}", lambda: number)
            await step.sleep(f"nap {number}", 200)
        return total
"""
ASKING = """
import asyncio
from workers import WorkflowEntrypoint

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        parts = await asyncio.gather(*(step.do(f"part {number}", lambda number=number: number) for number in range(5)))
        answer = await step.wait_for_event("answer", "answer", timeout="1 hour")
        return sum(parts) + answer["payload"]
"""


@dataclass
class Weather:
    """What everyone in the storm shares."""

    field: Field
    chance: random.Random
    over: threading.Event = field(default_factory=threading.Event)
    counts: Counter[str] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)  # of innocent one-step runs, from request to end
    wrongs: list[str] = field(default_factory=list)
    seen: deque[str] = field(default_factory=lambda: deque(maxlen=30))  # addresses of instances, for viewers
    owned: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=10))  # innocent ones, as they were made

    def start(self, source: str, params: Any = None) -> dict[str, Any] | None:
        """The answer to a create, again and again while the server says that it is too busy;
        None when it is refused.
        """
        until = time.monotonic() + INNOCENT_SECONDS
        while time.monotonic() < until:
            answer = self.field.client.post("/api/instances", json={"source": source, "params": params})
            if answer.status_code == 201:
                self.seen.append(answer.json()["url"])
                return dict(answer.json())
            if answer.status_code not in (429, 503):
                return None
            self.counts[f"asked to wait ({answer.status_code})"] += 1
            time.sleep(min(2.0, float(answer.headers.get("Retry-After", 1))))
        raise TimeoutError("nothing could be started")


def hostile(weather: Weather, tried: list[Attack]) -> None:
    """One attack, to its end."""
    attack = weather.chance.choice(tried)
    made = weather.start(attack.source)
    weather.counts["attacks"] += 1
    if made is None:
        return
    shown = follow(weather, made["url"], time.monotonic() + HOSTILE_SECONDS)
    if shown["status"] not in FINAL:
        weather.counts["attacks terminated by a person"] += 1
        weather.field.client.post(f"/api{made['url']}/terminate", headers=bearer(made))
        shown = follow(weather, made["url"], time.monotonic() + HOSTILE_SECONDS)
    if shown["status"] not in FINAL:
        weather.wrongs.append(f"the attack {attack.name} has not ended: {shown['status']}")


def innocent(weather: Weather) -> None:
    """One innocent run, and whether it ended as it must."""
    kind = weather.chance.choice(("hello", "hello", "hello", "sequence", "asking"))
    began = time.monotonic()
    if kind == "hello":
        made, wanted = weather.start(HELLO, {"name": "x"}), {"greeting": "Hello, x!"}
    elif kind == "sequence":
        made, wanted = weather.start(SEQUENCE), 10
    else:
        made, wanted = weather.start(ASKING), 52
    if made is None:
        weather.wrongs.append(f"an innocent {kind} was refused")
        return
    weather.owned.append(made)
    if kind == "asking":
        weather.field.client.post(f"/api{made['url']}/events/answer", json=42, headers=bearer(made))
    shown = follow(weather, made["url"], began + INNOCENT_SECONDS)
    weather.counts["innocent runs"] += 1
    if kind == "hello":
        weather.milliseconds.append((time.monotonic() - began) * 1000)
    if (shown["status"], shown["output"]) != ("complete", wanted):
        weather.wrongs.append(
            f"the innocent {kind} {made['id']} is {shown['status']}, gave {shown['output']!r}, {shown['error']}"
        )


def follow(weather: Weather, url: str, until: float) -> Any:
    """An instance as the API shows it once its stream has ended."""
    while time.monotonic() < until:
        try:
            with weather.field.client.stream("GET", f"/api{url}/stream") as stream:
                for message in messages(stream):
                    if message.get("event") == "end" or time.monotonic() > until:
                        return weather.field.client.get(f"/api{url}").json()
        except httpx2.TransportError:
            weather.counts["streams begun again"] += 1
    return weather.field.client.get(f"/api{url}").json()


def viewer(weather: Weather) -> None:
    """Someone who looks at an instance and vanishes: in the middle of the request, at once, after a while without
    reading, or with a reset.
    """
    if not weather.seen:
        time.sleep(0.1)
        return
    url = weather.chance.choice(list(weather.seen))
    how = weather.chance.choice(("half a request", "at once", "never reads", "reset"))
    with socket.socket() as sock:
        if how == "never reads":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.connect(("127.0.0.1", weather.field.server.port))
        request = f"GET /api{url}/stream HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".encode()
        sock.sendall(request[:30] if how == "half a request" else request)
        if how in ("never reads", "half a request"):
            weather.over.wait(weather.chance.uniform(0, HELD_SECONDS))
        elif how == "reset":
            sock.recv(100)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    weather.counts["viewers that vanished"] += 1
    weather.over.wait(0.05)


def killer(weather: Weather) -> None:
    """Kill something, then rest."""
    kind = weather.chance.choices(list(KILLS), list(KILLS.values()))[0]
    try:
        if kind == "fork server":
            os.kill(weather.field.zygote(), signal.SIGKILL)
        elif kind == "worker":
            os.kill(weather.chance.choice(weather.field.workers()), signal.SIGKILL)
        elif weather.owned:
            made = weather.chance.choice(list(weather.owned))
            when = weather.chance.choice(("now", "during-step", "before-commit"))
            weather.field.client.post(f"/api{made['url']}/kill-worker", json={"when": when}, headers=bearer(made))
        weather.counts[f"kills of a {kind}"] += 1
    except (OSError, IndexError, ValueError):  # there is none at this moment
        pass
    weather.over.wait(weather.chance.uniform(*KILL_EVERY))


def again(weather: Weather, act: Callable[..., None], *given: Any) -> threading.Thread:
    """Do something again and again in a thread of its own until the storm is over."""

    def live() -> None:
        while not weather.over.is_set():
            try:
                act(weather, *given)
            except (OSError, httpx2.HTTPError, TimeoutError) as error:
                weather.wrongs.append(f"{act.__name__}: {type(error).__name__}: {error}")

    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    return thread


def warm(weather: Weather) -> None:
    """What a server that has been in use for a moment has done."""
    status, shown = weather.field.run(PROBE)
    if (status, shown["status"], shown["output"]) != (201, "complete", []):
        raise SystemExit(f"this server isolates nobody, so nothing hostile is run on it: {shown}")
    with ThreadPoolExecutor(WARM_AT_ONCE) as threads:
        for run in [threads.submit(innocent, weather) for _ in range(WARM_RUNS)]:
            run.result()


def main() -> int:
    words = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    words.add_argument("--seconds", type=float, default=600)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--only", default="", help="attacks whose names begin with this")
    given = words.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="storm-"))
    (folder / "tmp").mkdir()
    os.environ["TMPDIR"] = str(folder / "tmp")  # for the server
    weather = Weather(Field(folder, *OPTIONS), random.Random(given.seed))
    if weather.field.health()["isolation"]["letter"] not in "AB":
        raise SystemExit("hostile code runs on an isolated server only")

    def take() -> Footprint:
        return Footprint.of(weather.field.pid, folder)

    tried = [attack for attack in attacks() if attack.name.startswith(given.only)]
    warm(weather)
    weather.field.client.close()  # its connections are not the server's doing
    time.sleep(CALM_SECONDS)
    before = take()
    weather.field.client = httpx2.Client(
        base_url=weather.field.server.url, timeout=60, trust_env=False, limits=CONNECTIONS
    )
    weather.counts.clear()
    weather.milliseconds.clear()
    print(f"at the start   {before.said()}", flush=True)
    threads = [again(weather, hostile, tried) for _ in range(HOSTILE)]
    threads += [again(weather, innocent) for _ in range(INNOCENT)]
    threads += [again(weather, viewer) for _ in range(VIEWERS)]
    threads.append(again(weather, killer))
    began = time.monotonic()
    while (left := began + given.seconds - time.monotonic()) > 0:
        time.sleep(min(SAMPLE_SECONDS, left))
        print(
            f"after {time.monotonic() - began:4.0f} s   {take().said()}   {sum(weather.counts.values())} deeds",
            flush=True,
        )
    weather.over.set()
    for thread in threads:
        thread.join(INNOCENT_SECONDS)
    weather.field.client.close()
    time.sleep(CALM_SECONDS)
    after = settled(take, before)
    return judge(weather, before, after, folder)


def judge(weather: Weather, before: Footprint, after: Footprint, folder: Path) -> int:
    """Say what became of it; the exit code."""
    print(f"at the end     {after.said()}")
    print(", ".join(f"{number:,} {what}" for what, number in weather.counts.most_common()))
    slow = sorted(weather.milliseconds)
    if slow:
        print(
            f"innocent one-step runs: p50 {statistics.median(slow):.0f} ms, p95 {slow[int(len(slow) * 0.95)]:.0f} ms, "
            f"longest {slow[-1]:.0f} ms"
        )
    wrongs = [*dict.fromkeys(weather.wrongs), *after.left_over(before)]
    for name in ("server_mb", "tree_mb"):
        then, now = getattr(before, name), getattr(after, name)
        print(f"{name}: {then:.1f} at the start, {now:.1f} at the end ({(now / then - 1) * 100:+.0f} %)")
        if name == JUDGED and abs(now / then - 1) > MEMORY_SHARE:
            wrongs.append("the memory is not what it was")
    tree = processes(weather.field.pid)
    weather.field.server.stop()
    wrongs += [f"process {pid} outlived the server" for pid in tree if Path(f"/proc/{pid}").exists()]
    fine = "every innocent run complete and right, nothing left behind, memory as it was"
    return verdict(wrongs, fine, folder, "".join(weather.field.server.printed))


if __name__ == "__main__":
    sys.exit(main())
