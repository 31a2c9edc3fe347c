"""Firefox, headless, over WebDriver BiDi: the browser listens itself, so that nothing stands between."""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine_driver import HERE, NOWHERE, REPLY_SECONDS, START_SECONDS, Driver, Gone, NoEngine
from websockets.sync.client import ClientConnection, connect

ON_PATH = ("firefox-esr", "firefox")
LISTENING = re.compile(r"WebDriver BiDi listening on (ws://\S+)")
EVENTS = ["log.entryAdded", "network.beforeRequestSent", "network.responseCompleted", "network.fetchError"]
LEFT = "NS_BINDING_ABORTED"  # how a request ends whose page was left
# A browser left to itself asks its maker for settings and updates, and shows pages of its own at the first start.
PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.aboutwelcome.enabled": False,
    "browser.dom.window.dump.enabled": False,
    "browser.safebrowsing.downloads.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "browser.topsites.contile.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.update.enabled": False,
    "geo.provider.testing": True,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#no-remote-settings",
    "startup.homepage_welcome_url": "about:blank",
    "toolkit.telemetry.server": "data:,",
}
SCHEME = "layout.css.prefers-color-scheme.content-override"
DARK, LIGHT = 0, 1
CALM = "ui.prefersReducedMotion"


class Firefox(Driver):
    name = "firefox"
    packages = ("firefox-esr",)
    cures = "`apt-get install firefox-esr`, or put a Firefox of version 140 or later on PATH"

    @staticmethod
    def missing() -> bool:
        return not any(map(shutil.which, ON_PATH))

    def __init__(self, dark: bool = False) -> None:
        super().__init__(dark)
        self.ids = count(1)
        self.ending = ExitStack()
        self.hosts: set[str] = set()
        self.settling = ""
        self.profile = Path(tempfile.mkdtemp(prefix="firefox-"))
        preferences = {**PREFERENCES, SCHEME: DARK if dark else LIGHT, CALM: int(dark)}
        (self.profile / "user.js").write_text(
            "".join(f"user_pref({json.dumps(key)}, {json.dumps(value)});\n" for key, value in preferences.items())
        )
        program = next(filter(None, map(shutil.which, ON_PATH)))
        self.process = subprocess.Popen(
            [program, "--headless", "--no-remote", "--remote-debugging-port=0", "--profile", str(self.profile)],
            env={**os.environ, "HOME": str(self.profile), "MOZ_CRASHREPORTER_DISABLE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            opening = connect(self._address() + "/session", max_size=None, open_timeout=START_SECONDS, proxy=None)
            self.socket: ClientConnection = self.ending.enter_context(opening)
            self._begin()
        except BaseException:
            self.close()
            raise

    def _address(self) -> str:
        """Read what it prints up to where it listens, and the rest in the background: a full pipe would stop it."""
        assert self.process.stderr is not None
        printed = []
        for line in self.process.stderr:
            printed.append(line)
            if found := LISTENING.search(line):
                return found[1]
        raise NoEngine(f"Firefox ended before it listened; {self.cures}. It printed:\n{''.join(printed)}")

    def _begin(self) -> None:
        proxy = {"proxyType": "manual", "httpProxy": NOWHERE, "sslProxy": NOWHERE, "noProxy": [HERE]}
        self.command("session.new", capabilities={"alwaysMatch": {"proxy": proxy}})
        first = self.command("browsingContext.getTree")["contexts"][0]["context"]
        self.context = self.command("browsingContext.create", type="tab")["context"]
        # The browser's own first tab may still be loading, and complain of itself.
        self.command("browsingContext.close", context=first)
        self.command("session.subscribe", events=EVENTS, contexts=[self.context])

    def command(self, method: str, **parameters: Any) -> Any:
        """Send one command and return its result; events that come meanwhile are taken in."""
        id = next(self.ids)
        self.socket.send(json.dumps({"id": id, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv(REPLY_SECONDS))
            if message["type"] == "event":
                self._event(message["method"], message["params"])
            elif message.get("id") == id:
                if message["type"] == "success":
                    return message["result"]
                if message["error"] in ("no such frame", "unknown error") and method == "script.callFunction":
                    raise Gone(message["message"])
                raise AssertionError(f"{method}: {message['error']}: {message['message']}")

    def _event(self, method: str, params: dict[str, Any]) -> None:
        if method == "log.entryAdded":
            if self.settling and self.settling in (params["text"] or ""):
                self.settling = ""
            elif params["level"] == "error":
                self.trouble.append(f"{params['type']}: {params['text']}")
            return
        url = params["request"]["url"]
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            return
        if method == "network.beforeRequestSent" and parts.netloc not in self.hosts:
            self.trouble.append(f"another host: {url}")
        if method == "network.fetchError" and params["errorText"] != LEFT:
            self.trouble.append(f"request: {params['errorText']} {url}")
        if method == "network.responseCompleted" and params["response"]["status"] >= 400:
            self.trouble.append(f"request: status of {params['response']['status']} {url}")

    def goto(self, url: str) -> None:
        self.hosts.add(urlsplit(url).netloc)
        self.command("browsingContext.navigate", context=self.context, url=url, wait="complete")

    def reload(self) -> None:
        self.command("browsingContext.reload", context=self.context, wait="complete")

    def resize(self, width: int, height: int) -> None:
        self.command("browsingContext.setViewport", context=self.context, viewport={"width": width, "height": height})

    def evaluate(self, function: str, *arguments: Any) -> Any:
        # JSON both ways: the protocol's own form of values says no more of them.
        called = self.command(
            "script.callFunction",
            functionDeclaration=f"async (json) => JSON.stringify((await ({function})(...JSON.parse(json))) ?? null)",
            arguments=[{"type": "string", "value": json.dumps(arguments)}],
            target={"context": self.context},
            awaitPromise=True,
            userActivation=False,
        )
        if called["type"] == "exception":
            raise AssertionError(called["exceptionDetails"]["text"])
        return json.loads(called["result"]["value"])

    def perform(self, sources: list[dict[str, Any]]) -> None:
        self.command("input.performActions", context=self.context, actions=sources)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(
            base64.b64decode(self.command("browsingContext.captureScreenshot", context=self.context)["data"])
        )

    def settle(self) -> None:
        # A rejection that nobody handles is told of some time later, but in its order: wait for one of our own.
        self.settling = f"settled {next(self.ids)}"
        self.evaluate("(text) => void setTimeout(() => Promise.reject(new Error(text)))", self.settling)
        while self.settling:
            event = json.loads(self.socket.recv(REPLY_SECONDS))
            self._event(event["method"], event["params"])

    def close(self) -> None:
        self.ending.close()
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()
        shutil.rmtree(self.profile, ignore_errors=True)
