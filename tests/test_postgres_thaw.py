"""A server process is frozen past its lease, with a worker in mid-step, and thawed: another server has taken over, and
nothing that the frozen one does late is committed.
"""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from http_support import messages
from postgres_support import name_of, shared_server
from server_support import Server, until

PROGRAM = Path(__file__).with_name("node_program.py")
LEASE_MS = 2_000
SECONDS = 60
SOURCE = """\
import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        values = []
        for place in range(3):
            @step.do(f"step {place}")
            async def one(ctx):
                await self.env.EFFECTS.record("began", place=place, attempt=ctx["attempt"])
                # There is time to freeze a server in the midst of the second, whose worker is done before the thaw.
                await asyncio.sleep(2 if (place, ctx["attempt"]) == (1, 1) else 0.2)
                return [place, ctx["attempt"]]

            values.append(await one())
        return values
"""


@pytest.fixture
def start(tmp_path: Path, postgres_url: str) -> Iterator[Callable[[str], Server]]:
    started: list[Server] = []

    def start(name: str) -> Server:
        folder = tmp_path / name
        folder.mkdir()
        program = (sys.executable, str(PROGRAM), str(LEASE_MS), "0")
        server = Server(folder, "--database", postgres_url, "--node", name, "--parked-workers", "1", command=program)
        started.append(server)
        return server.start()

    yield start
    for server in started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server.pid, signal.SIGCONT)
        server.stop()


def follow(server: Server, made: dict[str, Any], is_enough: Callable[[list[dict[str, Any]]], bool]) -> None:
    """Follow an instance's journal through one node until it says what is waited for."""
    journal: list[dict[str, Any]] = []
    with httpx2.stream("GET", f"{server.url}/api{made['url']}/stream", timeout=SECONDS) as answer:
        for message in messages(answer):
            if message["event"] == "journal":
                journal += json.loads(message["data"])
                if is_enough(journal):
                    return
    raise AssertionError([event["type"] for event in journal])


def read(server: Server, made: dict[str, Any], what: str) -> Any:
    return httpx2.get(f"{server.url}/api{made['url']}/{what}", timeout=SECONDS).raise_for_status().json()


def test_a_server_frozen_past_its_lease_in_mid_step_commits_nothing_when_it_thaws(
    start: Callable[[str], Server], postgres_url: str
) -> None:
    a, b = start("a"), start("b")
    made = httpx2.post(f"{a.url}/api/instances", json={"source": SOURCE}, timeout=SECONDS).raise_for_status().json()
    follow(b, made, lambda journal: sum(event["type"] == "attempt_started" for event in journal) == 2)
    name = name_of(postgres_url)
    frozen, other = (a, b) if shared_server().sql("SELECT owner FROM instance", name) == "a.1" else (b, a)
    os.kill(frozen.pid, signal.SIGSTOP)  # its worker goes on, and has the step done long before the thaw
    follow(other, made, lambda journal: journal[-1]["type"] == "workflow_completed")
    before = read(other, made, "events")["events"]
    os.kill(frozen.pid, signal.SIGCONT)
    until(frozen, lambda: any("node_lost" in line for line in frozen.printed))
    journal = read(frozen, made, "events")["events"]
    assert journal == before and [event["seq"] for event in journal] == list(range(1, len(journal) + 1))
    assert [event["data"]["output"] for event in journal if event["type"] == "step_completed"] == [
        [0, 1],
        [1, 2],
        [2, 1],
    ]
    assert [event["data"]["reason"] for event in journal if event["type"] == "execution_ended"] == ["lost", "completed"]
    effects = [
        (effect["data"]["place"], effect["data"]["attempt"]) for effect in read(other, made, "effects")["effects"]
    ]
    assert sorted(effects) == [(0, 1), (1, 1), (1, 2), (2, 1)], "the double one has a second attempt in the journal"

    other.stop()
    again = httpx2.post(f"{frozen.url}/api/instances", json={"source": SOURCE}, timeout=SECONDS)
    follow(frozen, again.raise_for_status().json(), lambda journal: journal[-1]["type"] == "workflow_completed")
