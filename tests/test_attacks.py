"""Every hostile workflow of `attacks/` against a real server: each ends as it must, and everyone else is untouched.

The server is whoever's who runs the tests; beside that, a sixth of the attacks is made by tenants in warm workers, and
of those that layers stop a third on a server of an ordinary user (where root runs them), all on ones without
namespaces.
All attacks in all ways, twice in a row:

    for again in 1 2; do ./run pytest tests/test_attacks.py --every-attack || break; done
"""

import random
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from attacks_support import DEADLINE, PROBE, Attack, Field, Outcome, attacks
from everyone_support import ROOT, as_ordinary, folder, python_for_everyone, readable_by_everyone
from http_support import APPROVAL, bearer
from packages_support import FOLDER, REQUIREMENTS, installed_packages

from playground.settings import Settings
from playground.store.sqlite.connections import READERS

AT_ONCE = 8
LEAST = 60
# Bytes that the server and the fork server may have grown by, of some hundred megabytes thrown at them at.
GROWTH = 128 * 1024 * 1024
# once: the allocator keeps what many large frames under way together have taken (159 MB in all seen on a machine with
# load 6)

# "What must be survived" in shared/spec/sandbox.md.
LINES = (
    "host file and /proc reads",
    "writes",
    "poisoned stdlib",
    "sockets of every family",
    "requests that are let out lead nowhere inside",
    "models answer within limits",
    "kill/fork/exec/thread bombs",
    "raw and unknown system calls",
    "int 0x80 and x32",
    "ptrace",
    "loosened limits",
    "inherited fds",
    "fd exhaustion",
    "busy loops",
    "sleeping for ever",
    "memory bombs",
    "recursion",
    "null dereference",
    "stdout flood",
    "malformed, oversized, nested, huge-integer, surrogate and NaN frames",
    "forged frames for another step or instance",
    "a worker that never reads",
    "exits without result",
    "outlives its result",
    "a source bomb",
    "exceptions whose __str__ misbehaves",
    "results whose serialisation misbehaves",
    "poison left for the next tenant",
)


@dataclass(frozen=True)
class Way:
    """How a server is run that attacks are made on, and the tier it must then have."""

    name: str
    tier: str
    ordinary: bool = False
    namespaces: bool = True
    warm: bool = False  # by tenants, in workers that are used again
    packages: bool = False  # where code may import numpy and pydantic

    def usual(self) -> list[Attack]:
        """The attacks that are made when not all are asked for."""
        if self is WAYS[0]:
            return attacks()
        if self.packages:
            return [attack for attack in attacks() if attack.name.startswith(WITH_PACKAGES)]
        if self.warm:
            return attacks()[1 :: 2 * SHARE]
        layered = [attack for attack in attacks() if attack.name.split("_")[0] in LAYERED]
        return layered[::SHARE] if self.namespaces else layered[self.ordinary :: 2]


WAYS = (
    Way("as whoever runs this", "A"),
    Way("in warm workers", "A", warm=True),
    Way("with packages", "A", packages=True),
    Way("as an ordinary user", "A", ordinary=True),
    Way("without namespaces", "B", namespaces=False),
    Way("as an ordinary user without namespaces", "B", ordinary=True, namespaces=False),
)
# Where the packages change what workers have: files, loaded code, address space, an environment. Not
# `seen_memory`: it walks all objects, numpy's too, and a busy machine takes too long for that.
WITH_PACKAGES = (
    *("files_everything", "files_poison", "files_proc_self", "files_write", "memory_at_once", "memory_mapped"),
    *("poison_memory", "syscalls_executable", "thread_bomb", "limits_loosened", "packages_"),
)
SHARE = 3  # of the attacks that layers stop, one in so many is made on an ordinary user's server
# What layers stop: who runs the server changes nothing else.
LAYERED = (
    "files",
    "sockets",
    "fork",
    "kill",
    "exec",
    "thread",
    "ptrace",
    "limits",
    "syscalls",
    "poison",
)


def ways() -> list[Way]:
    """Those that differ: where an ordinary user runs the tests, the first is one of theirs."""
    return [way for way in WAYS if ROOT or way is WAYS[0] or not (way.ordinary and way.namespaces)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "attack" in metafunc.fixturenames:
        every = metafunc.config.getoption("--every-attack")
        cases = [
            pytest.param(way, attack, id=f"{way.name}-{attack.name}")
            for way in ways()
            for attack in (attacks() if every else way.usual())
        ]
        metafunc.parametrize(("way", "attack"), cases)
    elif "way" in metafunc.fixturenames:
        metafunc.parametrize("way", ways(), ids=lambda way: way.name)


class Battle:
    """The field and the attacks that are under way on it."""

    def __init__(self, field: Field, wanted: list[Attack]) -> None:
        self.field = field
        self.bystander = field.client.post("/api/instances", json={"source": APPROVAL}).json()
        self._threads = ThreadPoolExecutor(AT_ONCE)
        list(self._threads.map(field.innocent, [f"warm {number}" for number in range(2 * AT_ONCE)]))
        # A warm one stays for half a minute after its tenant's last run.
        self.idle_workers = Settings().parked_workers + (Settings().warm_workers if field.warm else 0)
        field.settle(self.idle_workers + 1)  # the bystander may still have its own
        self.descriptors = field.descriptors()
        self.memory = field.memory()
        random.Random(1).shuffle(wanted)  # so that not all that compute for ever do so at once
        wanted.sort(key=lambda attack: not attack.waits)  # what is ended by a clock is begun first: nothing else waits
        self.outcomes: dict[str, Future[Outcome]] = {
            attack.name: self._threads.submit(field.attack, attack) for attack in wanted
        }

    def outcome(self, name: str) -> Outcome:
        return self.outcomes[name].result(10 * DEADLINE)

    def over(self) -> None:
        for outcome in self.outcomes.values():
            outcome.exception(10 * DEADLINE)

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)


class Battles:
    """One for each way, begun when it is first asked for, in the order of the tests; `wanted` are its attacks."""

    def __init__(self, wanted: dict[Way, list[Attack]]) -> None:
        self._wanted = wanted
        self._begun: dict[Way, Battle] = {}
        self._opened = ExitStack()

    def of(self, way: Way) -> Battle:
        if way not in self._begun:
            field = self._opened.enter_context(run_by(way))
            assert field.health()["isolation"]["letter"] == way.tier, "attacks are made on an isolated server only"
            status, probed = field.run(PROBE)
            assert (status, probed["status"], probed["output"]) == (201, "complete", [])
            self._begun[way] = Battle(field, self._wanted.get(way, []))
            self._opened.callback(self._begun[way].close)
        return self._begun[way]

    def close(self) -> None:
        self._opened.close()


@pytest.fixture(scope="module")
def battles(request: pytest.FixtureRequest) -> Iterator[Battles]:
    wanted: dict[Way, list[Attack]] = {}
    for item in request.session.items:
        if isinstance(item, pytest.Function) and "attack" in item.fixturenames:
            wanted.setdefault(item.callspec.params["way"], []).append(item.callspec.params["attack"])
    battles = Battles(wanted)
    yield battles
    battles.close()


@contextmanager
def run_by(way: Way) -> Iterator[Field]:
    """A server that is run in this way."""
    with ExitStack() as opened:
        server: dict[str, Any] = {}
        options: tuple[str, ...] = ()
        if way.ordinary or not way.namespaces:
            python = python_for_everyone()
            if python is None:
                pytest.skip("no setpriv, or no Python of this version that an ordinary user can run")
            path = ":".join(str(folder) for folder in opened.enter_context(readable_by_everyone()))
            environment = [f"PYTHONPATH={path}", *([] if way.namespaces else ["PATH=/nonexistent"])]
            become = as_ordinary() if way.ordinary else []
            server["command"] = (*become, "/usr/bin/env", *environment, python, "-B", "-m", "playground")
        if way.packages:
            installed_packages()
            options = (f"--packages={REQUIREMENTS}", f"--packages-folder={FOLDER}")
        field = Field(opened.enter_context(folder(ordinary=way.ordinary)), *options, warm=way.warm, **server)
        opened.callback(field.close)
        yield field


def test_an_attack_harms_itself_only(battles: Battles, way: Way, attack: Attack) -> None:
    outcome = battles.of(way).outcome(attack.name)
    end = attack.end
    assert outcome.is_as(end), f"{attack.tries}\nexpected: {end}\n     got: {outcome.told()[:500]}"
    assert outcome.innocent == {"greeting": f"Hello, {attack.name}!"}
    assert outcome.healthy


def test_nothing_is_left_behind(battles: Battles, way: Way) -> None:
    battle = battles.of(way)
    battle.over()
    field = battle.field
    assert field.settle(battle.idle_workers) <= battle.idle_workers
    assert new(battle.descriptors, field.descriptors()) == {}
    assert field.memory() < battle.memory + GROWTH
    health = field.health()
    assert {status: count for status, count in health["instances"].items() if count} == {"waiting": 1}  # the bystander
    said = [line for line in field.server.printed if " failed " in line or "_failed" in line or "Traceback" in line]
    assert said == []


def test_an_instance_that_waited_through_it_all_goes_on(battles: Battles, way: Way) -> None:
    battle = battles.of(way)
    battle.over()
    made = battle.bystander
    sent = battle.field.client.post(f"/api{made['url']}/events/approved", json={"by": "Ada"}, headers=bearer(made))
    assert sent.status_code == 202
    shown = battle.field.finish(made)
    assert (shown["status"], shown["output"]) == ("complete", {"by": "Ada"})


def test_every_line_of_what_must_be_survived_is_attacked() -> None:
    found = attacks()
    assert len(found) >= LEAST
    assert {attack.line for attack in found} == set(LINES)


def test_every_attack_says_what_it_tries() -> None:
    for attack in attacks():
        assert attack.tries.endswith("."), attack.name
        assert attack.end, attack.name


def new(before: list[str], after: list[str]) -> dict[str, Any]:
    """What is open now and was not before, with how many more there are.

    A connection more or less is of the test's own making, and on a busy machine not every worker was parked when it was
    looked before; each has a handle and a socket.
    """
    allowed = {
        "socket:[N]": 2 * AT_ONCE + Settings().warm_workers,
        "anon_inode:[pidfd]": Settings().parked_workers + Settings().warm_workers,
    }
    grown = {name: after.count(name) - before.count(name) for name in set(after)}
    # The store opens its connections when they are first needed.
    allowed |= {name: READERS + 1 for name in grown if ".db" in name}
    return {name: more for name, more in grown.items() if more > allowed.get(name, 0)}
