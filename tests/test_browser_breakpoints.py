"""Stopping a run before a step in a real browser: by mouse, by keyboard alone, and on a telephone."""

import re
from collections.abc import Callable

import pytest
from access_support import findings
from browser_support import Watched
from page_support import Playground, expect, journal, writing
from playwright.sync_api import Locator

pytestmark = pytest.mark.long

SHOP = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("charge")
        async def charge():
            return "paid"

        @step.do("ship")
        async def ship():
            return "shipped"

        @step.do("mail")
        async def mail():
            return "sent"

        return [await charge(), await ship(), await mail()]
"""


@pytest.fixture
def opened(opened: Callable[..., Playground]) -> Callable[..., Playground]:
    """`opened(**context_options)` opens the page as a new visitor, with the code in the editor."""
    return writing(opened, SHOP)


def test_a_line_s_number_stops_the_run_which_is_stepped_and_given_a_result(opened: Callable[..., Playground]) -> None:
    page = opened()
    expect(page.control("Pause before charge")).to_have_attribute("aria-pressed", "false")
    page.page.locator(".cm-lineNumbers .cm-gutterElement", has_text=re.compile("^6$")).click()
    expect(page.control("Pause before charge")).to_have_attribute("aria-pressed", "true")
    expect(page.page.locator(".cm-lineNumbers .cm-stop")).to_have_text("6")
    page.run()

    bar = page.page.get_by_role("region", name="Stopped before a step")
    expect(bar.get_by_role("alert").first).to_have_text("Paused before charge on line 6")
    expect(bar).to_contain_text("Nothing of it has begun.")
    expect(page.page.locator(".cm-lineNumbers .cm-stop-here")).to_have_text("6")
    page.expect_status("Paused")
    assert findings(page.page) == []
    bar.get_by_role("button", name="Next commit").click()
    expect(bar).to_contain_text("Paused before ship")
    expect(bar).to_contain_text("1 result stored.")
    page.page.reload()  # the stop is the run's
    expect(bar).to_contain_text("Paused before ship")
    bar.get_by_role("button", name="Edit result").click()
    field = bar.get_by_label("Its result, JSON")
    expect(field).to_be_focused()
    field.fill("{nonsense")
    bar.get_by_role("button", name="Use it and continue").click()
    expect(bar.get_by_text("This is not JSON")).to_be_visible()
    field.fill('{"by": 9007199254740993}')
    assert findings(page.page) == []
    bar.get_by_role("button", name="Use it and continue").click()
    page.expect_status("Complete")
    expect(page.output).to_contain_text("9007199254740993")
    page.expect_step("ship", "edited")
    page.step("ship").click()
    drawer = page.page.get_by_role("tabpanel", name="ship")
    expect(drawer).to_contain_text("Its result was given by hand, and it did not run.")
    types = [event["type"] for event in journal(page.url, page.instance)]
    assert (types.count("breakpoint_hit"), types.count("step_given")) == (2, 1)


def test_breakpoints_of_a_draft_outlast_a_reload_follow_edits_and_go_with_a_restart(
    opened: Callable[..., Playground],
) -> None:
    page = opened()
    marked = page.page.locator(".cm-lineNumbers .cm-stop")
    inside = SHOP.replace('return "paid"', 'return await step.do("ask the bank", lambda: 1)').replace(
        '"ship"', '"pack"'
    )
    page.write(inside)
    expect(page.control("Pause before pack")).to_be_visible()
    line(page, 8).click()  # of a step that the callback of another one calls
    expect(page.page.locator("#toast")).to_contain_text("No run stops inside a step: ask the bank belongs to charge")
    expect(marked).to_have_text("6")
    line(page, 6).click()
    page.control("Pause before pack").click()
    page.page.reload()
    expect(page.control("Pause before pack")).to_have_attribute("aria-pressed", "true")
    expect(marked).to_have_text("10")
    page.write("# a line more\n" + SHOP.replace('"ship"', '"ship parcel"'))
    expect(page.control("Pause before ship parcel")).to_have_attribute("aria-pressed", "true")
    expect(marked).to_have_text("11")
    line(page, 11).click()  # as the lines are numbered now
    expect(marked).to_have_count(0)

    page.run()
    page.expect_status("Complete")
    page.page.get_by_role("button", name=re.compile("^mail")).focus()
    page.page.keyboard.press("b")  # the run has ended: the next one stops
    expect(page.page.locator("#toast")).to_contain_text("Run or restart it: it stops before mail")
    expect(marked).to_have_text("15")
    page.page.reload()
    expect(page.control("Pause before mail")).to_have_attribute("aria-pressed", "true")
    page.control("Restart").click()
    bar = page.page.get_by_role("region", name="Stopped before a step")
    expect(bar).to_contain_text("Paused before mail")
    bar.get_by_role("button", name="Edit result").click()
    bar.get_by_label("An error").check()
    bar.get_by_label("Its message").fill("no post today")
    assert findings(page.page) == []
    bar.get_by_role("button", name="Fail and continue").click()
    page.expect_status("Errored")
    expect(page.page.locator('[data-part="end"]')).to_contain_text("no post today")
    expect(page.page.locator('[data-part="sentence"]')).to_contain_text("mail was made to fail by hand.")


def line(page: Playground, number: int) -> Locator:
    """A line's number, where breakpoints are set."""
    return page.page.locator(".cm-lineNumbers .cm-gutterElement", has_text=re.compile(f"^{number}$"))


def test_a_keyboard_alone_sets_a_breakpoint_steps_and_goes_on_while_others_watch(
    opened: Callable[..., Playground], open_page: Callable[..., Watched]
) -> None:
    page = opened()
    keys = page.page.keyboard
    page.control("Pause before charge").focus()
    keys.press("Space")
    page.run()
    bar = page.page.get_by_role("region", name="Stopped before a step")
    expect(bar).to_contain_text("Paused before charge")
    shown = open_page(page.page.url).page.get_by_role("region", name="Stopped before a step")
    expect(shown.get_by_role("button", name="Next commit")).to_have_attribute("aria-disabled", "true")
    keys.press("t")
    expect(bar).to_contain_text("Choose a step of the timeline that is still to come")
    keys.press("j")
    page.page.get_by_role("button", name=re.compile("^mail")).focus()
    keys.press("b")
    expect(page.control("Pause before mail")).to_have_attribute("aria-pressed", "true")
    keys.press("n")
    expect(bar).to_contain_text("Paused before ship")
    page.page.get_by_role("button", name=re.compile("^mail")).focus()
    keys.press("Shift+B")
    every = page.page.get_by_role("dialog", name="Breakpoints")
    expect(every.get_by_role("listitem")).to_have_count(2)
    assert findings(page.page) == []
    every.get_by_role("button", name="Clear the breakpoint before mail").press("Enter")
    expect(every.get_by_role("listitem")).to_contain_text(["charge"])
    keys.press("Escape")
    expect(page.control("Pause before mail")).to_have_attribute("aria-pressed", "false")
    keys.press("t")
    expect(bar).to_contain_text("Paused before mail")
    keys.press("c")
    page.expect_status("Complete")
    expect(bar).to_be_hidden()
    keys.press("?")
    keys_list = page.page.get_by_role("dialog", name="Keyboard")
    expect(keys_list).to_contain_text("Next commit")
    expect(keys_list).to_contain_text("Pause before the step")
