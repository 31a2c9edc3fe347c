"""A closer look at the timeline in a real browser: by keys, buttons, wheel, dragging and two fingers; and the timeline
as a table.
"""

import re
from collections.abc import Callable

import pytest
from page_support import Playground, expect
from playwright.sync_api import Locator

STEPS = """from workers import WorkflowEntrypoint
import asyncio


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        async def nap():
            await asyncio.sleep(0.3)  # long enough for a bar that can grow, on any machine
        for name in ("one", "two", "three"):
            await step.do(name, nap)
        return "rested"
"""
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def finished(opened: Callable[..., Playground]) -> Playground:
    page = opened()
    page.run(STEPS)
    page.expect_status("Complete")
    return page


def bar(page: Playground, name: str) -> Locator:
    return page.step(name).locator("xpath=ancestor::li").locator(".seg.ran")


def width(page: Playground, name: str) -> float:
    box = bar(page, name).bounding_box()
    assert box
    return box["width"]


def test_the_timeline_is_looked_at_closely_and_moved_and_whole_again(finished: Playground) -> None:
    page = finished
    strip = page.page.get_by_role("scrollbar", name="Part of the timeline in view")
    whole = width(page, "two")
    expect(page.control("Zoom out")).to_have_attribute("aria-disabled", "true")
    page.step("two").focus()
    page.page.keyboard.press("+")
    page.page.keyboard.press("+")
    expect(strip).to_be_visible()
    assert width(page, "two") > whole
    middle = strip.get_attribute("aria-valuenow")
    page.page.keyboard.press("ArrowRight")
    expect(strip).not_to_have_attribute("aria-valuenow", middle or "")
    page.page.keyboard.press("0")
    expect(strip).to_be_hidden()
    assert width(page, "two") == pytest.approx(whole, abs=1)

    box = bar(page, "one").bounding_box()
    assert box
    page.page.mouse.move(box["x"] + 2, box["y"] + 8)
    page.page.keyboard.down("Control")
    page.page.mouse.wheel(0, -400)
    page.page.keyboard.up("Control")
    expect(strip).to_be_visible()
    closer = bar(page, "one").bounding_box()
    assert closer
    assert closer["width"] > box["width"]
    assert closer["x"] == pytest.approx(box["x"], abs=20)
    began = strip.get_attribute("aria-valuenow")
    page.page.mouse.down()
    page.page.mouse.move(box["x"] - 120, box["y"] + 8, steps=3)
    page.page.mouse.up()
    expect(strip).not_to_have_attribute("aria-valuenow", began or "")
    expect(page.page.get_by_role("tabpanel", name="one")).to_have_count(0)
    page.control("Zoom to all of it").click()
    expect(strip).to_be_hidden()

    page.page.mouse.move(box["x"] + 2, box["y"] + 8)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 2, 5)  # let go outside
    page.page.mouse.up()
    page.page.keyboard.press("+")
    expect(strip).to_be_visible()
    still = strip.get_attribute("aria-valuenow")
    page.page.mouse.move(box["x"] + 60, box["y"] + 8, steps=3)
    expect(strip).to_have_attribute("aria-valuenow", still or "")


def test_two_fingers_look_closer_on_a_telephone(finished: Playground, opened: Callable[..., Playground]) -> None:
    page = opened(
        f"/instances/{finished.instance}", viewport=PHONE, has_touch=True, is_mobile=True, color_scheme="dark"
    )
    page.expect_status("Complete")
    whole = width(page, "two")
    box = bar(page, "two").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + 8
    session = page.page.context.new_cdp_session(page.page)
    for kind, apart in (("touchStart", 20), ("touchMove", 40), ("touchMove", 80), ("touchEnd", None)):
        points = [] if apart is None else [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    strip = page.page.get_by_role("scrollbar", name="Part of the timeline in view")
    expect(strip).to_be_visible()
    assert width(page, "two") > whole
    page.control("Zoom to all of it").tap()
    expect(strip).to_be_hidden()
    assert width(page, "two") == pytest.approx(whole, abs=1)


def test_the_same_steps_are_a_table_for_who_wants_one(finished: Playground) -> None:
    page = finished
    page.control("As a table").click()
    table = page.page.get_by_role("table", name="Steps of this run")
    expect(table.get_by_role("row")).to_have_count(4)
    expect(table.get_by_role("row").nth(2)).to_have_text(re.compile(r"^two\s*done\s*1"))
    expect(page.page.get_by_role("list", name="Steps")).to_be_hidden()
    table.get_by_role("button", name="two").click()
    expect(page.page.get_by_role("tabpanel", name="two")).to_contain_text("Attempt 1 completed")
    page.page.reload()
    expect(table.get_by_role("row")).to_have_count(4)
    page.control("As a table").click()
    expect(page.page.get_by_role("list", name="Steps")).to_be_visible()
