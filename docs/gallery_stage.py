"""Where the gallery's pictures are taken: a server, a browser, and time that stands still.

Two galleries of one product should be alike, point by point. What differs from run to run is made equal where the page
reads it: an event's time follows from its place in the journal, a moment elsewhere becomes the journal's beginning, and
the page's clock stands a little after the last event. Ids and the port are replaced in the text before a picture is
taken. What stays by chance: the order of what ran side by side, and a live stream caught between two events.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from browser_support import Watched, without_hints
from gallery_workflows import WAITS
from page_support import Playground, expect
from playwright.sync_api import Browser, Page
from server_support import Server, ask
from test_browser_tenants import key_of

SIZES = {1440: 900, 1024: 768, 768: 1024, 390: 844}  # width to height, in CSS pixels
SCHEMES = ("light", "dark")
TALLEST = 4_000  # CSS pixels of a document that a picture shows
SETTLE_MS = 150  # for what a new size sets off: the observers of sizes, and a frame to draw
OPERATOR = "the operator"
TENANT = "acme"
# `ids` of runs differ each time; the order in which they were made does not.
STILL = """
(() => {
  const BEGIN = Date.UTC(2026, 0, 5, 9, 0, 0), STEP = 150, ASIDE = 700;
  let last = 0;
  const isMoment = (value) => typeof value === "number" && value > 1e12 && value < 1e13;
  const map = (value, change) =>
    Array.isArray(value) ? value.map((each) => map(each, change))
    : value && typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([key, each]) =>
        [key, key === "took_us" ? 60000 : isMoment(each) ? change(each, key) : map(each, change)]))
    : value;
  const event = (each) => {
    const at = BEGIN + each.seq * STEP;
    last = Math.max(last, each.seq);
    return map(each, (value, key) => key === "at" ? at : at + Math.round((value - each.at) / 1000) * 1000);
  };
  const isEvents = (value) => Array.isArray(value) && value.length > 0 && "seq" in value[0] && "at" in value[0];
  const text = (data) => {
    const value = JSON.parse(data);
    if (isEvents(value)) return JSON.stringify(value.map(event));
    if (isEvents(value?.events)) return JSON.stringify({ ...value, events: value.events.map(event) });
    if (value && "server_time" in value) return JSON.stringify({ ...value, server_time: Date.now() });
    return JSON.stringify(map(value, () => BEGIN));
  };
  Date.now = () => BEGIN + last * STEP + ASIDE;
  const listen = EventSource.prototype.addEventListener;
  EventSource.prototype.addEventListener = function (name, take, ...rest) {
    const still = (message) => take(message.data ? new MessageEvent(name, { data: text(message.data) }) : message);
    return listen.call(this, name, still, ...rest);
  };
  const { json, text: read } = Response.prototype;
  Response.prototype.text = async function () {
    const data = await read.call(this);
    if (!this.headers.get("content-type")?.includes("json")) return data;
    try { return text(data); } catch { return data; }
  };
  Response.prototype.json = async function () { return JSON.parse(await this.text()); };
})();
"""
EQUAL = """(pairs) => {
  const equal = (text) => pairs.reduce((all, [from, to]) => all.replaceAll(from, to), text)
    .replace(/\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\\.\\d{3} UTC/g, "2026-01-05 09:00:00.000 UTC");
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const text = equal(node.data);
    if (text !== node.data) node.data = text;
  }
  for (const field of document.querySelectorAll("input, textarea")) {
    const text = equal(field.value);
    if (text !== field.value) field.value = text;
  }
}"""
HALF = """(half) => {
  const button = document.querySelector(`[data-half-set="${half}"]`);
  if (button?.checkVisibility()) button.click();
  // A page that grew narrow keeps the view that stood under the timeline; one that was opened so shows the timeline.
  const timeline = document.querySelector('[data-tab="timeline"]');
  const lens = document.querySelector('[data-tab="lens"][aria-selected="true"]');
  if (lens && timeline?.checkVisibility()) timeline.click();
  if (document.activeElement?.matches("input, textarea, .cm-content")) document.activeElement.blur();
  document.getElementById("toast")?.replaceChildren();
}"""
INSTANCE = re.compile(r"/instances/([0-9A-Za-z_-]{8,})")


class Stage:
    """Opens pages for scenes and takes their pictures; one server for all scenes."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self.browser = browser
        options = ("--operator-token", OPERATOR, "--starts-per-minute", "1000", "--running-per-address", "200")
        options += ("--workers", "64", "--reads-per-minute", "100000", "--idle-grace-ms", "1500")
        options += ("--ai-hosts", "*.example.com", "--tools-hosts", "*.example.com")
        self.server = Server(folder, *options).start()
        self.url = self.server.url
        self.half = "run"
        self.equal: dict[str, str] = {self.url: "http://playground.example", f"127.0.0.1:{self.server.port}": "here"}
        self._pages: list[Watched] = []

    def open(
        self, path: str = "/", *, half: str = "run", hints: bool = False, still: bool = True, **options: Any
    ) -> Playground:
        """A page as a new visitor sees it. `half` is shown where only one has room."""
        self.half = half
        context = self.browser.new_context(
            viewport={"width": 1440, "height": 900}, reduced_motion="reduce", color_scheme="light", **options
        )
        if still and options.get("java_script_enabled", True):
            context.add_init_script(STILL)
        if not hints and options.get("java_script_enabled", True):
            context.add_init_script(without_hints(self.url))
        watched = Watched(context, self.url + path)
        watched.page.set_default_timeout(20_000)
        self._pages.append(watched)
        return Playground(watched, self.url)

    def run(self, source: str, *, params: str = "{}", **options: Any) -> Playground:
        """A page in which the source runs."""
        page = self.open("/", **options)
        page.editor.wait_for()
        page.write(source)
        page.page.locator("#params").fill(params)
        page.run()
        return page

    @property
    def page(self) -> Page:
        """The page that was opened last."""
        return self._pages[-1].page

    def key(self) -> str:
        """A new key of the tenant."""
        return key_of(self.server, TENANT)

    def ask(self, path: str, body: Any = None) -> Any:
        return ask(self.url + path, body)

    def take(self, folder: Path, sizes: Mapping[int, int] = SIZES) -> list[Path]:
        """Pictures of the page at these sizes, light and dark."""
        folder.mkdir(parents=True, exist_ok=True)
        page, taken = self.page, []
        for found in INSTANCE.findall(page.url):
            self.equal.setdefault(found, f"run-{len(self.equal)}")
        for width, height in sizes.items():
            page.set_viewport_size({"width": width, "height": height})
            page.mouse.move(0, 0)
            page.evaluate(HALF, self.half)
            page.wait_for_timeout(SETTLE_MS)
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                short = {key[:8]: value[:8] for key, value in self.equal.items() if "/" not in key and "." not in key}
                page.evaluate(EQUAL, [*self.equal.items(), *short.items()])
                high = min(TALLEST, page.evaluate("document.documentElement.scrollHeight"))
                taken.append(folder / f"{width}-{scheme}.png")
                page.screenshot(
                    path=taken[-1],
                    animations="disabled",
                    caret="hide",
                    full_page=high > height,
                    clip={"x": 0, "y": 0, "width": width, "height": max(high, height)},
                )
        return taken

    def leave(self) -> None:
        """Close the scene's pages."""
        while self._pages:
            self._pages.pop().context.close()

    def close(self) -> None:
        self.leave()
        self.server.stop()


def ready(page: Playground) -> None:
    """The editor is there, and the code has been checked."""
    page.page.locator(".cm-content").wait_for(state="attached")
    problems = page.page.locator("#problems")
    if problems.count():
        expect(problems).not_to_have_text("Checking")


def shared(stage: Stage) -> str:
    return str(stage.ask("/api/snippets", {"source": WAITS, "params": "{}"})["url"])
