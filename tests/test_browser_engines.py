"""Firefox and WebKit: the main flow, a kill, a reload, sharing, a fork, a phone's size; no error on the console."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine_driver import Driver, NoEngine
from engine_page import EnginePage
from firefox_driver import Firefox
from page_support import completed_steps, journal
from server_support import Server
from webkit_driver import WebKit

pytestmark = pytest.mark.long

WIDE, PHONE = (1280, 860), (390, 844)
KILLED = """import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("reserve stock")
        async def reserve():
            return {"left": 11}

        @step.do("charge card")
        async def charge(ctx):
            if ctx["attempt"] == 1:
                await asyncio.sleep(600)  # there is time to kill, on any machine
            return {"receipt": "r-1"}

        await reserve()
        return await charge()
"""
NEW_VISITOR = """() => {
    localStorage.clear();
    sessionStorage.clear();
    localStorage.setItem("playground.hints", '"done"');
}"""
ELSEWHERE = """() => new Promise((done) => {
    Object.assign(new Image(), { onerror: () => done(), src: "//127.0.0.1:9/wrong-5" });
})"""
FAILS = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("reserve stock")
        async def reserve():
            return {"left": 11}

        @step.do("charge card")
        async def charge():
            return {"receipt": "r-1"}

        await reserve()
        receipt = await charge()
        return receipt["label"]
"""
QUICK = FAILS.replace('["label"]', "").replace("r-1", "l-1")


@pytest.fixture(scope="module", params=[Firefox, WebKit], ids=lambda engine: engine.name)
def engine(request: pytest.FixtureRequest) -> type[Driver]:
    """A browser that is there, or was just installed."""
    found: type[Driver] = request.param
    try:
        found.make_ready()
    except NoEngine as error:
        pytest.fail(str(error), pytrace=False)
    return found


@pytest.fixture(scope="module")
def idle(engine: type[Driver]) -> Iterator[list[Driver]]:
    """Browsers that earlier tests have left, since starting one takes seconds."""
    kept: list[Driver] = []
    yield kept
    for driver in kept:
        driver.close()


@pytest.fixture
def visit(engine: type[Driver], idle: list[Driver], server: Server) -> Iterator[Callable[..., EnginePage]]:
    """`visit("/path", size, dark=…)` opens a page as a new visitor, hints sent away; none may complain of anything.

    A dark one prefers reduced motion, too.
    """
    drivers: list[Driver] = []

    def open_one(path: str = "/", size: tuple[int, int] = WIDE, dark: bool = False) -> EnginePage:
        try:
            kept = next((driver for driver in idle if driver.dark == dark), None)
            driver = kept or engine(dark=dark)
        except NoEngine as error:
            pytest.fail(str(error), pytrace=False)
        if kept:
            idle.remove(kept)
        drivers.append(driver)
        page = EnginePage(driver, server.url)
        driver.resize(*size)
        page.goto("/about")
        driver.evaluate(NEW_VISITOR)
        page.goto(path)
        return page

    yield open_one
    try:
        for driver in drivers:
            driver.settle()
        assert [trouble for driver in drivers for trouble in driver.trouble] == []
    except BaseException:
        for driver in drivers:
            driver.close()
        raise
    idle.extend(drivers)


def test_what_is_typed_is_kept_over_a_reload_and_its_steps_light_up_as_they_commit(
    visit: Callable[..., EnginePage],
) -> None:
    page = visit("/")
    page.expect_text("h1", "Hello, durable world")
    page.click(".cm-content")
    page.driver.press("Control", "Home")
    page.driver.type("# mine")
    page.driver.press("Enter")
    page.expect_text("#draft", "Draft kept")
    page.driver.reload()
    page.expect_text(".cm-content .cm-line", "# mine")
    page.click("#params")
    page.driver.press("Control", "a")
    page.driver.type('{"name": "Grace", "seconds": 0}')
    page.driver.press("Control", "Enter")
    page.expect_step("compose greeting", "done")
    page.expect_step("engrave it", "done")
    page.expect_status("Complete")
    page.expect_text('section[aria-label="Output"]', "Hello, Grace! Durably yours.")
    page.click('[data-tab="logs"]')
    page.expect_text('[aria-label="Log"]', "thinking of something to say to Grace")
    steps = ["compose greeting", "engrave it", "let it dry"]
    assert completed_steps(journal(page.url, page.instance())) == steps


def test_a_run_is_reloaded_shared_killed_and_copied_and_nothing_committed_runs_twice(
    visit: Callable[..., EnginePage],
) -> None:
    """One visitor reloads in mid-run, shares and kills; another one watches, and runs a copy."""
    page = visit(dark=True)
    page.open_code(KILLED)
    instance = page.run()
    page.expect_step("charge card", "running")
    page.driver.reload()
    assert page.instance() == instance
    page.expect_step("reserve stock", "done")
    page.press("Share")
    code = page.expect_text("#share-code input", f"{page.url}/s/")
    page.expect_text("#share-run input", f"{page.url}/instances/{instance}")
    page.click("#share-code button", "Copy")
    page.expect_text("#toast", "Link to the code copied")
    page.driver.press("Escape")
    page.expect_none("#share")
    page.click("#params")
    page.driver.press("Control", "a")
    page.driver.press("Control", "v")
    page.expect_text("#params", code)

    other = visit(f"/instances/{instance}")
    other.expect_text('[data-part="mode"]', "watching")
    other.expect_step("charge card", "running")
    # A page that was to be left and stays goes on listening.
    page.driver.evaluate("() => void dispatchEvent(new Event('beforeunload', { cancelable: true }))")
    page.click('[data-part="kill"]')
    page.expect_step("charge card", "2 attempts")
    page.expect_text('section[aria-label="Output"]', "r-1")
    other.expect_status("Complete")
    events = journal(page.url, instance)
    assert completed_steps(events) == ["reserve stock", "charge card"]
    assert [event["data"]["reason"] for event in events if event["type"] == "execution_ended"] == [
        "killed",
        "completed",
    ]
    other.driver.press("[")
    other.expect_text('[data-part="scrub-to"]', "Back to")
    other.driver.press("End")
    other.expect_none('[data-part="scrub-to"]')
    other.goto(code.removeprefix(other.url))
    other.expect_text(".cm-content .cm-line", "there is time to kill")
    assert other.run() != instance
    other.expect_step("charge card", "running")
    other.press("Terminate")
    other.expect_status("Terminated")


def test_a_failed_run_is_forked_with_another_result(visit: Callable[..., EnginePage]) -> None:
    page = visit()
    page.open_code(FAILS)
    parent = page.run()
    page.expect_status("Errored")
    page.expect_text('section[aria-label="Error"]', "KeyError: 'label'")
    page.open_step("charge card")
    page.click("#view-step button", "Fork from here…")
    page.expect_text("#fork", "Begins with 1 finished step")
    page.click("#fork label", "Give it another result")
    page.click("#fork-output")
    page.driver.press("Control", "a")
    page.driver.type('{"label": "l-9007199254740993"}')
    page.click("#fork button[type=submit]")
    fork = page.instance(other_than=parent)
    page.expect_status("Complete")
    page.expect_text('section[aria-label="Output"]', "l-9007199254740993")
    page.expect_step("charge card", "edited")
    assert [event["type"] for event in journal(page.url, fork)].count("step_copied") == 2


def test_the_page_fits_a_phone_in_the_dark_and_the_run_is_one_press_away(visit: Callable[..., EnginePage]) -> None:
    page = visit("/", PHONE, dark=True)
    for preference in ("color-scheme: dark", "reduced-motion: reduce"):
        assert page.driver.evaluate(f"() => matchMedia('(prefers-{preference})').matches"), preference
    page.expect_fits(PHONE[0])
    page.open_code(QUICK)
    page.run()
    page.expect_status("Complete")
    page.expect_text('section[aria-label="Output"]', "l-1")
    for half in ("Code", "Complete"):
        page.click('nav[aria-label="Code or run"] button', half)
        page.expect_fits(PHONE[0])


@pytest.mark.parametrize("missing", [Firefox, WebKit], ids=lambda engine: engine.name)
def test_what_is_missing_is_installed_or_named(
    missing: type[Driver], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def refuse(command: list[str]) -> str:
        asked.append(command)
        return f"refused: {command[0]}"

    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoEngine, match="needs Debian or Ubuntu, and root or a sudo that asks nothing"):
        missing.make_ready(refuse)
    assert asked == []
    for name, script in {"apt-get": "exit 1", "sudo": "exit 0"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(NoEngine) as raised:
        missing.make_ready(refuse)
    assert [next(word for word in command if word in ("install", "update")) for command in asked] == [
        "install",
        "update",
        "install",
    ]
    assert asked[-1][-len(missing.packages) :] == list(missing.packages)
    assert "refused: " in str(raised.value) and all(package in str(raised.value) for package in missing.packages)


def test_whatever_a_page_complains_of_is_caught(visit: Callable[..., EnginePage]) -> None:
    driver = visit("/about").driver
    driver.settle()
    assert driver.trouble == []
    for wrong, caught in {
        "() => console.error('wrong-1')": "wrong-1",
        "() => void setTimeout(() => { throw new Error('wrong-2'); })": "wrong-2",
        "() => void Promise.reject(new Error('wrong-3'))": "wrong-3",
        "() => fetch('/wrong-4').then(() => null)": "wrong-4",
        ELSEWHERE: "wrong-5",
        "() => document.body.setAttribute('style', 'color: wrong-6')": "style-src",
    }.items():
        driver.evaluate(wrong)
        driver.settle()
        assert any(caught in trouble for trouble in driver.trouble), (caught, driver.trouble)
        driver.trouble.clear()
