"""What a step gives out while it runs, in a real browser: text that grows, progress as a bar, live and in the past."""

from collections.abc import Callable

from access_support import findings
from page_support import Playground, expect, journal
from test_browser_scrub import SLIDE, slider

ANSWERS = """from workers import WorkflowEntrypoint
import asyncio


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("read sources")
        async def read_sources():
            await self.env.STREAMS.progress(40, "2 of 5 pages")
            await asyncio.sleep(300)

        @step.do("write answer")
        async def write_answer(ctx):
            await self.env.STREAMS.append("answer", "Because nothing ")
            if ctx["attempt"] == 1:
                await asyncio.sleep(300)
            for word in ("is ", "kept ", "in ", "memory ", "alone."):
                await self.env.STREAMS.append("answer", word)

        reading = asyncio.ensure_future(read_sources())
        await write_answer()
        await step.wait_for_event("is read", "read")
        reading.cancel()
"""
WHOLE = "Because nothing is kept in memory alone."


def test_an_answer_streams_is_begun_anew_after_a_kill_and_stays_in_its_past(opened: Callable[..., Playground]) -> None:
    viewport = {"width": 390, "height": 844}
    page = opened(color_scheme="dark", viewport=viewport, reduced_motion="reduce")
    page.run(ANSWERS)
    text = page.page.get_by_role("group", name="Stream answer of write answer")
    bar = page.page.get_by_role("progressbar", name="Progress of read sources")
    expect(text).to_have_text("Because nothing ")
    expect(bar).to_have_attribute("aria-valuetext", "40\u00a0%, 2 of 5 pages")
    expect(page.page.locator("[data-part=progress-said]")).to_have_text("read sources: 40\u00a0%, 2 of 5 pages")
    assert page.page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    page.page.locator('[data-part="kill"]').click()
    expect(text).to_have_text(WHOLE)
    expect(page.page.get_by_role("region", name="Text of write answer")).to_contain_text("attempt 2")
    expect(bar).to_have_attribute("aria-valuenow", "40")
    assert findings(page.page) == []

    events = journal(page.url, page.instance)
    first = next(
        event["seq"]
        for event in events
        if event["type"] == "stream_appended" and event["step"]["name"] == "write answer"
    )
    slider(page.page).evaluate(SLIDE, str(first))
    expect(text).to_have_text("Because nothing ")
    page.control("Back to live").click()
    expect(text).to_have_text(WHOLE)
    page.step("write answer").click()
    panel = page.page.locator("#view-step")
    expect(panel.get_by_role("heading", name="Streams")).to_be_visible()
    expect(panel).to_contain_text(WHOLE)
    expect(panel).to_contain_text("6 values, attempt 2")
