"""The command palette: all that has a key or a button, found by typing, done by Enter; what cannot be done says why."""

from collections.abc import Callable

from access_support import findings
from page_support import Playground, expect, hearing

SLOW = """import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        await step.do("reserve stock", lambda: 1)
        await step.do("charge card", lambda: asyncio.sleep(600))
"""
# What the buttons in sight are called, of those that stand in the page for good.
NAMES = """() => [...document.querySelectorAll(
    ".top > :is(a.btn, button), :is(.theme, .bar-top, .foot, .runhead, .tl-tools, .scrub) button, #run [role=tab]"
  )].filter((node) => node.checkVisibility()).map((node) => {
    const copy = node.cloneNode(true);
    for (const part of copy.querySelectorAll("kbd, .count, [hidden]")) part.remove();
    return node.getAttribute("aria-label") ?? copy.textContent.replace(/\\s+/g, " ").trim();
  })"""
# The palette's own button, the menu of moments, each of which it has, and a count of problems that leads to the next.
NOT_THERE = {"Find anything", "Choose the moment", "No problems"}


def test_all_that_can_be_pressed_is_found_and_done_by_keyboard(opened: Callable[..., Playground]) -> None:
    page = opened("/", reduced_motion="reduce")
    keys = page.page.keyboard
    palette = page.page.get_by_role("dialog", name="Find anything")
    options = palette.get_by_role("option")
    page.write(SLOW)
    keys.press("ControlOrMeta+k")
    expect(palette.get_by_role("combobox")).to_be_focused()
    keys.type("KILL")
    expect(options.first).to_contain_text("Kill worker")
    expect(options.first).to_contain_text("There is no run yet")
    with hearing(page.page, "There is no run yet: press Run."):
        keys.press("Enter")
    keys.press("Escape")
    expect(palette).to_be_hidden()
    expect(page.editor).to_be_focused()

    keys.press("ControlOrMeta+k")
    keys.type("ru")
    keys.press("Enter")
    page.expect_step("charge card", "running")
    keys.press("ControlOrMeta+k")
    expect(options.first).to_be_visible()
    words = options.all_inner_texts()
    missing = [
        name
        for name in page.page.evaluate(NAMES)
        if not any(it.startswith(name) for it in words) and name not in NOT_THERE
    ]
    assert missing == []
    assert findings(page.page) == []
    keys.type("kill worker")
    keys.press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    keys.press("ArrowUp")
    keys.press("Enter")
    expect(page.executions).to_have_text("2")
    expect(page.page.locator(".toast")).to_have_count(
        0
    )  # a press that is carried out says no reason why it could not be

    keys.press("ControlOrMeta+k")
    keys.type("charge")
    keys.press("Enter")
    expect(page.page.get_by_role("tab", name="charge card")).to_have_attribute("aria-selected", "true")
    page.control("Find anything").click()
    keys.type("dark th")
    keys.press("Enter")
    expect(page.page.locator("html")).to_have_attribute("data-theme", "dark")
