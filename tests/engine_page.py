"""The playground's page as a person uses it, told once for every engine: what is pressed, and what is read."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine_driver import Driver, Gone
from server_support import ask

WAIT_SECONDS = 30
AGAIN_SECONDS = 0.05
INSTANCE = re.compile(r".*/instances/([0-9A-Za-z_-]+)$")

# Every question begins with this: the elements of a selector that are seen and have this name, if one is asked for.
SEEN = """
const nameOf = (node) => (node.getAttribute("aria-label") ?? node.textContent).trim().replace(/\\s+/g, " ");
const isSeen = (node) => node.checkVisibility({ visibilityProperty: true });
const seen = (css, name) =>
    [...document.querySelectorAll(css)].filter((node) => isSeen(node) && (name === null || nameOf(node) === name));
"""

# Where to press, or why not yet: one element, enabled, at rest, and nothing in front of it.
TARGET = f"""async (css, name) => {{
    {SEEN}
    const nodes = seen(css, name);
    if (nodes.length !== 1) return {{ why: nodes.length + " are seen" }};
    const [node] = nodes;
    if (node.disabled || node.getAttribute("aria-disabled") === "true") return {{ why: "disabled" }};
    node.scrollIntoView({{ block: "nearest", inline: "nearest", behavior: "instant" }});
    const before = node.getBoundingClientRect();
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const box = node.getBoundingClientRect();
    if (box.x !== before.x || box.y !== before.y || box.width !== before.width) return {{ why: "it moves" }};
    const [x, y] = [Math.round(box.x + box.width / 2), Math.round(box.y + box.height / 2)];
    const front = document.elementFromPoint(x, y);
    const isIts = node.contains(front) || front?.closest("label")?.contains(node);
    if (!isIts) return {{ why: "behind " + front?.outerHTML }};
    return {{ x, y }};
}}"""

TEXT = f"""(css, name) => {{
    {SEEN}
    const said = (node) => (node.matches("input, textarea") ? node.value : node.textContent);
    return seen(css, name).map((node) => said(node).trim().replace(/\\s+/g, " "));
}}"""

STEPS = '[data-part="rows"] button.row-name'


class EnginePage:
    """One window of the playground. `url` is the server's."""

    def __init__(self, driver: Driver, url: str) -> None:
        self.driver = driver
        self.url = url

    def goto(self, path: str) -> None:
        self.driver.goto(self.url + path)

    def open_code(self, source: str) -> None:
        """Open the editor on this code, by its link: code in an address is not run by a press that comes at once."""
        self.goto(ask(f"{self.url}/api/snippets", {"source": source})["url"])

    def until(self, what: str, question: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
        """Ask again and again; returns the first good answer.

        Raises:
            AssertionError: none came; the message says what was asked for, and what was answered last.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                if good(answer := question()):
                    return answer
            except Gone as gone:
                answer = f"the page went away: {gone}"
            assert time.monotonic() < deadline, f"{what}: after {WAIT_SECONDS} s it was {answer!r}"
            time.sleep(AGAIN_SECONDS)

    def click(self, css: str, name: str | None = None) -> None:
        """Press the one element of this selector and name, once it can be pressed."""
        at = self.until(
            f"press {css} {name or ''}", lambda: self.driver.evaluate(TARGET, css, name), lambda found: "x" in found
        )
        self.driver.click(at["x"], at["y"])

    def press(self, name: str) -> None:
        """Press the button of this name."""
        self.click("button", name)

    def texts(self, css: str, name: str | None = None) -> list[str]:
        """What the seen elements of this selector say, or hold where they are fields."""
        return list(self.driver.evaluate(TEXT, css, name))

    def expect_text(self, css: str, part: str, name: str | None = None) -> str:
        """Returns what the element says that has this part in it."""
        found = self.until(
            f"{part!r} in {css}", lambda: self.texts(css, name), lambda texts: any(part in text for text in texts)
        )
        return next(text for text in found if part in text)

    def expect_none(self, css: str) -> None:
        self.until(f"no {css}", lambda: self.texts(css), lambda texts: texts == [])

    def expect_step(self, name: str, state: str) -> None:
        self.until(
            f"step {name}: {state}",
            lambda: self.texts(f'{STEPS}[title="{name}"]'),
            lambda texts: any(state in text for text in texts),
        )

    def open_step(self, name: str) -> None:
        """Press a step in the timeline."""
        self.click(f'{STEPS}[title="{name}"]')

    def expect_status(self, word: str) -> None:
        self.until(f"status {word}", lambda: self.texts('[data-part="word"]'), lambda texts: texts == [word])

    @property
    def address(self) -> str:
        return str(self.driver.evaluate("() => location.href"))

    def instance(self, other_than: str | None = None) -> str:
        """The id of the run that the address carries, once there is one (that is another one)."""

        def found(address: str) -> bool:
            match = INSTANCE.match(address)
            return bool(match) and match[1] != other_than

        match = INSTANCE.match(self.until("the address of a run", lambda: self.address, found))
        assert match
        return match[1]

    def run(self) -> str:
        """Press Run, and return the id of the run that it made."""
        # Before the scripts have come there is a listing; the editor takes its place once a press is heard.
        self.until("the editor", lambda: self.texts(".cm-content"), bool)
        before = INSTANCE.match(self.address)
        self.click("[data-run]")
        return self.instance(before[1] if before else None)

    def expect_fits(self, width: int) -> None:
        """Nothing runs over the window's edge."""
        assert self.driver.evaluate("() => [innerWidth, document.documentElement.scrollWidth]") == [width, width]

    def screenshot(self, path: Path) -> None:
        self.driver.screenshot(path)
