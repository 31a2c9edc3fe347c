"""Alive and ready are two questions: `/healthz` says that the process lives, `/readyz` whether runs can begin, and why
not.
"""

import asyncio
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from aio import story
from http_support import HELLO, Log, MakeSite, Site, settled
from store_support import POSTGRES, SQLITE
from test_cli import ROOT, SECONDS

from playground import process
from playground.sandbox.pool import Sandbox


def reasons(site: Site) -> list[str]:
    """What keeps a site from being ready; that it lives is seen on the way."""
    assert site.client.get("/healthz").json()["status"] == "ok"
    answer = site.client.get("/readyz")
    if answer.status_code == 200:
        assert answer.json() == {"status": "ready"}
        return []
    assert answer.status_code == 503
    error = answer.json()["error"]
    assert error["code"] == "busy" and all(it["why"] in error["message"] for it in error["reasons"])
    return [it["what"] for it in error["reasons"]]


def test_a_server_that_can_work_is_ready(make_site: MakeSite) -> None:
    assert reasons(make_site()) == []


def test_a_disk_below_its_floor_is_no_reason_to_restart_but_to_go_elsewhere(make_site: MakeSite) -> None:
    assert reasons(make_site(free_disk_bytes=10**18)) == ["disk"]


def test_commits_that_fail_are_seen_until_one_succeeds(make_site: MakeSite) -> None:
    site = make_site()
    settled(site, lambda: site.context.engine.at_rest)  # what a start removes is a commit, too
    path = site.settings.database.removeprefix("sqlite:///")
    trigger = "CREATE TRIGGER broken BEFORE {} BEGIN SELECT RAISE(ABORT, 'no room'); END"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(trigger.format("INSERT ON instance").replace("broken", "one"))
        db.execute(trigger.format("INSERT ON usage").replace("broken", "two"))
        assert site.client.post("/api/instances", json={"source": HELLO}).status_code == 500
        assert reasons(site) == ["commits"]
        db.execute("DROP TRIGGER one")
        db.execute("DROP TRIGGER two")
    assert reasons(site) == [], "it tried by itself: nobody else needs to ask for something first"
    assert site.finish(site.create(HELLO))["status"] == "complete"


def test_without_a_fork_server_it_is_not_ready(make_site: MakeSite, monkeypatch: pytest.MonkeyPatch) -> None:
    site = make_site()
    monkeypatch.setattr(Sandbox, "zygote", None)
    assert reasons(site) == ["isolation"]


@pytest.mark.parametrize("kind", [SQLITE, POSTGRES])
def test_without_a_lease_it_is_not_ready_until_it_has_another(
    make_site: MakeSite, request: pytest.FixtureRequest, kind: str
) -> None:
    site = make_site(**({"database": request.getfixturevalue("postgres_url")} if kind == POSTGRES else {}))
    assert reasons(site) == []
    membership = site.engine._scheduler.membership
    lease, membership.lease = membership.lease, None
    assert reasons(site) == ["lease"]
    message = site.client.get("/readyz").json()["error"]["message"]
    assert "renewed its lease" in message and "runs nothing until it has another" in message
    membership.lease = lease
    assert reasons(site) == []


@contextmanager
def few_descriptors(spare: int) -> Iterator[None]:
    before, held = resource.getrlimit(resource.RLIMIT_NOFILE), [os.open("/dev/null", os.O_RDONLY) for _ in range(200)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (process.open_descriptors() + spare, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for handle in held:
            os.close(handle)


def test_few_descriptors_left_are_a_reason(make_site: MakeSite) -> None:
    site = make_site()
    assert reasons(site) == []
    with few_descriptors(spare=4):
        assert reasons(site) == ["descriptors"]
    assert reasons(site) == []


@story
async def test_few_descriptors_left_are_told_in_the_log() -> None:
    log = Log()
    watching = asyncio.create_task(process.watch_descriptors(log, seconds=0))
    for _ in range(5):
        await asyncio.sleep(0)
    assert log == []
    with few_descriptors(spare=2):
        while not log:
            await asyncio.sleep(0)
    watching.cancel()
    assert log[0][0] == "descriptors_low" and log[0][1]["most"] - log[0][1]["open"] <= 3


def run(soft: int, hard: int, code: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n" + code
    return subprocess.run(
        [sys.executable, "-c", limited],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_the_limit_is_raised_to_what_it_may_be(tmp_path: Path) -> None:
    code = "from playground import process; print(process.raise_descriptor_limit(), process.descriptor_limit())"
    done = run(64, 512, code, tmp_path)
    assert done.stdout == "512 512\n", done.stderr


def test_with_too_few_descriptors_it_says_so_on_one_line_and_exits_with_2(tmp_path: Path) -> None:
    code = "import sys; from playground.cli import main; sys.exit(main(['--port', '0'], {}))"
    done = run(64, 64, code, tmp_path)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "may have 64 files and connections open, and takes at least 256; do `ulimit -n 4096`" in done.stderr
    assert list(tmp_path.iterdir()) == []
