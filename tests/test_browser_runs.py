"""Recent runs of this browser, in the header: how they stand, across tabs, until they are forgotten."""

from collections.abc import Callable

from access_support import findings
from browser_support import Watched
from page_support import Playground, expect
from server_support import Server

QUICK = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return await step.do("double", lambda: 42)
"""
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "color_scheme": "dark"}
GONE = """() => {
    const kept = JSON.parse(localStorage.getItem("playground.tokens") ?? "{}");
    kept["deleted-long-ago"] = { token: "none", title: "From last month", at: Date.now() - 30 * 86400000 };
    localStorage.setItem("playground.tokens", JSON.stringify(kept));
}"""


def test_runs_of_this_browser_are_found_again_and_forgotten(opened: Callable[..., Playground]) -> None:
    page = opened("/examples/approval", reduced_motion="reduce")
    menu = page.page.get_by_role("dialog", name="Recent runs")
    page.control("Recent runs").click()
    expect(menu).to_contain_text("No run of this browser yet")
    page.page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    expect(page.control("Recent runs")).to_be_focused()

    waiting = page.run()
    page.expect_status("Waiting")
    page.page.goto(page.url + "/examples/hello")
    page.page.evaluate(GONE)
    page.run(QUICK)
    page.page.keyboard.press("Tab")
    page.control("Recent runs").press("Enter")
    rows = menu.get_by_role("listitem")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("Hello, durable world, edited")
    expect(rows.nth(0)).to_contain_text("this one")
    expect(rows.nth(0).get_by_role("link")).to_have_attribute("aria-current", "page")
    expect(rows.nth(0)).to_contain_text("Complete")
    expect(rows.nth(1)).to_contain_text("Waiting")
    expect(rows.nth(2)).to_contain_text("No longer kept")
    expect(rows.nth(2).get_by_role("link")).to_have_count(0)

    assert findings(page.page) == []

    rows.nth(2).get_by_role("button", name="Forget From last month").press("Enter")
    expect(rows).to_have_count(2)
    expect(rows.nth(1).get_by_role("button")).to_be_focused()
    rows.nth(1).get_by_role("link").click()
    assert page.instance == waiting
    page.expect_step("manager decides", "waiting")


def test_another_tab_shows_what_this_one_started(opened: Callable[..., Playground], server: Server) -> None:
    page = opened("/examples/hello", **PHONE)
    other = Playground(Watched(page.watched.context, server.url), server.url)
    other.control("Recent runs").tap()
    menu = other.page.get_by_role("dialog", name="Recent runs")
    expect(menu).to_contain_text("No run of this browser yet")
    page.run(QUICK)
    expect(menu.get_by_role("listitem")).to_contain_text("Hello, durable world")
    page.expect_status("Complete")
    expect(menu).to_contain_text("Complete")
    box = menu.bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390
    page.page.evaluate(GONE)
    menu.get_by_role("button", name="Forget all").tap()
    other.control("Forget them").tap()
    expect(menu).to_contain_text("No run of this browser yet")
    # What one tab stores reaches the other's process some time later.
    page.page.wait_for_function("localStorage.getItem('playground.tokens') === '{}'")
    assert other.watched.trouble == []


def test_what_something_else_left_in_the_storage_is_as_good_as_nothing(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    rubbish = (
        "[[1]]",
        '{"hello":{"tasks":7},"source":"x","params":1}',
        '{"a":null,"b":7,"c":{"token":1},"d":{"token":"t","title":"Left","at":"x"}}',
    )
    shelves = [
        "tokens",
        "lessons",
        "lesson-runs",
        "forks",
        "drafts",
        "draft",
        "draft.x",
        "vim",
        "single-keys",
        "steps-table",
        "sizes",
        "theme",
    ]
    for left in rubbish:
        page.page.evaluate(
            "([names, text]) => names.forEach((name) => localStorage.setItem(`playground.${name}`, text))",
            [shelves, left],
        )
        page.page.reload()
        expect(page.page.locator("#problems")).to_have_text("No problems")
    page.control("Recent runs").click()
    expect(page.page.get_by_role("dialog", name="Recent runs").get_by_role("listitem")).to_have_count(1)
