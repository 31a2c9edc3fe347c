"""Every kind of page, dark and light, wide and on a telephone, as axe-core judges it."""

from collections.abc import Callable
from functools import partial

import pytest
from access_support import findings
from page_support import Playground, expect

pytestmark = pytest.mark.long

WIDE, TELEPHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}

WAITS = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("shaky", config={"retries": {"limit": 3, "delay": 1, "backoff": "constant"}})
        async def shaky(ctx):
            print("\\x1b[31mattempt\\x1b[0m", ctx["attempt"])
            if ctx["attempt"] < 3:
                raise RuntimeError("not yet")
            return {"attempt": ctx["attempt"]}

        await shaky()
        for turn in range(7):
            await step.do("poll", lambda: turn)
        await step.wait_for_event("approval", "approved")
        await step.sleep("nap", "1 hour")
        raise ValueError("for nothing")
"""

# A telephone's window only lays them out otherwise: it is looked at on one page that is listed, one of text, one of an
# error.
PAGES = (
    *("/examples", "/", "/examples/saga"),
    *("/security", "/about", "/tenants"),
    *("/instances/there-is-none", "/tenants/acme", "/nothing-is-here"),
)
RUN = ".run-live"  # what changes between the views
# What the run's half has that is larger than its largest heading, or that its pane cuts off at the right.
MISFITS = """() => [...document.querySelectorAll(".run-live *")].filter((node) => {
    const own = [...node.childNodes].some((each) => each.nodeType === Node.TEXT_NODE && each.data.trim());
    if (!own || !node.checkVisibility({ visibilityProperty: true })) return false;
    const wraps = getComputedStyle(node).whiteSpace === "normal" && node.matches("p, p *");
    return parseFloat(getComputedStyle(node).fontSize) > 16 ||
        (wraps && node.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5);
}).map((node) => node.outerHTML.slice(0, 120))"""


@pytest.fixture(params=[WIDE, TELEPHONE], ids=lambda it: str(it["width"]))
def visit(request: pytest.FixtureRequest, opened: Callable[..., Playground]) -> Callable[[str], Playground]:
    """`visit(path)` opens a page, wide or as on a telephone; nothing moves."""
    return partial(opened, viewport=request.param, reduced_motion="reduce")


def test_a_page_of_each_kind(visit: Callable[[str], Playground]) -> None:
    at = visit("/")
    for path in PAGES if at.page.viewport_size == WIDE else PAGES[::3]:
        if at.page.goto(at.url + path).status == 404:
            at.watched.forgive("404")
        expect(at.page.locator("h1").first).to_be_attached()
        assert findings(at.page) == [], path


def test_a_run_in_every_view(visit: Callable[[str], Playground]) -> None:
    at = visit("/")
    at.page.locator(".cm-content").wait_for(state="attached")
    if at.page.viewport_size == TELEPHONE:
        at.page.get_by_role("button", name="Code").click()
    at.run(WAITS)
    at.expect_step("approval", "waiting")
    at.step("poll × 7").click()
    expect(at.page.get_by_role("form", name="Turns of this loop")).to_be_visible()
    assert findings(at.page) == [], "waiting"
    for tab in ("Replay", "Journal", "Logs"):
        at.tab(tab)
        assert findings(at.page, within=RUN) == [], tab
        assert at.page.evaluate(MISFITS) == [], tab
    if at.page.viewport_size == TELEPHONE:
        at.tab("Timeline")
    at.step("shaky").click()
    assert findings(at.page, within=RUN) == [], "a step"
    if at.page.viewport_size == TELEPHONE:
        at.tab("Timeline")
    at.page.get_by_role("button", name="Send event").click()
    at.expect_step("nap", "asleep")
    at.control("Wake nap now").click()
    at.expect_status("Errored")
    assert findings(at.page, within=RUN) == [], "errored"
    assert at.page.evaluate(MISFITS) == [], "errored"


def test_the_dialogs(visit: Callable[[str], Playground]) -> None:
    at = visit("/examples/hello")
    at.page.locator(".cm-content").wait_for(state="attached")
    banner = at.page.get_by_role("banner")
    for name in ("Share", "About", "Keys"):
        if name == "Keys":
            at.page.evaluate("document.activeElement.blur()")
            at.page.keyboard.press("?")
        else:
            more = banner.get_by_role("button", name="More")
            if name == "About" and more.is_visible():  # a small window has it there
                more.click()
            named = banner.get_by_text(name, exact=True).or_(banner.get_by_label(name))
            named.locator("visible=true").first.click()
        expect(at.page.locator("dialog[open]")).to_be_visible()
        assert findings(at.page) == [], name
        at.page.keyboard.press("Escape")
        expect(at.page.locator("dialog[open]")).to_have_count(0)
