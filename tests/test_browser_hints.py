"""The hints of a first visit: done by doing, by keyboard too, gone for good when they are not wanted, and not where
they would be in the way.
"""

import re
from collections.abc import Callable
from functools import partial

import pytest
from access_support import findings
from browser_support import Watched
from page_support import Playground, expect
from playwright.sync_api import Locator
from server_support import Server, ask

QUICK = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return await step.do("double", lambda: 42)
"""
LONG = """import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        await step.do("reserve stock", lambda: 1)
        await step.do("charge card", lambda: asyncio.sleep(600))
"""
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture
def opened(opened: Callable[..., Playground]) -> Callable[..., Playground]:
    """As somebody who has never been there."""
    return partial(opened, hints=True)


def hint(page: Playground) -> Locator:
    return page.page.get_by_role("complementary", name="First visit")


def test_hints_lead_from_run_to_share_by_keyboard(opened: Callable[..., Playground]) -> None:
    page = opened("/examples/crash-and-resume", color_scheme="dark")
    keys = page.page.keyboard
    expect(hint(page)).to_contain_text("Press Run.")
    expect(hint(page)).to_contain_text("1 of 5")
    page.write(LONG)
    keys.press("ControlOrMeta+Enter")
    expect(hint(page)).to_contain_text("reserve stock is committed")
    expect(page.page.get_by_role("status").filter(has_text="Hint 2 of 5: reserve stock is committed")).to_have_count(1)
    page.control("Recent runs").focus()
    for _ in range(10):  # the hint comes soon after the header
        keys.press("Tab")
        if page.page.evaluate("document.activeElement.textContent") == "Next":
            break
    keys.press("Enter")
    expect(hint(page)).to_contain_text("Now press Kill worker.")
    page.page.get_by_role("link", name="Examples").focus()
    keys.press("x")
    expect(hint(page)).to_contain_text("read one finished step from the journal instead")
    hint(page).get_by_role("button", name="Next").press("Enter")
    expect(hint(page)).to_contain_text("5 of 5")
    page.control("Share").press("Enter")
    expect(page.page.get_by_role("dialog", name="Share")).to_be_visible()
    expect(hint(page)).to_have_count(0)
    # Until there is one, the hint only stands aside.
    expect(page.page.get_by_label("Link to the code")).to_have_value(re.compile("/s/"))
    page.page.goto(page.url)
    expect(page.page.locator("#problems")).to_have_text("No problems")
    expect(hint(page)).to_have_count(0)


def test_hints_are_sent_away_for_good(opened: Callable[..., Playground], server: Server) -> None:
    page = opened("/", **PHONE, reduced_motion="reduce")
    box = hint(page).bounding_box()
    run = page.run_button.bounding_box()
    assert box and run and box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["y"] + box["height"] <= run["y"]
    assert findings(page.page) == []
    hint(page).get_by_role("button", name="No more hints").focus()
    page.page.keyboard.press("Enter")
    expect(hint(page)).to_have_count(0)
    expect(page.run_button).to_be_focused()
    again = Playground(Watched(page.watched.context, server.url), server.url)
    expect(again.page.locator("#problems")).to_have_text("No problems")
    expect(hint(again)).to_have_count(0)


def test_no_hint_stands_over_what_somebody_shared(opened: Callable[..., Playground], server: Server) -> None:
    source = ask(server.url + "/api/examples/hello")["source"]
    snippet = ask(server.url + "/api/snippets", {"source": source})
    made = ask(server.url + "/api/instances", {"source": source})
    for path in (snippet["url"], made["url"]):
        page = opened(path)
        expect(page.page.locator("#problems")).to_have_text("No problems")
        expect(hint(page)).to_have_count(0)
    page = opened("/")
    expect(hint(page)).to_be_visible()


def test_a_run_that_ended_before_it_could_be_killed_is_to_be_run_again(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.run(QUICK)
    page.expect_status("Complete")
    hint(page).get_by_role("button", name="Next").click()
    expect(hint(page)).to_contain_text("Press Restart")
    page.page.reload()
    expect(hint(page)).to_contain_text("Press Restart")
