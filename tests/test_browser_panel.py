"""The run panel in a real browser: what can be done to a run, and its views of long and of broken ones."""

import re
from collections.abc import Callable

import pytest
from page_support import Playground, completed_steps, expect, journal

NAPS = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        await step.do("before", lambda: 1)
        await step.sleep("long nap", "3 hours")
        return await step.do("after", lambda: "awake")
"""
# Of all that is shown: where it stands, and what of its look a rule may change.
LOOK = """() => [...document.querySelectorAll("body *")].filter((it) => it.checkVisibility()).map((it) => {
  const box = it.getBoundingClientRect(), style = getComputedStyle(it);
  const name = `${it.tagName} ${it.getAttribute("class") ?? ""}`;
  return [name, box.x, box.y, box.width, box.height, style.display, style.color, style.backgroundColor, style.font];
}).map(String)"""
# The look without the styles of runs and with them, in one turn of the page, so that nothing else comes between.
LOOKS = f"""async () => {{
  const link = document.createElement("link");
  const loaded = new Promise((resolve) => link.addEventListener("load", resolve));
  Object.assign(link, {{rel: "stylesheet", href: document.querySelector('[data-part="live"]').dataset.styles}});
  document.head.append(link);
  await loaded;
  link.sheet.disabled = true;
  const before = ({LOOK})();
  link.sheet.disabled = false;
  return [before, ({LOOK})()];
}}"""
# How far below one part of the page another begins, which a scroll between two questions would change, and its width.
BESIDE = """(parts) => {
  const [one, other] = parts.map((part) => document.querySelector(part).getBoundingClientRect());
  return [other.y - one.y, other.width];
}"""
STUMBLES = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("steady")
        async def steady():
            return 1

        @step.do("shaky", config={"retries": {"limit": 3, "delay": "1 hour"}})
        async def shaky(ctx):
            print("attempt", ctx["attempt"])
            if ctx["attempt"] == 1:
                raise RuntimeError("not the first time")
            return {"attempt": ctx["attempt"]}

        await steady()
        return await shaky()
"""
RAISES_AT = 14
PROGRESSES = """import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        go_on = asyncio.Event()

        async def copy():
            for row in (1, 2):
                print(f"copying row {row} …", end=" ", flush=True)
                await asyncio.sleep(0.05)
            print("halfway", file=__import__("sys").stderr)
            await go_on.wait()
            print("copying row 3 …", end=" ", flush=True)
            await asyncio.sleep(0.05)
            print("done")
            for percent in (10, 50, 100):
                print(f"\\r{percent} %", end="", flush=True)
            print()

        copied = asyncio.create_task(step.do("copy", copy))
        await step.wait_for_event("the end", "end")
        go_on.set()
        await copied
"""
TALKS = """from workers import WorkflowEntrypoint

LINES = 3_000


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        for number in range(LINES):
            print(f"line {number} of many")
        for number in range(300):
            await step.do("unit", lambda: number)
        return LINES
"""
SPEAKS = f"""from workers import WorkflowEntrypoint
import asyncio


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("talk")
        async def talk():
            for number in range(2000):  # longer than anybody looks
                print("word", number)
                await asyncio.sleep(0.25)

        async def ends():
            await step.wait_for_event("the end", "end")
            raise ValueError("{"a line that is longer than the editor is wide, " * 4}")

        await asyncio.gather(talk(), ends())
"""
MOST_NODES = 2_500  # of the whole page, however long the run


@pytest.fixture
def ran(opened: Callable[..., Playground]) -> Callable[[str], Playground]:
    """`ran(source)` opens the page as a new visitor and runs `source`."""

    def run(source: str) -> Playground:
        page = opened()
        page.run(source)
        return page

    return run


def test_a_sleep_ended_by_hand_says_so_for_ever(ran: Callable[[str], Playground]) -> None:
    page = ran(NAPS)
    page.expect_step("long nap", "asleep")
    page.page.reload()
    page.expect_step("after", "not reached")
    page.control("Wake long nap now").click()
    page.expect_status("Complete")
    expect(page.output).to_contain_text("awake")
    page.page.reload()
    page.expect_status("Complete")
    page.expect_step("long nap", "woken after")
    expect(page.page.locator("[data-part=sentence]")).to_contain_text(re.compile("1 wait of .* was skipped and took"))


def test_a_paused_run_holds_still_until_it_is_resumed(ran: Callable[[str], Playground]) -> None:
    page = ran(NAPS)
    page.expect_step("long nap", "asleep")
    page.control("Pause").click()
    page.expect_status("Paused")
    expect(page.control("Wake long nap now")).to_have_count(0)
    kill = page.control("Kill worker")
    expect(kill).to_have_attribute("aria-disabled", "true")
    expect(kill).to_have_attribute("title", "No worker to kill: the instance is paused.")
    page.page.set_viewport_size({"width": 390, "height": 844})
    page.page.locator("#half-status").click()
    page.control("More of this run").click()
    expect(page.control("Chaos")).to_be_visible()
    page.page.keyboard.press("Escape")
    expect(page.control("Chaos")).to_be_hidden()
    expect(page.control("More of this run")).to_be_focused()
    page.page.set_viewport_size({"width": 1280, "height": 720})
    page.control("Resume").click()
    page.expect_status("Waiting")
    page.control("Skip sleeps").click()
    page.expect_status("Complete")
    page.expect_step("long nap", "woken after")
    assert "sleeps_skipped" in [event["type"] for event in journal(page.url, page.instance)]
    assert completed_steps(journal(page.url, page.instance)) == ["before", "long nap", "after"]


def test_sleeps_are_skipped_from_the_beginning_where_that_was_chosen_before_the_run(
    opened: Callable[..., Playground],
) -> None:
    page = opened()
    page.write(NAPS)
    page.control("Skip sleeps").click()
    expect(page.control("Skip sleeps")).to_have_attribute("aria-pressed", "true")
    page.run()
    page.expect_status("Complete")
    page.expect_step("long nap", "woken after")
    events = journal(page.url, page.instance)
    assert [event["type"] for event in events[:2]] == ["workflow_queued", "sleeps_skipped"]
    page.run()
    page.expect_step("long nap", "asleep")


def test_a_step_opens_with_its_attempts_and_leads_to_the_line_that_raised(ran: Callable[[str], Playground]) -> None:
    page = ran(STUMBLES)
    page.expect_step("shaky", "waiting to retry")
    expect(page.page.locator("[data-part=sentence]")).to_contain_text("That was attempt 1 of 4. The next begins at")
    page.control("Retry shaky now").click()
    page.expect_status("Complete")
    page.step("steady").focus()
    page.page.keyboard.press("ArrowDown")
    expect(page.step("shaky")).to_be_focused()
    page.page.keyboard.press("Enter")
    drawer = page.page.get_by_role("tabpanel", name="shaky")
    expect(drawer).to_contain_text("Attempt 1 failed, execution 1")
    expect(drawer).to_contain_text("RuntimeError: not the first time")
    expect(drawer).to_contain_text("waited, ended early by hand")
    expect(drawer).to_contain_text("Attempt 2 completed")
    drawer.get_by_role("link", name=f"line {RAISES_AT}").click()
    expect(page.page.locator("#cursor")).to_contain_text(f"Ln {RAISES_AT},")
    drawer.get_by_role("button", name="Close step").click()
    expect(page.step("shaky")).to_be_focused()


def test_a_restart_from_a_step_keeps_what_began_before_it(ran: Callable[[str], Playground]) -> None:
    page = ran(STUMBLES)
    page.expect_step("shaky", "waiting to retry")
    page.step("shaky").click()
    page.control("Restart from here").click()
    expect(page.executions).to_have_text("2")
    page.expect_step("shaky", "waiting to retry")
    started = [event["step"]["name"] for event in journal(page.url, page.instance) if event["type"] == "step_started"]
    assert started == ["steady", "shaky", "shaky"]


def test_a_worker_killed_before_the_commit_runs_its_step_again(ran: Callable[[str], Playground]) -> None:
    page = ran(STUMBLES)
    page.expect_step("shaky", "waiting to retry")
    page.control("Choose the moment").click()
    page.page.get_by_role("menuitem", name="After the effect, before the commit").click()
    expect(page.page.get_by_role("group", name="Set up to go wrong")).to_contain_text(
        "Armed: the worker is killed after its next effect"
    )
    page.control("Retry shaky now").click()
    page.expect_status("Complete")
    expect(page.output).to_contain_text("attempt: 3")
    expect(page.page.locator("[data-part=sentence]")).to_contain_text("shaky lost one attempt with its worker")
    page.tab("Logs")
    expect(page.logs).to_contain_text("execution 1: worker killed")


def test_a_press_on_an_open_step_counts_while_its_lines_arrive_and_a_note_stays_on_its_line(
    ran: Callable[[str], Playground],
) -> None:
    page = ran(SPEAKS)
    page.expect_step("talk", "running")
    page.step("talk").click()
    fork = page.page.locator("#view-step").get_by_role("button", name="Fork from here…")
    fork.hover()
    page.page.mouse.down()
    spoken = page.page.locator("#view-step .logs")
    before = spoken.inner_text()
    expect(spoken).not_to_have_text(before, use_inner_text=True)
    page.page.mouse.up()
    expect(page.page.get_by_role("dialog", name="Fork this run")).to_be_visible()
    page.page.keyboard.press("Escape")
    page.page.get_by_role("form", name="Send an event to the end").get_by_role("button", name="Send event").click()
    page.expect_status("Errored")
    note = page.page.locator(".cm-note-raised")
    expect(note).to_contain_text("ValueError")
    below, width = page.page.evaluate(BESIDE, [".cm-line.cm-raised", ".cm-note-raised"])
    assert abs(below) < 2
    assert width < 24, "lies over no more of a line that is too long"
    note.hover()
    expect(note).to_have_css("font-size", "12px")


def test_a_line_that_is_printed_in_pieces_grows_in_its_place(ran: Callable[[str], Playground]) -> None:
    page = ran(PROGRESSES)
    page.tab("Logs")
    lines = page.logs.get_by_role("listitem")
    expect(lines.filter(has_text="copying row 2 …")).to_have_count(1)
    expect(lines.filter(has_text="copying")).to_have_count(1)
    expect(lines).to_have_count(2)
    page.page.get_by_role("form", name="Send an event to the end").get_by_role("button", name="Send event").click()
    page.expect_status("Complete")
    expect(lines.filter(has_text="copying row 3 … done")).to_have_count(1)
    expect(lines.filter(has_text="halfway")).to_have_count(1)
    expect(lines.filter(has_text="100 %")).to_have_text(re.compile(r"copy\s*100 %$"))
    page.page.get_by_placeholder("Search the logs").fill("row 3 … done")
    expect(lines).to_have_count(1)
    page.step("copy").click()
    of_step = page.page.locator("#view-step .logs")
    expect(of_step).to_contain_text("copying row 1 … copying row 2 … copying row 3 … done")


def test_a_long_run_is_all_there_and_little_of_it_in_the_page(ran: Callable[[str], Playground]) -> None:
    page = ran(TALKS)
    page.expect_status("Complete")
    expect(page.output).to_be_in_viewport()
    page.tab("Logs")
    expect(page.logs).to_contain_text("line 2999 of many")
    page.page.get_by_placeholder("Search the logs").fill("line 1234 of")
    expect(page.logs.get_by_role("listitem")).to_have_count(1)
    page.tab("Journal")
    page.page.get_by_placeholder("Filter events").fill("workflow_completed")
    rows = page.page.get_by_role("list", name="Journal").get_by_role("button")
    expect(rows).to_have_count(1)
    rows.first.click()
    expect(page.page.get_by_role("list", name="Journal")).to_contain_text('"output": 3000')
    page.page.get_by_placeholder("Filter events").fill("no such thing")
    expect(page.page.get_by_text("No event matches “no such thing”.")).to_be_visible()
    loop = page.page.get_by_role("list", name="Steps").get_by_role("button", name=re.compile("^unit × 300 ?, 300 done"))
    expect(loop).to_have_attribute("aria-expanded", "false")
    loop.focus()
    page.page.keyboard.press("ArrowRight")
    expect(loop).to_have_attribute("aria-expanded", "true")
    focused = page.page.locator(".row-name:focus")
    page.page.get_by_role("form", name="Turns of this loop").get_by_label("Turn").fill("17")
    page.page.keyboard.press("Enter")
    expect(focused).to_have_text(re.compile(r"^turn 17\n?, done"))
    page.page.keyboard.press("End")
    expect(focused).to_have_text(re.compile(r"^turn 300\n?, done"))
    page.page.keyboard.press("ArrowLeft")
    expect(focused).to_contain_text("× 300")
    page.page.keyboard.press("ArrowLeft")
    expect(loop).to_have_attribute("aria-expanded", "false")
    assert page.page.evaluate("document.querySelectorAll('*').length") < MOST_NODES


@pytest.mark.parametrize("width", [1440, 390])
def test_a_page_without_a_run_needs_no_styles_of_runs(opened: Callable[..., Playground], width: int) -> None:
    page = opened("/examples/crash-and-resume", reduced_motion="reduce", viewport={"width": width, "height": 900})
    if width == 390:
        page.page.locator("#half-status").click()
    expect(page.page.get_by_role("region", name="Plan")).to_be_visible()
    without, styled = page.page.evaluate(LOOKS)
    assert styled == without
