"""The crash-and-resume lesson, finished with the keyboard alone, and by touch alone on a telephone."""

import re
from collections.abc import Callable

from page_support import Playground, completed_steps, expect, journal
from server_support import Server, ask

LESSON = "/examples/crash-and-resume"
TELEPHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
MOST_TABS = 60  # presses in which everything on the page has been reached


def assert_survived(at: Playground) -> None:
    """The run ended well although a worker was killed, and nothing that was committed ran twice."""
    events = journal(at.url, at.instance)
    assert [event["data"]["reason"] for event in events if event["type"] == "execution_ended"] == [
        "killed",
        "completed",
    ]
    assert completed_steps(events) == ["reserve stock", "charge card", "wait for the courier", "ship parcel"]
    attempts = [event["step"]["name"] for event in events if event["type"] == "attempt_started"]
    assert attempts == ["reserve stock", "charge card", "charge card", "ship parcel"]
    lost = [event for event in events if event["type"] == "attempt_errored"]
    assert [event["data"]["error"]["name"] for event in lost] == ["WorkerLost"]
    expect(at.executions).to_have_text("2")


def focused(at: Playground) -> str:
    """What a screen reader would call the thing that has the focus."""
    return at.page.evaluate(
        "() => { const it = document.activeElement; return (it.ariaLabel || it.textContent || it.value || "
        "'').trim().replace(/\\s+/g, ' ') }"
    )


def tab_to(at: Playground, name: str) -> None:
    """Press Tab until the focus is on what is called so; it must be seen to be there."""
    for _ in range(MOST_TABS):
        at.page.keyboard.press("Tab")
        if re.match(name, focused(at)):
            outline = at.page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"the focus on {name} can't be seen"
            return
    raise AssertionError(f"{name} was not reached with Tab")


def shortened(server: Server) -> str:
    """The path of the lesson's code with shorter waits, and a first charge that goes on until it is killed."""
    source = ask(f"{server.url}/api{LESSON}")["source"]
    first, again = "await asyncio.sleep(0.6)", "await asyncio.sleep(600 if ctx['attempt'] == 1 else 0)"
    assert source.count(first) == 2
    head, charge, rest = source.rpartition(first)
    source = (head.replace(first, "await asyncio.sleep(0)") + charge.replace(first, again) + rest).replace(
        "4 seconds", "1 second"
    )
    params = {"order": "B-1", "items": ["lamp"]}
    return str(ask(f"{server.url}/api/snippets", {"source": source, "params": params})["url"])


def test_with_the_keyboard_alone(server: Server, opened: Callable[..., Playground]) -> None:
    at = opened(shortened(server))
    at.page.locator(".cm-content").wait_for()
    tab_to(at, "Run")
    at.page.keyboard.press("Enter")
    at.expect_step("charge card", "running")
    at.page.keyboard.press("x")
    at.expect_step("charge card", "2 attempts")
    at.page.keyboard.press("j")
    at.page.keyboard.press("j")
    assert focused(at).startswith("charge card")
    at.page.keyboard.press("Enter")
    expect(at.page.get_by_role("tab", name="charge card")).to_have_attribute("aria-selected", "true")
    expect(at.page.get_by_role("tabpanel")).to_contain_text("Attempt 1")
    at.page.keyboard.press("2")
    expect(at.page.get_by_role("tab", name="Replay")).to_have_attribute("aria-selected", "true")
    at.expect_status("Complete")
    expect(at.output).to_contain_text("attempt: 2")
    assert_survived(at)


def test_by_touch_alone_on_a_telephone(server: Server, opened: Callable[..., Playground]) -> None:
    at = opened(shortened(server), **TELEPHONE)
    at.run_button.tap()
    at.expect_step("charge card", "running")
    at.control("Kill worker").tap()
    at.expect_step("charge card", "2 attempts")
    at.page.get_by_role("tab", name="Replay").tap()
    expect(at.page.get_by_role("tabpanel")).to_contain_text("worker lost")
    at.page.get_by_role("button", name="Code").tap()
    expect(at.page.locator(".cm-content")).to_be_visible()
    at.page.get_by_role("button", name=re.compile("Running|Waiting|Complete")).tap()
    at.expect_status("Complete")
    assert at.page.evaluate("document.documentElement.scrollWidth") <= TELEPHONE["viewport"]["width"]
    assert_survived(at)
