"""The page for who reads it in another way: colours of the reader's own, text from right to left, a table that scrolls;
and code that is put in at once, by a paste or an input method.
"""

import io
from collections.abc import Callable

import pytest
from page_support import PASTE, Playground, expect
from PIL import Image
from playwright.sync_api import Locator

RTL = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        print("שלום 12 עולם")
        await step.do("שלב אחד", lambda: "ערך")
        return {"מפתח": "ערך", "second": 2}
"""
MANY = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        for number in range(60):
            await step.do(f"step {number}", lambda: None)
"""
RETRYING = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        def fails():
            raise ValueError("not now")

        await step.do("shaky", fails, config={"retries": {"limit": 3, "delay": "10 minutes"}})
"""
LONG_CODE = RTL + "".join(f"# line {number}\n" for number in range(100))


def seen(node: Locator) -> set[tuple[int, int, int]]:
    """The colours in which a part of the page is drawn, those of a few pixels (edges of letters) left out."""
    node.evaluate("node => node.scrollIntoView({ block: 'nearest' })")
    box = node.bounding_box()
    assert box
    clip = {"x": box["x"], "y": box["y"], "width": box["width"], "height": box["height"]}
    image = Image.open(io.BytesIO(node.page.screenshot(clip=clip))).convert("RGB")  # type: ignore[arg-type]
    counted = image.getcolors(image.width * image.height) or []
    return {colour for count, colour in counted if count >= 8}  # type: ignore[misc]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_of_the_readers_own_leave_tabs_slider_legend_and_statuses_in_sight(
    opened: Callable[..., Playground], scheme: str
) -> None:
    page = opened("/", forced_colors="active", color_scheme=scheme)
    page.run(MANY)
    page.expect_status("Complete")
    chosen = page.page.locator("[role=tab][aria-selected=true]")
    other = page.page.locator("[role=tab][aria-selected=false]:visible").last
    line = "node => getComputedStyle(node).borderBlockEndColor"
    assert chosen.evaluate(line) != other.evaluate(line)
    ground = page.page.evaluate(
        "() => { const one = document.createElement('i'); one.style.setProperty('color', 'Canvas'); "
        "document.body.append(one); return getComputedStyle(one).color; }"
    )
    assert other.evaluate(line) == ground
    assert len(seen(page.page.locator("[data-part=scrub-range]"))) >= 3  # ground, rail, knob
    for mark in page.page.locator(".legend i").all():
        assert len(seen(mark)) >= 1 and mark.evaluate("node => getComputedStyle(node).forcedColorAdjust") == "none"
    assert len(seen(page.page.locator(".legend .k-ran"))) == 1 and not seen(
        page.page.locator(".legend .k-ran")
    ) <= seen(other)
    pressed = page.page.locator(".theme [aria-pressed=true]").first
    idle = page.page.locator(".theme [aria-pressed=false]").first
    back = "node => getComputedStyle(node).backgroundColor"
    assert pressed.evaluate(back) != idle.evaluate(back)
    assert len(seen(page.page.locator("[data-part=status] .i"))) >= 2
    expect(page.page.locator("#tl-steps .mini").first).to_have_css("forced-color-adjust", "none")


def test_text_from_right_to_left_does_not_change_sides_with_what_stands_beside_it(
    opened: Callable[..., Playground],
) -> None:
    page = opened("/")
    page.run(RTL)
    page.expect_status("Complete")
    name = page.page.locator("#tl-steps .nm").first
    expect(name).to_have_text("שלב אחד")
    places = """() => {
        const box = (node, from, to) => { const range = document.createRange();
            range.setStart(node, from); range.setEnd(node, to);
            return range.getBoundingClientRect(); };
        const keys = [...document.querySelectorAll(".end .v-key")];
        const beside = keys.map((key) => [key.getBoundingClientRect().right, box(key.nextSibling, 0, 1).left,
            key.getBoundingClientRect().left]);
        const row = document.querySelector("#tl-steps .row-name");
        return { beside, name: row.querySelector(".nm").getBoundingClientRect().left
            - row.querySelector(".i").getBoundingClientRect().right };
    }"""
    found = page.page.evaluate(places)
    assert found["beside"]
    for right, colon, left in found["beside"]:
        assert left < right <= colon + 1  # the colon stands after its key
    assert found["name"] > 0
    page.tab("Logs")
    message = page.logs.locator(".msg").filter(has_text="עולם")
    expect(message).to_have_css("unicode-bidi", "plaintext")
    number = message.evaluate("""node => {
        const text = [...node.querySelectorAll("*"), node].flatMap((one) => [...one.childNodes])
            .find((one) => one.nodeType === 3 && one.data.includes("12"));
        const at = (word) => { const range = document.createRange(), from = text.data.indexOf(word);
            range.setStart(text, from); range.setEnd(text, from + word.length);
            return range.getBoundingClientRect().left; };
        return [at("שלום"), at("12"), at("עולם")];
    }""")
    assert number[0] > number[1] > number[2]  # read from the right, as it was written


def test_the_head_of_the_table_of_steps_stays_while_it_scrolls(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.run(MANY)
    page.expect_status("Complete")
    page.control("As a table").click()
    table = page.page.get_by_role("table", name="Steps of this run")
    head = table.get_by_role("columnheader", name="Status")
    expect(table.get_by_role("row")).to_have_count(61)
    page.page.locator("#view-timeline").evaluate("node => node.scrollTo(0, 600)")
    expect(table.get_by_role("button", name="step 20", exact=True)).to_be_in_viewport()
    expect(head).to_be_in_viewport()
    top = page.page.locator("#view-timeline").bounding_box()
    box = head.bounding_box()
    assert top and box
    assert box["y"] == pytest.approx(top["y"], abs=1)
    page.control("As a table").click()


def test_a_retry_has_one_clock_and_the_sentence_says_its_time_to_everybody(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.run(RETRYING)
    page.expect_status("Waiting")
    sentence = page.page.locator('[data-part="sentence"]')
    expect(sentence).to_contain_text("The next begins at ")
    assert sentence.locator("[aria-hidden]").count() == 0
    page.page.wait_for_function(r"() => document.body.innerText.match(/\b(10|9)\smin\b/g)?.length === 1")
    page.control("Terminate").click()
    page.expect_status("Terminated")


@pytest.mark.parametrize("way", ["paste", "insert"])
def test_code_that_replaces_all_is_seen_from_its_top_without_a_complaint(
    opened: Callable[..., Playground], way: str
) -> None:
    """An input method, a dictation or a snippet tool inserts without a paste; Chromium then wrote inline styles, which
    are refused.
    """
    page = opened("/examples/saga", viewport={"width": 1280, "height": 500})
    page.editor.click()
    page.page.keyboard.press("ControlOrMeta+End")
    page.page.keyboard.press("ControlOrMeta+a")
    if way == "paste":
        page.editor.evaluate(PASTE, LONG_CODE)
    else:
        page.page.keyboard.insert_text(LONG_CODE)
    expect(page.page.locator("#cursor")).to_have_text(f"Ln {LONG_CODE.count(chr(10)) + 1}, Col 1")
    expect(page.editor).to_contain_text("from workers import")
    # What is free above the first line.
    assert page.page.wait_for_function("() => document.querySelector('.cm-scroller').scrollTop <= 8")
    page.page.keyboard.type("# more")
    expect(page.editor.get_by_text("# more")).to_be_in_viewport()
