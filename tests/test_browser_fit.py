"""The page fits every screen: nothing runs over its edge, the code is in sight, and every control is wholly there or
can be scrolled to.
"""

from collections.abc import Callable
from typing import Any

import pytest
from page_support import Playground, expect

pytestmark = pytest.mark.long

WIDTHS = (320, 360, 390, 559, 560, 720, 735, 747, 767, 768, 844, 899, 900, 1024, 1280, 1440)
HEIGHTS = (390, 450, 559, 560, 640, 679, 680, 768, 900)
FRAMES = 60
LEAST_LINES = 8  # of code in sight, on the lowest screen too

LONG_RUN = """from workers import WorkflowEntrypoint
import asyncio


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        async def slow():
            await asyncio.sleep(600)

        await step.do("one", lambda: 1)
        await step.do("two", slow)
        # Lines that may be in sight.
        #
        #
        #
        #
"""
FINISHED = LONG_RUN.replace("sleep(600)", "sleep(0)")

# What is wrong with the page as it is: what runs over the right or left edge, controls that are cut off and cannot be
# scrolled to.
WRONG = """() => {
    const wide = document.documentElement.clientWidth, high = innerHeight, found = [];
    if (document.documentElement.scrollWidth > wide)
        found.push(`the page is ${document.documentElement.scrollWidth} px wide`);
    const named = (node) => node.getAttribute("aria-label") || node.id ||
        node.textContent.trim().slice(0, 30) || node.className;
    const open = document.querySelector("dialog[open]");
    for (const node of (open ?? document).querySelectorAll(
        "button, a[href], input, textarea, summary, [role=tab], [role=separator]")) {
        if (!node.checkVisibility({ visibilityProperty: true }) || node.closest(".cm-editor, .sr, .skip")) continue;
        const box = node.getBoundingClientRect();
        if (!box.width || !box.height) continue;
        let [top, bottom] = [0, high], over = box.left < -0.5 || box.right > wide + 0.5;
        let scrolls = false;
        for (let up = node.parentElement; up && up !== document.body; up = up.parentElement) {
            const { overflowX, overflowY } = getComputedStyle(up);
            const edge = up.getBoundingClientRect();
            if (overflowX !== "visible" && (box.left < edge.left - 0.5 || box.right > edge.right + 0.5)) over = true;
            if (overflowY === "auto" || overflowY === "scroll") scrolls ||= up.scrollHeight > up.clientHeight + 1;
            else if (overflowY !== "visible" && !scrolls)
                [top, bottom] = [Math.max(top, edge.top), Math.min(bottom, edge.bottom)];
        }
        if (over) found.push(`${named(node)} is cut at a side: ${box.left} to ${box.right}`);
        else if (!scrolls && (box.top < top - 0.5 || box.bottom > bottom + 0.5))
            found.push(`${named(node)} is cut: ${box.top} to ${box.bottom}`);
    }
    const timeline = document.querySelector(".run-live > .tl");
    if (timeline.checkVisibility() && timeline.clientHeight < Math.min(130, timeline.scrollHeight))
        found.push(`the timeline is ${timeline.clientHeight} px high`);
    return found;
}"""
LINES = """() => {
    const room = document.querySelector(".cm-scroller").getBoundingClientRect();
    return [...document.querySelectorAll(".cm-line")].filter((line) => {
        const { top, bottom } = line.getBoundingClientRect();
        const at = document.elementFromPoint(room.left + 4, (top + bottom) / 2);
        return top >= room.top - 0.5 && bottom <= Math.min(room.bottom, innerHeight) + 0.5 && at?.closest(".cm-editor");
    }).length;
}"""


def settled(page: Playground, look: str, is_right: str) -> Any:
    """What is seen once it is right, or still wrong after FRAMES: the page lays itself out anew in the frames after its
    window has changed.
    """
    return page.page.evaluate(
        f"""async () => {{
            for (let frame = 0; ; frame += 1) {{
                const seen = ({look})();
                if (frame === {FRAMES} || ({is_right})(seen)) return seen;
                await new Promise((drawn) => requestAnimationFrame(drawn));
            }}
        }}"""
    )


def walk(page: Playground, *, code: bool, first: int = 0, every: int = 3) -> str:
    """What is wrong at every width, with every third height, in either half where one is shown at a time.

    Of pages that are nearly alike each may be walked at some of these heights, the `first` and so on.
    """
    found = []
    for place, width in enumerate(WIDTHS):
        for height in HEIGHTS[place % 3 + first :: every]:
            page.page.set_viewport_size({"width": width, "height": height})
            halves = page.page.locator("[data-half-set]:visible")
            for half in ("code", "run") if code and halves.count() else (None,):
                if half:
                    page.page.locator(f"[data-half-set={half}]").click()
                if (
                    code
                    and half != "run"
                    and (lines := settled(page, LINES, f"lines => lines >= {LEAST_LINES}")) < LEAST_LINES
                ):
                    found.append(f"{width}x{height}: {lines} lines of code")
                found += [
                    f"{width}x{height} {half or ''}: {one}" for one in settled(page, WRONG, "found => !found.length")
                ]
    return "\n".join(found)


def test_a_start_page_fits_every_screen(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    expect(page.editor).to_be_visible()
    expect(page.page.get_by_role("region", name="Plan")).to_be_visible()
    assert walk(page, code=True) == ""


@pytest.mark.parametrize(
    ("source", "status", "first"), [(LONG_RUN, "Running", 0), (FINISHED, "Complete", 3)], ids=["running", "finished"]
)
def test_a_run_fits_every_screen(opened: Callable[..., Playground], source: str, status: str, first: int) -> None:
    page = opened("/")
    page.run(source)
    page.expect_status(status)
    page.expect_step("two", "running" if status == "Running" else "done")
    found = walk(page, code=True, first=first, every=6)
    if status == "Running":
        page.page.set_viewport_size({"width": 1280, "height": 800})
        page.control("Terminate").click()
        page.expect_status("Terminated")
    assert found == ""


def test_the_share_dialog_fits_every_screen(opened: Callable[..., Playground]) -> None:
    page = opened("/examples/hello")
    page.control("Share").click()
    expect(page.page.get_by_label("Link to the code")).not_to_have_value("")
    assert walk(page, code=False, every=6) == ""


def test_params_and_outline_come_on_a_low_screen_when_they_are_asked_for(opened: Callable[..., Playground]) -> None:
    page = opened("/examples/hello", viewport={"width": 844, "height": 390})
    params = page.page.locator("#params")
    expect(params).to_be_hidden()
    page.control("Params, outline").click()
    params.fill("{")
    page.control("Params, outline").click()
    expect(params).to_be_hidden()
    page.run_button.click()
    expect(params).to_be_focused()  # what stands in the way of the run is shown
    expect(page.page.locator("#params-problem")).to_be_visible()
