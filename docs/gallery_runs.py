"""States of a run: under way, stopped, over, and each of its views."""

import re

from gallery_stage import Stage
from gallery_workflows import (
    ALIKE,
    BRANCHES,
    CHATTY,
    FAILS,
    FAN,
    FORKS,
    NESTED,
    RESIZES,
    RETRIES,
    SKIPS,
    SLEEPS,
    SLOW,
    STOPS,
    STOPS_LATE,
    STREAMS,
    VALUES,
    WAITS,
)
from page_support import Playground, expect
from playwright.sync_api import Locator


def running(stage: Stage) -> None:
    """A step runs."""
    stage.run(SLOW).expect_step("charge card", "running")


def running_code(stage: Stage) -> None:
    """A step runs, its line in the code."""
    stage.run(SLOW).expect_step("charge card", "running")
    stage.half = "code"


def killed(stage: Stage) -> None:
    """The worker was killed; the next one goes on."""
    page = stage.run(SLOW)
    page.expect_step("charge card", "running")
    page.control("Kill worker").click()
    expect(page.executions).to_have_text("2")
    page.expect_step("charge card", "running")


def streaming(stage: Stage) -> None:
    """One step says how far it is, another gives out text in its second attempt."""
    _streaming(stage)


def streamed(stage: Stage) -> None:
    """What a step has given out, in its panel."""
    _streaming(stage).step("write summary").click()


def streamed_before(stage: Stage) -> None:
    """The same in the past, before its text began anew."""
    page = _streaming(stage)
    page.page.get_by_role("slider", name="Show the state at this event").evaluate(
        "(slider) => { slider.value = 14; slider.dispatchEvent(new Event('input', { bubbles: true })); }"
    )


def progress_of_many(stage: Stage) -> Playground:
    """Steps side by side that say how far they are."""
    page = stage.run(RESIZES)
    expect(page.page.locator("#tl-steps .row.group .row-meta")).to_contain_text("37")
    return page


def progress_in_graph(stage: Stage) -> None:
    """The same in the graph."""
    page = progress_of_many(stage)
    page.page.keyboard.press("g")
    page.page.get_by_role("treeitem", name="upload").wait_for()


def children(stage: Stage) -> None:
    """Children have ended, and one of two events is waited for."""
    _parcels(stage)


def child(stage: Stage) -> None:
    """A child's own page, which names its parent."""
    page = _parcels(stage)
    page.step("pack lamp").click()
    page.page.locator("#view-step a[href*='/instances/']").first.click()
    expect(page.page.locator(".lineage")).to_be_visible()
    page.expect_status("Complete")


def messages_handled(stage: Stage) -> None:
    """A run has sent messages into its own queue, and names the run that has handled them."""
    page = stage.open("/examples/support-desk")
    page.run()
    page.control("Send event").click()
    page.expect_status("Complete")
    expect(page.page.locator(".lineage")).to_contain_text("Its messages are handled by")


def requests(stage: Stage) -> None:
    """A step has asked a host twice: its row and its panel say how that went."""
    page = stage.open("/examples/asking-a-service")
    page.run()
    page.expect_status("Complete")
    page.step("place order").click()
    expect(page.page.get_by_role("group", name="Requests")).to_be_visible()


def retrying(stage: Stage) -> None:
    """An attempt has failed; the next one is to come."""
    stage.run(RETRIES).expect_step("call the bank", "waiting to retry")


def waiting(stage: Stage) -> None:
    """Waiting for an event, with its form."""
    stage.run(WAITS).expect_status("Waiting")


def hibernated(stage: Stage) -> None:
    """Asleep, without a worker."""
    page = stage.run(SLEEPS)
    expect(page.page.locator('[data-part="sentence"]')).to_contain_text("no process")


def skipped(stage: Stage) -> None:
    """Sleeps are skipped."""
    page = stage.run(SKIPS)
    page.expect_step("wait a day", "asleep")
    page.control("Skip sleeps").click()
    page.expect_step("an answer", "waiting")


def skipped_complete(stage: Stage) -> None:
    """Complete, with its sleeps skipped."""
    page = stage.run(SKIPS)
    page.expect_step("wait a day", "asleep")
    page.control("Skip sleeps").click()
    page.control("Send event").click()
    page.expect_status("Complete")


def paused(stage: Stage) -> None:
    """Paused by hand."""
    page = stage.run(WAITS)
    page.expect_status("Waiting")
    page.control("Pause").click()
    page.expect_status("Paused")


def stops_set(stage: Stage) -> None:
    """Breakpoints before there is a run, in its plan."""
    page = stage.open("/", half="run")
    page.editor.wait_for()
    page.write(STOPS)
    page.control("Pause before ship parcel").click()
    page.control("Pause before customer has signed").click()
    expect(page.page.locator(".cm-lineNumbers .cm-stop")).to_have_count(2)


def stops_set_code(stage: Stage) -> None:
    """Breakpoints before there is a run, in its code."""
    stops_set(stage)
    stage.half = "code"


def stopped(stage: Stage) -> Playground:
    """Stopped before a step."""
    return _stopping(stage, "ship parcel")


def stopped_code(stage: Stage) -> None:
    """Stopped before a step, its line in the code."""
    _stopping(stage, "ship parcel")
    stage.half = "code"


def stop_result(stage: Stage) -> None:
    """Stopped before a step, which is given a result that is no JSON."""
    page = _stopping(stage, "ship parcel")
    page.control("Edit result").click()
    page.page.get_by_label("Its result, JSON").fill('{"parcel": ')
    page.control("Use it and continue").click()
    expect(page.page.get_by_text("This is not JSON")).to_be_visible()


def stop_error(stage: Stage) -> None:
    """Stopped before a step, which is made to fail."""
    page = _stopping(stage, "ship parcel")
    page.control("Edit result").click()
    page.page.get_by_label("An error").check()
    page.page.get_by_label("Its message").fill("The address does not exist")


def stops_all(stage: Stage) -> None:
    """All breakpoints of a run that has stopped."""
    page = _stopping(stage, "customer has signed")
    page.page.locator("#tl-steps .row-name").first.focus()
    page.page.keyboard.press("Shift+B")
    expect(page.page.get_by_role("dialog", name="Breakpoints").get_by_role("listitem")).to_have_count(2)


def stop_wait(stage: Stage) -> None:
    """Stopped before a wait for an event, which is given one."""
    page = _stopping(stage, "customer has signed")
    page.control("Edit event").click()


def stop_sleep(stage: Stage) -> None:
    """Stopped before a sleep, which can be skipped."""
    page = _stopping(stage, "customer has signed")
    page.control("Edit event").click()
    page.control("Use it and continue").click()
    expect(page.page.locator(".stop-title")).to_contain_text("until the invoice is due")
    page.control("Skip it").click()


def stop_late(stage: Stage) -> None:
    """About to stop: what runs finishes first."""
    page = stage.open("/")
    page.editor.wait_for()
    page.write(STOPS_LATE)
    page.control("Pause before reserve").click()
    page.run()
    expect(page.page.locator(".stop-held")).to_contain_text("count stock finishes first")


def stop_watched(stage: Stage) -> None:
    """Somebody else's run, stopped before a step."""
    stops = [{"step": {"name": "ship parcel"}}]
    made = stage.ask("/api/instances", {"source": STOPS, "params": {}, "breakpoints": stops})
    stage.open(made["url"]).expect_status("Paused")


def stops_after(stage: Stage) -> None:
    """A run that failed, with a breakpoint for the next one."""
    page = stage.run(FAILS)
    page.expect_status("Errored")
    page.control("Pause before charge card").click()
    expect(page.control("Pause before charge card")).to_have_attribute("aria-pressed", "true")


def complete(stage: Stage) -> None:
    """Complete."""
    page = stage.open("/examples/hello")
    page.run()
    page.expect_status("Complete")


def errored(stage: Stage) -> None:
    """Errored, with a way on."""
    stage.run(FAILS).expect_status("Errored")


def terminated(stage: Stage) -> None:
    """Terminated by hand."""
    page = stage.run(SLOW)
    page.expect_step("charge card", "running")
    page.control("Terminate").click()
    page.expect_status("Terminated")


def fan_out(stage: Stage) -> None:
    """Sixty steps side by side, two failed, then a loop."""
    stage.run(FAN).expect_status("Waiting")


def loop(stage: Stage) -> None:
    """A loop, open: its turns, and the way to one of them."""
    page = stage.run(FAN)
    page.expect_status("Waiting")
    page.step("check quality × 12").click()
    expect(page.page.get_by_role("form", name="Turns of this loop")).to_be_visible()


def alike(stage: Stage) -> None:
    """Many steps that failed alike and wait for their next attempt, and many that wait for events."""
    page = stage.run(ALIKE)
    page.expect_status("Waiting")
    expect(page.page.get_by_role("region", name="Error of fetch page 0")).to_contain_text("in 3 other steps")


def nested(stage: Stage) -> None:
    """Steps in a step, and a long name."""
    stage.run(NESTED).expect_status("Waiting")


def graph(stage: Stage) -> None:
    """A run laid over the graph of its code."""
    _tabbed(stage.run(BRANCHES), "Waiting", "Graph")


def graph_of_many(stage: Stage) -> None:
    """Sixty steps side by side and a loop, as a graph."""
    _tabbed(stage.run(FAN), "Waiting", "Graph")


def graph_of_plan(stage: Stage) -> None:
    """The plan as a graph, before a run."""
    page = stage.open("/")
    page.editor.wait_for()
    page.write(BRANCHES)
    expect(page.page.get_by_role("region", name="Plan")).to_contain_text("customer agrees")
    page.control("Graph").click()
    expect(page.page.get_by_role("treeitem").first).to_be_visible()


def graph_chosen(stage: Stage) -> None:
    """A node of the graph chosen, in code and timeline too."""
    page = stage.run(BRANCHES)
    _tabbed(page, "Waiting", "Graph")
    page.page.get_by_role("treeitem", name="queue parcel").click()


def journal(stage: Stage) -> None:
    """The journal."""
    _tabbed(stage.run(WAITS), "Waiting", "Journal")


def logs(stage: Stage) -> None:
    """The log."""
    _tabbed(stage.run(CHATTY), "Waiting", "Logs")


def effects(stage: Stage) -> None:
    """Effects, one of them twice."""
    page = stage.open("/examples/effects")
    page.run()
    page.expect_status("Complete")
    page.tab("Effects")


def step(stage: Stage) -> None:
    """One step in full."""
    page = stage.run(CHATTY)
    page.expect_status("Waiting")
    page.step("print").click()


def value(stage: Stage) -> None:
    """A large result as a tree, a member of it chosen."""
    result = _value_of(stage)
    result.get_by_role("treeitem", name=re.compile("^0:")).click()
    result.get_by_role("treeitem", name=re.compile("^sku")).click()


def value_found(stage: Stage) -> None:
    """A search in a large result, and text that is cut."""
    result = _value_of(stage)
    result.page.get_by_role("tabpanel").get_by_role("button", name="Search this value").click()
    result.get_by_label("Search keys and values").fill("line 2047")
    expect(result.get_by_role("status")).to_have_text("1 of 1")
    result.get_by_role("tree").press("End")


def value_in_journal(stage: Stage) -> None:
    """An event with all that stands in it."""
    page = stage.run(VALUES)
    _tabbed(page, "Complete", "Journal")
    page.page.get_by_role("button", name=re.compile("step_completed")).click()


def as_table(stage: Stage) -> None:
    """The steps as a table."""
    page = stage.run(FAILS)
    page.expect_status("Errored")
    page.control("As a table").click()


def past(stage: Stage) -> None:
    """A moment of the past."""
    page = stage.run(FAILS)
    page.expect_status("Errored")
    for _ in range(3):
        page.control("One event back").click()


def kill_menu(stage: Stage) -> None:
    """The moments of a kill."""
    page = stage.run(SLOW)
    page.expect_step("charge card", "running")
    page.control("Choose the moment").click()


def armed(stage: Stage) -> None:
    """Set up to go wrong: a break and an armed kill."""
    page = stage.run(WAITS + '        await step.do("notify", lambda: 1)\n')
    page.expect_status("Waiting")
    page.control("Break notify").click()
    page.page.get_by_role("button", name="Break it").click()
    expect(page.page.get_by_role("group", name="Set up to go wrong")).to_be_visible()


def break_form(stage: Stage) -> None:
    """How a step is to be broken."""
    page = stage.run(WAITS + '        await step.do("notify", lambda: 1)\n')
    page.expect_status("Waiting")
    page.control("Break notify").click()


def chaos(stage: Stage) -> None:
    """Chaos: its worker killed before each commit."""
    page = stage.open("/examples/hello")
    page.run()
    page.expect_status("Complete")
    page.control("Chaos").click()
    dialog = page.page.get_by_role("dialog", name="Chaos")
    dialog.get_by_role("button", name="Start").click()
    expect(dialog.get_by_role("button", name="Run chaos again")).to_be_visible(timeout=60_000)


def fork_dialog(stage: Stage) -> None:
    """A fork is asked for."""
    page = stage.run(FORKS)
    page.expect_status("Errored")
    page.control("Fork").click()
    expect(page.page.get_by_role("dialog", name="Fork this run")).to_be_visible()


def forked(stage: Stage) -> Playground:
    """A fork, with its parent."""
    page = stage.run(FORKS)
    page.expect_status("Errored")
    parent = page.page.url
    page.control("Fork").click()
    page.page.get_by_role("dialog", name="Fork this run").get_by_role("button", name="Fork", exact=True).click()
    expect(page.page).not_to_have_url(parent)
    page.expect_status("Errored")
    return page


def compare(stage: Stage) -> None:
    """Two runs side by side."""
    one = stage.ask("/api/instances", {"source": FORKS, "params": {}})
    other = stage.ask("/api/instances", {"source": FORKS.replace('"label"', '"receipt"'), "params": {}})
    for made, word in ((one, "Errored"), (other, "Complete")):
        stage.open(made["url"]).expect_status(word)
    stage.leave()
    stage.equal |= {one["id"]: "run-one", other["id"]: "run-other"}
    stage.open(f"/compare?a={one['id']}&b={other['id']}")


def compare_empty(stage: Stage) -> None:
    """A comparison of nothing yet."""
    stage.open("/compare")


def _parcels(stage: Stage) -> Playground:
    page = stage.open("/examples/parcels")
    page.run()
    page.expect_step("reply", "waiting")
    return page


def _streaming(stage: Stage) -> Playground:
    page = stage.run(STREAMS)
    expect(page.page.get_by_role("group", name="Stream summary of write summary")).to_contain_text("the courier")
    expect(page.page.get_by_role("progressbar", name="Progress of resize images")).to_be_visible()
    return page


def _stopping(stage: Stage, step: str) -> Playground:
    """A run of STOPS, stopped before a step; the sleep after a wait has a breakpoint too."""
    page = stage.open("/")
    page.editor.wait_for()
    page.write(STOPS)
    for name in (step, *(["until the invoice is due"] if step == "customer has signed" else [])):
        page.control(f"Pause before {name}").click()
    page.run()
    page.expect_status("Paused")
    return page


def _tabbed(page: Playground, status: str, tab: str) -> None:
    page.expect_status(status)
    page.tab(tab)


def _value_of(stage: Stage) -> Locator:
    """The result of a step, opened."""
    page = stage.run(VALUES)
    page.expect_status("Complete")
    page.step("charge card").click()
    result = page.page.locator("#view-step .tree-view")
    expect(result).to_be_visible()
    return result
