"""A person follows a run that runs others: opens a child from its row, comes back, and decides between two events."""

from collections.abc import Callable

from access_support import findings
from page_support import Playground, expect

SOURCE = """import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        if event["payload"].get("child"):
            return (await step.wait_for_event("packed", "packed"))["payload"]
        grams = await self.env.WORKFLOWS.run({"child": True}, name="pack")
        answer = await step.wait_for_event("answer", ["confirmed", "cancelled"])
        return [grams, answer["type"], answer["payload"]]
"""


def test_a_child_is_opened_from_its_row_and_one_of_two_events_decides(opened: Callable[..., Playground]) -> None:
    at = opened("/", reduced_motion="reduce")
    page = at.page
    parent = at.run(SOURCE)
    link = page.get_by_role("link", name="Open run")
    expect(link).to_contain_text("waiting")
    link.click()
    expect(page.get_by_text("Child of")).to_contain_text("its step pack started it")
    child = at.instance
    assert child != parent
    form = page.get_by_role("form", name="Send an event to packed")
    form.get_by_label("payload, JSON").fill("900")
    form.get_by_role("button", name="Send event").click()
    at.expect_status("Complete")
    page.get_by_text("Child of").get_by_role("link").click()
    at.expect_step("pack", "done")
    past = page.get_by_role("link", name="Open the run of pack")
    at.step("pack").focus()
    page.keyboard.press("Tab")
    expect(past).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Child of")).to_be_visible()
    assert at.instance == child
    page.go_back()
    at.expect_step("pack", "done")
    page.set_viewport_size({"width": 390, "height": 844})
    at.tab("Timeline")
    expect(past).to_be_in_viewport()
    assert findings(page) == []
    page.set_viewport_size({"width": 1280, "height": 800})
    form = page.get_by_role("form", name="Send an event to answer")
    form.get_by_label("payload, JSON").fill('"no more"')
    form.get_by_role("button", name="Send cancelled").click()
    at.expect_status("Complete")
    expect(at.output).to_contain_text("cancelled")
    at.step("pack").click()
    expect(page.get_by_role("link", name=child)).to_be_visible()
