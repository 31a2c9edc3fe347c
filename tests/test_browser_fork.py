"""Forks and other code by hand: the way on after an error, an edited result, a fork by somebody who watches, and a run
resumed on edited code.
"""

import re
from collections.abc import Callable
from functools import partial

import pytest
from access_support import findings
from page_support import Playground, completed_steps, expect, journal
from playwright.sync_api import Locator

pytestmark = pytest.mark.long

FAILS = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        async def reserve():
            return {"left": 11}

        async def charge():
            return {"receipt": "r-1"}

        await step.do("reserve stock", reserve)
        got = await step.wait_for_event("approval", "approved", timeout="1 hour")
        receipt = await step.do("charge card", charge)
        return [got["payload"], receipt["label"]]
"""
FIXED = FAILS.replace('receipt["label"]', 'receipt["receipt"]')


@pytest.fixture
def opened(opened: Callable[..., Playground]) -> Callable[..., Playground]:
    """Nothing moves, since axe-core judges what is in between too."""
    return partial(opened, reduced_motion="reduce")


def approve(page: Playground) -> None:
    form = page.page.get_by_role("form", name="Send an event to approval")
    form.get_by_label("payload").fill('"mara"')
    form.get_by_role("button", name="Send event").click()


def failed(page: Playground) -> str:
    """Run to the error; gives the id of the run."""
    id = page.run(FAILS)
    approve(page)
    page.expect_status("Errored")
    return id


def forking(page: Playground) -> Locator:
    """Ask to fork from the run's header; gives the dialog."""
    fork = page.control("Fork")
    fork.focus()
    fork.press("Enter")
    dialog = page.page.get_by_role("dialog", name="Fork this run")
    expect(dialog).to_be_visible()
    return dialog


def types(page: Playground, id: str) -> list[str]:
    return [event["type"] for event in journal(page.url, id)]


def test_after_an_error_the_fixed_code_goes_on_in_a_fork_with_what_finished(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    parent = failed(page)
    page.write(FIXED)
    expect(page.error).to_contain_text("Fix line 15 and continue in a fork: what finished is kept, the event too.")
    page.control("Fork with this source").click()
    page.expect_status("Complete")
    expect(page.output).to_contain_text(re.compile('"mara".*"r-1"'))
    assert page.instance != parent
    lineage = page.page.locator(".lineage")
    expect(lineage).to_contain_text("at its end, 3 steps copied, with edited code.")
    for name in ("reserve stock", "approval", "charge card"):
        expect(page.step(name)).to_contain_text("copied")
    assert (
        types(page, page.instance).count("step_copied") == 3 and completed_steps(journal(page.url, page.instance)) == []
    )
    lineage.get_by_role("link").first.click()
    expect(page.page).to_have_url(f"{page.url}/instances/{parent}")
    page.expect_status("Errored")
    expect(page.page.locator(".lineage")).to_contain_text("A fork of this run:")


def test_a_step_is_given_another_result_by_keyboard(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    failed(page)
    page.step("charge card").focus()
    page.page.keyboard.press("b")
    page.page.keyboard.press("Enter")
    fork = page.page.locator("#view-step").get_by_role("button", name="Fork from here…")
    fork.press("Enter")
    dialog = page.page.get_by_role("dialog", name="Fork this run")
    expect(dialog).to_be_visible()
    page.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(fork).to_be_focused()
    page.page.keyboard.press("f")
    expect(dialog.get_by_label("Leave this run at")).to_have_value("do:charge card:1")
    expect(dialog.get_by_role("status")).to_have_text(
        "Begins with 2 finished steps, copied and not run: reserve stock, approval. Then charge card runs."
    )
    dialog.get_by_label("Stop before charge card").focus()
    page.page.keyboard.press("Space")
    dialog.get_by_label("Run it again").focus()
    page.page.keyboard.press("ArrowUp")
    result = dialog.get_by_label("Result, JSON")
    expect(result).to_have_value('{\n  "receipt": "r-1"\n}')
    result.fill("{label: 1}")
    result.press("Tab")
    dialog.get_by_role("button", name="Fork", exact=True).press("Enter")
    expect(dialog.get_by_role("alert")).to_contain_text("The result is not JSON")
    expect(result).to_be_focused()
    result.fill('{"label": "l-9007199254740993", "n": 9007199254740993}')
    dialog.get_by_role("button", name="Fork", exact=True).press("Enter")
    page.expect_status("Complete")
    expect(page.output).to_contain_text(re.compile('"mara".*"l-9007199254740993"'))
    expect(page.step("charge card")).to_contain_text("edited")
    made = journal(page.url, page.instance)
    assert [event["data"]["step"]["name"] for event in made if event["type"] == "breakpoint_set"] == ["charge card"]
    (edited,) = [event for event in made if event["data"].get("edited")]
    assert edited["data"]["output"]["n"] == {"$int": "9007199254740993"}
    expect(page.page.locator(".lineage")).to_contain_text("at charge card, 3 steps copied, with an edited result.")


def test_whoever_watches_may_fork_and_the_fork_is_theirs(opened: Callable[..., Playground]) -> None:
    owner = opened("/")
    parent = failed(owner)
    page = opened(f"/instances/{parent}", viewport={"width": 390, "height": 844})
    page.expect_status("Errored")
    dialog = forking(page)
    assert findings(page.page) == []
    dialog.get_by_label("Leave this run at").select_option(label="approval, done")
    dialog.get_by_label("Wait for its event again").check()
    dialog.get_by_role("button", name="Fork", exact=True).click()
    expect(page.page).not_to_have_url(f"{page.url}/instances/{parent}")
    page.tab("Timeline")
    page.expect_step("approval", "waiting")
    assert page.instance != parent
    expect(page.control("Kill worker")).to_be_visible()
    approve(page)
    page.expect_status("Errored")
    owner.page.reload()
    expect(owner.page.locator(".lineage")).to_contain_text("A fork of this run:")


def test_a_waiting_run_goes_on_with_the_edited_code(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    id = page.run(FAILS)
    page.expect_step("approval", "waiting")
    offer = page.control("Resume this run on the edited code")
    expect(offer).to_be_hidden()
    page.write(FIXED)
    offer.click()
    expect(offer).to_be_hidden()
    expect(page.executions).to_have_text("2")
    expect(page.page.get_by_role("columnheader", name="Execution 2")).to_contain_text("edited code")
    approve(page)
    page.expect_status("Complete")
    expect(page.output).to_contain_text(re.compile('"mara".*"r-1"'))
    page.tab("Journal")
    expect(page.page.get_by_role("list", name="Journal", exact=True)).to_contain_text("code_changed")
    assert page.instance == id and types(page, id).count("code_changed") == 1
    page.page.reload()
    expect(page.editor).to_contain_text('receipt["receipt"]')


def test_code_that_does_not_fit_is_shown_beside_the_journal_and_may_be_forked(
    opened: Callable[..., Playground],
) -> None:
    page = opened("/")
    parent = page.run(FAILS)
    page.expect_step("approval", "waiting")
    page.write(FIXED.replace('"approval", "approved"', '"manager approves", "approved"'))
    page.control("Resume this run on the edited code").click()
    dialog = page.page.get_by_role("dialog", name="The edited code does not fit this run")
    rows = dialog.get_by_role("row")
    expect(rows.nth(1)).to_contain_text("reserve stock")
    expect(rows.nth(2)).to_contain_text("approvalwaitfirst difference")
    expect(rows.nth(2)).to_contain_text("manager approves")
    assert findings(page.page) == []
    dialog.get_by_role("button", name="Keep the old code").click()
    expect(dialog).to_be_hidden()
    page.expect_status("Waiting")
    page.control("Resume this run on the edited code").click()
    dialog.get_by_role("button", name="Fork before approval").click()
    page.expect_step("manager approves", "waiting")
    assert page.instance != parent and "code_changed" not in types(page, parent)
    expect(page.page.locator(".lineage")).to_contain_text("at approval, 1 step copied, with edited code.")
    page.watched.forgive("status of 409")


def test_a_fork_is_compared_with_its_parent_while_it_lives(opened: Callable[..., Playground]) -> None:
    page = opened("/", viewport={"width": 390, "height": 844})
    page.page.get_by_role("button", name="Code", exact=True).click()
    parent = failed(page)
    dialog = forking(page)
    dialog.get_by_label("Leave this run at").select_option(label="approval, done")
    dialog.get_by_role("button", name="Fork", exact=True).click()
    expect(page.page).not_to_have_url(f"{page.url}/instances/{parent}")
    page.tab("Timeline")
    page.expect_step("approval", "waiting")
    with page.page.context.expect_page() as tab:
        page.page.get_by_role("link", name="Compare with its parent").click(modifiers=["ControlOrMeta"])
    other = tab.value
    verdict = other.locator("#verdict")
    expect(verdict).to_contain_text("The first difference is at approval: another status. 1 of 3 steps are alike.")
    expect(other).to_have_url(f"{page.url}/compare?a={parent}&b={page.instance}")
    expect(other.locator("datalist option")).to_have_count(2)
    assert other.locator("datalist option").evaluate_all("found => found.map((one) => one.value)") == [
        page.instance,
        parent,
    ]
    assert findings(other) == []
    form = page.page.get_by_role("form", name="Send an event to approval")
    form.get_by_label("payload").fill('"eve"')
    # Rows stay as they are under who reads them.
    other.evaluate("() => Object.assign(document.querySelector('#row-1'), { tabIndex: -1 }).focus()")
    form.get_by_role("button", name="Send event").click()
    page.expect_status("Errored")
    expect(verdict).to_contain_text("The first difference is at approval: another result. 2 of 3 steps are alike.")
    other.evaluate("() => document.activeElement.blur()")
    row = other.get_by_role("row", name="approval")
    expect(row.get_by_role("cell").nth(0)).to_contain_text('"mara"')
    expect(row.get_by_role("cell").nth(1)).to_contain_text('"eve"')
    expect(other.get_by_role("row", name="End")).to_contain_text("KeyError: 'label'")
    assert other.evaluate("document.documentElement.scrollWidth <= innerWidth")
