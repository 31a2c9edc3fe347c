"""Commands as processes of their own: the engine in the terminal, kill -9 and Ctrl-C, a second terminal, live lines.

docs/terminal.md is held to here: its first lesson is done with its own commands.
"""

import asyncio
import json
import os
import re
import shlex
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from http_support import APPROVAL, HELLO
from server_support import Server
from terminal_support import run_process, short_folder, terminal_environment, typed

from playground.terminal.outcomes import EXIT_STATUSES, INTERRUPTED, OK
from playground.terminal.parser import SUMMARIES, build_parser
from playground.terminal.places import SERVER as SERVER_VARIABLE
from playground.terminal.places import START_TOKEN, TENANT, TOKEN

DOCUMENT = (Path(__file__).parent.parent / "docs" / "terminal.md").read_text()
CODES = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as short:
        yield short


def blocks(language: str, text: str = DOCUMENT) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


# The document.


def test_every_command_of_the_document_is_one_and_every_command_is_in_it() -> None:
    seen = set()
    for line in "".join(blocks("sh")).splitlines():
        words = shlex.split(line.partition(" | ")[0].partition(" > ")[0])
        if words[0] == "kill":
            continue
        assert words[0] == "playground", line
        seen.add(words[1])
        if words[1] in SUMMARIES:
            build_parser().parse_args(words[1:])
    assert seen == {*SUMMARIES, "check"}
    rows = dict(re.findall(r"^\| (\d+) \| (.*) \|$", DOCUMENT, re.MULTILINE))
    assert {int(status): text.replace("\\|", "|") for status, text in rows.items()} == EXIT_STATUSES
    assert set(re.findall(r"^\| `(PLAYGROUND_\w+)`", DOCUMENT, re.MULTILINE)) == {
        SERVER_VARIABLE,
        TENANT,
        TOKEN,
        START_TOKEN,
    }


def test_its_program_runs(server: Server) -> None:
    (program,) = blocks("python")
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102 - the document's own code
    assert asyncio.run(names["approve"](server.url, APPROVAL)) == {"by": "ada"}


@pytest.mark.long
def test_the_first_lesson_is_done_with_the_commands_of_the_document(folder: Path) -> None:
    lesson = DOCUMENT.partition("## Crash and resume")[2].partition("## ")[0]
    begin, kill, listing, resume = (shlex.split(block)[1:] for block in blocks("sh", lesson)[:4])
    assert kill == ["-9", "PROCESS"]
    with typed(folder, *begin) as first:
        shown = first.until("attempt 1: talking to the bank, 10 %")
        (process,) = re.findall(r"isolation tier A, process (\d+)", shown)
        assert int(process) == first.process.pid
        os.kill(int(process), signal.SIGKILL)
        assert first.end() == -signal.SIGKILL
    (run,) = run_process(folder, *listing).of("run")
    assert (run["status"], run["name"]) == ("queued", "crash-and-resume")
    state = folder / "state" / "playground" / "runs.jsonl"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600

    with typed(folder, *(run["run"][:8] if word == "RUN" else word for word in resume)) as second:
        assert second.end() == OK
        text = second.text
    assert text.count("✓ reserve stock") == 1 and text.count("reserving one lamp") == 1  # from the journal
    assert "attempt 1: WorkerLost" in text and "✓ charge card" in text and "attempt 2" in text
    assert "worker 2 goes on, with 1 step from the journal" in text
    assert "complete in" in text and "2 workers" in text and '"attempt": 2' in text


# The engine of a terminal.


@pytest.mark.long
def test_a_second_terminal_reaches_the_engine_of_the_first_and_goes_on_when_that_one_ends(folder: Path) -> None:
    (folder / "flow.py").write_text(APPROVAL)
    (folder / "hello.py").write_text(HELLO)
    with typed(folder, "run", "flow.py", "--follow") as first:
        shown = first.until("runs send-event")
        (id,) = re.findall(r"runs send-event (\w+) approved JSON", shown)
        # Another command has the database: this one starts its run there.
        done = run_process(folder, "run", "hello.py", "--params", "{}", "--format", "text")
        assert (done.status, "in the engine of another command" in done.out) == (OK, True), done
        assert 'Hello, world!"' in done.out
        # Whoever has the database is its operator.
        assert run_process(folder, "tenants", "make-key", "acme").of("key")[0]["key"].startswith("pk_")
        with typed(folder, "runs", "logs", "--follow", id) as second:
            second.until("waits for event approved,")
            assert first.end(signal.SIGINT) == INTERRUPTED
            assert f"left. Follow it again with: playground run --resume {id} --follow" in first.text
            second.until(lambda text: os.listdir(folder / "playground") != [])
            # The second one has taken the database over, or is about to: the event finds it, or the journal.
            sent = run_process(folder, "runs", "send-event", id, "approved", '{"by": "ada"}')
            assert sent.status == OK, sent
            assert second.end() == OK
            assert "complete in" in second.text and '"by": "ada"' in second.text
            assert second.text.count("✓ ask") == 1
    assert os.listdir(folder / "playground") == []  # of the sockets


# A server.


def test_a_run_is_followed_over_a_server_that_is_killed_and_started_again(folder: Path, own_server: Server) -> None:
    """Meanwhile its database is the server's alone, and commands without its address say so."""
    (folder / "flow.py").write_text(APPROVAL)
    there = {"PLAYGROUND_SERVER": own_server.url}
    with typed(folder, "run", "flow.py", "--follow", columns=80, **there) as shown:
        text = shown.until("runs send-event")
        (id,) = re.findall(r"runs send-event (\w+) approved JSON", text)
        own_server.kill()
        own_server.start()
        here = ("--database", f"sqlite:///{own_server.folder}/playground.db")
        done = run_process(folder, "run", "flow.py", *here)
        assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
        assert f"in use by process {own_server.pid}. If that is a server, say so with --server" in done.err
        finding = {row["what"]: row for row in run_process(folder, "doctor", *here).of("finding")}
        assert f"process {own_server.pid} has it open" in finding["database"]["text"]
        assert finding["isolation"]["text"].startswith("tier A") and finding["disk"]["state"] in ("good", "look")
        sent = run_process(folder, "runs", "send-event", id, "approved", '{"by": "ada"}', **there)
        assert sent.status == OK, sent
        assert shown.end() == OK
        raw, text = bytes(shown.seen).decode(), shown.text
    assert text.count("✓ ask") == 1 and "complete in" in text
    assert "\x1b[32m✓" in raw and "\x1b[?25l" in raw  # colours, and a hidden cursor, ...
    assert raw.rindex("\x1b[?25h") > raw.rindex("\x1b[?25l")  # ... which is there again at the end
    for line in CODES.sub("", raw.replace("\r", "\n")).split("\n"):
        written = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line)
        assert len(written) <= 80 or "runs send-event" in written, written


def test_ctrl_c_leaves_the_run_and_a_pipe_that_closes_ends_the_command(folder: Path, server: Server) -> None:
    (folder / "flow.py").write_text(APPROVAL)
    there = {"PLAYGROUND_SERVER": server.url, "NO_COLOR": "1"}
    with typed(folder, "run", "flow.py", "--follow", columns=120, **there) as shown:
        shown.until("waits for event approved,")
        assert shown.end(signal.SIGINT) == INTERRUPTED
        (way,) = re.findall(r"Follow it again with: playground (.*)", shown.text)
        assert not re.search(rb"\x1b\[[0-9;]*3[0-7]m", bytes(shown.seen))  # no colour
    id = shlex.split(way)[-1]
    assert shlex.split(way) == ["runs", "logs", "--follow", id]
    assert run_process(folder, "runs", "send-event", id, "approved", "1", **there).status == OK
    assert run_process(folder, *shlex.split(way), **there).of("end")[0]["output"] == 1
    environment = terminal_environment(folder, **there)
    piped = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m playground runs logs {id} | head -1; exit ${{PIPESTATUS[0]}}"],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert json.loads(piped.stdout)["type"] == "workflow_queued"
    assert piped.returncode in (OK, 141) and piped.stderr == ""
