"""WebKitGTK over WebDriver: one driver and one browser for a visitor, on a display that only exists in memory."""

import base64
import glob
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine_driver import REPLY_SECONDS, START_SECONDS, Driver, Gone, NoEngine
from server_support import free_port

PYTHON = "/usr/bin/python3"  # Debian's own, for which python3-gi is built
WINDOW = Path(__file__).with_name("webkit_window.py")
TYPELIB = "/usr/lib/*/girepository-1.0/WebKit2-4.1.typelib"
SCREEN = "1600x1200x24"
COMPLAINT = re.compile(r"CONSOLE( \w+)* ERROR")
AGAIN_SECONDS = 0.05
REQUEST = re.compile(r"REQUEST (https?://([^/]*)\S*)$")
REFUSED = re.compile(r"STATUS [45]\d\d ")


class WebKit(Driver):
    name = "webkit"
    packages = ("webkit2gtk-driver", "gir1.2-webkit2-4.1", "python3-gi", "xvfb")
    cures = "`apt-get install webkit2gtk-driver gir1.2-webkit2-4.1 python3-gi xvfb`"

    @staticmethod
    def missing() -> bool:
        return (
            not (
                shutil.which("WebKitWebDriver")
                and shutil.which("Xvfb")
                and glob.glob(TYPELIB)
                and os.path.exists(PYTHON)
            )
            or not has_gi()
        )

    def __init__(self, dark: bool = False) -> None:
        super().__init__(dark)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.folder = Path(tempfile.mkdtemp(prefix="webkit-"))
        self.printed = self.folder / "printed"
        self.printed.touch()
        self.read = 0
        self.hosts: set[str] = set()
        try:
            display = self._start_display()
            self.port = free_port()
            environment = {**os.environ, "DISPLAY": display, "HOME": str(self.folder), "NO_AT_BRIDGE": "1"}
            environment.pop("GTK_THEME", None)  # would decide what is dark
            self._start(["WebKitWebDriver", f"--port={self.port}"], env=environment)
            self._await_driver()
            options = {
                "binary": PYTHON,
                "args": [str(WINDOW), str(self.folder), str(self.printed), "dark" if dark else "light"],
            }
            made = self._call(
                "POST", "/session", {"capabilities": {"alwaysMatch": {"webkitgtk:browserOptions": options}}}
            )
            self.session = f"/session/{made['sessionId']}"
        except BaseException:
            self.close()
            raise

    def _start(self, command: list[str], **options: Any) -> None:
        self.processes.append(
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                **options,
            )
        )

    def _start_display(self) -> str:
        """A display whose number the X server itself picks, so that two never meet."""
        receiver, sender = os.pipe()
        with open(receiver) as numbers:
            try:
                self._start(
                    ["Xvfb", "-displayfd", str(sender), "-screen", "0", SCREEN, "-nolisten", "tcp"], pass_fds=[sender]
                )
            finally:
                os.close(sender)
            number = (
                numbers.readline().strip()
            )  # a whole line: it is written in two parts, and a server that can't write the second ends
        if not number:
            raise NoEngine("Xvfb ended before it had a display")
        return f":{number}"

    def _await_driver(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._call("GET", "/status")
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    raise NoEngine(f"WebKitWebDriver does not answer: {error}") from error
                time.sleep(AGAIN_SECONDS)

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if method == "GET" else json.dumps(body or {}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
                request, timeout=REPLY_SECONDS
            ) as reply:
                return json.load(reply)["value"]
        except urllib.error.HTTPError as refusal:
            with refusal:
                said = json.load(refusal)["value"]
            if (
                path.endswith("/execute/async")
                and said["error"] in ("javascript error", "no such window", "no such frame")
                and not said["message"]
            ):
                raise Gone(said["error"]) from None
            raise AssertionError(f"{method} {path}: {said['error']}: {said['message']}") from None

    def goto(self, url: str) -> None:
        self.hosts.add(urlsplit(url).netloc)
        self._call("POST", f"{self.session}/url", {"url": url})

    def reload(self) -> None:
        self._call("POST", f"{self.session}/refresh")

    def resize(self, width: int, height: int) -> None:
        self._call("POST", f"{self.session}/window/rect", {"width": width, "height": height})

    def evaluate(self, function: str, *arguments: Any) -> Any:
        script = f"""const [json, done] = arguments;
            (async () => ({function})(...JSON.parse(json)))()
                .then((value) => done([true, value ?? null]), (error) => done([false, String(error)]));"""
        fine, value = self._call(
            "POST", f"{self.session}/execute/async", {"script": script, "args": [json.dumps(arguments)]}
        )
        if not fine:
            raise AssertionError(value)
        return value

    def perform(self, sources: list[dict[str, Any]]) -> None:
        self._call("POST", f"{self.session}/actions", {"actions": sources})

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("GET", f"{self.session}/screenshot")))

    def settle(self) -> None:
        """What is printed comes late, but in order: up to a line of our own it is all there."""
        mark = secrets.token_hex(8)
        self.evaluate("(mark) => new Promise((done) => setTimeout(() => done(console.log(mark))))", mark)
        deadline = time.monotonic() + REPLY_SECONDS
        while mark not in (printed := self.printed.read_text(errors="replace")[self.read :]):
            assert time.monotonic() < deadline, f"the console is not printed: {printed}"
            time.sleep(AGAIN_SECONDS)
        self.read += len(printed)
        for line in printed.splitlines():
            asked = REQUEST.match(line)
            if asked and asked[2] not in self.hosts:
                self.trouble.append(f"another host: {asked[1]}")
            elif COMPLAINT.search(line) or REFUSED.match(line):
                self.trouble.append(line)

    def close(self) -> None:
        for process in reversed(self.processes):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def has_gi() -> bool:
    """Whether Debian's Python has GTK's bindings."""
    return subprocess.run([PYTHON, "-c", "import gi"], check=False, capture_output=True).returncode == 0
