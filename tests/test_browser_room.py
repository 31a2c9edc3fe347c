"""Room in a real browser: the edges of panes and of the column of names, by mouse, finger and keyboard."""

import time
from collections.abc import Callable
from itertools import count
from typing import Any

from page_support import Playground
from playwright.sync_api import Locator

STEP_PX = 16


def size(node: Locator, axis: str) -> float:
    box = node.bounding_box()
    assert box
    return box["width" if axis == "x" else "height"]


def middle(node: Locator) -> tuple[float, float]:
    box = node.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_panes_and_the_column_of_names_are_dragged_and_keep_their_sizes(opened: Callable[..., Playground]) -> None:
    page = opened("/examples/hello", viewport={"width": 1440, "height": 900})
    page.page.locator("#params").fill('{"seconds": 0}')
    page.run()
    page.expect_status("Complete")
    page.step("compose greeting").click()
    mouse, keyboard = page.page.mouse, page.page.keyboard
    edges: dict[str, tuple[str, str, int]] = {
        "Width of the editor": ("#code", "x", 1),
        "Height of params and outline": ("#under", "y", -1),
        "Width of the params": (".params-half", "x", 1),
        "Height of the timeline": ("#view-timeline", "y", 1),
        "Width of the names": ("#view-timeline .tl-axis > h2", "x", 1),
        "Width of the attempts": ("#view-step .sheet-body > section:first-child", "x", 1),
    }
    kept: dict[str, float] = {}
    for name, (pane, axis, sign) in edges.items():
        edge, part = page.page.get_by_role("separator", name=name), page.page.locator(pane)
        before = size(part, axis)
        x, y = middle(edge)
        by = 40 * sign
        mouse.move(x, y)
        mouse.down()
        mouse.move(x + (by if axis == "x" else 0), y + (by if axis == "y" else 0), steps=3)
        mouse.up()
        dragged = size(part, axis)
        if name != "Height of the timeline":  # which was as high as what it holds
            assert abs(dragged - before - 40) <= 1.5, name
        edge.focus()
        keyboard.press({("x", 1): "ArrowRight", ("y", 1): "ArrowDown", ("y", -1): "ArrowUp"}[axis, sign])
        kept[name] = size(part, axis)
        assert abs(kept[name] - dragged - STEP_PX) <= 1.5, name
        assert abs(float(edge.get_attribute("aria-valuenow") or 0) - kept[name]) <= 1, name
    page.page.reload()
    page.expect_status("Complete")
    page.step("compose greeting").click()
    for name, (pane, axis, _) in edges.items():
        assert abs(size(page.page.locator(pane), axis) - kept[name]) <= 1.5, name
    edge = page.page.get_by_role("separator", name="Width of the names")
    edge.dblclick()
    heading = page.page.locator("#view-timeline .tl-axis > h2")
    assert size(heading, "x") != kept["Width of the names"]
    page.page.reload()
    page.expect_status("Complete")
    assert abs(size(heading, "x") - kept["Width of the names"]) > STEP_PX


def test_a_finger_drags_an_edge_and_two_taps_put_it_back(opened: Callable[..., Playground]) -> None:
    page = opened("/examples/hello", viewport={"width": 1180, "height": 820}, has_touch=True)
    part = page.page.locator("#under")
    before = size(part, "y")
    x, y = middle(page.page.get_by_role("separator", name="Height of params and outline"))
    session = page.page.context.new_cdp_session(page.page)

    times = count(time.time(), 0.05)  # two taps are a double one however busy this machine is

    def touch(kind: str, *points: tuple[float, float]) -> None:
        touched: list[dict[str, Any]] = [{"x": left, "y": top} for left, top in points]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touched, "timestamp": next(times)})

    touch("touchStart", (x, y))
    touch("touchMove", (x, y - 30))
    touch("touchMove", (x, y - 60))
    touch("touchEnd")
    assert abs(size(part, "y") - before - 60) <= 2
    for _ in range(2):
        touch("touchStart", (x, y - 60))
        touch("touchEnd")
    assert abs(size(part, "y") - before) <= 1
