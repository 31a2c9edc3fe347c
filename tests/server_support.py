"""The real server as a process of its own, for tests from outside: start, where it listens, kill -9, start again."""

import json
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

START_SECONDS = 30
STOP_SECONDS = 10
REPLY_SECONDS = 30
LINE_SECONDS = 60
ADDRESS = re.compile(r"http://[\w.\[\]:-]+:\d+")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(url: str, body: Any = None) -> Any:
    """GET, or POST `body` as JSON; returns the JSON that comes back."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", "Accept": "application/json"})
    with urllib.request.urlopen(request, timeout=REPLY_SECONDS) as reply:
        return json.load(reply)


class Server:
    """A playground in `folder`, on one port for its whole life, so that a page finds it again after a restart.

    `command` starts it (default: this environment's own), `options` are further words of its command line.
    """

    def __init__(
        self, folder: Path, *options: str, command: tuple[str, ...] = (sys.executable, "-m", "playground")
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.command = [
            *command,
            "--port",
            str(self.port),
            "--database",
            f"sqlite:///{folder / 'playground.db'}",
            "--drain-seconds",
            "0",
            *options,
        ]
        self.printed: list[str] = []
        self.process: subprocess.Popen[str] | None = None
        self.readers: list[threading.Thread] = []
        self.heard = threading.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> "Server":
        """Return once the server has printed the address it serves.

        Raises:
            AssertionError: it ended, or said nothing for START_SECONDS; the message holds all it printed.
        """
        lines: queue.Queue[str | None] = queue.Queue()
        self.process = subprocess.Popen(
            self.command,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        reader = threading.Thread(target=self._read, args=(self.process, lines), daemon=True)
        reader.start()
        self.readers.append(reader)
        while True:
            try:
                line = lines.get(timeout=START_SECONDS)
            except queue.Empty:
                line = None
            if line is None:
                self.kill()
                raise AssertionError("the server did not start:\n" + "".join(self.printed))
            if ADDRESS.search(line):
                return self

    def _read(self, process: "subprocess.Popen[str]", lines: "queue.Queue[str | None]") -> None:
        assert process.stdout is not None
        with process.stdout as stream:
            for line in stream:
                with self.heard:
                    self.printed.append(line)
                    self.heard.notify_all()
                lines.put(line)
        lines.put(None)

    def kill(self) -> None:
        """kill -9: nothing of the server gets a chance to tidy up."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to end as an operator does; returns its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(STOP_SECONDS)
        for reader in self.readers:
            reader.join(STOP_SECONDS)
        return code


def until(server: Server, is_true: Callable[[], bool]) -> None:
    """Wait for lines of the log until something is true."""
    with server.heard:
        while not is_true():
            assert server.heard.wait(LINE_SECONDS), "".join(server.printed)
