"""The server's log: a flood stays out, and what an operator must know is said.

That its table is whole, test_readme.py proves.
"""

import io
import logging
import re
import sqlite3
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from aio import run
from http_support import APPROVAL, HELLO, Log, Site
from server_support import Server, ask
from tenants_support import make_key

from playground.log import open_log
from playground.log_lines import FIELDS, LINES, MAX_KEYS, MAX_LINES_PER_MINUTE, RateLimitedLog
from playground.sandbox import tiers
from playground.serving import CannotServe, serve
from playground.settings import Settings, non_default_settings, without_password
from playground.store import open_store

ROOT = Path(__file__).parent.parent
OPERATING = ROOT / "docs" / "operating.md"
TABLE = {line.event: line for line in LINES}


def test_every_row_says_what_to_do_and_of_which_fields_a_flood_is_told_once() -> None:
    assert len(TABLE) == len(LINES)
    for line in LINES:
        assert line.when.endswith(".") and line.what_to_do.endswith((".", "say so."))
        assert set(line.fields) <= FIELDS.keys(), line.event
        assert set(line.once_per or ()) <= set(line.fields), line.event
    assert FIELDS.keys() == {name for line in LINES for name in line.fields} | {"more"}


# A flood.


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def now(self) -> float:
        return self.seconds


def test_the_first_of_a_minute_is_told_and_the_next_says_how_many_were_left_out() -> None:
    clock, told = Clock(), Log()
    log = RateLimitedLog(told, clock.now)
    for client in ("a", "a", "b", "a"):
        log("limit", limit="starts_per_minute", whose=client)
    log("limit", limit="streams_per_address", whose="a")
    clock.seconds += 59
    log("limit", limit="starts_per_minute", whose="a")
    clock.seconds += 1
    log("limit", limit="starts_per_minute", whose="a", what="again")
    assert [(fields["limit"], fields["whose"], fields.get("more")) for _, fields in told] == [
        ("starts_per_minute", "a", None),
        ("starts_per_minute", "b", None),
        ("streams_per_address", "a", None),
        ("starts_per_minute", "a", 3),
    ]
    assert {fields["level"] for _, fields in told} == {"warning"}


def test_from_however_many_addresses_it_is_so_many_lines_a_minute_and_so_much_memory() -> None:
    clock, told = Clock(), Log()
    log = RateLimitedLog(told, clock.now)
    for number in range(MAX_LINES_PER_MINUTE + 100):
        log("limit", limit="reads_per_minute", whose=str(number))
    assert len(told) == MAX_LINES_PER_MINUTE
    log("start", version="1")
    log("start", version="1")
    assert len(told.of("start")) == 2, "what comes once is always told"
    clock.seconds += 60
    log("limit", limit="reads_per_minute", whose="new")
    assert told[-1][1]["more"] == 100
    for minute in range(MAX_KEYS // MAX_LINES_PER_MINUTE + 2):
        clock.seconds += 60
        for number in range(MAX_LINES_PER_MINUTE):
            log("limit", limit="reads_per_minute", whose=f"{minute} {number}")
    assert len(log._seen) == MAX_KEYS


def test_lines_of_libraries_are_told_once_a_minute_for_each_message() -> None:
    clock, told = Clock(), Log()
    log = RateLimitedLog(told, clock.now)
    for _ in range(50):
        log("uvicorn.error", level="warning", message="Invalid HTTP request received.")
    log("uvicorn.error", level="warning", message="another")
    assert [fields["message"] for _, fields in told] == ["Invalid HTTP request received.", "another"]


def test_what_a_client_wrote_can_neither_begin_a_line_nor_steer_a_terminal() -> None:
    stream = io.StringIO()
    log = open_log(stream)
    log(
        "refused",
        status=404,
        code="not_found",
        method="GET",
        route="/a\n2026 start level=info\x1b[2J\u202e",
        client="::1",
        why='say "x" \\',
    )
    (line,) = stream.getvalue().splitlines()
    assert " refused level=info status=404 code=not_found method=GET " in line
    assert r'route="/a\n2026 start level=info\x1b[2J\u202e"' in line
    assert r'why="say \"x\" \\"' in line


def test_a_log_that_nobody_reads_any_more_stops_nothing() -> None:
    stream = io.StringIO()
    log = open_log(stream)
    stream.close()
    log("start", version="1")


# What is said.


def test_a_server_tells_of_its_start_and_its_stop_and_keeps_its_secrets(tmp_path: Path) -> None:
    server = Server(tmp_path, "--operator-token", "open-sesame", "--starts-per-minute", "7").start()
    try:
        made = server.url  # it serves
    finally:
        assert server.stop() == 0
    text = "".join(server.printed)
    (start,) = [line for line in server.printed if " start level=info " in line]
    assert f"address={made.removeprefix('http://')} " in start
    assert re.search(r" tier=[ABC] store=sqlite:///\S+ synchronous=full slots=\d+ descriptors=\d+ settings=\"", start)
    assert "operator_token=(set)" in start and "starts_per_minute=7" in start
    assert "open-sesame" not in text
    assert re.search(r" stop level=info running=0 streams=0\n.* stopped level=info seconds=\d", text)


def test_settings_that_differ_are_shown_without_secrets() -> None:
    assert non_default_settings(Settings()) == "none"
    assert non_default_settings(Settings(operator_token="x", port=1)) == "port=1 operator_token=(set)"
    assert without_password("postgresql://me:hush@host/db") == "postgresql://me@host/db"
    assert without_password("sqlite:///a@b.db") == "sqlite:///a@b.db"


def test_a_tier_that_is_not_enough_is_refused_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("playground.sandbox.launch.layer_names", lambda launch, memory_group: (tiers.LIMITS,))
    monkeypatch.setattr(logging.root, "handlers", logging.root.handlers[:])  # the server takes over what libraries log
    with pytest.raises(CannotServe, match="Tier D"):
        serve(Settings(port=0, database=f"sqlite:///{tmp_path}/x.db"))
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "sandbox.refused" in line]
    assert "level=error" in line and "NOT isolated" in line


def test_a_run_that_a_dead_server_left_is_told_of(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    body = HELLO.replace('print("hello")', "import time; time.sleep(30)")
    made = ask(server.url + "/api/instances", {"source": body})
    with urllib.request.urlopen(f"{server.url}/api{made['url']}/stream", timeout=30) as stream:
        assert any(b"attempt_started" in line for line in stream)
    server.kill()
    server.start()
    (line,) = [line for line in server.printed if " recovered level=info " in line]
    assert made["id"] not in line
    assert re.search(r"instance=1 status=\w+", line)
    server.stop()


def test_an_older_database_is_migrated_and_that_is_told_of(tmp_path: Path) -> None:
    schema = (ROOT / "playground" / "store" / "sqlite" / "schema" / "1.sql").read_text()
    with closing(sqlite3.connect(tmp_path / "old.db")) as db:
        db.executescript(schema + "PRAGMA application_id = 0x50475746; PRAGMA user_version = 1;")
    log = Log()
    store = open_store(f"sqlite:///{tmp_path / 'old.db'}", log=log)
    run(store.close())
    (line,) = log.of("database_migrated")
    assert line["before"] == 1 < line["after"]
    again = Log()
    run(open_store(f"sqlite:///{tmp_path / 'old.db'}", log=again).close())
    run(open_store(f"sqlite:///{tmp_path / 'new.db'}", log=again).close())
    assert again == [], "a new database is no news"


def test_what_a_tenant_changes_is_told_of_without_what_it_is(site: Site) -> None:
    key = make_key(site, "acme")
    site.log.clear()

    def change(method: str, path: str, body: Any = None) -> None:
        answer = site.client.request(
            method, f"/api/tenants/acme{path}", json=body, headers={"Authorization": f"Bearer {key}"}
        )
        assert answer.status_code < 300, answer.text

    change("PUT", "/workflow", {"source": HELLO})
    change("PUT", "/workflow", {"source": HELLO})
    change("PUT", "/secrets/api_key", {"value": "hunter2hunter2"})
    change("DELETE", "/secrets/api_key")
    change("POST", "/trigger")
    change("DELETE", "/trigger")
    change("PUT", "/workflow", {"source": APPROVAL})
    change("POST", "/instances", {"id": "moved"})
    change("PUT", "/workflow", {"source": APPROVAL + "# newer"})
    newest = site.log[-1][1]["version"]
    change("POST", "/instances/moved/migrate", {"version": newest, "force": True})
    assert [event for event, _ in site.log] == [
        "tenant.deployed", "tenant.secret_set", "tenant.secret_removed", "tenant.trigger_made",
        "tenant.trigger_removed", "tenant.deployed", "tenant.deployed", "tenant.migrated",
    ]  # fmt: skip
    assert site.log[-1][1]["version"] == newest
    assert all(fields["tenant"] == "acme" and fields["client"] == "127.0.0.1" for _, fields in site.log)
    assert "hunter2" not in str(site.log) and key not in str(site.log)


def test_the_id_of_a_run_is_in_no_line(site: Site) -> None:
    site.log.clear()
    made = site.create(id="my-secret-run")
    site.finish(made)
    assert site.operate(made, "events/x", 1).status_code == 409
    assert site.client.post("/api/instances", json={"source": HELLO, "id": "my-secret-run"}).status_code == 409
    assert site.client.post("/api/instances/my-secret-run/pause").status_code == 401
    assert len(site.log.of("refused")) == 3
    assert "my-secret-run" not in str(site.log)
