"""Commands of the terminal for tests: in this process against a real server, or as processes of their own."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import termios
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from playground import cli

ROOT = Path(__file__).parent.parent
SECONDS = 90
ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder with a short path: one of a socket may have 107 bytes, and pytest's own are longer."""
    with tempfile.TemporaryDirectory(prefix="pt-") as folder:
        yield Path(folder)


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Its JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Its JSON lines of a kind."""
        return [line for line in self.lines if line["kind"] == kind]


def terminal_environment(folder: Path, **more: str) -> dict[str, str]:
    """An environment with folders of its own for state and sockets."""
    home = {"HOME": str(folder), "XDG_STATE_HOME": str(folder / "state"), "XDG_RUNTIME_DIR": str(folder)}
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8", **home, **more}


class Commands:
    """Commands in this process, with an environment of their own; what they print is captured by pytest."""

    def __init__(self, capsys: pytest.CaptureFixture[str], environment: Mapping[str, str]) -> None:
        self._capsys, self.environment = capsys, dict(environment)

    def __call__(self, *words: str, **environment: str) -> Done:
        self._capsys.readouterr()
        try:
            status = cli.main(words, self.environment | environment)
        except SystemExit as done:  # of --help
            status = int(done.code or 0)
        printed = self._capsys.readouterr()
        return Done(status, printed.out, printed.err)


def command(*words: str) -> list[str]:
    """The words that start a command as a process."""
    return [sys.executable, "-m", "playground", *words]


def run_process(folder: Path, *words: str, **environment: str) -> Done:
    """A command as a process, to its end."""
    done = subprocess.run(
        command(*words),
        cwd=folder,
        env=terminal_environment(folder, **environment),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@dataclass
class Typed:
    """A command on a terminal of its own (a pseudo-terminal); `seen` is all that it has written there."""

    process: "subprocess.Popen[bytes]"
    seen: bytearray = field(default_factory=bytearray)
    changed: threading.Condition = field(default_factory=threading.Condition)
    over: bool = False

    @property
    def text(self) -> str:
        """What was written, without escape sequences."""
        return ESCAPES.sub(b"", bytes(self.seen)).decode().replace("\r\n", "\n").replace("\r", "\n")

    def until(self, found: Callable[[str], bool] | str) -> str:
        """Wait until the terminal shows something; gives its text."""
        is_there = (lambda text: found in text) if isinstance(found, str) else found
        with self.changed:
            assert self.changed.wait_for(lambda: self.over or is_there(self.text), SECONDS), self.text
            assert is_there(self.text), self.text
            return self.text

    def end(self, how: signal.Signals | None = None) -> int:
        """Its exit status, after a signal if one is given."""
        if how is not None:
            self.process.send_signal(how)
        status = self.process.wait(SECONDS)
        with self.changed:
            assert self.changed.wait_for(lambda: self.over, SECONDS)
        return status


@contextmanager
def typed(folder: Path, *words: str, columns: int = 100, **environment: str) -> Iterator[Typed]:
    """A command that was typed on a terminal of so many columns."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (30, columns))
    variables = terminal_environment(folder, TERM="xterm-256color", **environment)
    # A command inherits that SIGINT is ignored, as it is in a test run in the background of a shell.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        command(*words), cwd=folder, env=variables, stdin=its, stdout=its, stderr=its, start_new_session=True
    )
    signal.signal(signal.SIGINT, before)
    os.close(its)
    shown = Typed(process)

    def read() -> None:
        while True:
            try:
                data = os.read(ours, 65_536)
            except OSError:  # the other side is closed
                data = b""
            with shown.changed:
                shown.seen += data
                shown.over = not data
                shown.changed.notify_all()
            if not data:
                return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield shown
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        reader.join(SECONDS)
        os.close(ours)
