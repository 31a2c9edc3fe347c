"""/metrics: each figure is moved by really doing what it counts, and only those may read it who should."""

import asyncio
import os
import resource
import signal
import socket
import sqlite3
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from aio import story
from http_support import APPROVAL, DEADLINE, HELLO, MakeSite, Site, bearer, code_of, running_sandbox, settled
from prometheus_client.parser import text_string_to_metric_families
from store_support import POSTGRES, SQLITE, claim

from playground.sandbox.pool import SandboxDown
from playground.store import open_store
from playground.store.metrics import StoreMetrics
from playground.store.named_sql import NamedSql
from playground.store.postgres.connections import one_connection
from playground.store.protocol import ClaimLimits, QueueLimit
from playground.store.rows import NewInstance
from playground.store.sqlite import store
from playground.web.http.metrics import METRICS, PREFIX

PARTS = (("count", ""), ("bucket", "inf"))  # of a histogram: both count each thing once
Samples = dict[tuple[str, str], float]  # (name without its prefix, the label's value) -> value
LARGE = HELLO.replace(
    "return {", 'for n in range(12): await step.do(str(n), lambda: "x" * 1_000_000)\n        return {'
)
BUSY = HELLO.replace('print("hello")', "while True: pass")


def scrape(site: Site) -> Samples:
    """Every sample of a scrape."""
    answer = site.client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name.removeprefix(PREFIX), ",".join(sample.labels.values()).replace("+Inf", "inf")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


class Moved:
    """What has changed since the last look."""

    def __init__(self, site: Site) -> None:
        self._site, self._before = site, scrape(site)

    def by(self, name: str, labels: str = "") -> float:
        """How far a figure has moved, by a fresh scrape; with `a+b`, the figures of both labels together."""
        return self.at_once((name, labels))[0]

    def at_once(self, *figures: tuple[str, str]) -> list[float]:
        """How far each figure has moved, by one scrape: for figures that are compared while they move."""
        now = scrape(self._site)
        return [
            sum(now[name, label] - self._before.get((name, label), 0) for label in labels.split("+"))
            for name, labels in figures
        ]

    def reaches(self, value: float, name: str, label: str = "") -> None:
        """Wait until a figure has moved so far: what a process's end sets off follows a moment after the answer."""
        deadline = time.monotonic() + DEADLINE
        while (found := self.by(name, label)) != value:
            assert time.monotonic() < deadline, (name, label, found)


@pytest.fixture(params=[SQLITE, POSTGRES])
def either(request: pytest.FixtureRequest, make_site: MakeSite) -> MakeSite:
    """Makes a site on each kind of database."""
    if request.param == SQLITE:
        return make_site
    shared = request.getfixturevalue("postgres_url")
    return lambda **settings: make_site(database=shared, **settings)


def on_postgres(site: Site) -> bool:
    return site.settings.database.startswith("postgresql:")


def test_every_row_of_the_table_is_there_with_its_help(either: MakeSite) -> None:
    site = either()
    families = {family.name: family for family in text_string_to_metric_families(site.client.get("/metrics").text)}
    for row in METRICS:
        if PREFIX + row.name not in families:
            assert not on_postgres(site) and "PostgreSQL only" in row.help or row.name == "disk_free_bytes"
            continue
        family = families[PREFIX + row.name]
        assert family.documentation == row.help
        assert family.samples, row.name
        assert {name for sample in family.samples for name in sample.labels} <= {
            row.label,
            "le",
            "version",
            "python",
            "sqlite",
            "postgresql",
            "node",
            "tier",
            "layers",
        }
    found = scrape(site)
    assert found["process_resident_memory_bytes", ""] > 10_000_000
    tier = site.context.isolation_json()
    assert found["isolation_info", f"{','.join(tier['layers'])},{tier['letter']}"] == 1
    assert any(name == "build_info" and "1.2.3" in label.split(",") for name, label in found)
    assert found["limits_hit_total", "source_bytes"] == 0


def test_what_every_node_tells_of_the_database_says_that_it_must_not_be_summed(either: MakeSite) -> None:
    site = either()
    families = text_string_to_metric_families(site.client.get("/metrics").text)
    ours = [family for family in families if family.name.startswith(PREFIX)]
    helps = {family.name.removeprefix(PREFIX): family.documentation for family in ours}
    shared = {name for name, help in helps.items() if help.endswith("so take one of them, not the sum.")}
    theirs = {"dead_rows", "oldest_transaction_seconds"} if on_postgres(site) else {"disk_free_bytes"}
    assert shared == {"instances", "queue_depth", "queue_oldest_seconds", "database_bytes", "nodes_living", *theirs}
    ages = {name for name, help in helps.items() if help.endswith(" take the largest, not the sum.")}
    assert ages == {"lease_age_seconds"}
    assert {name for name, help in helps.items() if help.endswith(" Of this process.")} == helps.keys() - shared - ages


def test_every_metric_is_looked_at_here() -> None:
    text = Path(__file__).read_text()
    assert [row.name for row in METRICS if f'"{row.name}' not in text] == []


def test_a_run_moves_executions_workers_commits_and_instances(either: MakeSite) -> None:
    site = either()
    moved = Moved(site)
    site.finish(site.create())
    assert moved.by("instances", "complete") == 1
    assert (moved.by("executions_total"), moved.by("events_total") > 5) == (1, True)
    moved.reaches(1, "executions_ended_total", "completed")
    assert moved.by("worker_starts_total") == 1, "the one that checked its source ran it"
    moved.reaches(1, "worker_ends_total", "exit+signal")
    commits, *counts, calls = moved.at_once(
        ("commits_total", ""),
        *((f"commit_{what}_{part}", label) for what in ("seconds", "calls") for part, label in PARTS),
        ("commit_calls_sum", ""),
    )
    assert commits > 2 and set(counts) == {commits}
    assert 0 < moved.by("commit_seconds_sum") < DEADLINE
    assert calls >= commits, "each commit has a call at least"
    assert moved.by("claim_seconds_count") >= 1 and 0 < moved.by("claim_seconds_sum") < DEADLINE
    assert moved.by("requests_total", "2xx") >= 3
    found = scrape(site)
    assert found["request_seconds_count", ""] == found["request_seconds_bucket", "inf"] > 3
    assert scrape(site)["database_bytes", ""] > 10_000
    assert on_postgres(site) or scrape(site)["disk_free_bytes", ""] > 10_000


def test_what_waits_for_a_worker_has_a_depth_and_an_age(make_site: MakeSite) -> None:
    site = make_site(running_per_address=1)
    assert scrape(site)["queue_oldest_seconds", ""] == 0
    first = site.create(APPROVAL)
    site.until(first, "wait_started")
    found = scrape(site)
    assert (found["workers_running", ""], found["worker_slots", ""]) == (1, site.settings.slots)
    site.create()
    found = scrape(site)
    assert (found["queue_depth", ""], found["instances", "queued"]) == (1, 1)
    assert found["queue_oldest_seconds", ""] < scrape(site)["queue_oldest_seconds", ""], "it grows older"


def test_the_nodes_of_a_database_are_counted_and_each_names_itself(postgres_url: str, make_site: MakeSite) -> None:
    site = make_site(database=postgres_url)
    found = scrape(site)
    assert (found["node_info", "local"], found["nodes_living", ""]) == (1, 1)
    assert 0 <= found["lease_age_seconds", ""] < 10, "it is renewed every 3 seconds"
    other = open_store(postgres_url)

    async def join_and_leave() -> float:
        lease = await other.nodes.join("b", 60_000)
        both = await asyncio.to_thread(lambda: scrape(site)["nodes_living", ""])
        health = await asyncio.to_thread(lambda: site.client.get("/healthz").json()["node"])
        assert health == {"name": "local", "living": 2}
        await other.nodes.leave(lease)
        await other.close()
        return both

    assert asyncio.run(join_and_leave()) == 2
    assert scrape(site)["nodes_living", ""] == 1


def test_on_sqlite_there_is_one_node_whose_lease_does_not_age(make_site: MakeSite) -> None:
    site = make_site()
    found = scrape(site)
    assert (found["nodes_living", ""], found["lease_age_seconds", ""], found["node_info", "local"]) == (1, 0, 1)
    assert site.client.get("/healthz").json()["node"] == {"name": "local", "living": 1}


def test_notifications_are_timed_through_the_database(postgres_url: str, make_site: MakeSite) -> None:
    site = make_site(database=postgres_url)
    moved = Moved(site)
    site.finish(site.create())
    settled(site, lambda: scrape_of_store(site) > 0)
    total, count, last = moved.at_once(
        ("notify_seconds_sum", ""), ("notify_seconds_count", ""), ("notify_seconds_bucket", "inf")
    )
    assert count == last > 0
    lag = total / count
    assert 0.005 < lag < DEADLINE, "it is collected for 6 ms before it is sent"


def scrape_of_store(site: Site) -> int:
    times = site.context.store.metrics.notify_seconds
    assert times is not None
    return sum(times.counts)


def test_dead_rows_and_the_oldest_transaction_are_those_of_the_database(postgres_url: str, make_site: MakeSite) -> None:
    site = make_site(database=postgres_url)
    assert scrape(site)["dead_rows", "instance"] >= 0
    assert {"event", "tally"} <= {table for name, table in scrape(site) if name == "dead_rows"}
    assert scrape(site)["oldest_transaction_seconds", ""] < 5

    async def hold() -> float:
        async with one_connection(postgres_url) as connection, connection.transaction():
            await connection.execute("SELECT 1; SELECT pg_sleep(0.2)")
            return await asyncio.to_thread(lambda: scrape(site)["oldest_transaction_seconds", ""])

    assert asyncio.run(hold()) >= 0.2


def test_while_the_database_is_away_the_process_still_tells_its_own(postgres_url: str, make_site: MakeSite) -> None:
    site = make_site(database=postgres_url)

    async def rename(before: str, after: str) -> None:
        async with one_connection(postgres_url) as connection:
            await connection.execute(f"ALTER TABLE {before} RENAME TO {after}")

    asyncio.run(rename("tally", "elsewhere"))
    try:
        found = {name for name, _ in scrape(site)}
        assert "workers_running" in found and "commits_total" in found
        assert not found & {"instances", "queue_depth", "nodes_living", "dead_rows", "database_bytes"}
        health = site.client.get("/healthz").json()
        assert health["status"] == "ok" and health["instances"] is None
        assert health["node"] == {"name": "local", "living": None}
    finally:
        asyncio.run(rename("elsewhere", "tally"))
    assert site.client.get("/healthz").json()["node"]["living"] == 1


def test_ends_are_told_apart(make_site: MakeSite) -> None:
    site = make_site(attempt_cpu_seconds=1, idle_grace_ms=0)
    moved = Moved(site)
    assert site.finish(site.create(BUSY))["error"]["name"] == "LimitExceeded"
    moved.reaches(1, "executions_ended_total", "limit")
    assert moved.by("limits_hit_total", "attempt_cpu_seconds") == 1
    waiting = site.create(APPROVAL)
    moved.reaches(1, "executions_ended_total", "hibernated")
    site.operate(waiting, "terminate")
    dying = site.create(HELLO.replace('print("hello")', "import os; os._exit(7)"))
    assert site.finish(dying)["error"]["name"] == "WorkerLostRepeatedly"
    moved.reaches(5, "executions_ended_total", "crashed")
    assert moved.by("worker_ends_total", "exit") >= 5, "and perhaps one that checked a source"
    assert len(site.log.of("worker_lost")) == 5
    assert {line["code"] for line in site.log.of("worker_lost")} == {7}


def test_a_killed_and_a_terminated_instance(make_site: MakeSite) -> None:
    site = make_site()
    moved = Moved(site)
    made = site.create(APPROVAL)
    site.until(made, "wait_started")
    assert site.operate(made, "kill-worker").status_code == 202
    moved.reaches(1, "executions_ended_total", "killed")
    other = site.create(APPROVAL)
    site.until(other, "wait_started")
    site.operate(other, "terminate")
    moved.reaches(1, "executions_ended_total", "operation")
    assert moved.by("instances", "terminated") == 1


def test_limits_of_requests_are_counted_by_their_setting(make_site: MakeSite) -> None:
    site = make_site(starts_per_minute=1, source_bytes=1_000, head_bytes=2_000, queue_length=1)
    moved = Moved(site)
    site.create()
    assert site.client.post("/api/instances", json={"source": HELLO}).status_code == 429
    assert site.client.post("/api/check", json={"source": "#" * 1_001}).status_code == 413
    assert site.client.get("/robots.txt", headers={"X-Long": "x" * 3_000}).status_code == 431
    for setting in ("starts_per_minute", "source_bytes", "head_bytes"):
        assert moved.by("limits_hit_total", setting) == 1, setting
    with socket.create_connection(("127.0.0.1", site.port), timeout=DEADLINE) as raw:
        raw.sendall(b"\x16\x03\x01\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400")
    assert moved.by("requests_total", "4xx") == 4
    assert [line["limit"] for line in site.log.of("limit")] == ["starts_per_minute", "source_bytes", "head_bytes"]
    assert {line["whose"] for line in site.log.of("limit")} == {"127.0.0.1"}


def test_streams_open_and_dropped(make_site: MakeSite) -> None:
    site = make_site(stream_send_seconds=1)
    made = site.create(LARGE)
    moved = Moved(site)
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        deaf.connect(("127.0.0.1", site.port))
        deaf.sendall(f"GET /api{made['url']}/stream HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        moved.reaches(1, "streams_dropped_total")
    waiting = site.create(APPROVAL)
    with site.client.stream("GET", f"/api{waiting['url']}/stream") as reading:
        assert reading.status_code == 200
        moved.reaches(1, "streams_open")
    moved.reaches(0, "streams_open")


def test_fork_servers(tmp_path: Path) -> None:
    with running_sandbox() as (background, sandbox):
        site = Site(background, sandbox, tmp_path)
        moved = Moved(site)
        assert scrape(site)["zygote_starts_total", "start"] == 1
        moved.reaches(2 - scrape(site)["workers_parked", ""] + moved.by("workers_parked"), "workers_parked")
        assert sandbox.zygote is not None
        os.kill(sandbox.zygote, signal.SIGKILL)
        moved.reaches(1, "zygote_starts_total", "died")
        site.call(wear(sandbox))
        moved.reaches(1, "zygote_starts_total", "recycled")
        resource.prlimit(sandbox.zygote, resource.RLIMIT_NOFILE, (6, 6))  # too few for a child to put its own in order
        assert scrape(site)["fork_failures_total", ""] == 0
        for _ in range(4):
            with suppress(SandboxDown):
                site.call(used(sandbox))
        assert moved.by("fork_failures_total") > 0
        os.kill(sandbox.zygote, signal.SIGKILL)
        moved.reaches(2, "zygote_starts_total", "died")
        site.close()


async def used(sandbox: Any) -> None:
    """A worker is taken and given up."""
    (await sandbox.take_worker()).close()


async def wear(sandbox: Any) -> None:
    """As after 5,000 forks."""
    sandbox._recycle_due.set()


def test_a_failed_commit_is_counted_and_logged(make_site: MakeSite) -> None:
    site = make_site()
    moved = Moved(site)
    with closing(sqlite3.connect(site.database, isolation_level=None)) as other:
        other.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON snippet BEGIN SELECT RAISE(ABORT, 'the disk is gone'); END"
        )
        assert site.client.post("/api/snippets", json={"source": "1"}).status_code == 500
        other.execute("DROP TRIGGER broken")
    assert moved.by("commit_failures_total") == 1
    (line,) = site.log.of("database_error")
    assert "the disk is gone" in line["error"]
    assert moved.by("requests_total", "5xx") == 1


def test_a_slow_commit_is_logged(make_site: MakeSite) -> None:
    site = make_site(slow_commit_ms=100)
    with closing(sqlite3.connect(site.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        stored = site.call(handed_in(site))
        threading.Event().wait(0.15)  # the disk takes its time
        other.execute("ROLLBACK")
        site.call(committed(stored))
    line = site.log.of("slow_commit")[-1]  # on a loaded machine the one of the start may have been slow, too
    assert line["seconds"] >= 0.1


async def handed_in(site: Site) -> "asyncio.Task[Any]":
    """A commit that waits for the disk."""
    storing = asyncio.get_running_loop().create_task(site.engine.store.put_snippet("2", None, at=0))
    await asyncio.sleep(0)
    return storing


async def committed(storing: "asyncio.Task[Any]") -> None:
    await storing


# Who may read it.


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "192.0.2.1"},
        {"Forwarded": "for=192.0.2.1"},
        {"X-Real-IP": "192.0.2.1"},
        {"Via": "1.1 proxy"},
        {"Host": "playground.example"},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_what_a_proxy_on_this_machine_brings_is_not_this_machine(make_site: MakeSite, headers: dict[str, str]) -> None:
    site = make_site(operator_token="open-sesame", allowed_hosts="playground.example")
    assert site.client.get("/metrics").status_code == 200
    answer = site.client.get("/metrics", headers=headers)
    assert code_of(answer) == (401, "operator.token_missing")
    assert site.client.get("/metrics", headers={**headers, "Authorization": "Bearer open-sesame"}).status_code == 200


@pytest.mark.parametrize(
    ("settings", "direct", "token"),
    [
        ({"metrics": "token"}, 401, 403),  # one is made at the start, and this is not it
        ({"metrics": "token", "trusted_proxies": "127.0.0.1"}, 401, 401),
        ({"metrics": "token", "operator_token": "open-sesame"}, 401, 200),
        ({"metrics": "loopback", "trusted_proxies": "127.0.0.1", "operator_token": "open-sesame"}, 401, 200),
        ({"metrics": "open"}, 200, 200),
    ],
)
def test_the_setting_says_who_else(make_site: MakeSite, settings: dict[str, str], direct: int, token: int) -> None:
    client = make_site(**settings).client
    assert client.get("/metrics").status_code == direct
    assert client.get("/metrics", headers={"Authorization": "Bearer open-sesame"}).status_code == token


def test_behind_a_proxy_of_this_machine_the_refusal_says_why_and_what_to_do(make_site: MakeSite) -> None:
    said = (
        make_site(metrics="loopback", trusted_proxies="127.0.0.1", operator_token="open-sesame")
        .client.get("/metrics")
        .json()["error"]["message"]
    )
    assert (
        "from a trusted proxy's address" in said
        and "PLAYGROUND_TRUSTED_PROXIES" in said
        and "PLAYGROUND_METRICS=open" in said
    )
    said = (
        make_site(metrics="token", trusted_proxies="127.0.0.1", operator_token="open-sesame")
        .client.get("/metrics")
        .json()["error"]["message"]
    )
    assert "proxy" not in said


def test_a_wrong_token_is_refused_and_counts_as_a_change(make_site: MakeSite) -> None:
    client = make_site(metrics="token", operator_token="open-sesame", changes_per_minute=2).client
    statuses = [client.get("/metrics", headers=bearer({"control_token": "guess"})).status_code for _ in range(3)]
    assert statuses == [403, 403, 429]


# What it costs.


@story
async def test_the_oldest_due_is_found_at_once_among_many(tmp_path: Path) -> None:
    """50,000 in one queue and 500 queues of one: one step of an index for each queue, whatever it holds."""
    store = open_store(f"sqlite:///{tmp_path}/many.db", synchronous="normal")
    try:
        assert await store.oldest_due() is None

        def of(queue: str, n: int, first: int) -> list[NewInstance]:
            return [NewInstance("", f"i{first + k}", "w", "s", None, queue) for k in range(n)]

        await store.create(of("z", 50_000, 0), at=2_000)
        await store.create([of(f"a{n}", 1, 100_000 + n)[0] for n in range(500)], at=3_000)
        assert await store.oldest_due() == 2_000
        await store.create(of("b", 1, 200_000), at=1_000)
        assert await store.oldest_due() == 1_000
        limits = ClaimLimits(QueueLimit(0), own={"b": QueueLimit(1)})
        assert instructions(tmp_path / "many.db") < 502 * 200, "one that read the long lane would take 500,000"
        (row,) = await claim(store, 1, at=5_000, limits=limits)
        assert (row.queue, await store.oldest_due()) == ("b", 2_000)
    finally:
        await store.close()


def instructions(file: Path) -> int:
    """How many instructions of SQLite's machine it takes to find the oldest due, to the nearest hundred."""
    counted = [0]

    def count() -> None:
        counted[0] += 100

    with closing(sqlite3.connect(file)) as db:
        db.set_progress_handler(count, 100)
        db.execute(NamedSql(Path(store.__file__).with_name("queries.sql"))["oldest_due"], (store.LANES_MAX,)).fetchone()
    return counted[0]


def test_counting_a_commit_costs_next_to_nothing() -> None:
    metrics = StoreMetrics()
    since = time.thread_time()
    for _ in range(20_000):
        metrics.commits += 1
        metrics.events += 3
        metrics.seconds.add(0.0007)
    assert (time.thread_time() - since) / 20_000 < 20e-6, "measured: 0.3 us of processor time"
    assert (sum(metrics.seconds.counts), metrics.seconds.counts[2]) == (20_000, 20_000)
