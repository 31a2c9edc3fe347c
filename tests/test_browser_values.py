"""Stored values as a person reads them: a tree of which the whole can be reached by keys, by a finger and by search."""

import re
from collections.abc import Callable

import pytest
from access_support import findings
from page_support import Playground, expect, expect_copied

pytestmark = pytest.mark.long

PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "has_touch": True, "is_mobile": True}
CLIPBOARD = {"permissions": ["clipboard-read", "clipboard-write"]}
LARGE = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("load")
        async def load():
            row = lambda number: {"number": number, "name": f"row {number}", "of": 9007199254740993 + number}
            rows = [row(number) for number in range(2000)]
            return {"blob": bytes(1024), "tags": {"b", "a"}, "rows": rows, "page": "a line of text\\n" * 50_000}

        return await load()
"""


@pytest.mark.parametrize("size", [CLIPBOARD, PHONE], ids=["wide", "telephone"])
def test_a_large_value_is_a_tree_that_is_read_searched_and_copied(
    opened: Callable[..., Playground], size: dict[str, object]
) -> None:
    page = opened("/", reduced_motion="reduce", **size)
    page.run(LARGE)
    page.expect_status("Complete")
    expect(page.step("load")).to_be_in_viewport()
    tree = page.output.get_by_role("tree", name="Output")
    rows = tree.get_by_role("treeitem")
    expect(rows).to_have_text(
        [
            re.compile(r"^blob: 00 00 00 00 00 00 00 00 … bytes · 1,024$"),
            re.compile(r'^tags: {"a", "b"} set · 2$'),
            re.compile(r"^rows: 2,000 dicts list · 2,000$"),
            re.compile(r"^page: \"a line of text.*… str · 750,000$"),
        ]
    )
    expect(page.output).to_contain_text(re.compile(r"dict · 4 keys · 911\sKB"))
    if size is PHONE:
        rows.nth(2).tap()
        expect(rows.nth(2)).to_have_attribute("aria-expanded", "true")
        expect(page.output.get_by_text('output["rows"]', exact=True)).to_be_visible()
        assert page.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert findings(page.page) == []
        return
    tree.focus()
    for key in ("End", "Right", "Down", "Left", "Left", "Up", "Right", "Right", "Right"):
        page.page.keyboard.press(key if key == "End" else f"Arrow{key}")
    foot = page.output.locator(".tree-foot")
    expect(foot).to_contain_text('output["rows"][0]')
    page.page.keyboard.press("ArrowDown")
    expect(foot).to_contain_text('output["rows"][0]["number"]')
    active = page.page.locator(f"#{tree.get_attribute('aria-activedescendant')}")
    expect(active).to_have_attribute("aria-selected", "true")
    expect(active).to_have_attribute("aria-level", "3")
    page.page.keyboard.press("ArrowDown")
    page.page.keyboard.press("ArrowDown")
    foot.get_by_role("button", name="Copy value").click()
    expect_copied(page.page, "9007199254740993")
    foot.get_by_role("button", name="Copy path").click()
    expect_copied(page.page, 'output["rows"][0]["of"]')
    page.output.get_by_role("button", name="Search this value").click()
    page.page.keyboard.type("ROW 1999")
    page.page.keyboard.press("Enter")
    expect(foot).to_contain_text('output["rows"][1999]["name"]')
    expect(tree).to_contain_text('name: "row 1999"')
    page.page.keyboard.press("Escape")
    expect(tree).to_be_focused()
    assert findings(page.page) == []
    page.page.keyboard.press("End")
    page.page.keyboard.press("ArrowRight")
    page.page.keyboard.press("End")
    cut = tree.get_by_role("treeitem", selected=True)
    expect(cut).to_contain_text(re.compile(r"^64\sKB of 732\sKB"))
    with page.page.expect_download() as saved:
        cut.get_by_role("button", name="Save as a file").click()
    assert saved.value.path().read_text() == "a line of text\n" * 50_000
    cut.get_by_role("button", name="All of it").click()
    tree.press("End")
    expect(tree.get_by_role("treeitem").last).to_be_in_viewport()

    page.step("load").click()  # the same value is a tree of its own there
    result = page.page.locator("#view-step").get_by_role("tree", name="Result")
    expect(result.get_by_role("treeitem")).to_have_count(4)
