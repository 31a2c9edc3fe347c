"""Breaking a run on purpose, in a real browser: steps that are made to fail, a kill that is armed and taken back,
chaos.
"""

import re
from collections.abc import Callable, Iterator

import pytest
from access_support import findings
from conftest import MANY
from page_support import Playground, expect, journal, writing
from server_support import Server

pytestmark = pytest.mark.long

SHOP = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("charge", config={"retries": {"limit": 3, "delay": "1 hour"}})
        async def charge():
            await self.env.EFFECTS.charge(amount=7)
            return "paid"

        @step.do("mail")
        async def mail():
            return "sent"

        await step.sleep("a while", "1 hour")
        return [await charge(), await mail()]
"""
PHONE = {"viewport": {"width": 390, "height": 800}, "color_scheme": "dark", "has_touch": True}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on which a worker that sleeps is kept, however slow the machine is."""
    running = Server(tmp_path_factory.mktemp("server"), *MANY, "--idle-grace-ms", "600000").start()
    yield running
    running.stop()


@pytest.fixture
def opened(opened: Callable[..., Playground]) -> Callable[..., Playground]:
    """`opened(**context_options)` opens the page as a new visitor, with the code in the editor."""
    return writing(opened, SHOP)


def test_a_step_is_broken_before_it_runs_by_keyboard_and_again_when_it_has(opened: Callable[..., Playground]) -> None:
    page = opened()
    bolt = page.control("Break charge")
    bolt.focus()
    page.page.keyboard.press("Enter")
    form = page.page.get_by_role("dialog", name="Break charge")
    expect(form.get_by_role("radio", name="Fail")).to_be_focused()
    assert findings(page.page) == []
    form.get_by_label("For its next").fill("2")
    page.page.keyboard.press("Enter")
    expect(form).to_have_count(0)
    expect(page.control("Break charge, which fails its next 2 attempts")).to_be_focused()
    page.run()

    listed = page.page.get_by_role("group", name="Set up to go wrong")
    expect(listed).to_contain_text("charge fails its next 2 attempts")
    page.control("Break mail").click()
    form = page.page.get_by_role("dialog", name="Break mail")
    form.get_by_role("radio", name="Return a value").check()
    form.get_by_label("Value, JSON").fill("{nonsense")
    form.get_by_role("button", name="Break it").click()
    expect(form.get_by_role("alert")).to_contain_text("This is not JSON")
    expect(form.get_by_label("Value, JSON")).to_have_attribute("aria-invalid", "true")
    form.get_by_label("Value, JSON").fill('"not sent"')
    form.get_by_role("button", name="Break it").click()
    expect(listed).to_contain_text('mail returns "not sent" without running, once')

    page.control("Wake a while now").click()
    expect(page.page.locator('[data-part="sentence"]')).to_contain_text(
        "charge was made to fail on purpose. Attempt 2 of 4 begins at"
    )
    expect(listed).to_contain_text("charge fails its next attempt")
    page.control("Clear: charge fails its next attempt").click()
    expect(listed).not_to_contain_text("charge")
    page.control("Retry charge now").click()
    page.expect_status("Complete")
    expect(page.output).to_contain_text("not sent")
    page.expect_step("charge", "2 attempts")
    page.expect_step("charge", "made to fail on purpose")
    page.expect_step("mail", "given its result, not run")

    page.step("charge").click()
    drawer = page.page.get_by_role("tabpanel", name="charge")
    expect(drawer).to_contain_text("Attempt 1 made to fail on purpose")
    drawer.get_by_role("button", name="Break this step").click()
    form = page.page.get_by_role("dialog", name="Break charge")
    expect(form.get_by_role("radio", name="Fail")).to_be_focused()
    page.page.keyboard.press("Escape")
    expect(form).to_have_count(0)
    page.step("charge").focus()
    page.page.keyboard.press("i")
    form.get_by_role("radio", name="Return a value").check()
    form.get_by_label("Value, JSON").fill('"free"')
    form.get_by_role("button", name="Break, and restart from here").click()
    expect(page.output).to_contain_text("free")
    types = [event["type"] for event in journal(page.url, page.instance)]
    assert types.count("break_set") == 3
    assert types.count("break_cleared") == 1


def test_a_kill_is_armed_seen_by_who_watches_and_taken_back(
    opened: Callable[..., Playground], open_page: Callable, server: Server
) -> None:
    page = opened()
    page.run()
    page.expect_step("a while", "asleep")
    page.control("Choose the moment").click()
    page.page.get_by_role("menuitem", name="During the next step").click()
    listed = page.page.get_by_role("group", name="Set up to go wrong")
    expect(listed).to_contain_text("Armed: the worker is killed during its next step")
    assert findings(page.page) == []
    watching = open_page(page.page.url).page
    expect(watching.get_by_role("group", name="Set up to go wrong")).to_contain_text("Armed")
    expect(watching.get_by_role("button", name="Disarm")).to_have_count(0)
    page.page.reload()
    page.control("Disarm").click()
    expect(listed).to_be_hidden()
    page.control("Wake a while now").click()
    page.expect_status("Complete")
    expect(page.executions).to_have_text("1")


def test_chaos_on_a_telephone_shows_a_row_for_each_commit(opened: Callable[..., Playground]) -> None:
    page = opened(**PHONE)
    page.page.get_by_role("button", name="Not run yet").click()
    page.run()
    page.control("Choose the moment").click()
    page.page.get_by_role("menuitem", name="Before every commit").click()
    chaos = page.page.get_by_role("dialog", name="Chaos")
    chaos.get_by_role("button", name="Start").click()
    rows = chaos.get_by_role("list", name="Reruns").get_by_role("listitem")
    expect(chaos.get_by_role("button", name="Run chaos again")).to_be_visible()
    expect(rows).to_have_count(4)
    expect(rows).to_contain_text(
        ["without a kill", "before the commit of charge", "before the commit of mail", "before the end of the run"]
    )
    expect(rows.nth(1)).to_contain_text("charge ran twice, and so did its effect")
    expect(chaos).to_contain_text("3 kills: each time it came to the same output.")
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert findings(page.page) == []
    rows.nth(1).get_by_role("link").click()
    expect(page.page).to_have_url(re.compile("/instances/"))
    expect(page.page.locator("#run")).to_contain_text("with its worker killed before commit 1")
    page.expect_status("Complete")
