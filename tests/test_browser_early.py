"""What a visitor does before the page's scripts have come, on a slow line: pressed, typed, selected and scrolled, and
none of it is lost.
"""

import json
from collections.abc import Callable

import pytest
from browser_support import PARSED
from page_support import Playground, expect

SCRIPT = "/js/app-"
EDITOR = "/editor/editor-"
PHONE = {"width": 390, "height": 844}


def places(page: Playground) -> list[dict[str, float] | None]:
    return [card.bounding_box() for card in page.page.locator(".onward .card").all()]


@pytest.mark.parametrize("viewport", [{"width": 1280, "height": 800}, PHONE], ids=["wide", "phone"])
def test_a_press_on_run_before_the_script_has_come_runs_what_was_typed_before(
    opened: Callable[..., Playground], viewport: dict[str, int]
) -> None:
    page = opened("/", hold=SCRIPT, viewport=viewport)
    page.page.locator("#listing").click(position={"x": 300, "y": 12})
    page.page.keyboard.press("ControlOrMeta+Home")
    page.page.keyboard.type("# typed early\n")
    page.run_button.click()
    expect(page.run_button).to_have_text("Loading Ctrl ↵" if viewport != PHONE else "Loading")
    expect(page.run_button).to_have_attribute("aria-disabled", "true")
    expect(page.page.locator("#toast")).to_have_text("Loading. The run begins as soon as the page is ready.")
    page.watched.release()
    expect(page.editor).to_contain_text("# typed early")
    instance = page.instance
    page.expect_step("compose greeting", "done")
    source = page.page.request.get(f"{page.url}/api/instances/{instance}").json()
    assert (
        page.page.request.get(f"{page.url}/api/snippets/{source['snippet']}")
        .json()["source"]
        .startswith("# typed early\n")
    )


def test_a_press_between_the_script_and_the_editor_waits_for_the_editor(opened: Callable[..., Playground]) -> None:
    page = opened("/examples/hello", hold=EDITOR)
    expect(page.page.locator("#problems")).to_have_text("No problems")  # the script is there
    page.run_button.click()
    expect(page.run_button).to_contain_text("Loading")
    page.page.locator("#listing").press("#")  # a key, where nothing was focused for typing yet
    expect(page.page.locator("#source")).to_be_focused()
    page.watched.release()
    expect(page.editor).to_contain_text("#")
    assert page.instance


def test_selection_scroll_and_focus_go_over_to_the_editor_and_typing_can_be_undone(
    opened: Callable[..., Playground],
) -> None:
    page = opened("/examples/saga", hold=EDITOR, viewport={"width": 1280, "height": 500})
    source = page.page.locator("#source")
    original = source.input_value()
    page.page.locator("#editor").evaluate("node => node.scrollTo(0, 200)")
    page.page.locator("#L20").click(position={"x": 140, "y": 10})
    expect(source).to_be_focused()
    caret = source.evaluate("node => node.selectionStart")
    lines = original[:caret].count("\n") + 1
    assert lines == 20
    page.page.keyboard.type("early")
    expect(source).to_have_js_property("scrollTop", 200)
    page.watched.release()
    expect(page.editor).to_be_focused()
    expect(page.page.locator("#cursor")).to_have_text(f"Ln 20, Col {caret - original.rindex(chr(10), 0, caret) + 5}")
    scrolled = page.page.locator(".cm-scroller").evaluate("node => node.scrollTop")
    assert scrolled == pytest.approx(200, abs=2)
    page.page.keyboard.type("late")
    expect(page.editor).to_contain_text("earlylate")
    page.page.keyboard.press("ControlOrMeta+z")
    page.page.keyboard.press("ControlOrMeta+z")
    expect(page.page.locator("#edited")).to_be_hidden()


def test_params_typed_early_are_not_replaced_by_those_remembered(opened: Callable[..., Playground]) -> None:
    page = opened("/examples/hello")
    page.page.locator("#params").fill('{"name": "kept"}')
    expect(page.page.locator("#edited")).to_be_hidden()
    expect(page.page.locator(".reset")).to_be_visible()
    page.watched.hold(SCRIPT)
    page.page.reload(wait_until="commit")
    page.page.wait_for_function(PARSED)
    page.page.locator("#params").fill(json.dumps({"name": "typed early"}))
    page.watched.release()
    expect(page.page.locator("#params-state")).to_have_text("valid")
    expect(page.page.locator("#params")).to_have_value('{"name": "typed early"}')


def test_code_from_a_link_is_not_run_by_a_press_that_came_before_the_script(opened: Callable[..., Playground]) -> None:
    page = opened("/new?source=print(1)", hold=SCRIPT)
    page.run_button.click()
    expect(page.run_button).to_contain_text("Loading")
    page.watched.release()
    expect(page.page.get_by_text("Not started.")).to_be_visible()
    expect(page.run_button).not_to_have_attribute("aria-disabled", "true")


@pytest.mark.parametrize("height", [800, 480])
def test_what_can_be_pressed_does_not_jump_when_the_scripts_come(
    opened: Callable[..., Playground], height: int
) -> None:
    page = opened("/examples/hello", hold=SCRIPT, viewport={"width": 1280, "height": height})
    expect(page.page.locator(".onward .card")).to_have_count(3)
    before = places(page)
    assert all(before)
    page.watched.release()
    expect(page.page.get_by_role("region", name="Plan")).to_be_visible()
    assert places(page) == before


def test_a_script_that_never_comes_leaves_a_page_that_can_save_what_was_typed(
    opened: Callable[..., Playground],
) -> None:
    page = opened("/examples/hello", hold=SCRIPT)
    page.page.locator("#listing").press("#")
    page.run_button.click()
    page.watched.abort()
    expect(page.page.get_by_text("The page’s script did not arrive.")).to_be_visible()
    page.watched.forgive("net::ERR_FAILED")
    page.control("Save and get a link").click()
    expect(page.editor).to_contain_text("#")
    assert "/s/" in page.page.url
