"""The graph in a real browser: before a run and over it, one selection with code and timeline, by keyboard and by
finger.
"""

import re
from collections.abc import Callable

import pytest
from access_support import findings
from page_support import Playground, expect
from playwright.sync_api import Locator

pytestmark = pytest.mark.long

HEAD = """from workers import NonRetryableError, WorkflowEntrypoint
import asyncio


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
"""
SHOP = (
    HEAD
    + """\
        items = await step.do("list items", lambda: [1, 2, 3])
        if event["payload"].get("express"):
            await step.do("call courier", lambda: 1)
        else:
            await step.do("queue parcel", lambda: 1)
        async def pack(item):
            @step.do(f"pack item {item}")
            async def one():
                if item == 3:
                    raise NonRetryableError("broken")
            await one()
        await asyncio.gather(*(pack(item) for item in items), return_exceptions=True)
        for turn in range(2):
            await step.do("weigh", lambda: 1)
        @step.do("book")
        async def book():
            await step.do("book truck", lambda: 1)
        await book()
        await step.wait_for_event("customer agrees", "agreed")
        await step.do("ship", lambda: 1)
"""
)
WIDE, TELEPHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
MANY = HEAD + "".join(
    f"""
        for turn in range(event["payload"].get("turns", 1)):
            await step.do("first {i}", lambda: 1)
            await step.do("second {i}", lambda: 1)
"""
    for i in range(35)
)


@pytest.fixture
def waits(opened: Callable[..., Playground]) -> Callable[..., Playground]:
    """`waits(**options)` runs SHOP until it waits, and shows its graph."""

    def run(**options: object) -> Playground:
        page = opened("/", reduced_motion="reduce", **({"viewport": WIDE} | options))
        page.editor.wait_for(state="attached")
        if options.get("viewport") == TELEPHONE:
            page.page.get_by_role("button", name="Code").click()
        page.run(SHOP)
        page.expect_step("customer agrees", "waiting")
        page.tab("Graph")
        return page

    return run


def tree(page: Playground) -> Locator:
    return page.page.get_by_role("tree", name="Graph of the workflow")


def item(page: Playground, name: str) -> Locator:
    return tree(page).get_by_role("treeitem", name=re.compile(f"^{re.escape(name)}"))


def test_the_run_lies_over_the_graph_in_words_that_a_screen_reader_has(waits: Callable[..., Playground]) -> None:
    page = waits()
    expect(item(page, "customer agrees, waiting")).to_be_visible()
    found = [each.get_attribute("aria-label") or "" for each in tree(page).get_by_role("treeitem").all()]
    assert [re.sub(r"\d+(\.\d+)?\s(µs|ms|s)\b", "T", each) for each in found] == [
        "list items, done, T, line 7",
        'if event["payload"].get("express"), not taken, line 8',
        "call courier, not reached, line 9",
        "else, taken, line 11",
        "queue parcel, done, T, line 11",
        "for item in items, 3 side by side, 2 done, 1 failed, line 18",
        "for turn in range(2), loop, 2 done, turn 2, line 19",
        "weigh, 2 done, line 20",
        "book, done, T, line 21",
        "book truck, done, T, line 23",
        "customer agrees, waiting, line 25",
        "ship, not reached, line 26",
    ]
    levels = [each.get_attribute("aria-level") for each in tree(page).get_by_role("treeitem").all()]
    assert levels == ["1", "1", "2", "1", "2", "1", "1", "2", "1", "2", "1", "1"]
    form = page.page.get_by_role("form", name="Send an event to customer agrees")
    form.get_by_role("button", name="Send event").click()
    page.expect_status("Complete")
    expect(item(page, "ship, done")).to_be_visible()


def test_a_node_a_row_and_a_line_are_one_selection(waits: Callable[..., Playground]) -> None:
    page = waits()
    item(page, "queue parcel").click()
    expect(item(page, "queue parcel")).to_have_attribute("aria-selected", "true")
    expect(page.page.locator(".row[aria-current=true]")).to_contain_text("queue parcel")
    expect(page.page.locator(".cm-line.cm-linked, .cm-linked")).to_contain_text("queue parcel")
    expect(page.page.locator(".graph-said")).to_contain_text("queue parcel, done")
    item(page, "queue parcel").click()
    expect(page.page.get_by_role("tabpanel", name="queue parcel")).to_be_visible()
    page.step("list items").click()
    page.tab("Graph")
    expect(item(page, "list items")).to_have_attribute("aria-selected", "true")
    page.step("weigh").first.hover()
    expect(item(page, "weigh")).to_have_class(re.compile("is-linked"))
    item(page, "book truck").hover()
    expect(page.page.locator(".row.is-linked")).to_contain_text("book truck")
    page.step("pack item 2").click()
    page.tab("Graph")
    expect(item(page, "for item in items")).to_have_attribute("aria-selected", "true")
    item(page, "for item in items").click()  # a second press: the one that failed
    expect(page.page.get_by_role("tabpanel", name="pack item 3")).to_be_visible()


def test_the_keyboard_walks_folds_chooses_and_opens(waits: Callable[..., Playground]) -> None:
    page = waits()
    keys = page.page.keyboard
    page.tab("Replay")
    page.page.locator("#tab-lens").focus()
    keys.press("g")
    expect(page.page.get_by_role("tab", name="Graph")).to_have_attribute("aria-selected", "true")
    expect(tree(page).locator("[tabindex='0']")).to_have_count(1)
    item(page, "list items").focus()
    for key, at in (
        ("ArrowDown", "if event"),
        ("ArrowRight", "call courier"),
        ("ArrowLeft", "if event"),
        ("j", "call courier"),
        ("k", "if event"),
        ("End", "ship"),
        ("Home", "list items"),
        ("ArrowUp", "list items"),
        ("PageDown", "customer agrees"),
    ):
        keys.press(key)
        expect(item(page, at)).to_be_focused()
    item(page, "book, done").focus()
    keys.press("ArrowLeft")
    expect(item(page, "book, done")).to_have_attribute("aria-expanded", "false")
    expect(item(page, "book truck")).to_have_count(0)
    expect(item(page, "book, done")).to_be_focused()
    keys.press("ArrowRight")
    expect(item(page, "book truck")).to_be_visible()
    keys.press("Space")
    expect(item(page, "book, done")).to_have_attribute("aria-selected", "true")
    keys.press("Enter")
    expect(page.page.get_by_role("tabpanel", name="book", exact=True)).to_be_visible()
    keys.press("g")
    item(page, "weigh").focus()
    keys.press("l")
    expect(page.page.locator("#cursor")).to_contain_text("Ln 20")


@pytest.mark.parametrize("viewport", [WIDE, TELEPHONE], ids=lambda it: str(it["width"]))
def test_nothing_is_wrong_with_it_for_who_cannot_see_it_well(
    waits: Callable[..., Playground], viewport: dict[str, int]
) -> None:
    page = waits(viewport=viewport)
    expect(item(page, "ship")).to_be_attached()
    item(page, "list items").click()
    assert findings(page.page) == []
    svg = tree(page).bounding_box()
    panel = page.page.locator("#view-graph").bounding_box()
    assert svg and panel and svg["width"] <= panel["width"]


def test_it_is_drawn_from_the_source_before_a_run(opened: Callable[..., Playground]) -> None:
    page = opened("/", viewport=WIDE, reduced_motion="reduce")
    page.write(SHOP)
    plan = page.page.get_by_role("region", name="Plan")
    expect(plan.get_by_role("button", name=re.compile("^ship"))).to_be_visible()
    page.control("Graph").click()
    graph = page.page.locator('[data-part="plan-graph"]')
    expect(graph.get_by_role("treeitem", name="ship, not reached")).to_be_visible()
    expect(plan.get_by_role("button", name=re.compile("^ship"))).to_be_hidden()
    graph.get_by_role("treeitem", name="weigh").click()
    expect(page.page.locator(".cm-linked")).to_contain_text("weigh")
    page.write(SHOP.replace('"ship"', '"send"'))
    expect(graph.get_by_role("treeitem", name="send, not reached")).to_be_visible()
    assert findings(page.page) == []
    page.control("Graph").click()
    expect(plan.get_by_role("button", name=re.compile("^send"))).to_be_visible()


def test_a_graph_of_a_hundred_begins_folded_and_folds_until_it_fits(opened: Callable[..., Playground]) -> None:
    page = opened("/", viewport=WIDE, reduced_motion="reduce")
    page.run(MANY)
    page.expect_status("Complete")
    page.tab("Graph")
    nodes = tree(page).get_by_role("treeitem")
    expect(nodes).to_have_count(35)
    assert {each.get_attribute("aria-expanded") for each in nodes.all()} == {"false"}
    page.control("Unfold all").click()
    expect(nodes).to_have_count(105)
    page.control("Fold until it fits").click()
    expect(nodes).to_have_count(35)
    page.control("Unfold all").click()
    nodes.last.focus()
    expect(nodes.last).to_be_in_viewport()

    page.tab("Replay")
    page.page.set_viewport_size({"width": 1680, "height": 1000})  # a column beside the timeline, no tab
    tab = page.page.get_by_role("tab", name="Graph")
    expect(page.page.get_by_role("region", name="Graph")).to_be_visible()
    expect(tab).to_be_hidden()
    nodes.nth(1).click()
    page.page.keyboard.press("1")
    page.page.keyboard.press("g")
    expect(nodes.nth(1)).to_be_focused()
    divider = page.page.get_by_role("separator", name="Width of the editor").bounding_box()
    assert divider
    page.page.mouse.move(divider["x"] + 4, 300)
    page.page.mouse.down()
    page.page.mouse.move(divider["x"] + 64, 300)
    page.page.mouse.up()
    moved = page.page.get_by_role("separator", name="Width of the editor").bounding_box()
    assert moved and abs(moved["x"] - divider["x"] - 60) < 8  # the divider stays under the pointer
    page.control("Beside the timeline").click()
    expect(tab).to_have_attribute("aria-selected", "true")
    page.page.reload()
    expect(tab).to_be_visible()
    tab.click()
    page.control("Beside the timeline").click()
    page.page.reload()
    expect(nodes).to_have_count(35)


def test_a_step_that_only_the_run_shows_counts_for_those_beside_it(opened: Callable[..., Playground]) -> None:
    page = opened("/", viewport=WIDE, reduced_motion="reduce")
    page.run(
        HEAD
        + """\
        await step.do("first", lambda: 1)
        await step.wait_for_event("customer agrees", "agreed")
        await getattr(step, "do")("unseen", lambda: 1)
"""
    )
    page.expect_step("customer agrees", "waiting")
    page.tab("Graph")
    expect(item(page, "first")).to_have_attribute("aria-setsize", "2")
    page.page.get_by_role("button", name="Send event").click()
    expect(item(page, "unseen")).to_have_attribute("aria-posinset", "3")
    expect(item(page, "first")).to_have_attribute("aria-setsize", "3")


def test_colours_of_the_readers_own_keep_what_its_shapes_say(waits: Callable[..., Playground]) -> None:
    page = waits(forced_colors="active")
    box = item(page, "list items").locator("rect.b")
    strokes = {
        item(page, name).locator("rect.b").first.evaluate("node => getComputedStyle(node).strokeDasharray")
        for name in ("list items", "ship")
    }
    assert len(strokes) == 2  # not reached is dashed
    fill, stroke = box.evaluate("node => [getComputedStyle(node).fill, getComputedStyle(node).stroke]")
    assert fill != stroke
