"""The code half by hand: drafts, problems and their fixes, completion, keys, and an editor that never loads."""

import re
from collections.abc import Callable

import pytest
from access_support import findings
from page_support import Playground, expect, hearing

pytestmark = pytest.mark.long

HOLD_THE_CLOCK = "() => { const at = Date.now(); window.clock = Date.now; Date.now = () => at; }"
LET_THE_CLOCK_GO = "() => { Date.now = window.clock; }"
# No lock is known of before `go`, as on a machine that is busy.
LOCKS_WAIT = """{
    const going = new Promise((resolve) => (window.go = resolve));
    for (const name of ["query", "request"]) {
        const whole = LockManager.prototype[name];
        LockManager.prototype[name] = async function (...given) {
            window.asked ||= name === "query";
            await going;
            return whole.apply(this, given);
        };
    }
}"""
FORGOTTEN = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        step.sleep("a while", "1 second")
"""
BEYOND_THE_BASIC_PLANE = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return "\N{GRINNING FACE}\N{GRINNING FACE}", nobody_knows
"""
BESIDE_ITS_LINE = """() => {
    const line = [...document.querySelectorAll(".cm-line")].find((it) => it.textContent.includes("step.do"));
    const dot = document.querySelector(".cm-dot[title='double: done']");
    return line && dot && Math.abs(line.getBoundingClientRect().y - dot.getBoundingClientRect().y) < 1;
}"""
QUICK = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return await step.do("double", lambda: 42)
"""


def expect_mine(page: Playground) -> None:
    """The code is what was written, with or without the note of the check, which comes behind it later."""
    expect(page.editor).to_have_text(re.compile("^# mine(There is no class TenantWorkflow, .*)?$"))


def test_an_edit_leaves_the_address_and_a_draft_is_offered_not_imposed(opened: Callable[..., Playground]) -> None:
    page = opened("/examples/retries")
    page.write("# mine\n")
    expect(page.page).to_have_url(page.url + "/")
    expect(page.page.locator("#edited")).to_be_visible()
    page.page.goto(page.url + "/examples/retries")
    expect(page.editor).to_contain_text("redeem coupon")
    page.control("Restore").click()
    expect_mine(page)


def test_the_latest_draft_is_back_at_the_bare_address_until_it_is_given_up(opened: Callable[..., Playground]) -> None:
    page = opened("/examples/retries")
    page.write("# mine\n")
    expect(page.page.locator("#draft")).to_contain_text("Draft kept")
    page.page.reload()
    expect_mine(page)
    page.control("Start from the example").click()
    expect(page.editor).to_contain_text("compose greeting")
    page.page.reload()
    expect(page.editor).to_contain_text("compose greeting")
    expect(page.page.locator("#notices")).to_be_empty()


def test_what_is_typed_while_a_page_looks_for_drafts_is_no_draft_of_a_tab_that_was_closed(
    opened: Callable[..., Playground],
) -> None:
    page = opened("/about")
    page.watched.context.add_init_script(LOCKS_WAIT)
    page.page.goto(page.url)
    page.page.wait_for_function("window.asked")
    page.page.locator("#params").fill('{"name": "Grace"}')
    expect(page.page.locator("#draft")).to_contain_text("Draft kept")
    page.page.evaluate("window.go()")
    page.page.wait_for_function("navigator.locks.query().then(({ held }) => held.length)")
    expect(page.page.locator("#notices")).to_be_empty()


def test_params_are_remembered_per_example(opened: Callable[..., Playground]) -> None:
    page = opened("/examples/hello")
    params = page.page.locator("#params")
    given = params.input_value()
    params.fill('{"name": "Grace"}')
    expect(page.control("Reset")).to_be_visible()
    page.page.goto(page.url + "/examples/retries")
    expect(params).not_to_have_value('{"name": "Grace"}')
    page.page.goto(page.url + "/examples/hello")
    expect(params).to_have_value('{"name": "Grace"}')
    page.control("Reset").click()
    expect(params).to_have_value(given)


def test_a_problem_opens_under_its_line_and_its_fix_mends_it(opened: Callable[..., Playground]) -> None:
    page = opened("/", reduced_motion="reduce")
    page.write(FORGOTTEN)
    expect(page.page.locator("#problems")).to_have_text("1 warning")
    page.page.locator("#problems").click()
    card = page.page.get_by_role("note")
    expect(card).to_contain_text("is not awaited")
    assert findings(page.page) == []
    card.get_by_role("button").first.click()
    expect(page.editor).to_contain_text("await step.sleep(")
    expect(page.page.locator("#problems")).to_have_text("No problems")
    expect(card).to_have_count(0)


def test_a_problem_is_heard_and_mended_by_keyboard(opened: Callable[..., Playground]) -> None:
    page = opened("/", color_scheme="dark")
    page.write(FORGOTTEN)
    expect(page.page.locator("#problems")).to_have_text("1 warning")
    with hearing(page.page, "Line 6, warning: step.sleep(…) is not awaited", ".cm-announced"):
        page.page.keyboard.press("F8")
    expect(page.page.get_by_role("note")).to_be_visible()
    page.page.keyboard.press("ControlOrMeta+.")
    expect(page.page.locator("#problems")).to_have_text("No problems")
    expect(page.editor).to_contain_text("await step.sleep(")


def test_a_problem_is_marked_where_it_is_beyond_the_basic_plane_too(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.write(BEYOND_THE_BASIC_PLANE)
    expect(page.page.locator(".cm-lintRange")).to_have_text("nobody_knows")


def test_the_tenant_api_is_completed_with_its_signature(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.write(QUICK)
    page.page.keyboard.press("ControlOrMeta+End")
    page.page.keyboard.type("        await step.wait")
    offer = page.page.get_by_role("option")
    expect(offer).to_contain_text('wait_for_event(name, event_type, timeout="24 hours", schema=None)')
    offer.click()
    page.page.keyboard.type('("approval", ')
    expect(page.page.locator(".cm-signature")).to_contain_text("step.wait_for_event(name, event_type")


def test_what_was_typed_before_the_editors_help_came_is_completed_then(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.watched.hold("/assist")
    page.write(QUICK)
    page.page.keyboard.press("ControlOrMeta+End")
    page.page.keyboard.type("        await step.wait")
    expect(page.page.locator("#problems")).to_have_text("1 warning")
    expect(page.page.get_by_role("option")).to_have_count(0)
    page.watched.release()
    expect(page.page.get_by_role("option")).to_contain_text("wait_for_event(")


def test_escape_then_tab_leaves_the_editor_and_letters_can_be_turned_off(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.editor.focus()
    page.page.evaluate(HOLD_THE_CLOCK)  # Tab is to come within two seconds of Escape
    page.page.keyboard.press("Escape")
    page.page.keyboard.press("Tab")
    page.page.evaluate(LET_THE_CLOCK_GO)
    expect(page.page.locator("#params")).to_be_focused()
    page.control("Examples").or_(page.page.get_by_role("link", name="Examples")).first.focus()
    page.page.keyboard.press("?")
    keys = page.page.get_by_role("dialog", name="Keyboard")
    expect(keys).to_be_visible()
    keys.get_by_label("Single keys act outside fields").uncheck()
    page.page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    expect(page.page.get_by_role("link", name="Examples")).to_be_focused()
    page.page.keyboard.press("?")
    page.page.reload()
    expect(page.editor).to_be_visible()
    expect(keys).to_be_hidden()


def test_dots_of_a_run_stay_on_their_steps_while_the_code_is_edited(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.run(QUICK)
    page.expect_status("Complete")
    expect(page.page.locator('.cm-dot[title="double: done"]')).to_have_count(1)
    page.editor.focus()
    page.page.keyboard.press("ControlOrMeta+Home")
    page.page.keyboard.type("# one\n# two\n")
    expect(page.page.locator(".cm-line", has_text="step.do")).to_be_visible()
    expect(page.page.locator("#problems")).to_have_text("No problems")
    page.page.wait_for_function(BESIDE_ITS_LINE)


def test_back_leads_to_the_run_before(opened: Callable[..., Playground]) -> None:
    page = opened("/examples/hello")
    page.page.locator("#params").fill('{"seconds": 0}')
    first = page.run()
    second = page.run()
    assert first != second
    page.page.go_back()
    expect(page.page.locator('[data-part="id"]')).to_have_text(first)
    page.expect_status("Complete")


def test_every_example_has_its_picture(opened: Callable[..., Playground]) -> None:
    page = opened("/examples")
    cards = page.page.locator("a.card")
    assert cards.count() >= 5
    assert cards.filter(has=page.page.locator("svg.shape rect")).count() == cards.count()


def test_without_its_bundle_the_editor_is_a_plain_field_that_runs(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.watched.server_away = True
    page.page.route("**/editor/*.js", lambda route: route.abort())
    page.page.reload()
    source = page.page.get_by_role("textbox", name="Source")
    source.fill(QUICK)
    expect(page.page.locator("#problems")).to_have_text("No problems")
    source.press("Shift+Enter")
    page.expect_status("Complete")
    expect(page.output).to_contain_text("42")


def test_a_dot_leads_to_the_bar_of_its_step_and_hovering_lights_both(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.run(QUICK)
    page.expect_status("Complete")
    page.page.locator('.cm-dot[title="double: done"]').click()
    expect(page.step("double")).to_be_focused()
    page.page.locator(".cm-line", has_text="step.do").hover()
    expect(page.page.locator("#run .row.is-linked")).to_have_count(1)
    expect(page.page.locator(".outline .is-linked")).to_have_text("doubleline 6")
