"""The playground's page as a person uses it: what is pressed, and what is read."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from browser_support import Watched
from playwright.sync_api import Locator, Page, expect
from server_support import ask

WAIT_MS = 30_000
INSTANCE = re.compile(r".*/instances/([0-9A-Za-z_-]+)$")

PASTE = """(editor, text) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", text);
    editor.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
}"""

# With true or false: hides the page's tab, as another does that comes before it, or shows it again.
HIDE = (
    "hidden => { Object.defineProperty(document, 'hidden', { get: () => hidden, configurable: true }); "
    "document.dispatchEvent(new Event('visibilitychange')) }"
)

# All that a place of the page says from now on.
HEAR = """(selector) => {
    const said = [], place = document.querySelector(selector);
    const hear = () => place.textContent.trim() && said.push(place.textContent.trim());
    new MutationObserver(hear).observe(place, { childList: true, characterData: true, subtree: true });
    return said;
}"""

expect.set_options(timeout=WAIT_MS)


@contextmanager
def hearing(page: Page, words: str, place: str = "#toast") -> Iterator[None]:
    """What is done within makes a place of the page say `words`, which may be gone by the time that somebody looks: a
    toast stays for four seconds, an announcement of the editor for a fifth of one.
    """
    said = page.evaluate_handle(HEAR, place)
    yield
    page.wait_for_function("([said, words]) => said.some((it) => it.includes(words))", arg=[said, words])


def expect_copied(page: Page, text: str) -> None:
    """The clipboard is written some time after the press that asks for it."""
    page.wait_for_function("async (text) => (await navigator.clipboard.readText()) === text", arg=text)


def journal(server: str, instance: str) -> list[dict[str, Any]]:
    """All events of an instance, and proof that their seq is dense from 1."""
    events = ask(f"{server}/api/instances/{instance}/events?after=0&limit=1000")["events"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    return events


def completed_steps(events: list[dict[str, Any]]) -> list[str]:
    """Names of the steps that completed, in order; one that ran twice to the end is here twice."""
    done = ("step_completed", "sleep_completed", "wait_completed")
    return [event["step"]["name"] for event in events if event["type"] in done]


class Playground:
    """One page of the playground. `url` is the server's."""

    def __init__(self, watched: Watched, url: str) -> None:
        self.watched = watched
        self.page = watched.page
        self.url = url

    def run(self, source: str | None = None) -> str:
        """Press Run, of this source if one is given, and return the id of the instance that it made."""
        if source is not None:
            self.write(source)
        before = self.page.url
        self.run_button.click()
        expect(self.page).not_to_have_url(before)
        return self.instance

    @property
    def run_button(self) -> Locator:
        return self.page.locator("[data-run]:visible")

    @property
    def instance(self) -> str:
        """The id that the address carries."""
        expect(self.page).to_have_url(INSTANCE)
        found = INSTANCE.match(self.page.url)
        assert found
        return found[1]

    @property
    def status(self) -> Locator:
        return self.page.locator('[data-part="word"]')

    @property
    def executions(self) -> Locator:
        return self.page.locator('[data-part="executions"]')

    def step(self, name: str) -> Locator:
        """The step in the timeline; its name says its state too, for those who do not see the bars."""
        return self.page.get_by_role("list", name="Steps").get_by_role(
            "button", name=re.compile(f"^{re.escape(name)},? ")
        )

    def expect_step(self, name: str, state: str) -> None:
        expect(self.step(name)).to_contain_text(state)

    def expect_status(self, word: str) -> None:
        expect(self.status).to_have_text(word)

    @property
    def output(self) -> Locator:
        return self.page.get_by_role("region", name="Output")

    @property
    def error(self) -> Locator:
        return self.page.get_by_role("region", name="Error")

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click()

    @property
    def logs(self) -> Locator:
        return self.page.get_by_role("list", name="Log", exact=True)

    def control(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    @property
    def editor(self) -> Locator:
        return self.page.locator(".cm-content")

    def write(self, source: str) -> None:
        """Replace the source in the editor, by pasting it."""
        self.editor.click()
        self.page.keyboard.press("ControlOrMeta+a")
        self.editor.evaluate(PASTE, source)


def writing(opened: Callable[..., Playground], source: str) -> Callable[..., Playground]:
    """The fixture `opened` for a page that holds this code."""

    def open_one(**options: object) -> Playground:
        page = opened("/examples/hello", reduced_motion="reduce", **options)
        page.write(source)
        return page

    return open_one
