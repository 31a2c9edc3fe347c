"""The hints of a first visit: done by doing, by keyboard too, in the flow, so that they cover nothing, gone for good
when they are not wanted, and not where somebody came to see something shared.
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

pytestmark = pytest.mark.long

QUICK = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return await step.do("double", lambda: 42)
"""
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture
def opened(opened: Callable[..., Playground]) -> Callable[..., Playground]:
    """As somebody who has never been there."""
    return partial(opened, hints=True)


# It takes its room in the flow, so it covers nothing; nor is it cut, or covered itself.
COVERED = """() => {
  const box = document.getElementById("hint");
  const { left, right, top, bottom } = box.getBoundingClientRect();
  const isFloat = (node) => ["fixed", "absolute"].includes(getComputedStyle(node).position);
  const floats = [box, box.parentElement].filter(isFloat);
  const places = [left + 8, right - 8].flatMap((x) => [[x, top + 8], [x, bottom - 8]]);
  const hidden = places.filter(([x, y]) => !box.contains(document.elementFromPoint(x, y)));
  return [...floats.map((node) => node.outerHTML.slice(0, 80)), ...hidden];
}"""


STACKED = """() => {
  const [starts, onward] = [".starts", ".onward"].map((each) => document.querySelector(each).getBoundingClientRect());
  return starts.bottom <= onward.top && starts.height > 0;
}"""


def covers(page: Playground) -> list[str]:
    return page.page.evaluate(COVERED)


def hint(page: Playground) -> Locator:
    return page.page.get_by_role("complementary", name="First visit")


def held(server: Server) -> str:
    """The code of the start page, where each hint stays true until the test goes on: two attempts wait for their kill,
    and the sleep to be woken.
    """
    source = ask(server.url + "/api/examples/hello")["source"]
    for old, new in (
        ("async def engrave():", "async def engrave(ctx):"),
        ("asyncio.sleep(seconds / len(greeting))", "asyncio.sleep(600 if ctx['attempt'] < 3 else 0)"),
        ('"let it dry", "3 seconds"', '"let it dry", "1 hour"'),
    ):
        assert source.count(old) == 1
        source = source.replace(old, new)
    return source


def test_hints_lead_from_run_over_the_kill_to_the_slider_by_keyboard(
    opened: Callable[..., Playground], server: Server
) -> None:
    page = opened("/", color_scheme="dark", reduced_motion="reduce")
    keys = page.page.keyboard
    expect(hint(page)).to_contain_text("Press Run, then press Kill worker while engrave it runs: it takes 8 seconds.")
    expect(hint(page)).to_contain_text("1 of 4")
    assert covers(page) == []
    page.write(held(server))
    page.page.get_by_role("link", name="Examples").focus()
    keys.press("ControlOrMeta+Enter")
    expect(hint(page)).to_contain_text("compose greeting is in the journal. Now press Kill worker")
    expect(page.page.get_by_role("status").filter(has_text="Hint 2 of 4: compose greeting is in the")).to_have_count(1)
    expect(page.control("Kill worker")).to_have_class(re.compile("is-hinted"))
    assert covers(page) == []
    page.page.get_by_role("link", name="Examples").focus()
    keys.press("x")
    expect(hint(page)).to_contain_text("The ring: execution 2 read this result and did not run it again.")
    # One voice: neither the narrator nor the lesson speaks of the same moment.
    for part in ("narrator", "lesson"):
        expect(page.page.locator(f"[data-part={part}]")).to_be_hidden()
    assert covers(page) == []
    keys.press("x")
    page.expect_step("let it dry", "asleep")
    expect(hint(page)).to_have_count(0)  # it is no longer true
    page.control("Wake let it dry now").click()
    page.expect_status("Complete")
    expect(hint(page)).to_contain_text("Drag the slider back over the cut")
    assert covers(page) == []
    assert findings(page.page) == []  # at leisure: what the steps before say is soon no longer true
    page.control("One event back").focus()
    for _ in range(3):  # it is reached where it stands, beside the slider
        keys.press("Shift+Tab")
        if page.page.evaluate("document.activeElement.textContent") == "Done":
            break
    keys.press("Enter")
    expect(hint(page)).to_have_count(0)
    page.page.goto(page.url)
    expect(page.page.locator("#problems")).to_have_text("No problems")
    expect(hint(page)).to_have_count(0)


def test_hints_are_sent_away_for_good(opened: Callable[..., Playground], server: Server) -> None:
    page = opened("/", **PHONE, reduced_motion="reduce")
    expect(hint(page)).to_contain_text("Press Run")
    assert covers(page) == []
    assert findings(page.page) == []
    page.page.locator("#half-status").click()
    assert page.page.evaluate(STACKED), "what stands under each other does not lie over each other"
    page.page.locator('[data-half-set="code"]').click()
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
    expect(hint(page)).to_contain_text("Press Restart")
    page.page.reload()
    expect(hint(page)).to_contain_text("Press Restart")
