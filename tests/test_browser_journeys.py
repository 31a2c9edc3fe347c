"""A failing workflow debugged to its fix, in the four ways in which people use the page: with a keyboard alone, on a
telephone, at 200 % zoom, and by what a screen reader is told.

The story is one: run, find the step that fails, stop before it, change its result, go on, mend the code, fork with it,
share the link. Each way has its own hands and eyes; all of them look for what axe finds serious.
"""

import re
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from access_support import findings
from browser_support import Watched
from page_support import Playground, expect
from playwright.sync_api import Locator
from server_support import ask

pytestmark = pytest.mark.long

SHOP = """from workers import NonRetryableError, WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("charge card")
        async def charge():
            return {"receipt": "R-B-2077"}

        @step.do("weigh parcel", config={"retries": {"limit": 0, "delay": 1}})
        async def weigh():
            return {"weight": 3}["wieght"]

        await charge()
        weight = await weigh()
        await step.do("print label", lambda: f"{weight} kg")
        return weight
"""
WRONG, RIGHT = 'wieght"]', 'weight"]'
ZOOM = 2
TABS = 150  # presses of Tab until what is looked for must have come
FINGER_PX = 24  # WCAG 2.2, 2.5.8


class Hand:
    """A mouse, and eyes that see all of the page."""

    options: ClassVar[dict[str, Any]] = {"viewport": {"width": 1280, "height": 800}}

    def __init__(self, page: Playground) -> None:
        self.at, self.page = page, page.page

    def press(self, role: Any, name: str | re.Pattern[str], within: Locator | None = None) -> None:
        """Press the one thing of this role and name."""
        self.reach(role, name, within).click()

    def reach(self, role: Any, name: str | re.Pattern[str], within: Locator | None = None) -> Locator:
        found = (within or self.page).get_by_role(role, name=name, exact=isinstance(name, str))
        expect(found).to_be_visible()
        return found

    def hear(self, part: str) -> None:
        """The page says this."""
        expect(self.page.locator("body")).to_contain_text(part)

    def run(self) -> None:
        self.press("button", re.compile("^Run( |$)"))

    def open_step(self, name: str) -> None:
        """Open a step of the timeline."""
        self.press("button", re.compile(f"^{name}"))

    def stop_before(self, name: str) -> None:
        """Set a breakpoint before a step of the timeline."""
        self.press("button", f"Pause before {name}")

    def look(self) -> None:
        """Nothing is wrong with what the page shows now."""
        assert findings(self.page) == []

    def code(self) -> None:
        """The code is in sight."""

    def result(self) -> None:
        """The run is in sight, with its steps."""


class Keyboard(Hand):
    """Nothing but keys, as under ?. What has none is come to by Tab, and shows that it has the focus."""

    keys: ClassVar[dict[str, str]] = {"Restart": "r", "Edit result": "e", "Fork": "f"}

    def press(self, role: Any, name: str | re.Pattern[str], within: Locator | None = None) -> None:
        found = self.reach(role, name, within)
        if within is None and name in self.keys:
            self.page.keyboard.press(self.keys[str(name)])
        else:
            self.focus(found)
            self.page.keyboard.press("Space" if role == "button" else "Enter")

    def focus(self, wanted: Locator) -> None:
        node = wanted.element_handle()
        for _ in range(TABS):
            there, inside = node.evaluate(f"node => [node === document.activeElement, ({IN_EDITOR})()]")
            if there:
                break
            if inside:
                self.page.keyboard.press("Escape")
            self.page.keyboard.press("Tab")
        else:
            raise AssertionError(f"no Tab leads to {wanted}")
        assert node.evaluate("node => node.matches(':focus-visible') && node.checkVisibility()")

    def run(self) -> None:
        self.page.keyboard.press("ControlOrMeta+Enter")

    def result(self) -> None:
        if self.page.evaluate(IN_EDITOR):
            self.page.keyboard.press("Alt+Enter")
            self.page.wait_for_function(f"() => !({IN_EDITOR})()")

    def open_step(self, name: str) -> None:
        self.row(name)
        self.page.keyboard.press("Enter")

    def stop_before(self, name: str) -> None:
        self.row(name)
        self.page.keyboard.press("b")

    def row(self, name: str) -> None:
        """To a row, as the list of keys says."""
        self.page.keyboard.press("1")
        self.page.keyboard.press("Home")
        row = self.reach("button", re.compile(f"^{name}"))
        for _ in range(len(STEPS)):
            if row.evaluate("node => node === document.activeElement"):
                break
            self.page.keyboard.press("j")
        expect(row).to_be_focused()


STEPS = ("charge card", "weigh parcel", "print label")
IN_EDITOR = "() => Boolean(document.activeElement?.closest('.cm-editor'))"


class Phone(Hand):
    """A finger, on a screen of 390 pixels."""

    options: ClassVar[dict[str, Any]] = {
        "viewport": {"width": 390, "height": 844},
        "has_touch": True,
        "is_mobile": True,
    }

    def press(self, role: Any, name: str | re.Pattern[str], within: Locator | None = None) -> None:
        found = self.reach(role, name, within)
        found.scroll_into_view_if_needed()
        target = found.locator(
            "xpath=ancestor-or-self::label | ancestor::*[@class='row' or starts-with(@class, 'row ')]"
        )
        box = (target.last if target.count() else found).bounding_box()
        assert box is not None
        if role != "link":  # one in a sentence may be as low as its line
            assert min(box["width"], box["height"]) >= FINGER_PX, (name, box)
        found.tap()

    def look(self) -> None:
        super().look()
        self.fits()

    def fits(self) -> None:
        assert self.page.evaluate("document.documentElement.scrollWidth") <= self.page.viewport_size["width"]

    def code(self) -> None:
        self.press("button", "Code")

    def result(self) -> None:
        for name in (re.compile("^(Errored|Paused|Complete)"),):
            button = self.page.locator("[data-half-set=run]")
            if button.get_attribute("aria-pressed") == "false":
                self.press("button", name)
            expect(button).to_have_text(name)
        if self.page.get_by_role("tab", name="Timeline").is_visible():
            self.press("tab", "Timeline")


class Zoomed(Phone):
    """A mouse in a window of 1280 by 800, of which 200 % zoom leaves half."""

    options: ClassVar[dict[str, Any]] = {
        "viewport": {"width": 1280 // ZOOM, "height": 800 // ZOOM},
        "device_scale_factor": ZOOM,
    }

    def press(self, role: Any, name: str | re.Pattern[str], within: Locator | None = None) -> None:
        self.reach(role, name, within).click()

    def look(self) -> None:
        """Only at what zoom spoils: axe has been asked by the others."""
        self.fits()


class Reader(Hand):
    """A screen reader: nothing is known but the tree, read as text; what is pressed has been read in it before. Axe has
    been asked by the others.
    """

    def tree(self) -> str:
        return self.page.locator("body").aria_snapshot()

    def words(self) -> str:
        """What the tree says, without roles and addresses."""
        said = [re.sub(r"^\s*- \w+", "", line) for line in self.tree().splitlines() if "- /" not in line]
        return re.sub(r'["\s]+', " ", " ".join(re.sub(r"(^|(?<=\")): ?|:$|\[\w+(=\w+)?\]", " ", each) for each in said))

    def look(self) -> None:
        """Nobody looks."""

    def hear(self, part: str) -> None:
        super().hear(part)
        assert part in self.words()

    def press(self, role: Any, name: str | re.Pattern[str], within: Locator | None = None) -> None:
        found = self.reach(role, name, within)
        pattern = name.pattern.strip("^$") if isinstance(name, re.Pattern) else re.escape(name)
        assert re.search(rf'- {role} "{pattern}', self.tree()), (role, name)
        found.focus()
        self.page.keyboard.press("Space" if role in ("radio", "button", "tab") else "Enter")


@pytest.mark.parametrize("way", [Keyboard, Phone, Zoomed, Reader])
def test_a_failing_workflow_is_debugged_to_its_fix(
    way: type[Hand], opened: Callable[..., Playground], open_page: Callable[..., Watched]
) -> None:
    at = opened("/", reduced_motion="reduce", **way.options)
    at.page.goto(at.url + ask(f"{at.url}/api/snippets", {"source": SHOP})["url"])
    at.editor.wait_for(state="attached")
    hand = way(at)
    hand.run()

    # Find the failing step.
    at.expect_status("Errored")
    hand.result()
    expect(at.step("weigh parcel")).to_contain_text("failed")
    hand.open_step("weigh parcel")
    hand.hear("KeyError: 'wieght'")
    hand.look()

    # Stop before it, change its result, go on.
    hand.result()
    hand.stop_before("weigh parcel")
    hand.hear("Run or restart it: it stops before weigh parcel")
    hand.press("button", "Restart")
    hand.hear("Paused before weigh parcel on line 10")
    hand.press("button", "Edit result")
    field = at.page.get_by_label("Its result, JSON")
    expect(field).to_be_focused()
    at.page.keyboard.type("3")
    hand.look()
    hand.press("button", "Use it and continue")
    at.expect_status("Complete")
    hand.result()
    hand.open_step("print label")
    hand.hear("3 kg")

    # Mend the code, fork with it.
    hand.result()
    hand.open_step("weigh parcel")
    hand.press("link", "line 10")
    for key in ("ArrowDown", "ArrowDown", "End", *["Backspace"] * len(WRONG)):
        at.page.keyboard.press(key)
    at.page.keyboard.insert_text(RIGHT)
    expect(at.editor).to_contain_text('["weight"]')
    hand.result()
    parent = at.page.url
    hand.press("button", "Fork")
    dialog = at.page.get_by_role("dialog", name="Fork this run")
    leave = dialog.get_by_label("Leave this run at")
    leave.select_option(label="weigh parcel, done")
    expect(dialog.get_by_label("The edited code in the editor")).to_be_checked()
    hand.look()
    hand.press("button", "Fork", dialog)
    expect(at.page).not_to_have_url(parent)
    at.expect_status("Complete")
    hand.result()
    expect(at.output).to_contain_text("3")

    # Share the link, which another person opens.
    hand.press("button", "Share")
    link = at.page.get_by_label("Link to this run")
    expect(link).to_have_value(at.page.url)
    other = Playground(open_page(link.input_value()), at.url)
    other.expect_status("Complete")
    expect(other.output).to_contain_text("3")
