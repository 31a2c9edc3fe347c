"""Every limit of a public server: it is a setting with a number, it is kept, and who meets it is told what to do."""

import dataclasses
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aio import run
from http_support import APPROVAL, DEADLINE, HELLO, Site, bearer, running_sandbox
from puppet_support import do, done, frame, staged

from playground.engine.quota import StoredPerDay
from playground.settings import Settings
from playground.store import disk
from playground.web.pretty import pretty
from playground.web.rates import PerMinute

LIMITS = (
    "source_bytes", "value_bytes", "instance_bytes", "log_bytes", "step_limit", "journal_events", "attempt_cpu_seconds",
    "worker_cpu_seconds", "attempt_wall_seconds", "worker_memory_bytes", "worker_losses", "starts_per_minute", "checks_per_minute",
    "snippets_per_minute", "changes_per_minute", "reads_per_minute", "running_per_address", "running_per_tenant",
    "connections_per_address", "streams_per_address", "stream_send_seconds", "queue_length", "queued_per_tenant", "head_bytes",
    "head_seconds", "body_seconds", "stored_per_day", "free_disk_bytes", "requests_per_tenant", "retention_days",
)  # fmt: skip
IN_A_STEP = """\
from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("it", config={{"retries": {{"limit": 0, "delay": 0}}}})
        async def it():
            {body}

        return await it()
"""


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def site(running: Any, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(**settings: Any) -> Site:
        made.append(Site(*running, tmp_path, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_each_is_a_setting_with_a_number_and_a_sentence() -> None:
    rows = {row.name: row for row in dataclasses.fields(Settings)}
    for name in LIMITS:
        assert type(rows[name].default) is int, name
        assert rows[name].default > 0, name
        assert rows[name].metadata["help"], name


def refused(answer: Any, status: int, *words: str, wait: bool = False) -> dict[str, Any]:
    """The error of an answer, whose message holds these words and, where one can wait, says for how long."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    for word in words:
        assert word in error["message"], error
    assert ("retry-after" in answer.headers) == wait
    if wait:
        assert 1 <= int(answer.headers["retry-after"]) <= 86_400
        assert error["retry_after"] == int(answer.headers["retry-after"])
    return dict(error)


@pytest.mark.parametrize("path", ["/api/check", "/api/snippets", "/api/instances"])
def test_a_source_that_is_too_large(site: Callable[..., Site], path: str) -> None:
    answer = site(source_bytes=1_000).client.post(path, json={"source": "#" * 1_001})
    refused(answer, 413, "1,001 bytes", "1,000", "Move data out of the code, into params.")


@pytest.mark.parametrize("path", ["/api/snippets", "/api/instances"])
def test_params_that_are_too_large(site: Callable[..., Site], path: str) -> None:
    answer = site(value_bytes=1_000).client.post(path, json={"source": HELLO, "params": "x" * 1_000})
    refused(answer, 413, "The params is 1,002 bytes", "1,000", "Keep large data elsewhere and store its address.")


def test_a_body_that_is_too_large_is_not_even_read(site: Callable[..., Site]) -> None:
    made = site(value_bytes=1_000, source_bytes=1_000)
    with socket.create_connection(("127.0.0.1", made.port), timeout=DEADLINE) as raw:
        raw.sendall(b"POST /api/instances HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        assert raw.recv(65_536).startswith(b"HTTP/1.1 413")


def test_an_event_that_is_too_large(site: Callable[..., Site]) -> None:
    made = site(value_bytes=1_000)
    instance = made.create(APPROVAL)
    answer = made.operate(instance, "events/approved", "x" * 1_000)
    refused(answer, 413, "The event payload is 1,002 bytes", "1,000")


def test_a_large_event_counts_for_more_than_a_small_one(site: Callable[..., Site]) -> None:
    made = site(changes_per_minute=10)
    instance = made.create(APPROVAL)
    assert made.operate(instance, "events/other", "x" * 1_000_000).status_code == 202
    refused(made.operate(instance, "events/other", "x"), 429, "10 changes in a minute", "The next is possible in", wait=True)


def test_a_result_that_is_too_large(site: Callable[..., Site]) -> None:
    made = site(value_bytes=1_000)
    shown = made.finish(made.create(IN_A_STEP.format(body='return "x" * 1_000')))
    assert shown["error"]["name"] == "NotSerialisableError"
    assert "1,002 bytes when stored; the limit is 1,000. Keep large data elsewhere" in shown["error"]["message"]


def test_lines_past_the_budget_are_counted(site: Callable[..., Site]) -> None:
    made = site(log_bytes=1_000)
    instance = made.create(IN_A_STEP.format(body='print("x" * 900); print("y" * 900); print("z")'))
    journal = made.until(instance, "workflow_completed")
    assert [event["data"]["text"][0] for event in journal if event["type"] == "log"] == ["x"]
    assert [event["data"] for event in journal if event["type"] == "log_truncated"] == [{"dropped": 901}]


def test_more_steps_than_there_may_be(site: Callable[..., Site]) -> None:
    made = site(step_limit=5)
    source = IN_A_STEP.format(body="pass").replace("return await it()", 'for _ in range(9): await step.do("n", lambda: None)')
    assert "The limit of 5 steps has been reached" in made.finish(made.create(source))["error"]["message"]


@pytest.mark.parametrize(
    ("settings", "body", "words"),
    [
        (
            {"attempt_cpu_seconds": 1},
            "while True: pass",
            ("processor time: the worker used more than 1 s", "split it into several"),
        ),
        (
            {"attempt_wall_seconds": 1},
            "import asyncio; await asyncio.sleep(60)",
            ("attempt time: more than 1 s", "to wait, use step.sleep"),
        ),
        (
            {"instance_bytes": 1_000},
            'return "x" * 1_000',
            ("storage: the instance holds more than 1,000 bytes", "store its address"),
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_worker_over_its_limit_is_told_which_where_and_what_to_do(
    site: Callable[..., Site], settings: dict[str, int], body: str, words: tuple[str, ...]
) -> None:
    made = site(**settings)
    error = made.finish(made.create(IN_A_STEP.format(body=body)))["error"]
    assert error["name"] == "LimitExceeded"
    assert 'while step "it-1" ran' in error["message"]
    for word in words:
        assert word in error["message"]


def test_memory_past_the_limit_is_an_error_of_the_code(site: Callable[..., Site]) -> None:
    made = site()
    assert made.finish(made.create(IN_A_STEP.format(body="return len(bytearray(1 << 40))")))["error"]["name"] == "MemoryError"


def test_starts_in_a_minute_and_how_many_are_left(site: Callable[..., Site]) -> None:
    made = site(starts_per_minute=3)
    left = []
    for _ in range(3):
        answer = made.client.post("/api/instances", json={"source": HELLO})
        assert answer.status_code == 201
        assert answer.headers["ratelimit-policy"] == '"checks_per_minute";q=100000;w=60, "starts_per_minute";q=3;w=60'
        found = re.fullmatch(r'"checks_per_minute";r=99\d+;t=\d+, "starts_per_minute";r=(\d);t=(\d+)', answer.headers["ratelimit"])
        assert found and 1 <= int(found[2]) <= 60
        left.append(int(found[1]))
    assert left == [2, 1, 0]
    answer = made.client.post("/api/instances", json={"source": HELLO})
    error = refused(answer, 429, "3 runs in a minute from your address, which is the limit here. You can run again in", wait=True)
    assert (error["code"], error["setting"], error["limit"]) == ("too_many", "starts_per_minute", 3)
    assert '"starts_per_minute";r=0;t=' in answer.headers["ratelimit"]


@pytest.mark.parametrize(
    ("setting", "method", "path", "body", "words"),
    [
        ("checks_per_minute", "POST", "/api/check", {"source": HELLO}, "2 checks in a minute"),
        ("snippets_per_minute", "POST", "/api/snippets", {"source": HELLO}, "2 links in a minute"),
        ("reads_per_minute", "GET", "/api/examples", None, "2 requests in a minute"),
        ("changes_per_minute", "POST", "/api/instances/nobody/pause", None, "2 changes in a minute"),
    ],
)
def test_what_an_address_may_ask_for_in_a_minute(
    site: Callable[..., Site], setting: str, method: str, path: str, body: Any, words: str
) -> None:
    client = site(**{setting: 2}).client
    for _ in range(2):
        assert client.request(method, path, json=body).status_code != 429
    refused(client.request(method, path, json=body), 429, words, "from your address", wait=True)


def test_files_of_the_page_are_not_counted(site: Callable[..., Site]) -> None:
    client = site(reads_per_minute=1).client
    assert [client.get("/favicon.ico").status_code for _ in range(4)] == [302] * 4  # to its file


def test_streams_of_an_address(site: Callable[..., Site]) -> None:
    made = site(streams_per_address=1)
    instance = made.create(APPROVAL)
    with made.client.stream("GET", f"/api{instance['url']}/stream") as first:
        assert first.status_code == 200
        answer = made.client.get(f"/api{instance['url']}/stream")
        refused(answer, 429, "1 event streams are open from your address", "Close a tab", wait=True)


def test_connections_of_an_address(site: Callable[..., Site]) -> None:
    made = site(connections_per_address=3)
    held = [socket.create_connection(("127.0.0.1", made.port), timeout=DEADLINE) for _ in range(3)]
    try:
        for each in held:
            each.sendall(b"GET /robots.txt HTTP/1.1\r\nHost: x\r\n\r\n")
            assert each.recv(65_536).startswith(b"HTTP/1.1 200")
        with socket.create_connection(("127.0.0.1", made.port), timeout=DEADLINE) as fourth:
            said = fourth.recv(65_536)
        assert said.startswith(b"HTTP/1.1 429")
        assert b"retry-after: 10" in said
        assert b"3 connections are open from your address" in said
    finally:
        for each in held:
            each.close()
    answer = made.client.get("/healthz")
    assert answer.status_code == 200


def test_connections_through_a_trusted_proxy_are_not_counted(site: Callable[..., Site]) -> None:
    made = site(connections_per_address=1, trusted_proxies="127.0.0.1")
    held = [socket.create_connection(("127.0.0.1", made.port), timeout=DEADLINE) for _ in range(5)]
    for each in held:
        each.sendall(b"GET /robots.txt HTTP/1.1\r\nHost: x\r\n\r\n")
        assert each.recv(65_536).startswith(b"HTTP/1.1 200")
        each.close()


def test_a_full_queue(site: Callable[..., Site]) -> None:
    made = site(queue_length=1, running_per_address=1)
    running = made.create(APPROVAL)
    made.until(running, "wait_started")
    made.create(HELLO)
    answer = made.client.post("/api/instances", json={"source": HELLO})
    refused(answer, 503, "The server is full: 1 instances are queued.", "Try again in a minute.", wait=True)


def test_instances_of_one_address_run_a_few_at_once_and_the_others_after_them(site: Callable[..., Site]) -> None:
    made = site(running_per_address=1)
    first = made.create(APPROVAL)
    made.until(first, "wait_started")
    second = made.create(HELLO)
    assert made.client.get(f"/api{second['url']}").json()["status"] == "queued"
    made.client.post(f"/api{first['url']}/terminate", headers=bearer(first))
    assert made.finish(second)["status"] == "complete"


def test_what_an_address_stores_in_a_day(site: Callable[..., Site]) -> None:
    made = site(stored_per_day=20_000)
    shown = made.finish(made.create(IN_A_STEP.format(body='return "x" * 30_000')))
    assert "storage: your address has stored more than 20,000 bytes within a day" in shown["error"]["message"]
    for path in ("/api/instances", "/api/snippets"):
        answer = made.client.post(path, json={"source": HELLO})
        refused(
            answer, 429, "What your address has stored in a day is at its limit of 20,000 bytes.", "run again in 24 h", wait=True
        )


def test_bytes_of_a_day_are_given_back_hour_by_hour() -> None:
    now = [0]
    stored = StoredPerDay(100, lambda: now[0])
    assert stored.add("addr:a", 60)
    now[0] = 5 * 3_600_000
    assert stored.add("addr:a", 40)
    assert stored.hours_until_room("addr:a") == 19
    assert not stored.add("addr:a", 1)
    assert stored.hours_until_room("addr:b") == 0
    now[0] = 24 * 3_600_000
    assert stored.hours_until_room("addr:a") == 0


def test_nothing_new_is_started_on_a_full_disk(site: Callable[..., Site], tmp_path: Path) -> None:
    free = disk.free_bytes(f"sqlite:///{tmp_path / 'x.db'}")
    assert free is not None and free > 0
    assert disk.free_bytes("postgresql://host/db") is None
    made = site(free_disk_bytes=free * 10)
    answer = made.client.post("/api/instances", json={"source": HELLO})
    refused(answer, 503, "disk is nearly full", "Try again in some hours", wait=True)
    assert made.log.of("disk_full")


def test_an_amount_counts_as_so_many() -> None:
    counted = PerMinute(10, "", lambda: 0)
    assert counted.may("a", 7)
    assert counted.allowance("a").left == 3
    assert counted.may("a", 7)
    assert (counted.allowance("a").left, counted.may("a")) == (0, False)
    assert counted.may("b")


def test_an_attempt_that_waits_holds_its_worker_no_longer_than_it_may(tmp_path: Path) -> None:
    async def story() -> None:
        async with staged(tmp_path, attempt_wall_seconds=1) as stage:
            row, puppet = await stage.begin()
            await puppet.say(do())
            assert "attempt time: more than 1 s" in (await stage.end(row)).error["message"]
            row, puppet = await stage.begin()
            await puppet.say(do(), done(), frame(op="finish"))
            assert (await stage.end(row)).status == "complete"

    run(story())


def test_params_are_shown_on_many_lines_where_that_keeps_them_small() -> None:
    assert pretty(b'{"a":[1,{}]}') == '{\n  "a": [\n    1,\n    {}\n  ]\n}'
    for hostile in (b"[" * 90 + b"1," * 9_000 + b"1" + b"]" * 90, b"[" + b"[]," * 300_000 + b"1]"):
        assert len(pretty(hostile)) <= 8 * len(hostile)
