"""The command line: settings from options and environment, and one clear line with exit status 2 for what must be put
right.
"""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from http_support import APPROVAL, messages
from server_support import Server

from playground import cli
from playground.settings import BadSetting, Settings, public_rows

ROOT = Path(__file__).parent.parent
SECONDS = 30


def run(folder: Path, *options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """`playground` with these options, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "playground", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def refused(done: "subprocess.CompletedProcess[str]") -> str:
    """The one line that says what to put right."""
    lines = done.stderr.splitlines()
    assert (done.returncode, len(lines), done.stdout) == (2, 1, ""), done.stderr
    assert lines[0].startswith("playground: ")
    return lines[0]


# Settings.


def test_defaults_options_and_variables() -> None:
    assert cli.parse_command_line([], {}) == Settings()
    assert cli.parse_command_line(["--port", "9000", "--host=::1"], {}) == Settings(port=9000, host="::1")
    assert cli.parse_command_line([], {"PLAYGROUND_PORT": "9000", "PLAYGROUND_LOG_BYTES": "5"}) == Settings(
        port=9000, log_bytes=5
    )
    assert cli.parse_command_line(["--port", "1"], {"PLAYGROUND_PORT": "2"}).port == 1


@pytest.mark.parametrize(
    ("options", "value"),
    [
        (["--allow-weak-sandbox"], True),
        (["--allow-weak-sandbox", "no"], False),
        (["--allow-weak-sandbox=on"], True),
        ([], True),
    ],
)
def test_a_switch_may_stand_alone_and_an_option_wins(options: list[str], value: bool) -> None:
    assert cli.parse_command_line(options, {"PLAYGROUND_ALLOW_WEAK_SANDBOX": "1"}).allow_weak_sandbox is value


@pytest.mark.parametrize(
    ("options", "environment", "said"),
    [
        (["--port", "x"], {}, "--port is 'x'; it takes a whole number"),
        (["--port", "65536"], {}, "the most it can be is 65535"),
        (["--port", "-1"], {}, "the least it can be is 0"),
        (["--source-bytes", "0"], {}, "the least it can be is 1 of bytes"),
        (["--synchronous", "off"], {}, "it takes full or normal"),
        (["--allow-weak-sandbox", "perhaps"], {}, "it takes yes or no"),
        (["--prot", "1"], {}, "unrecognized arguments: --prot"),
        (["serve"], {}, "unrecognized arguments: serve"),
        (["--port"], {}, "expected one argument"),
        (["--secrets-key", "-begins-so"], {}, "follows `=`, as in --database=VALUE"),
        ([], {"PLAYGROUND_WORKERS": "many"}, "PLAYGROUND_WORKERS is 'many'"),
        (
            [],
            {"PLAYGROUND_OPERATOR_TOKN": "secret"},
            "PLAYGROUND_OPERATOR_TOKN is not a setting; did you mean PLAYGROUND_OPERATOR_TOKEN?",
        ),
        ([], {"PLAYGROUND_ZZZ": "1"}, "PLAYGROUND_ZZZ is not a setting; `playground --help` lists them all."),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_what_would_do(
    options: list[str], environment: dict[str, str], said: str
) -> None:
    with pytest.raises(BadSetting) as refusal:
        cli.parse_command_line(options, environment)
    assert said in str(refusal.value)


def test_help_lists_every_setting_with_default_unit_and_variable(tmp_path: Path) -> None:
    done = run(tmp_path, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    text = " ".join(done.stdout.split())
    for name in Settings.__dataclass_fields__:
        assert f"{cli.option_name(name)} " in text
        assert f"PLAYGROUND_{name.upper()})" in text
    assert "largest source (default: 65536 bytes; PLAYGROUND_SOURCE_BYTES)" in text


def test_help_has_what_a_first_user_needs_on_top_and_every_setting_in_one_group() -> None:
    names = [name for group in cli.GROUPS.values() for name in group]
    assert sorted(names) == sorted(Settings.__dataclass_fields__)
    text = cli.build_parser().format_help()
    titles = [
        "to begin with",
        "serving",
        "a run",
        "the world",
        "an address",
        "a tenant",
        "workers",
        "storage",
        "alerts",
    ]
    assert list(cli.GROUPS) == titles and len(cli.GROUPS["to begin with"]) == 10
    places = [text.index(f"\n{title}:\n") for title in titles]
    assert places == sorted(places) and text.index("--port N") < places[1] < text.index("--head-bytes N ")


def test_what_a_cluster_says_of_a_service_of_our_name_is_no_misspelt_setting() -> None:
    told = {
        "PLAYGROUND_SERVICE_HOST": "10.0.0.1",
        "PLAYGROUND_SERVICE_PORT": "8000",
        "PLAYGROUND_PORT_8000_TCP_ADDR": "10.0.0.1",
    }
    assert cli.parse_command_line([], told) == Settings()


def test_the_public_rows_are_the_limits_in_force() -> None:
    rows = {row["name"]: row for row in public_rows(Settings(source_bytes=7, workers=3))}
    assert (rows["source_bytes"]["value"], rows["source_bytes"]["unit"]) == (7, "bytes")
    assert rows["workers"]["value"] == 3
    assert not {"operator_token", "database", "host"} & set(rows)


# What keeps it from serving.


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(run(tmp_path, "serve", "--port", str(port)))
    assert f"port {port}" in line
    assert "--port" in line


def test_what_is_missing_before_it_can_even_begin_is_said_on_one_line(tmp_path: Path) -> None:
    bare = [sys.executable, "-S", "-m", "playground", "--port", "0"]  # none of the libraries it stands on
    done = subprocess.run(
        bare, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert re.search(r"not installed here \(\w+\).*\./run playground", refused(done))
    assert "no command 'surve'" in refused(run(tmp_path, "surve"))


def test_a_host_that_is_not_here(tmp_path: Path) -> None:
    assert "--host" in refused(run(tmp_path, "--port", "0", "--host", "192.0.2.1"))
    assert "nowhere.invalid" in refused(run(tmp_path, "--port", "0", "--host", "nowhere.invalid"))


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all/x.db", "sqlite:///.", "mysql://x/y", "x.db", "sqlite:///"])
def test_a_database_that_cannot_be_opened(tmp_path: Path, url: str) -> None:
    line = refused(run(tmp_path, "--port", "0", "--database", url))
    assert url.removeprefix("sqlite:///")[:10] in line or "database" in line


def test_a_database_that_is_something_else_or_newer(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is not a database, but it is long enough to be looked at as one\n" * 50)
    assert "text.db" in refused(run(tmp_path, "--port", "0", "--database", "sqlite:///text.db"))
    with sqlite3.connect(tmp_path / "newer.db") as newer:
        newer.execute("PRAGMA user_version = 9999")
    newer.close()
    assert "newer" in refused(run(tmp_path, "--port", "0", "--database", "sqlite:///newer.db"))


def test_a_proxy_that_is_no_address(tmp_path: Path) -> None:
    line = refused(run(tmp_path, "--port", "0", "--trusted-proxies", "proxy"))
    assert "trusted_proxies (PLAYGROUND_TRUSTED_PROXIES) has 'proxy'" in line


# Serving.


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path).start()
    yield server
    server.kill()


def test_it_prints_address_and_tier_and_ends_with_0_within_5_seconds(served: Server) -> None:
    with urllib.request.urlopen(f"{served.url}/healthz") as answer:
        assert answer.status == 200
    stream = socket.create_connection(("127.0.0.1", served.port))
    stream.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n")
    assert stream.recv(4) == b"HTTP"
    assert served.process is not None
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(5) == 0
    stream.close()
    served.stop()
    addresses = [line for line in served.printed if line.startswith("Serving on ") and served.url in line]
    tiers = [line for line in served.printed if line.startswith("Isolation tier ")]
    assert (len(addresses), len(tiers)) == (1, 1)


def test_open_streams_are_told_of_the_end_and_do_not_hold_it_up(served: Server) -> None:
    with httpx2.Client(base_url=served.url, timeout=SECONDS, trust_env=False) as client:
        made = client.post("/api/instances", json={"source": APPROVAL}).json()
        with client.stream("GET", f"/api{made['url']}/stream") as answer:
            received = messages(answer)
            for message in received:
                if "workflow_waiting" in message["data"]:
                    break
            assert served.process is not None
            served.process.send_signal(signal.SIGTERM)
            (goodbye,) = [message for message in received if message["event"] != "ping"]
            assert (goodbye["event"], int(goodbye["retry"]) <= 1_000) == ("restart", True)
    assert served.process.wait(5) == 0


def test_the_same_database_is_served_once(served: Server) -> None:
    line = refused(run(served.folder, "--port", "0", "--database", f"sqlite:///{served.folder / 'playground.db'}"))
    assert "in use" in line
