"""kill -9 takes a real server that is at an operation on many runs: the next one goes on at once, reports on every run,
and nothing is done twice.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
from dispatch_support import workflow
from server_support import Server

RUNS = 20
PER_SECOND = 10  # a first half at once, a second half a second later
SECONDS = 30
SOURCE = workflow("""
    await step.do("first", lambda: 1)
    return await step.do("second", lambda: 2)
    """)


class Tenants:
    """A server in a folder, and its tenant `acme`."""

    def __init__(self, folder: Path) -> None:
        options = ("--operator-token", "op", "--parked-workers", "1", "--bulk-per-second", str(PER_SECOND))
        self._file, self._server = folder / "playground.db", Server(folder, *options).start()
        operator = {"Authorization": "Bearer op"}
        url = f"{self._server.url}/api/tenants/acme/keys"
        self._key = httpx2.post(url, headers=operator, json={}, timeout=SECONDS).raise_for_status().json()["key"]

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        url, headers = f"{self._server.url}/api/tenants/acme{path}", {"Authorization": f"Bearer {self._key}"}
        return httpx2.request(method, url, headers=headers, json=body, timeout=SECONDS).raise_for_status().json()

    def count(self, condition: str) -> int:
        """Instances of which something is true."""
        with closing(sqlite3.connect(f"file:{self._file}?mode=ro", uri=True)) as db:
            return int(db.execute(f"SELECT count(*) FROM instance WHERE {condition}").fetchone()[0])

    def until(self, condition: str, least: int) -> None:
        while self.count(condition) < least:
            pass

    def killed_in(self, changed: str, *operations: dict[str, Any]) -> list[dict[str, Any]]:
        """Operations that have ended, whose server was killed when the first had changed some runs."""
        begun = [self.ask("POST", "/bulk", operation) for operation in operations]
        assert {it["matched"] for it in begun} == {RUNS}
        self.until(changed, 1)
        self._server.kill()
        self._server.start()
        return [self._ended(it["id"]) for it in begun]

    def _ended(self, id: str) -> dict[str, Any]:
        while (found := self.ask("GET", f"/bulk/{id}"))["state"] == "running":
            pass
        assert (found["state"], found["done"] + found["unchanged"] + found["failed"]) == ("done", RUNS)
        return dict(found)

    def stop(self) -> None:
        self._server.stop()


@pytest.fixture
def acme(tmp_path: Path) -> Iterator[Tenants]:
    made = Tenants(tmp_path)
    yield made
    made.stop()


@pytest.mark.long
def test_an_operation_on_many_runs_goes_on_where_its_server_was_killed(acme: Tenants) -> None:
    acme.ask("PUT", "/workflow", {"source": SOURCE})
    ended = acme.ask("POST", "/instances/batch", {"count": RUNS, "tags": ["all"]})["created"]
    acme.until("status = 'complete'", RUNS)

    late = [{"delay": "1 day", "tags": ["late"]}] * RUNS
    acme.ask("POST", "/instances/batch", {"instances": late})

    restart = {"operation": "restart", "filter": {"tag": "all"}, "from_step": {"name": "second"}}
    terminate = {"operation": "terminate", "filter": {"tag": "late"}}
    restarted, terminated = acme.killed_in("generation > 1", restart, terminate)
    acme.until("status = 'complete'", RUNS)
    assert acme.count("generation = 2") == RUNS
    assert restarted["done"] + restarted["failed"] == RUNS, "what was restarted is not restarted again, but reported"
    assert {it["code"] for it in restarted["failures"]} <= {"bulk.restarted"}
    assert terminated["failed"] == 0
    assert acme.count("status = 'terminated' AND last_seq = 3") == RUNS, "queued, tagged, ended once"

    fork = {"operation": "fork", "filter": {"tag": "all"}, "from_step": {"name": "second"}}
    [forked] = acme.killed_in(f"key > {2 * RUNS}", fork)
    forks = [acme.ask("GET", f"/instances/{made['id']}")["forks"] for made in ended]
    assert acme.count(f"key > {2 * RUNS}") == RUNS and {len(its) for its in forks} == {1} and forked["failed"] == 0
