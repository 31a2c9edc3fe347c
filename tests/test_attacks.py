"""Every hostile workflow of `attacks/` against one real server: each ends as it must, and everyone else is untouched."""

import random
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from attacks_support import DEADLINE, PROBE, Attack, Field, Outcome, attacks
from http_support import APPROVAL, bearer

AT_ONCE = 8
LEAST = 60
GROWTH = 128 * 1024 * 1024  # bytes that the server and the fork server may have grown by, of some hundred megabytes thrown at them at
# once: the allocator keeps what many large frames under way together have taken (159 MB in all seen on a machine with load 6)

# "What must be survived" in shared/spec/sandbox.md.
LINES = (
    "host file and /proc reads",
    "writes",
    "poisoned stdlib",
    "sockets of every family",
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


class Battle:
    """The field and the attacks that are under way on it."""

    def __init__(self, field: Field, wanted: list[Attack]) -> None:
        self.field = field
        self.bystander = field.client.post("/api/instances", json={"source": APPROVAL}).json()
        self._threads = ThreadPoolExecutor(AT_ONCE)
        list(self._threads.map(field.innocent, [f"warm {number}" for number in range(2 * AT_ONCE)]))
        self.idle_workers = field.settle(5)
        self.descriptors = field.descriptors()
        self.memory = field.memory()
        random.Random(1).shuffle(wanted)  # so that not all that compute for ever do so at once
        self.outcomes: dict[str, Future[Outcome]] = {attack.name: self._threads.submit(field.attack, attack) for attack in wanted}

    def outcome(self, name: str) -> Outcome:
        return self.outcomes[name].result(10 * DEADLINE)

    def over(self) -> None:
        for outcome in self.outcomes.values():
            outcome.exception(10 * DEADLINE)

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def battle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Battle]:
    wanted = [item.callspec.params["attack"] for item in request.session.items if "attack" in getattr(item, "fixturenames", ())]
    field = Field(tmp_path_factory.mktemp("field"))
    try:
        assert field.health()["isolation"]["letter"] == "A", "attacks are made on a tier A server only"
        status, probed = field.run(PROBE)
        assert (status, probed["status"], probed["output"]) == (201, "complete", [])
        battle = Battle(field, [attack for attack in wanted if isinstance(attack, Attack)])
        yield battle
        battle.close()
    finally:
        field.close()


@pytest.mark.parametrize("attack", attacks(), ids=lambda attack: attack.name)
def test_an_attack_harms_itself_only(battle: Battle, attack: Attack) -> None:
    outcome = battle.outcome(attack.name)
    assert outcome.is_as(attack.end), f"{attack.tries}\nexpected: {attack.end}\n     got: {outcome.told()[:500]}"
    assert outcome.innocent == {"greeting": f"Hello, {attack.name}!"}
    assert outcome.healthy


def test_nothing_is_left_behind(battle: Battle) -> None:
    battle.over()
    field = battle.field
    assert field.settle(battle.idle_workers) <= battle.idle_workers
    assert new(battle.descriptors, field.descriptors()) == {}
    assert field.memory() < battle.memory + GROWTH
    health = field.health()
    assert {status: count for status, count in health["instances"].items() if count} == {"waiting": 1}  # the bystander
    said = [line for line in field.server.printed if " failed " in line or "_failed" in line or "Traceback" in line]
    assert said == []


def test_an_instance_that_waited_through_it_all_goes_on(battle: Battle) -> None:
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
    """What is open now and was not before, with how many more there are; a connection more or less is of the test's own making."""
    grown = {name: after.count(name) - before.count(name) for name in set(after)}
    return {name: more for name, more in grown.items() if more > 0 and not name.startswith("socket:")} | (
        {"sockets": grown["socket:[N]"]} if grown.get("socket:[N]", 0) > 2 * AT_ONCE else {}
    )
