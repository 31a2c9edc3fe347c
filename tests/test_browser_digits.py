"""Numbers typed into the page's forms arrive as they were typed, and what is stored is shown and offered with all its
digits.
"""

import re
from collections.abc import Callable
from typing import Any

from page_support import Playground, expect, journal

ORDER = '{"order": 3544790567247868102, "price": 20.0}'
SOURCE = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        got = await step.wait_for_event("approval", "approved")

        @step.do("quote")
        async def quote():
            return {"price": 12.0, "order": got["payload"]["order"]}

        quoted = await quote()
        await step.wait_for_event("signature", "signed")
        return [type(quoted["price"]).__name__, quoted, event["payload"], got["payload"]]
"""


def of_type(page: Playground, type: str) -> list[Any]:
    return [event["data"] for event in journal(page.url, page.instance) if event["type"] == type]


def test_no_form_of_a_run_rounds_a_number(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.write(SOURCE)
    page.page.locator("#params").fill('{"n": 9007199254740993, "x": 1.0}')
    page.run()
    form = page.page.get_by_role("form", name="Send an event to approval")
    form.get_by_label("payload").fill('{"order": 3544790567247868102')
    expect(form.get_by_role("alert")).to_contain_text("This is not JSON")
    form.get_by_label("payload").fill(ORDER)
    with page.page.expect_request("**/events/approved") as sent:
        form.get_by_role("button", name="Send event").click()
    assert sent.value.post_data == ORDER
    page.expect_step("signature", "waiting")

    page.step("quote").click()
    sheet = page.page.locator("#view-step")
    expect(sheet).to_contain_text("price: 12.0")
    expect(sheet).to_contain_text("order: 3544790567247868102")

    page.page.keyboard.press("f")
    fork = page.page.get_by_role("dialog", name="Fork this run")
    fork.get_by_label("Give it another result").check()
    box = fork.get_by_label("Result, JSON")
    expect(box).to_have_value('{\n  "price": 12.0,\n  "order": 3544790567247868102\n}')
    box.fill(box.input_value().replace("2.0", "3.0"))
    before = page.instance
    fork.get_by_role("button", name="Fork", exact=True).click()
    expect(page.page).not_to_have_url(f"{page.url}/instances/{before}")
    form = page.page.get_by_role("form", name="Send an event to signature")
    form.get_by_label("payload").fill("null")
    form.get_by_role("button", name="Send event").click()
    page.expect_status("Complete")
    expect(page.output).to_contain_text('"float"')
    expect(page.output).to_contain_text("3544790567247868102")
    expect(page.output).to_contain_text('"n": 9007199254740993, "x": 1.0')

    page.page.reload()
    expect(page.page.locator("#params")).to_have_value('{\n  "n": 9007199254740993,\n  "x": 1.0\n}')
    page.page.goto(f"{page.url}/compare?a={before}&b={page.instance}")
    page.page.locator("#compare tr.end summary").click()
    tree = page.page.get_by_role("tree", name="Value")
    expect(tree).to_contain_text('"price": 13.0, "order": 3544790567247868102')


def test_a_value_that_a_break_returns_keeps_its_digits_before_and_during_a_run(
    opened: Callable[..., Playground],
) -> None:
    page = opened("/")
    page.write(SOURCE)
    bolt = page.page.get_by_role("button", name=re.compile("^Break quote"))
    bolt.click()
    dialog = page.page.get_by_role("dialog", name="Break quote")
    dialog.get_by_role("radio", name="Return a value").check()
    dialog.get_by_label("Value, JSON").fill(ORDER)
    dialog.get_by_role("button", name="Break it").click()
    bolt.click()
    expect(dialog.get_by_label("Value, JSON")).to_have_value(ORDER)
    dialog.get_by_role("button", name="Cancel").click()
    page.run()
    expect(page.page.locator(".set-up")).to_contain_text('returns {"order":3544790567247868102,"price":20.0}')
    assert of_type(page, "break_set")[0]["value"] == {"order": {"$int": "3544790567247868102"}, "price": 20.0}
    bolt.click()
    expect(dialog.get_by_label("Value, JSON")).to_have_value('{\n "order": 3544790567247868102,\n "price": 20.0\n}')
