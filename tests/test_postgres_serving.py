"""A whole server on PostgreSQL, as one changes a URL and nothing else: runs, pages, operators' commands, kill -9."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from http_support import APPROVAL, HELLO
from server_support import Server

ROOT = Path(__file__).parent.parent
PASSWORD = "hush-hush"
SECONDS = 30.0


@pytest.fixture
def url(postgres_url: str) -> str:
    """With a password, which this server does not ask for."""
    return postgres_url.replace("@/", f":{PASSWORD}@/")


@pytest.fixture
def server(url: str, tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path, "--database", url, "--operator-token", "op").start()
    yield running
    running.stop()
    assert PASSWORD not in "".join(running.printed)


def create(server: Server, source: str) -> dict[str, Any]:
    answer = httpx2.post(f"{server.url}/api/instances", json={"source": source}, timeout=SECONDS)
    made: dict[str, Any] = answer.raise_for_status().json()
    return made


def follow(server: Server, made: dict[str, Any], type: str) -> None:
    """Read the instance's stream until an event of this type."""
    with httpx2.stream("GET", f"{server.url}/api{made['url']}/stream", timeout=SECONDS) as answer:
        assert any(f'"type":"{type}"' in line for line in answer.iter_lines())


JSON = {"Accept": "application/json"}


def test_a_server_on_postgresql_runs_code_and_says_what_it_stands_on(server: Server, url: str) -> None:
    made = create(server, HELLO)
    follow(server, made, "workflow_completed")
    health = httpx2.get(f"{server.url}/healthz").json()
    assert health["store"]["kind"] == "postgresql"
    about = httpx2.get(f"{server.url}/about", headers={"Accept": "text/html"}).text
    assert "PostgreSQL" in about and "SQLite" not in about
    metrics = httpx2.get(f"{server.url}/metrics").text
    assert "playground_build_info{" in metrics and "postgresql" in metrics.lower(), metrics[:2_000]
    assert httpx2.get(f"{server.url}/readyz").status_code == 200
    for text in (str(health), about, metrics):
        assert PASSWORD not in text
    started = "".join(server.printed)
    assert url.partition("?")[0].replace(f":{PASSWORD}", "") in started


def command(url: str, *words: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    whole = [sys.executable, "-m", "playground", *words, "--database", url]
    return subprocess.run(whole, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS)


def test_operators_commands_make_and_revoke_keys_on_it_while_it_serves(server: Server, url: str) -> None:
    made = command(url, "tenant-key", "create", "acme")
    assert made.returncode == 0, made.stderr
    key = {"Authorization": f"Bearer {made.stdout.split()[0]}"}
    assert httpx2.get(f"{server.url}/tenants/acme", headers=key | JSON).status_code == 200
    assert "1" in command(url, "tenant-key", "list", "acme").stdout
    assert command(url, "tenant-key", "revoke", "acme", "1").returncode == 0
    assert httpx2.get(f"{server.url}/tenants/acme", headers=key | JSON).status_code == 403
    wrong = command(url.replace("host=", "host=/nowhere"), "tenant-key", "list", "acme")
    assert wrong.returncode == 2 and PASSWORD not in wrong.stderr and len(wrong.stderr.splitlines()) == 1


def test_a_server_that_was_killed_finds_its_runs_again(server: Server) -> None:
    made = create(server, APPROVAL)
    follow(server, made, "wait_started")
    server.kill()
    server.start()
    key = {"Authorization": f"Bearer {made['control_token']}"}
    approve = f"{server.url}/api{made['url']}/events/approved"
    answer = httpx2.post(approve, json={"approved": True}, headers=key, timeout=SECONDS)
    assert answer.status_code < 300, answer.text
    follow(server, made, "workflow_completed")
