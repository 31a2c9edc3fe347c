"""Two servers over one PostgreSQL. kill -9 takes the one that is at a delivery of a queue, at the firings of a
schedule, or at a child: the other one does the rest, and nothing is done twice or lost.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from dispatch_support import workflow
from postgres_support import name_of, shared_server
from server_support import Server

PROGRAM = Path(__file__).with_name("node_program.py")
LEASE_MS = 2_000
SECONDS = 30
MISSED = 40  # firings
HOUR_MS = 3_600_000  # between two, so that hardly ever one more is due while they are counted

SOURCE = workflow("""
    if event.schedule:
        return event.schedule["scheduledTime"]
    if event["payload"] != "child":
        return await self.env.WORKFLOWS.run("child", id="child")

    @step.do("slow")
    async def slow(ctx):
        await asyncio.sleep(60 if ctx["attempt"] == 1 else 0)
        return ctx["attempt"]

    return await slow()
    """)
SOURCE += """
from workers import WorkerEntrypoint


class Default(WorkerEntrypoint):
    async def queue(self, batch, env, ctx, step):
        for message in batch.messages:

            @step.do(message.body)
            async def handle(ctx):
                await asyncio.sleep(60 if message.body == "slow" and ctx["attempt"] == 1 else 0)

            await handle()
"""
# So that a server can be killed between two firings.
SLOW_FIRINGS = """
CREATE FUNCTION fire_slowly() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(0.2); RETURN NEW; END$$;
CREATE TRIGGER slow BEFORE INSERT ON instance FOR EACH ROW WHEN (NEW.id LIKE 'often-%') EXECUTE FUNCTION fire_slowly()
"""
FIRED = "SELECT count(*) FROM instance WHERE id LIKE 'often-%'"
ATTEMPTS = "SELECT count(*) FROM event WHERE type = 'attempt_started'"


class Cluster:
    """Two servers and the tenant `acme`, asked through whichever lives."""

    def __init__(self, folder: Path, url: str) -> None:
        self._database = name_of(url)
        self._all: dict[str, Server] = {}
        self.alive: dict[str, Server] = {}
        for name in "ab":
            (folder / name).mkdir()
            options = ("--database", url, "--node", name, "--parked-workers", "1", "--operator-token", "op")
            command = (sys.executable, str(PROGRAM), str(LEASE_MS), "0")
            self._all[name] = Server(folder / name, *options, command=command)
        with ThreadPoolExecutor() as pool:
            list(pool.map(self.start, self._all))
        operator = {"Authorization": "Bearer op"}
        made = httpx2.post(f"{self.alive['a'].url}/api/tenants/acme/keys", headers=operator, json={}, timeout=SECONDS)
        self._key = made.raise_for_status().json()["key"]

    def start(self, name: str) -> None:
        self.alive[name] = self._all[name].start()

    def kill(self, name: str) -> None:
        self.alive.pop(name).kill()

    def kill_owner(self, id: str) -> str:
        """Kill -9 the server that plays an instance; returns its name."""
        name = self.sql(f"SELECT owner FROM instance WHERE id = '{id}'").partition(".")[0]
        self.kill(name)
        return name

    def ask(self, method: str, path: str, body: Any = None, *, through: str | None = None) -> Any:
        """The answer to a request of the tenant's."""
        server = self.alive[through or next(iter(self.alive))]
        headers = {"Authorization": f"Bearer {self._key}"}
        url = f"{server.url}/api/tenants/acme{path}"
        answer = httpx2.request(method, url, headers=headers, json=body, timeout=SECONDS).raise_for_status()
        return answer.json() if answer.content else None

    def sql(self, query: str) -> str:
        return shared_server().sql(query, self._database)

    def until(self, query: str, expected: str) -> None:
        """Wait for what the database says."""
        deadline = time.monotonic() + SECONDS
        while (found := self.sql(query)) != expected:
            assert time.monotonic() < deadline, (query, found)

    def journal(self, id: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self.ask("GET", f"/instances/{id}/events")["events"]
        return events

    def stop(self) -> None:
        for server in self.alive.values():
            server.stop()


@pytest.fixture
def cluster(tmp_path: Path, postgres_url: str) -> Iterator[Cluster]:
    made = Cluster(tmp_path, postgres_url)
    yield made
    made.stop()


def reasons(journal: list[dict[str, Any]]) -> list[str]:
    """How the executions have ended."""
    return [event["data"]["reason"] for event in journal if event["type"] == "execution_ended"]


@pytest.mark.long
def test_what_a_killed_server_was_at_is_done_once_by_the_other(cluster: Cluster) -> None:
    cluster.ask("PUT", "/workflow", {"source": SOURCE}, through="a")

    # A delivery, sent through one server and handled by either.
    cluster.ask("PUT", "/queues/mail", {"max_batch_size": 3, "max_batch_timeout": 0, "max_retries": 0}, through="b")
    messages = [{"body": body} for body in ("before", "slow", "after")]
    cluster.ask("POST", "/queues/mail/messages", {"messages": messages}, through="a")
    cluster.until(ATTEMPTS, "2")
    [delivery] = cluster.ask("GET", "/instances")["instances"]
    first = cluster.kill_owner(delivery["id"])
    cluster.until("SELECT count(*) FROM message", "0")
    journal = cluster.journal(delivery["id"])
    assert reasons(journal) == ["lost", "completed"]
    done = Counter(event["step"]["name"] for event in journal if event["type"] == "step_completed")
    assert done == {"before": 1, "slow": 1, "after": 1}
    [marked] = [event["data"] for event in journal if event["type"] == "batch_marked"]
    assert len(marked["acked"]) == 3 and marked["retried"] == []
    assert len(cluster.ask("GET", "/instances")["instances"]) == 1, "one delivery, however many pumps"

    # Firings that no server has made, of which this one makes some.
    cluster.ask("PUT", "/schedules/often", {"cron": "0 * * * *", "missed": "all"})
    since = int(cluster.sql("SELECT next_at FROM schedule")) - MISSED * HOUR_MS
    cluster.sql(SLOW_FIRINGS)
    cluster.sql(f"UPDATE schedule SET next_at = {since}, due_at = {since}")
    cluster.until(FIRED.replace("count(*)", "count(*) > 3"), "t")
    [second] = cluster.alive
    cluster.kill(second)
    cluster.sql("DROP FUNCTION fire_slowly CASCADE")
    assert 3 < int(cluster.sql(FIRED)) < MISSED
    cluster.start(first)
    cluster.until("SELECT next_at > last_at FROM schedule", "t")
    until = int(cluster.sql("SELECT next_at FROM schedule"))
    cluster.until(f"{FIRED} AND status = 'complete'", str((until - since) // HOUR_MS))
    times = sorted(map(int, cluster.sql("SELECT output FROM instance WHERE id LIKE 'often-%'").split()))
    assert times == list(range(since, until, HOUR_MS)), "each time once"
    cluster.ask("DELETE", "/schedules/often")

    # A child, of a parent that sleeps meanwhile.
    cluster.start(second)
    before = int(cluster.sql(ATTEMPTS))
    cluster.ask("POST", "/instances", {"id": "parent"}, through=second)
    cluster.until(ATTEMPTS, str(before + 1))
    cluster.kill_owner("child")
    cluster.until("SELECT status FROM instance WHERE id = 'parent'", "complete")
    assert cluster.ask("GET", "/instances/parent")["output"] == 2, "the second attempt of the child's step"
    assert reasons(cluster.journal("child")) == ["lost", "completed"]
    ends = [event["type"] for event in cluster.journal("parent") if event["type"].startswith("child_")]
    assert ends == ["child_started", "child_completed"]
