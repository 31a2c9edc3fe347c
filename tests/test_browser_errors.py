"""Errors, nested steps and cancelled waits of real runs, as a person sees them: on a wide page, on a telephone, without
scripts, beside another run.
"""

from collections.abc import Callable

import pytest
from access_support import findings
from page_support import Playground, expect

pytestmark = pytest.mark.long

PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}
CHAINED = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        def read():
            try:
                return int("x1")
            except ValueError as cause:
                error = RuntimeError("cannot read the order")
                error.add_note("order 17")
                raise error from cause

        await step.do("read", read, config={"retries": {"limit": 0, "delay": 0}})
"""
GROUPED = """import asyncio
from workers import NonRetryableError, WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        async def bad(number):
            raise NonRetryableError(f"order {number} has no price")

        async def shelf():
            async with asyncio.TaskGroup() as group:
                group.create_task(bad(1))
                group.create_task(bad(2))

        async with asyncio.TaskGroup() as group:
            group.create_task(shelf())
"""
NESTED = """import asyncio
from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        async def fetch():
            print("fetched")
            return 1

        async def load():
            return await step.do("fetch", fetch) + 1

        waiting = asyncio.ensure_future(step.wait_for_event("answer", "answered"))
        got = await step.do("load", load)
        waiting.cancel()
        await step.do("fetch", fetch)
        asyncio.ensure_future(step.sleep("for nothing", "1 hour"))
        await asyncio.sleep(0.2)
        return got
"""


def test_an_error_stands_with_its_cause_its_notes_and_its_lines(opened: Callable[..., Playground]) -> None:
    page = opened("/", reduced_motion="reduce", **PHONE)
    page.run(CHAINED)
    page.expect_status("Errored")
    expect(page.error).to_contain_text("ValueError: invalid literal for int() with base 10: 'x1'")
    expect(page.error).to_contain_text("The above exception was the direct cause of the following exception:")
    expect(page.error.locator("pre").last).to_contain_text("RuntimeError: cannot read the order\norder 17")
    assert findings(page.page) == []
    assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.error.get_by_role("link", name="line 8").click()
    expect(page.page.locator("#cursor")).to_contain_text("Ln 8")


def test_members_of_groups_in_groups_stand_as_a_tree_and_each_has_its_line(opened: Callable[..., Playground]) -> None:
    page = opened("/", reduced_motion="reduce")
    id = page.run(GROUPED)
    page.expect_status("Errored")
    members = page.error.get_by_role("listitem")
    expect(members).to_have_count(3)
    expect(members.nth(1)).to_contain_text("1 of 2")
    expect(members.nth(2)).to_contain_text("NonRetryableError: order 2 has no price")
    expect(members.nth(2).get_by_role("link", name="line 8")).to_be_visible()
    assert findings(page.page) == []
    plain = opened(f"/instances/{id}", java_script_enabled=False).page
    expect(plain.locator(".members li")).to_have_count(3)
    expect(plain.locator(".run-plain")).to_contain_text("NonRetryableError: order 2 has no price")
    other = page.run(CHAINED)
    page.expect_status("Errored")
    beside = opened(f"/compare?a={id}&b={other}").page
    first = beside.get_by_role("row", name="End").get_by_role("cell").first
    first.locator("summary").first.click()
    expect(first).to_contain_text("NonRetryableError: order 2 has no price")


def test_a_step_in_a_step_stands_under_it_and_what_was_given_up_says_so(opened: Callable[..., Playground]) -> None:
    page = opened("/", reduced_motion="reduce", **PHONE)
    id = page.run(NESTED)
    page.expect_status("Complete")
    page.tab("Timeline")
    for name in ("answer", "for nothing"):
        page.expect_step(name, "cancelled")
    rows = page.page.get_by_role("list", name="Steps").locator(".row-name")
    assert [name.split("\n")[0] for name in rows.all_inner_texts() if name] == [
        "answer",
        "load",
        "fetch",
        "fetch",
        "for nothing",
    ]
    expect(rows.nth(2)).to_contain_text("fetch, in load, done")
    assert findings(page.page) == []
    page.tab("Logs")
    expect(page.logs).to_contain_text("› fetch")
    plain = opened(f"/instances/{id}", java_script_enabled=False).page
    expect(plain.locator("th.deep-1")).to_have_text("fetch")
    expect(plain.get_by_role("row", name="for nothing")).to_contain_text("cancelled")
