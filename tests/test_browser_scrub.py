"""The scrubber in a real browser: every view shows the moment that the slider stands at, on finished runs and on live
ones.
"""

import re
from collections.abc import Callable

from page_support import Playground, expect, journal
from playwright.sync_api import Locator, Page

DIES_ONCE = """from workers import WorkflowEntrypoint
import asyncio


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        await step.do("quick", lambda: 1)

        @step.do("slow")
        async def slow(ctx):
            print("attempt", ctx["attempt"])
            if ctx["attempt"] == 1:
                await asyncio.sleep(600)
            return "over"

        return await slow()
"""
SLOW_AT = 9
WAITS = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        await step.wait_for_event("first", "go")
        await step.wait_for_event("second", "go")
"""
PHONE = {"width": 390, "height": 844}
PAST = "This is the past. Go back to live to control the run."
SLIDE = "(slider, seq) => { slider.value = seq; slider.dispatchEvent(new Event('input', { bubbles: true })); }"


def slider(page: Page) -> Locator:
    return page.get_by_role("slider", name="Show the state at this event")


def sentence(page: Page) -> Locator:
    return page.locator("[data-part=sentence]")


def test_every_view_shows_the_moment_and_its_link_leads_there(opened: Callable[..., Playground]) -> None:
    page = opened()
    instance = page.run(DIES_ONCE)
    page.expect_step("slow", "running")
    page.control("Kill worker").click()
    page.expect_status("Complete")
    events = journal(page.url, page.instance)
    last = len(events)
    begun = next(
        event["seq"] for event in events if event["type"] == "attempt_started" and event["step"]["name"] == "slow"
    )
    expect(slider(page.page)).to_have_attribute("max", str(last))
    expect(page.page.locator(".scrub .mark")).to_have_attribute("title", "execution 1: worker killed")

    slider(page.page).evaluate(SLIDE, begun)
    page.expect_status("Running")
    expect(sentence(page.page)).to_contain_text(f"Seq {begun} of {last}")
    expect(sentence(page.page)).to_contain_text("slow runs.")
    page.expect_step("quick", "done")
    page.expect_step("slow", "running")
    expect(page.executions).to_have_text("1")
    expect(page.output).to_have_count(0)
    for name in ("Pause", "Terminate", "Restart", "Kill worker"):
        expect(page.control(name)).to_have_attribute("aria-disabled", "true")
        expect(page.control(name)).to_have_attribute("title", PAST)
    expect(page.page.get_by_role("columnheader", name="Execution 2")).to_have_count(0)
    page.tab("Journal")
    rows = page.page.get_by_role("list", name="Journal").get_by_role("button")
    expect(rows.last).to_contain_text("attempt_started")
    expect(page.page.locator(f".cm-line:nth-child({SLOW_AT})")).to_have_class("cm-line cm-awaited")
    page.step("slow").click()
    drawer = page.page.get_by_role("tabpanel", name="slow")
    expect(drawer).to_contain_text("Attempt 1 running")
    expect(drawer.get_by_role("button", name="Restart from here")).to_have_attribute("title", PAST)
    page.tab("Logs")
    expect(page.page.get_by_text("Nothing printed yet.")).to_be_visible()
    expect(page.page).to_have_url(f"{page.url}/instances/{instance}?at={begun}")

    link = page.page.url
    page.page.keyboard.press("[")
    page.page.keyboard.press("[")
    page.expect_status("Running")
    expect(sentence(page.page)).to_contain_text(f"Seq {begun - 2} of")
    page.tab("slow")
    expect(drawer).to_contain_text(f"slow has not begun at seq {begun - 2}.")
    page.page.keyboard.press("]")
    expect(sentence(page.page)).to_contain_text(f"Seq {begun - 1} of")
    slider(page.page).focus()
    page.page.keyboard.press("[")
    expect(sentence(page.page)).to_contain_text(f"Seq {begun - 2} of")
    page.page.keyboard.press("End")
    page.expect_status("Complete")
    expect(page.output).to_contain_text("over")
    expect(page.page).to_have_url(link.partition("?")[0])

    phone = opened(link.removeprefix(page.url), viewport=PHONE, color_scheme="dark")
    expect(sentence(phone.page)).to_contain_text(f"Seq {begun} of {last}")
    phone.expect_status("Running")
    phone.control("Back to latest").click()
    phone.expect_status("Complete")


def test_a_live_run_goes_on_behind_the_moment_that_is_looked_at(opened: Callable[..., Playground]) -> None:
    page = opened()
    page.run(WAITS)
    page.expect_step("first", "waiting")
    form = page.page.get_by_role("form", name="Send an event to first")
    form.get_by_label("payload").fill('{"half": "typed"}')
    slider(page.page).evaluate(SLIDE, 3)
    expect(sentence(page.page)).to_contain_text("Seq 3 of")
    expect(form).to_have_count(0)
    newer = page.page.locator("[data-part=scrub-newer]")
    expect(newer).to_have_text(re.compile(r"^\d+ newer$"))
    before = newer.inner_text()

    elsewhere = page.page.context.new_page()
    elsewhere.goto(f"{page.url}/instances/{page.page.url.split('/')[-1].partition('?')[0]}")
    elsewhere.get_by_role("button", name="Send event").first.click()
    expect(newer).not_to_have_text(before)
    expect(sentence(page.page)).to_contain_text("Seq 3 of")
    expect(page.page.get_by_role("slider")).to_have_value("3")
    page.control("Back to live").click()
    page.expect_step("second", "waiting")
    expect(page.page.get_by_role("form", name="Send an event to second")).to_be_visible()
