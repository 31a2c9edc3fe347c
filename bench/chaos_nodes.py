"""Twenty workflows on three nodes over one PostgreSQL, while everything that can fail does, drawn from a seed.

    ./run python bench/chaos_nodes.py                            ten minutes, seed 1
    ./run python bench/chaos_nodes.py --seconds 120 --seed 7     shorter, other faults
    ./run python bench/chaos_nodes.py --keep                     and leave the folder for a look

Each node is a server process behind a TCP proxy of its own, with a lease of three seconds; the clock of one is an hour
ahead, that of another an hour behind. Nodes, workers and fork servers are killed; nodes are frozen, restarted by
SIGTERM, cut off from the database (what they send is held, lost or refused) or slowed down; and the database stops
as in a crash.

At the end every workflow must be complete with the right output, every step committed once, nothing of a step after its
commit, every journal without gaps, and no effect doubled without a second attempt in the journal. Exits with 1 and says
what is wrong, when anything is not. The seed fixes the workflows and the order of the faults, not the moments at which
the machine comes to them.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from postgres_support import DURABLE, PostgresServer
from proxy_support import Cut, Proxy

from bench.chaos import LIMITS, Target, kill_below
from bench.chaos_workflows import Instance, create, play, wrong_effects, wrongs
from bench.verdict import verdict

LEASE_MS = 3_000
WRONG_CLOCKS_MS = {"a": 0, "b": 3_600_000, "c": -3_600_000}
ROUND_SECONDS = 2.0  # what a round takes on the average, as disturbed as it is
UNEXPECTED = (" execution_failed ", "AttributeError", "AssertionError", "InternalClientError")  # in a log
LASTS = (0.3, 2.0)  # of a lease, for which a node is frozen, cut off or slow
DELAY_SECONDS = 0.05
# What one attempt may lose to faults in a row here says nothing of its code.
OPTIONS = (*LIMITS, "--parked-workers", "1", "--workers", "8", "--worker-losses", "1000")
FAULTS = {
    "worker killed by a person": 20, "worker killed": 20, "fork server killed": 6, "node killed": 10,
    "node frozen": 14, "node restarted": 5, "network held": 8, "network dropped": 8, "network reset": 8,
    "network slow": 6, "database stopped": 6, "pause and resume": 8,
}  # fmt: skip


class Node(Target):
    """One node, and the network between it and the database."""

    answer_seconds = 5.0

    def __init__(self, name: str, folder: Path, url: str, proxy: Proxy) -> None:
        folder.mkdir()
        program = (sys.executable, str(ROOT / "tests" / "node_program.py"), str(LEASE_MS), str(WRONG_CLOCKS_MS[name]))
        super().__init__(folder, "--database", proxy.url(url), "--node", name, *OPTIONS, command=program)
        self.name, self.proxy = name, proxy
        self.is_disturbed = False  # frozen, cut off or slow; a node that is killed then could not start


class Nodes:
    """All nodes, as a client sees them that asks another where one does not answer."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        self._first = 0

    def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> tuple[int, Any]:
        """As `Target.call`. Raises OSError when no node answers."""
        for turn in range(len(self.nodes)):
            place = (self._first + turn) % len(self.nodes)
            try:
                answer = self.nodes[place].call(method, path, body, token)
            except OSError:
                continue
            if answer[0] < 500:
                self._first = place
                return answer
        raise OSError("no node answers")


@dataclass
class Mend:
    """What ends a fault."""

    due: float
    act: Callable[[], None]


class Chaos:
    """Has something fail every now and then."""

    def __init__(
        self, nodes: list[Node], postgres: PostgresServer, instances: list[Instance], chance: random.Random
    ) -> None:
        self._nodes, self._postgres, self._instances, self._chance = nodes, postgres, instances, chance
        self._client = Nodes(nodes)
        self._mends: list[Mend] = []
        self.done: Counter[str] = Counter()

    def once(self) -> None:
        """Mend what is due, then one fault of a kind drawn by weight; one that finds no victim does nothing."""
        self.mend(time.monotonic())
        kind = self._chance.choices(list(FAULTS), list(FAULTS.values()))[0]
        node = self._chance.choice(self._nodes)
        instances = self._chance.sample(self._instances, len(self._instances))
        lasts = LEASE_MS / 1000 * self._chance.uniform(*LASTS)
        pick, when = self._chance.random(), self._chance.choice(["now", "during-step", "before-commit"])
        if kind == "worker killed by a person":
            happened = any(it.ask(self._client, "kill-worker", {"when": when}) for it in instances[:5])
        elif kind == "pause and resume":
            happened = any(not it.over and it.ask(self._client, "pause") for it in instances[:5])
        elif kind == "database stopped":
            self._postgres.stop("immediate")
            self._postgres.start()
            happened = True
        elif kind in ("worker killed", "fork server killed"):
            happened = kill_below(node, fork_server=kind == "fork server killed", pick=pick)
        elif node.is_disturbed:
            happened = False
        else:
            happened = True
            self._disturb(kind, node, lasts)
        self.done[kind] += happened

    def mend(self, until: float) -> None:
        """End the faults that are due."""
        for mend in [mend for mend in self._mends if mend.due <= until]:
            self._mends.remove(mend)
            mend.act()

    def _disturb(self, kind: str, node: Node, lasts: float) -> None:
        if kind == "node killed":
            node.kill()
            node.start()
        elif kind == "node restarted":
            try:
                node.stop()
            except subprocess.TimeoutExpired:  # it hands over to a database that is away
                self.done["node killed after SIGTERM"] += 1
                node.kill()
            node.start()
        elif kind == "node frozen":
            os.kill(node.pid, signal.SIGSTOP)
            self._later(node, lasts, lambda: os.kill(node.pid, signal.SIGCONT))
        elif kind == "network slow":
            node.proxy.slow_down(DELAY_SECONDS)
            self._later(node, lasts, lambda: node.proxy.slow_down(0))
        else:
            node.proxy.cut(Cut(kind.removeprefix("network ")))
            self._later(node, lasts, node.proxy.heal)

    def _later(self, node: Node, lasts: float, act: Callable[[], None]) -> None:
        def mend() -> None:
            node.is_disturbed = False
            act()

        node.is_disturbed = True
        self._mends.append(Mend(time.monotonic() + lasts, mend))


def main() -> int:
    """Run it; the exit code."""
    words = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    words.add_argument("--seconds", type=float, default=600, help="how long things fail")
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--instances", type=int, default=20)
    words.add_argument("--keep", action="store_true", help="leave the folder with the logs")
    given = words.parse_args()
    chance = random.Random(given.seed)
    folder = Path(tempfile.mkdtemp(prefix="chaos-nodes-"))
    with ExitStack() as opened:
        folder.chmod(0o711)  # the database's user is not always this one
        postgres = PostgresServer(folder / "postgres", settings=DURABLE).create().start()
        opened.callback(postgres.kill)
        url = postgres.database()
        target = postgres.folder / f".s.PGSQL.{postgres.port}"
        nodes = [Node(name, folder / name, url, opened.enter_context(Proxy(target))) for name in WRONG_CLOCKS_MS]
        for node in nodes:
            node.start()
            opened.callback(node.kill)
        client = Nodes(nodes)
        instances = create(client, given.instances, max(3, int(given.seconds / ROUND_SECONDS)), chance)
        chaos = Chaos(nodes, postgres, instances, chance)
        lasted = play(client, instances, chance, given.seconds, chaos.once, lambda: chaos.mend(float("inf")))
        return report(nodes, instances, chaos, lasted, folder, keep=given.keep)


def report(
    nodes: list[Node], instances: list[Instance], chaos: Chaos, lasted: tuple[float, float], folder: Path, *, keep: bool
) -> int:
    """Say what happened; the exit code."""
    client = Nodes(nodes)
    ledgers = {it.id: client.call("GET", f"{it.path}/effects")[1]["effects"] for it in instances if it.over}
    codes = {node.name: node.stop() for node in nodes}
    events = [event for instance in instances for event in instance.journal]
    types = Counter(event["type"] for event in events)
    reasons = Counter(event["data"]["reason"] for event in events if event["type"] == "execution_ended")
    lines = [line for node in nodes for line in node.printed]
    logged = {name: sum(f" {name} " in line for line in lines) for name in ("node_lost", "recovered", "database_away")}
    print(f"{lasted[0]:.0f} s of faults: " + ", ".join(f"{number} {kind}" for kind, number in chaos.done.most_common()))
    print(
        f"{len(instances)} workflows, {lasted[1]:.0f} s in all, {len(events):,} events, {types['step_completed']:,} "
        f"steps completed, {sum(map(len, ledgers.values())):,} effects"
    )
    print(
        f"{types['execution_started']:,} executions ended: "
        + ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
    )
    print("logged: " + ", ".join(f"{number} {name}" for name, number in logged.items()))
    found = [
        f"{instance.id}: {wrong}"
        for instance in instances
        for wrong in (
            [*wrongs(instance.journal, instance.kinds), *wrong_effects(instance.journal, ledgers[instance.id])]
            if instance.over
            else ["has not ended"]
        )
    ]
    found += [f"node {name} ended with {code} when it was asked to stop" for name, code in codes.items() if code]
    found += [line.rstrip() for line in lines if any(it in line for it in UNEXPECTED)]
    fine = "every output right, every committed step once, no journal with a gap, no effect without its attempt"
    return verdict(found, fine, folder, "".join(lines), keep=keep)


if __name__ == "__main__":
    sys.exit(main())
