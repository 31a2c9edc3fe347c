"""A bad day on the page: errors before the last attempt, code that has changed since it ran, the past."""

from collections.abc import Callable

import pytest
from access_support import findings
from page_support import Playground, expect

pytestmark = pytest.mark.long

PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}
# The next attempt begins when it is asked for, and not while a test still looks at this one.
TYPO = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("look up the price", config={"retries": {"limit": 5, "delay": "1 hour"}})
        async def price():
            order = {"prize": 7}
            return order["price"]

        return await price()
"""
MISSING = TYPO.replace('order = {"prize": 7}', "import requests").replace('order["price"]', "requests")
OTHER = (
    "from workers import WorkflowEntrypoint\n\n\nclass TenantWorkflow(WorkflowEntrypoint):\n    async def run(self, "
    'event, step):\n        await step.sleep("nap", 1)\n'
)
WORDS = "the shop told no price for it"
WORDY = TYPO.replace('order = {"prize": 7}', f'words = "{WORDS}"').replace(
    'return order["price"]', "raise ValueError(words)"
)
SLEEPS = TYPO.replace("return await price()", 'await step.sleep("nap", "1 hour")').replace(
    'return order["price"]', "return order"
)


def test_the_first_failed_attempt_says_what_where_and_what_to_do(opened: Callable[..., Playground]) -> None:
    """A telephone is where test_browser_journeys.py goes the same way."""
    page = opened("/", reduced_motion="reduce")
    page.run(TYPO)
    error = page.page.get_by_role("region", name="Error of look up the price")
    expect(error).to_contain_text("KeyError: 'price'")
    expect(error).to_contain_text("attempt 1 of 6")
    expect(page.page.locator("[data-part=sentence]")).to_contain_text(
        "look up the price failed at line 9: KeyError: 'price'"
    )
    assert findings(page.page) == []
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    error.get_by_role("button", name="Fix and fork").click()
    expect(page.page.locator(".cm-line.cm-raised")).to_contain_text('return order["price"]')
    expect(page.page.locator(".cm-note-raised")).to_contain_text("KeyError: 'price' (attempt 1 of 6)")
    expect(page.page.locator("#cursor")).to_contain_text("Ln 9")
    page.page.keyboard.press("End")
    page.page.keyboard.type(" ")
    page.page.keyboard.press("Control+Home")
    page.page.keyboard.type("# mended\n")
    expect(error.get_by_role("link", name="line 10")).to_have_count(2)
    error.get_by_role("button", name="Fix and fork").click()
    dialog = page.page.get_by_role("dialog", name="Fork this run")
    expect(dialog.get_by_role("radio", name="The edited code in the editor")).to_be_checked()
    expect(dialog.locator("#fork-at option:checked")).to_contain_text("look up the price")
    dialog.get_by_role("button", name="Cancel").click()
    error.get_by_role("button", name="Stop this run").click()
    page.expect_status("Terminated")


def test_an_error_stays_in_sight_while_its_next_attempt_is_asked_for(opened: Callable[..., Playground]) -> None:
    page = opened("/", reduced_motion="reduce")
    page.run(TYPO)
    error = page.page.get_by_role("region", name="Error of look up the price")
    error.get_by_role("button", name="Retry look up the price now").click()
    expect(error).to_contain_text("attempt 2 of 6")
    page.step("look up the price").click()
    expect(page.page.locator("#view-step")).to_contain_text("attempt 3 of 6 at")


def test_a_missing_package_ends_the_run_at_once_with_what_there_is_instead(opened: Callable[..., Playground]) -> None:
    page = opened("/", reduced_motion="reduce")
    page.run(MISSING)
    page.expect_status("Errored")
    expect(page.error).to_contain_text("Workers have the standard library only, and `requests` is not in it.")
    expect(page.error).to_contain_text("from workers import fetch")
    expect(page.page.locator("[data-part=sentence]")).to_contain_text("failed once and was not tried again")


def test_marks_go_with_the_code_that_they_were_made_for(opened: Callable[..., Playground]) -> None:
    page = opened("/", reduced_motion="reduce")
    page.run(MISSING)
    page.expect_status("Errored")
    raised, note = page.page.locator(".cm-line.cm-raised"), page.page.locator(".cm-note-raised")
    expect(raised).to_contain_text("import requests")
    page.error.get_by_role("link", name="line 8").first.click()
    page.page.keyboard.press("End")
    page.page.keyboard.type("2")
    expect(raised).to_have_count(0)
    expect(page.page.locator(".cm-note-old")).to_contain_text("before the edit: ModuleNotFoundError")
    expect(page.error.locator("a.old").first).to_have_attribute("title", "Edited since it ran as line 8")
    page.page.keyboard.press("Backspace")
    expect(raised).to_contain_text("import requests")
    page.write(OTHER)
    expect(raised).to_have_count(0)
    expect(note).to_have_count(0)
    expect(page.page.locator(".cm-note-old")).to_have_count(0)
    expect(page.error.locator("a.old[data-line='8']").first).to_have_attribute(
        "title", "No longer in the editor: it ran as line 8"
    )
    page.write("# new\n" + MISSING)
    expect(raised).to_contain_text("import requests")
    expect(page.error.get_by_role("link", name="line 9").first).to_be_visible()


def test_an_empty_file_has_no_steps_and_half_a_line_keeps_them(opened: Callable[..., Playground]) -> None:
    page = opened("/examples/hello", reduced_motion="reduce")
    entries = page.page.locator("#outline .entry")
    expect(entries.first).to_be_visible()
    page.page.locator(".cm-line").last.click()
    page.page.keyboard.type("\nif (")
    expect(page.page.locator("#outline-count")).to_have_text("as before the error")
    expect(entries.first).to_be_visible()
    page.page.keyboard.press("ControlOrMeta+a")
    page.page.keyboard.press("Delete")
    expect(entries).to_have_count(0)
    expect(page.page.locator('[data-part="plan"]')).to_be_hidden()


def test_a_banner_goes_once_it_is_untrue(opened: Callable[..., Playground]) -> None:
    page = opened("/", reduced_motion="reduce")
    page.write("def broken(:\n")
    page.run_button.click()
    banner = page.page.locator(".notice[data-subject=run]")
    expect(banner).to_contain_text("Not started.")
    page.watched.forgive("422")
    page.page.keyboard.type("x")
    expect(banner).to_have_count(0)
    page.write(OTHER)
    page.watched.server_away = True
    page.page.context.set_offline(True)
    page.run_button.click()
    expect(banner).to_contain_text("It is not known whether the run began.")
    page.page.context.set_offline(False)
    expect(banner).to_contain_text("The connection is back.")


def test_the_past_does_not_look_live(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.run(SLEEPS)
    page.expect_step("nap", "asleep")
    page.page.goto(f"{page.page.url}?at=3")
    then = page.page.locator("[data-part=then]")
    expect(then).to_contain_text("as it was at event 3")
    expect(page.status).to_have_text("Running")
    assert page.page.locator("[data-part=head] .spin").count() == 0
    kill = page.control("Kill worker")
    assert float(kill.evaluate("node => getComputedStyle(node).opacity")) < 0.7
    kill.click(force=True)
    expect(page.page.locator("#toast")).to_contain_text("This is the past.")
    page.page.get_by_role("button", name="go to now").click()
    expect(then).to_be_hidden()
    page.expect_status("Waiting")


def test_words_after_a_line_have_all_the_room_that_it_leaves(opened: Callable[..., Playground]) -> None:
    page = opened("/", reduced_motion="reduce", viewport={"width": 1920, "height": 900})
    page.page.evaluate("localStorage.setItem('playground.graph-column', 'false')")  # the code has its whole half
    page.run(WORDY)
    note = page.page.locator(".cm-note-raised")
    expect(note).to_have_text(f"ValueError: {WORDS} (attempt 1 of 6)")
    assert note.evaluate("node => node.scrollWidth <= node.clientWidth && node.clientWidth > 330")


def test_a_finger_on_a_control_that_cannot_act_is_told_why(opened: Callable[..., Playground]) -> None:
    page = opened("/", reduced_motion="reduce", has_touch=True, is_mobile=True, **PHONE)
    page.run(OTHER)
    page.expect_status("Complete")
    forth = page.page.locator("[data-part=scrub-forth]")
    assert float(forth.evaluate("node => getComputedStyle(node).opacity")) < 0.7
    forth.tap(force=True)  # Playwright waits for controls that can act
    expect(page.page.locator("#toast")).to_have_text("This is the newest event.")
