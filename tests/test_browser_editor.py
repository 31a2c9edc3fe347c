"""The editor by hand: formatting, vim's keys, the list of keys, what is loaded when."""

from collections.abc import Callable

import pytest
from page_support import PASTE, Playground, expect

pytestmark = pytest.mark.long

FIRST_LOAD_BYTES = 200 * 1000
FIRST_LOAD_REQUESTS = 12
WEIGHT = """async () => {
    await document.fonts.ready;
    const loaded = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
    const bytes = loaded.reduce((sum, one) => sum + one.transferSize, 0);
    return { bytes, names: loaded.map((one) => new URL(one.name).pathname) };
}"""
UGLY = """from workers import WorkflowEntrypoint
class TenantWorkflow( WorkflowEntrypoint ):
  async def run(self,event,step):
      return await step.do('double',lambda:21*2)
"""
TIDY = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return await step.do("double", lambda: 21 * 2)
"""


# The dot of a step stands beside its line.
BESIDE = """() => {
    const dot = document.querySelector('.cm-dot[title="double: done"]');
    const code = [...document.querySelectorAll(".cm-line")].find((line) => line.textContent.includes("step.do"));
    return dot && code && Math.abs(dot.getBoundingClientRect().y - code.getBoundingClientRect().y) < 1;
}"""
PLACE = """(content, word) => {
    const walker = document.createTreeWalker(content, NodeFilter.SHOW_TEXT);
    for (let node; (node = walker.nextNode()); ) {
        const at = node.data.indexOf(word);
        if (at < 0) continue;
        const range = document.createRange();
        range.setStart(node, at);
        range.setEnd(node, at + word.length);
        const { x, y, width, height } = range.getBoundingClientRect();
        return [x + width / 2, y + height / 2];
    }
}"""


def point_at(page: Playground, word: str) -> None:
    """Rest the pointer on a word of the source, coming from elsewhere."""
    page.page.mouse.move(1, 1)
    expect(page.page.locator(".cm-tooltip-hover")).to_have_count(0)
    x, y = page.editor.evaluate(PLACE, word)
    page.page.mouse.move(x, y)


def helped(page: Playground) -> None:
    """Wait for the editor's help, which comes after the first focus: a key or a pointer before it asks for nothing.

    It says so with the next change of any kind.
    """
    while page.editor.get_attribute("aria-autocomplete") is None:
        page.editor.press("ControlOrMeta+Home")
        page.editor.press("ControlOrMeta+End")


def policy(page: Playground, what: str) -> str:
    """What a script is allowed that the page names."""
    return page.page.request.get(page.url + page.page.locator("#app").get_attribute(f"data-{what}")).headers[
        "content-security-policy"
    ]


def lines(page: Playground) -> str:
    """The text of the editor."""
    return "\n".join(line.removesuffix("\n") for line in page.page.locator(".cm-line").all_inner_texts())


def test_the_first_load_is_light_and_leaves_what_is_not_yet_wanted(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    expect(page.page.locator("#problems")).to_have_text("No problems")
    loaded = page.page.evaluate(WEIGHT)
    assert 100_000 < loaded["bytes"] < FIRST_LOAD_BYTES
    assert len(loaded["names"]) <= FIRST_LOAD_REQUESTS
    late = ("vim-", "assist-", "ruff_fmt", "worker", "format-", "live-")
    assert [name for name in loaded["names"] if any(part in name for part in late)] == []


def test_a_file_that_begins_with_a_byte_order_mark_is_pasted_without_it(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.write("\ufeff" + UGLY)
    expect(page.page.locator("#problems")).to_have_text("No problems")
    assert page.page.locator(".cm-line").first.inner_text() == UGLY.split("\n")[0]
    assert page.page.locator(".cm-specialChar").count() == 0
    with page.page.expect_request("**/api/instances") as sent:
        page.run_button.click()
    assert sent.value.post_data_json["source"] == UGLY


def test_format_tidies_in_one_step_that_can_be_undone(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.run(UGLY)
    page.expect_status("Complete")
    page.control("Format").click()
    expect(page.page.locator(".toast")).to_have_text("Formatted")
    assert lines(page) == TIDY
    page.page.wait_for_function(BESIDE)
    assert policy(page, "formatter") == "default-src 'none'; script-src 'wasm-unsafe-eval'; frame-ancestors 'none'"
    assert "wasm" not in policy(page, "editor") + page.page.request.get(page.url).headers["content-security-policy"]
    page.page.keyboard.press("Shift+Alt+F")
    expect(page.page.locator(".toast")).to_have_text("Formatted already")
    page.editor.focus()
    page.page.keyboard.press("ControlOrMeta+z")
    assert lines(page) == UGLY


def test_what_cannot_be_formatted_says_where(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.write("x = '\N{GRINNING FACE}'\nprint 'hi'\n")
    page.control("Format").click()
    told = page.page.locator('#notices [data-subject="format"]')
    expect(told).to_contain_text("Not formatted. Line 2, column 7: Simple statements must be separated")
    told.get_by_role("button", name="Go to line 2").click()
    expect(page.page.locator("#cursor")).to_have_text("Ln 2, Col 7")


CALLS = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        effects = self.env.EFFECTS

        async def undo(failed):
            print(failed["output"])

        await step.do("pay", effects.charge, rollback=undo)
        got = await step.wait_for_event("approval", "approved")
        child = await self.env.WORKFLOWS.create()
"""
OFFERS = [  # what is typed, what is then offered, and what its documentation says
    ("        await self.env.EF", "EFFECTS", "Simulated side effects"),
    ("        await effects.ch", "charge(amount, key=None, **details)", "Simulates the charge"),
    ("        await child.send", "send_event(type, payload=None, reply=False)", "Sends it an event"),
    ("from workers import WorkflowT", "WorkflowTimeoutError", "longer than its timeout"),
    ('        @step.do("a", rollback_', "rollback_config=None", "rollback handler"),
    ('        @step.do("a", config={"', 'retries{"limit": 5, "delay": "10 seconds"}', "How often and when"),
    ('        @step.do("a", config={"retries": {"backoff": "l', "linear", ""),
    ('        await step.sleep("nap", "3 m', "3 minutes", ""),
]


def test_completion_knows_what_may_be_written_here(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.write(CALLS)
    helped(page)
    keys = page.page.keyboard
    for typed, offer, documented in OFFERS:
        keys.press("ControlOrMeta+End")
        keys.type(typed)
        expect(page.page.get_by_role("option", selected=True)).to_have_text(offer)
        if documented:
            expect(page.page.locator(".cm-completionInfo")).to_contain_text(documented)
        keys.press("Escape")
        keys.press("ControlOrMeta+a")
        page.editor.evaluate(PASTE, CALLS)
    keys.press("ControlOrMeta+End")
    keys.type("        await effects.email(")
    shown = page.page.locator(".cm-signature:visible")
    expect(shown.locator("b")).to_have_text("to")
    keys.type('"ada@example.com", key=')
    expect(shown.locator("b")).to_have_text("key=None")
    expect(shown).to_contain_text("idempotency key")
    keys.press("Escape")
    keys.press("Escape")
    expect(shown).to_have_count(0)
    keys.type(
        "toString(event.constructor, step.valueOf("
    )  # what every object of the page's own language has is no part of the API
    assert "key=toString(event.constructor, step.valueOf(" in lines(page)
    keys.press("ControlOrMeta+a")
    keys.type("from workers imp")
    expect(page.page.get_by_role("option", selected=True)).to_have_text("import")
    keys.type("ort WorkflowT")  # the word after another one is offered something of its own
    expect(page.page.get_by_role("option", selected=True)).to_have_text("WorkflowTimeoutError")
    page.page.clock.install()
    keys.press("ControlOrMeta+a")
    keys.press("Delete")  # typed over, Chrome itself would try to keep the colour of the text by a style
    keys.type("# two")
    keys.press("Control+Space")
    page.page.clock.run_for(1000)
    assert page.page.get_by_role("option").count() == 0  # or Enter would put what it offers into the comment


def test_resting_on_a_name_says_what_it_is(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.write(CALLS)
    expect(page.page.locator("#problems")).to_have_text("No problems")
    helped(page)
    for word, documented in (
        ("wait_for_event", "Waits durably"),
        ('"output"', "the step to undo"),
        ("EFFECTS", "Simulated side effects"),
    ):
        point_at(page, word)
        expect(page.page.locator(".cm-tooltip-hover")).to_contain_text(documented)


def test_vim_keys_are_loaded_when_chosen_and_remembered(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.write(TIDY)
    expect(page.page.locator("#draft")).to_contain_text("Draft kept")
    page.control("Keys ?").click()
    page.page.get_by_label("Vim keys in the editor").check()
    page.page.keyboard.press("Escape")
    expect(page.page.locator(".cm-vim-panel")).to_have_text("--NORMAL--")
    page.page.reload()
    expect(page.page.locator(".cm-vim-panel")).to_have_text("--NORMAL--")
    expect(page.editor).to_contain_text("double")
    page.editor.focus()
    page.page.keyboard.type("ggOimport math")
    page.page.keyboard.press("Escape")
    assert lines(page).startswith("import math\nfrom workers")
    page.page.keyboard.type("/double")
    page.page.keyboard.press("Enter")
    expect(page.page.locator("#cursor")).to_have_text("Ln 7, Col 31")
    page.page.keyboard.press("Escape")
    page.page.keyboard.press("Tab")
    expect(page.page.locator("#params")).to_be_focused()
    page.editor.focus()
    page.page.keyboard.press("ControlOrMeta+Enter")
    page.expect_status("Complete")
    page.editor.focus()
    page.page.keyboard.type(":w")
    page.page.keyboard.press("Enter")
    expect(page.page.get_by_text("Link to the code").first).to_be_visible()
    page.page.keyboard.press("Escape")
    page.control("Keys ?").click()
    page.page.get_by_label("Vim keys in the editor").uncheck()
    page.page.keyboard.press("Escape")
    expect(page.page.locator(".cm-vim-panel")).to_have_count(0)


def test_every_key_of_the_list_does_what_it_says(opened: Callable[..., Playground]) -> None:
    page = opened("/examples/approval")
    page.run()
    page.expect_step("manager decides", "waiting")
    keys = page.page.keyboard
    page.page.get_by_role("link", name="Examples").focus()
    for key, view in (("2", "Replay"), ("3", "Journal"), ("4", "Logs")):
        keys.press(key)
        expect(page.page.get_by_role("tab", name=view)).to_have_attribute("aria-selected", "true")
    keys.press("1")
    expect(page.page.locator("#run .row-name:focus")).to_have_count(1)
    first = page.page.locator("#run .row-name:focus").inner_text()
    keys.press("j")
    expect(page.page.locator("#run .row-name:focus")).not_to_have_text(first)
    keys.press("k")
    keys.press("Enter")
    expect(page.page.locator("#tab-step")).to_have_attribute("aria-selected", "true")
    keys.press("l")
    expect(page.editor).to_be_focused()
    keys.press("Escape")
    keys.press("Tab")
    page.page.get_by_role("link", name="Examples").focus()
    keys.press("e")
    expect(page.page.locator("#run .ask textarea")).to_be_focused()
    page.page.get_by_role("link", name="Examples").focus()
    keys.press("?")
    shown = page.page.get_by_role("dialog", name="Keyboard")
    listed = {key.lower() for key in shown.locator("kbd").all_inner_texts()} | {"enter"}
    for named in page.page.locator("[aria-keyshortcuts]").evaluate_all(
        "all => all.map((one) => one.getAttribute('aria-keyshortcuts'))"
    ):
        assert (named.split()[0].split("+")[-1] or "+").lower() in listed, named


def test_params_are_laid_out_and_keep_their_digits(opened: Callable[..., Playground]) -> None:
    page = opened("/examples/hello")
    params = page.page.locator("#params")
    expect(page.control("Format the params")).to_be_hidden()
    params.fill('{"name":"Ada","n":12345678901234567890}')
    page.control("Format the params").click()
    expect(params).to_have_value('{\n  "name": "Ada",\n  "n": 12345678901234567890\n}')
    expect(params).to_be_focused()
    expect(page.control("Format the params")).to_be_hidden()
    params.fill('{"name": Ada}')
    expect(page.control("Format the params")).to_be_hidden()
    expect(page.page.locator("#params-problem")).to_contain_text("unexpected token")


LONG = TIDY.replace(
    "        return await",
    "        await step.sleep('nap', '0.1 seconds')\n" + "        # far away\n" * 60 + "        return await",
)


def test_a_step_and_its_line_find_each_other(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.run(LONG)
    page.expect_status("Complete")
    line = page.page.locator(".cm-line", has_text='step.do("double"')
    page.editor.press("ControlOrMeta+Home")
    expect(line).not_to_be_in_viewport()
    page.step("double").click()
    expect(line).to_be_in_viewport()
    expect(line).to_have_class("cm-line cm-linked")
    page.page.locator("#outline").get_by_role("button", name="nap").click()
    expect(page.page.locator("#cursor")).to_contain_text("Ln 6,")
    page.page.keyboard.press("Alt+Enter")
    expect(page.step("nap")).to_be_focused()


SHAPES = """import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        for n in range(2):
            await step.do(f"item {n}", lambda: 1)
        if event["payload"].get("audit"):
            await step.do("audit", lambda: 2)
        await asyncio.gather(step.do("left", lambda: 3), step.do("right", lambda: 4))
        await getattr(step, "do")("found out", lambda: 5)
"""


def test_the_outline_is_a_checklist_that_the_run_fills(opened: Callable[..., Playground]) -> None:
    page = opened("/", color_scheme="dark")
    page.write(SHAPES)
    outline = page.page.locator("#outline")
    expect(outline.locator(".loop")).to_contain_text("for n in range(2)")
    expect(outline.locator(".branch")).to_contain_text("audit")
    expect(outline.locator(".parallel .inside .entry")).to_have_count(2)
    expect(page.page.locator("#outline-count")).to_have_text("0 of 4")
    page.write(f"{SHAPES}\n(")
    expect(page.page.locator("#outline-count")).to_have_text("as before the error")
    expect(outline.locator(".parallel .inside .entry")).to_have_count(2)
    page.write(SHAPES)
    expect(page.page.locator("#outline-count")).to_have_text("0 of 4")
    page.run()
    page.expect_status("Complete")
    expect(outline.locator(".loop .inside .entry")).to_have_text(["item {n}2 of 2"])
    expect(outline.get_by_role("button", name="not reached audit")).to_have_count(1)
    expect(outline.get_by_role("button", name="done found out")).to_contain_text("at run time")
    expect(page.page.locator("#outline-count")).to_have_text("4 of 5")
    page.step("right").hover()
    expect(page.page.locator(".cm-line.cm-linked")).to_contain_text("asyncio.gather")
