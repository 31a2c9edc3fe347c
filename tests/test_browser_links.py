"""What an address keeps: reload comes back to the run, links open for others, and all of it reads without JavaScript
and on a phone.
"""

import json
import re
import urllib.request
from collections.abc import Callable

import pytest
from page_support import Playground, completed_steps, expect, journal
from server_support import Server, ask

pytestmark = pytest.mark.long

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
QUICK = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        print("said by a < b & c")
        return await step.do("<b>double</b>", lambda: event["payload"]["n"] * 2)
"""


KILLED = """import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        async def charge(ctx):
            if ctx["attempt"] == 1:
                await asyncio.sleep(600)  # there is time to kill, on any machine

        await step.do("reserve stock", lambda: 11)
        await step.do("charge card", charge)
"""


@pytest.fixture(scope="module")
def finished(server: Server) -> str:
    """The path of an instance that ran to its end without any page."""
    made = ask(server.url + "/api/instances", {"source": QUICK, "params": {"n": 21}})
    with urllib.request.urlopen(f"{server.url}/api/instances/{made['id']}/stream", timeout=30) as stream:
        for line in stream:
            if line.strip() == b"event: end":
                break
    return str(made["url"])


def test_a_reload_in_mid_run_comes_back_to_the_run_with_its_controls(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    instance = page.run(KILLED)
    page.expect_step("charge card", "running")
    page.page.reload()
    assert page.instance == instance
    page.expect_step("reserve stock", "done")
    page.control("Kill worker").click()
    page.expect_step("charge card", "2 attempts")
    page.expect_status("Complete")
    assert completed_steps(journal(page.url, instance)).count("charge card") == 1


def test_a_link_to_the_code_opens_the_code_for_another_visitor(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.write(QUICK)
    page.page.locator("#params").fill('{"n": 4}')
    page.control("Share").click()
    field = page.page.get_by_label("Link to the code")
    expect(field).to_have_value(re.compile("/s/"))
    link = field.input_value()
    other = opened(link.removeprefix(page.url))
    expect(other.editor).to_contain_text("said by a < b & c")
    assert json.loads(other.page.locator("#params").input_value()) == {"n": 4}
    other.run()
    other.expect_status("Complete")
    expect(other.output).to_contain_text("8")


def test_a_link_to_the_run_is_for_watching(opened: Callable[..., Playground]) -> None:
    page = opened("/examples/approval")
    instance = page.run()
    page.expect_step("manager decides", "waiting")
    other = opened(f"/instances/{instance}")
    other.expect_step("manager decides", "waiting")
    expect(other.page.locator('[data-part="mode"]')).to_have_text("watching")
    expect(other.control("Terminate")).to_have_attribute("aria-disabled", "true")
    page.control("Terminate").click()
    other.expect_status("Terminated")
    page.expect_status("Terminated")


def test_a_finished_run_reads_without_javascript(opened: Callable[..., Playground], finished: str) -> None:
    page = opened(finished, java_script_enabled=False).page
    expect(page.get_by_role("heading", name="Complete")).to_be_visible()
    expect(page.get_by_role("row", name="<b>double</b>")).to_contain_text("done")
    expect(page.get_by_text("said by a < b & c", exact=True)).to_be_visible()
    expect(page.locator("section.end pre")).to_have_text("42")
    expect(page.locator("#listing .line").first).to_be_visible()
    expect(page.get_by_role("button", name="Run", exact=True)).to_have_count(0)


def test_shared_code_reads_without_javascript(opened: Callable[..., Playground], server: Server) -> None:
    snippet = ask(server.url + "/api/snippets", {"source": QUICK, "params": {"n": 1}})
    page = opened(snippet["url"], java_script_enabled=False).page
    expect(page.locator("#listing")).to_contain_text("class TenantWorkflow")
    assert page.locator("#listing [class^=tok-]").count() > 10


def test_the_page_fits_a_phone_and_the_run_is_one_tap_away(opened: Callable[..., Playground]) -> None:
    page = opened("/", **PHONE)
    page.page.locator("#params").fill('{"name": "Ada", "seconds": 0}')
    page.run_button.tap()
    page.expect_status("Complete")
    expect(page.output).to_contain_text("Hello, Ada!")
    for half in ("Code", "Complete"):
        page.page.get_by_role("navigation", name="Code or run").get_by_role("button", name=half).tap()
        width = page.page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["viewport"]["width"], half


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_chosen_theme_stays(opened: Callable[..., Playground], theme: str) -> None:
    page = opened("/", color_scheme="dark" if theme == "light" else "light").page
    ground = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ground)
    page.get_by_role("button", name=f"{theme.title()} theme").click()
    page.wait_for_function(f"{ground} !== {before!r}")
    chosen = page.evaluate(ground)
    page.reload()
    assert page.evaluate(ground) == chosen


def test_a_draft_never_hides_a_shared_link(opened: Callable[..., Playground], server: Server) -> None:
    snippet = ask(server.url + "/api/snippets", {"source": QUICK, "params": {"n": 1}})
    page = opened(snippet["url"])
    page.write(QUICK + "# mine\n")
    expect(page.page).to_have_url(page.url + "/")
    expect(page.page.locator("#draft")).to_contain_text("Draft kept")
    page.page.goto(server.url + snippet["url"])
    expect(page.page.locator("#notices")).to_contain_text("You have a draft of this")
    expect(page.editor).not_to_contain_text("# mine")
    page.control("Restore").click()
    expect(page.editor).to_contain_text("# mine")
