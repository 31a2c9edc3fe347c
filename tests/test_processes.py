"""Several processes behind one port: `playground --processes 2` on a PostgreSQL database."""

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from http_support import APPROVAL, HELLO, bearer, messages
from sandbox_support import children
from server_support import Server

SECONDS = 60


@pytest.fixture
def start(tmp_path: Path, postgres_url: str) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def start(*options: str) -> Server:
        server = Server(tmp_path, "--database", postgres_url, "--processes", "2", "--parked-workers", "1", *options)
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.stop()


def nodes(server: Server) -> list[int]:
    """The processes that serve."""
    return [pid for pid in children(server.pid) if b"playground.processes" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def starts(server: Server) -> int:
    return sum(" start " in line for line in server.printed)


def until(server: Server, is_true: Callable[[], bool]) -> None:
    """Wait for lines of the log until something is true."""
    heard = threading.Event()

    class Heard(list[str]):
        def append(self, line: str) -> None:
            super().append(line)
            heard.set()

    server.printed = Heard(server.printed)
    while not is_true():
        assert heard.wait(SECONDS), "".join(server.printed)
        heard.clear()


def gone(pids: list[int]) -> bool:
    """Wait until processes that are not ours have ended."""
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if not select.select([handle], [], [], SECONDS)[0]:
                return False
        finally:
            os.close(handle)
    return True


def finish(server: Server, made: dict[str, str]) -> dict[str, object]:
    """Follow a run to its end over as many connections as it takes."""
    while True:
        try:
            with (
                httpx2.Client(base_url=server.url, timeout=SECONDS) as client,
                client.stream("GET", f"/api{made['url']}/stream") as stream,
            ):
                if any(message.get("event") == "end" for message in messages(stream)):
                    return dict(client.get(f"/api{made['url']}").json())
        except httpx2.HTTPError:
            continue  # its node has ended


def create(server: Server, source: str = HELLO) -> dict[str, str]:
    with httpx2.Client(base_url=server.url, timeout=SECONDS) as client:
        return dict(client.post("/api/instances", json={"source": source, "params": {"name": "Ada"}}).json())


def test_both_processes_serve_every_run_and_stop_on_sigterm(start: Callable[..., Server]) -> None:
    server = start()
    until(server, lambda: starts(server) == 2)
    assert len(nodes(server)) == 2
    for made in [create(server) for _ in range(6)]:
        assert finish(server, made)["output"] == {"greeting": "Hello, Ada!"}
    serving = nodes(server)
    assert server.stop() == 0
    assert gone(serving)
    assert sum(line.startswith("Serving on ") for line in server.printed) == 1


def test_a_process_that_is_killed_is_started_again_and_loses_nothing(start: Callable[..., Server]) -> None:
    server = start()
    until(server, lambda: starts(server) == 2)
    runs = [create(server, APPROVAL) for _ in range(4)]
    for pid in nodes(server):
        os.kill(pid, signal.SIGKILL)
    until(server, lambda: starts(server) == 4)
    assert sum("process_ended" in line for line in server.printed) == 2
    with httpx2.Client(base_url=server.url, timeout=SECONDS) as client:
        for made in runs:
            sent = client.post(f"/api{made['url']}/events/approved", json={"by": "Ada"}, headers=bearer(made))
            assert sent.status_code == 202
    assert [finish(server, made)["output"] for made in runs] == [{"by": "Ada"}] * 4


def test_a_rolling_restart_answers_all_the_time_and_loses_nothing(start: Callable[..., Server]) -> None:
    server = start()
    until(server, lambda: starts(server) == 2)
    made, before = create(server, APPROVAL), nodes(server)
    os.kill(server.pid, signal.SIGHUP)
    done = threading.Event()
    refused: list[str] = []

    def ask() -> None:
        while not done.is_set():
            try:
                refused.extend([] if httpx2.get(f"{server.url}/healthz", timeout=SECONDS).is_success else ["unhealthy"])
            except httpx2.ConnectError as error:
                refused.append(repr(error))
            except httpx2.HTTPError:
                pass  # the connection was one of the node that stops

    asking = threading.Thread(target=ask)
    asking.start()
    until(server, lambda: starts(server) == 4)
    done.set()
    asking.join()
    assert refused == [] and not set(before) & set(nodes(server))
    with httpx2.Client(base_url=server.url, timeout=SECONDS) as client:
        client.post(f"/api{made['url']}/events/approved", json={"by": "Ada"}, headers=bearer(made))
    assert finish(server, made)["output"] == {"by": "Ada"}


def test_nodes_whose_first_process_is_killed_stop(start: Callable[..., Server]) -> None:
    server = start()
    until(server, lambda: starts(server) == 2)
    serving = nodes(server)
    server.kill()
    assert gone(serving)


def test_what_the_operator_must_correct_stops_all(tmp_path: Path, postgres_url: str) -> None:
    command = [sys.executable, "-m", "playground", "--port", "0", "--processes", "2", "--database", postgres_url]
    done = subprocess.run(
        [*command, "--trusted-proxies", "nonsense"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 2
    assert "playground: " in done.stderr and "nonsense" in done.stderr and "Traceback" not in done.stderr


def test_a_sqlite_database_is_of_one_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "playground", "--port", "0", "--processes", "2"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "SQLite" in done.stderr and "--processes 1" in done.stderr
