"""A telephone, upright and on its side: words where they matter, a rail at the thumb, and a swipe between code and run
that nothing else is taken for.
"""

import time
from collections.abc import Callable
from typing import Any

from access_support import findings
from page_support import Playground, expect

SLOW = """import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        await step.do("charge card", lambda: asyncio.sleep(600))
        print("a line that is longer than a telephone is wide, so that the code scrolls sideways under a finger")
"""
SIZE = {"width": 390, "height": 844}
SMALLEST = """() => [...document.querySelectorAll("header.top button, header.top a, .runhead button, .phonebar button")]
  .filter((node) => node.checkVisibility())
  .map((node) => [node.getAttribute("aria-label") ?? node.textContent.trim(), node.getBoundingClientRect()])
  .filter(([, { width, height }]) => Math.min(width, height) < 44).map(([name]) => name)"""


def swipe(page: Playground, start: tuple[float, float], by: float) -> None:
    """A finger that comes down, goes sideways and up within a tenth of a second, however busy this machine is."""
    session = page.page.context.new_cdp_session(page.page)
    now = time.time()

    def touch(kind: str, after: float, *points: dict[str, Any]) -> None:
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points), "timestamp": now + after})

    x, y = start
    touch("touchStart", 0, {"x": x, "y": y})
    for part in (0.5, 1):
        touch("touchMove", part * 0.08, {"x": x + by * part, "y": y})
    touch("touchEnd", 0.1)
    session.detach()


def test_a_telephone_has_words_a_rail_and_swipes(opened: Callable[..., Playground]) -> None:
    page = opened("/", viewport=SIZE, has_touch=True, is_mobile=True, reduced_motion="reduce")
    page.write(SLOW)
    page.run()
    page.expect_step("charge card", "running")
    body = page.page.locator("body")
    for name, word in (("Pause", "Pause"), ("Kill worker", "Kill")):
        assert page.control(name).inner_text() == word
    assert page.page.evaluate(SMALLEST) == []

    page.control("More of this run").tap()
    expect(page.control("Terminate")).to_be_focused()
    assert findings(page.page) == []
    page.page.keyboard.press("Escape")

    middle = (200, 560)  # below the rows
    swipe(page, middle, 150)
    expect(body).to_have_attribute("data-half", "code")
    page.page.locator(".cm-line", has_text="charge card").tap()
    bar = page.page.get_by_role("group", name="The tapped line")
    expect(bar).to_contain_text("Line 8charge card")
    stop = bar.get_by_role("button", name="Pause before")
    for pressed in ("true", "false"):
        stop.tap()
        expect(stop).to_have_attribute("aria-pressed", pressed)
        assert findings(page.page) == []
    bar.get_by_role("button", name="Its row").tap()
    expect(body).to_have_attribute("data-half", "run")
    expect(page.step("charge card")).to_be_focused()
    page.page.get_by_role("button", name="Code", exact=True).tap()
    expect(page.editor).to_be_visible()
    code = page.editor.bounding_box()
    assert code
    swipe(page, (200, code["y"] + 60), -150)  # on code that scrolls sideways
    expect(body).to_have_attribute("data-half", "code")
    page.page.locator("#half-status").click()
    expect(body).to_have_attribute("data-half", "run")
    swipe(page, (30, 560), 340)  # one that goes back in the history of a browser that is asked for it
    expect(body).to_have_attribute("data-half", "code")
    page.page.locator("#half-status").click()
    expect(body).to_have_attribute("data-half", "run")
    slider = page.page.get_by_label("Show the state at this event").bounding_box()
    assert slider
    swipe(page, (slider["x"] + 20, slider["y"] + 10), 100)
    expect(body).to_have_attribute("data-half", "run")

    page.page.set_viewport_size({"width": 844, "height": 390})
    expect(page.page.locator("header.top")).to_be_hidden()
    rail = page.page.get_by_role("navigation", name="Code or run").bounding_box()
    assert rail and rail["x"] + rail["width"] == 844 and rail["width"] < 80
    page.page.get_by_role("button", name="Code", exact=True).tap()
    expect(page.page.locator(".code")).to_be_visible()
    code = page.page.locator(".code").bounding_box()
    assert code and code["height"] == 390
    page.page.get_by_role("button", name="More", exact=True).tap()
    page.page.get_by_role("option", name="Terminate").tap()
    expect(page.status).to_have_text("Terminated")
