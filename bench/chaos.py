"""Thirty workflows on a real server while workers, the fork server and the server itself are killed at random.

    ./run python bench/chaos.py                            two minutes, seed 1
    ./run python bench/chaos.py --seconds 600 --seed 7     longer, other kills
    ./run python bench/chaos.py --keep                     and leave the server's folder for a look

At the end every workflow must be complete with the right output, every step committed once, nothing of a step after its
commit, and every journal without gaps. Exits with 1, and says what is wrong, when anything is not. The seed fixes the
workflows and the order of the kills, not the moments at which the machine comes to them.
"""

import argparse
import http.client
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from server_support import Server

from bench.chaos_workflows import Instance, create, play, wrongs
from bench.footprint import children, processes
from bench.verdict import verdict

ROUND_SECONDS = 2.5  # what a round takes on the average, undisturbed
LIMITS = (
    "--starts-per-minute",
    "10000",
    "--changes-per-minute",
    "1000000",
    "--running-per-address",
    "1000",
    "--idle-grace-ms",
    "300",
)
KILLS = {"worker, by a person": 40, "worker, by the kernel": 30, "fork server": 10, "server": 12, "pause and resume": 8}


class Target(Server):
    """The server that things are done to."""

    answer_seconds = 20.0

    def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> tuple[int, Any]:
        """Status and JSON of one request. Raises OSError when there is no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.answer_seconds)
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from None
        finally:
            connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, None


class Chaos:
    """Kills something every now and then."""

    def __init__(self, server: Target, instances: list[Instance], chance: random.Random) -> None:
        self._server, self._instances, self._chance = server, instances, chance
        self.done: Counter[str] = Counter()
        self._server_killed = time.monotonic()

    def once(self) -> None:
        """One kill of a kind drawn by weight; one that finds nothing to kill does nothing."""
        kind = self._chance.choices(list(KILLS), list(KILLS.values()))[0]
        instances = self._chance.sample(self._instances, len(self._instances))
        when = self._chance.choice(["now", "during-step", "before-commit"])
        pick = self._chance.random()
        if kind == "worker, by a person":
            killed = any(instance.ask(self._server, "kill-worker", {"when": when}) for instance in instances)
        elif kind == "pause and resume":
            killed = any(not instance.over and instance.ask(self._server, "pause") for instance in instances)
        elif kind == "server":
            killed = time.monotonic() - self._server_killed > 3
            if killed:
                self._server.kill()
                self._server.start()
                self._server_killed = time.monotonic()
        else:
            killed = kill_below(self._server, fork_server=kind == "fork server", pick=pick)
        self.done[kind] += killed


def kill_below(server: Server, *, fork_server: bool, pick: float) -> bool:
    """Kill the fork server, or one of the workers, of a server; whether there was one."""
    below = {pid: len(children(pid)) for pid in processes(server.pid)[1:]}
    if fork_server:
        found = sorted((pid for pid in below if below[pid]), key=lambda pid: below[pid])[-1:]
    else:
        found = sorted(pid for pid in below if not below[pid])
    if not found:
        return False
    try:
        os.kill(found[int(pick * len(found))], signal.SIGKILL)
    except OSError:
        return False
    return True


def main() -> int:
    """Run it; the exit code."""
    words = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    words.add_argument("--seconds", type=float, default=120, help="how long to kill")
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--instances", type=int, default=30)
    words.add_argument("--keep", action="store_true", help="leave the folder with the database and the server's log")
    given = words.parse_args()
    chance = random.Random(given.seed)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    server = Target(folder, *LIMITS)
    server.start()
    instances = create(server, given.instances, max(3, int(given.seconds / ROUND_SECONDS)), chance)
    chaos = Chaos(server, instances, chance)
    killed, lasted = play(server, instances, chance, given.seconds, chaos.once)
    return report(server, instances, chaos, killed, lasted, folder, keep=given.keep)


def report(
    server: Target, instances: list[Instance], chaos: Chaos, killed: float, lasted: float, folder: Path, *, keep: bool
) -> int:
    """Say what happened; the exit code."""
    code = server.stop()
    events = [event for instance in instances for event in instance.journal]
    types = Counter(event["type"] for event in events)
    reasons = Counter(event["data"]["reason"] for event in events if event["type"] == "execution_ended")
    lost = sum(
        event["type"] == "attempt_errored" and event["data"]["error"]["name"] == "WorkerLost" for event in events
    )
    print(f"{killed:.0f} s of kills: " + ", ".join(f"{number} {kind}" for kind, number in chaos.done.most_common()))
    print(
        f"{len(instances)} workflows, {lasted:.0f} s in all, {len(events):,} events, {types['step_completed']:,} steps "
        "completed"
    )
    print(
        f"{types['execution_started']:,} executions ended: "
        + ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
    )
    print(f"{lost} attempts lost with their worker")
    found = [
        f"{instance.id}: {wrong}"
        for instance in instances
        for wrong in (wrongs(instance.journal, instance.kinds) if instance.over else ["has not ended"])
    ]
    if code != 0:
        found.append(f"the server ended with {code} when it was asked to stop")
    fine = "every output right, every committed step once, no journal with a gap"
    return verdict(found, fine, folder, "".join(server.printed), keep=keep)


if __name__ == "__main__":
    sys.exit(main())
