"""The states of the page that the gallery shows, each brought about as a person would; the order is that of the sheet.

A scene is a function of the stage that ends when the page shows what its docstring says. What a run waits for in a
scene lasts longer than its pictures take. A new state of the page is a new function here.
"""

import re
from collections.abc import Callable

from gallery_stage import OPERATOR, TENANT, Stage
from gallery_workflows import (
    ALIKE,
    BRANCHES,
    CHATTY,
    FAILS,
    FAN,
    FORKS,
    NESTED,
    RETRIES,
    SKIPS,
    SLEEPS,
    SLOW,
    STOPS,
    STOPS_LATE,
    VALUES,
    WAITS,
    WRONG,
)
from page_support import Playground, expect
from playwright.sync_api import Locator

Scene = Callable[[Stage], object]


def start(stage: Stage) -> None:
    """The first page, before anything."""
    ready(stage.open(half="code"))


def start_run_half(stage: Stage) -> None:
    """The first page, its other half: the plan."""
    ready(stage.open())


def first_visit(stage: Stage) -> None:
    """A first visit, with its hints."""
    page = stage.open("/examples/hello", hints=True)
    ready(page)
    expect(page.page.locator(".hint")).to_be_visible()


def first_visit_kill(stage: Stage) -> None:
    """A first visit: now kill the worker."""
    page = stage.open("/", hints=True)
    ready(page)
    page.page.locator("#params").fill('{"name": "Ada", "seconds": 600}')
    page.run()
    expect(page.page.locator(".hint")).to_contain_text("Now press")


def first_visit_replay(stage: Stage) -> None:
    """A first visit: what the ring says."""
    first_visit_kill(stage)
    stage.page.get_by_role("button", name="Kill worker").click()
    expect(stage.page.locator(".hint")).to_contain_text("The ring")


def first_visit_end(stage: Stage) -> None:
    """A first visit: back over the cut."""
    page = stage.open("/", hints=True)
    ready(page)
    page.page.locator("#params").fill('{"name": "Ada", "seconds": 4}')
    page.run()
    expect(page.page.locator(".hint")).to_contain_text("Now press")
    page.control("Kill worker").click()
    page.expect_status("Complete")
    expect(page.page.locator(".hint")).to_contain_text("slider")


def new_workflow(stage: Stage) -> None:
    """What a new workflow begins with."""
    page = stage.open("/", half="code")
    ready(page)
    page.control("New").click()
    expect(page.page.get_by_role("dialog", name="New workflow")).to_be_visible()
    page.page.keyboard.type("Invoices, November")


def skeleton(stage: Stage) -> None:
    """A new workflow, from the skeleton."""
    new_workflow(stage)
    stage.page.get_by_role("dialog").get_by_role("button", name="Skeleton").click()
    expect(stage.page.locator("#problems")).to_have_text("No problems")


def example(stage: Stage) -> None:
    """An example with its lesson."""
    ready(stage.open("/examples/crash-and-resume", half="code"))


def examples(stage: Stage) -> None:
    """All examples."""
    stage.open("/examples")


def examples_dialog(stage: Stage) -> None:
    """All examples, over the page."""
    page = stage.open("/")
    ready(page)
    page.page.get_by_role("link", name="Examples").click()
    expect(page.page.locator("dialog[open]")).to_be_visible()


def palette(stage: Stage) -> None:
    """The command palette before a run: what cannot be done says why."""
    page = stage.open("/")
    ready(page)
    page.page.keyboard.press("ControlOrMeta+k")
    expect(page.page.get_by_role("option").first).to_be_visible()
    page.page.keyboard.type("r")


def palette_of_run(stage: Stage) -> None:
    """The command palette over a run, with what was typed."""
    page = stage.run(SLOW)
    page.expect_step("charge card", "running")
    page.page.keyboard.press("ControlOrMeta+k")
    expect(page.page.get_by_role("option").first).to_be_visible()
    page.page.keyboard.type("kill")


def lint(stage: Stage) -> None:
    """Problems found in the code."""
    page = stage.open("/", half="code")
    page.write(WRONG)
    expect(page.page.locator("#problems")).to_contain_text("warning")


def syntax_error(stage: Stage) -> None:
    """Code that does not parse, and params that are no JSON."""
    page = stage.open("/", half="code")
    ready(page)
    page.write(WRONG.replace("import time, random", "import time,, random"))
    page.page.locator("#params").fill('{"name": ')
    expect(page.page.locator("#problems")).to_contain_text("error")
    expect(page.page.locator("#params-problem")).to_be_visible()


def empty(stage: Stage) -> None:
    """No code at all."""
    page = stage.open("/", half="code")
    ready(page)
    page.write("\n")
    expect(page.page.locator("#problems")).to_contain_text("error")


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
    return stopping(stage, "ship parcel")


def stopped_code(stage: Stage) -> None:
    """Stopped before a step, its line in the code."""
    stopping(stage, "ship parcel")
    stage.half = "code"


def stop_result(stage: Stage) -> None:
    """Stopped before a step, which is given a result that is no JSON."""
    page = stopping(stage, "ship parcel")
    page.control("Edit result").click()
    page.page.get_by_label("Its result, JSON").fill('{"parcel": ')
    page.control("Use it and continue").click()
    expect(page.page.get_by_text("This is not JSON")).to_be_visible()


def stop_error(stage: Stage) -> None:
    """Stopped before a step, which is made to fail."""
    page = stopping(stage, "ship parcel")
    page.control("Edit result").click()
    page.page.get_by_label("An error").check()
    page.page.get_by_label("Its message").fill("The address does not exist")


def stop_wait(stage: Stage) -> None:
    """Stopped before a wait for an event, which is given one."""
    page = stopping(stage, "customer has signed")
    page.control("Edit event").click()


def stop_sleep(stage: Stage) -> None:
    """Stopped before a sleep, which can be skipped."""
    page = stopping(stage, "customer has signed")
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
    tabbed(stage.run(BRANCHES), "Waiting", "Graph")


def graph_of_many(stage: Stage) -> None:
    """Sixty steps side by side and a loop, as a graph."""
    tabbed(stage.run(FAN), "Waiting", "Graph")


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
    tabbed(page, "Waiting", "Graph")
    page.page.get_by_role("treeitem", name="queue parcel").click()


def journal(stage: Stage) -> None:
    """The journal."""
    tabbed(stage.run(WAITS), "Waiting", "Journal")


def logs(stage: Stage) -> None:
    """The log."""
    tabbed(stage.run(CHATTY), "Waiting", "Logs")


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
    result = value_of(stage)
    result.get_by_role("treeitem", name=re.compile("^0:")).click()
    result.get_by_role("treeitem", name=re.compile("^sku")).click()


def value_found(stage: Stage) -> None:
    """A search in a large result, and text that is cut."""
    result = value_of(stage)
    result.page.get_by_role("tabpanel").get_by_role("button", name="Search this value").click()
    result.get_by_label("Search keys and values").fill("line 2047")
    expect(result.get_by_role("status")).to_have_text("1 of 1")
    result.get_by_role("tree").press("End")


def value_in_journal(stage: Stage) -> None:
    """An event with all that stands in it."""
    page = stage.run(VALUES)
    tabbed(page, "Complete", "Journal")
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


def share(stage: Stage) -> None:
    """Sharing a run."""
    page = stage.run(WAITS)
    page.expect_status("Waiting")
    page.control("Share").click()
    expect(page.page.get_by_label("Link to the code")).not_to_have_value("")


def watching(stage: Stage) -> None:
    """A run of somebody else's."""
    made = stage.ask("/api/instances", {"source": WAITS, "params": {}})
    stage.open(made["url"]).expect_status("Waiting")


def snippet(stage: Stage) -> None:
    """Code that came in a link."""
    ready(stage.open(shared(stage), half="code"))


def embed(stage: Stage) -> None:
    """The embed."""
    expect(stage.open(shared(stage) + "/embed", half="code").page.locator("#listing")).to_be_visible()


def plain(stage: Stage) -> None:
    """A run without scripts."""
    made = stage.ask("/api/instances", {"source": FAILS, "params": {}})
    stage.open(made["url"]).expect_status("Errored")
    stage.leave()
    stage.equal[made["id"]] = "run-plain"
    stage.open(made["url"], java_script_enabled=False)


def runs(stage: Stage) -> None:
    """Recent runs."""
    page = stage.run(WAITS)
    page.expect_status("Waiting")
    page.page.goto(stage.url + "/examples/hello")
    page.run()
    page.expect_status("Complete")
    page.control("Recent runs").click()
    expect(page.page.get_by_role("dialog", name="Recent runs").get_by_role("listitem")).to_have_count(2)


def runs_empty(stage: Stage) -> None:
    """Recent runs: none yet."""
    page = stage.open("/examples/hello")
    ready(page)
    page.control("Recent runs").click()


def keys(stage: Stage) -> None:
    """The keys."""
    page = stage.open("/examples/hello")
    ready(page)
    page.page.evaluate("document.activeElement.blur()")
    page.page.keyboard.press("?")
    expect(page.page.locator("dialog[open]")).to_be_visible()


def server_away(stage: Stage) -> None:
    """No connection, in the middle of a run."""
    page = stage.run(SLOW)
    page.expect_step("charge card", "running")
    page.watched.server_away = True
    page.page.route("**/stream*", lambda route: route.abort())
    page.page.context.set_offline(True)
    # A page that comes back from the browser's cache opens its stream anew.
    page.page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    expect(page.page.locator('[data-part="notices"]')).to_contain_text("connection", ignore_case=True)


def refused(stage: Stage) -> None:
    """The server refuses a run."""
    page = stage.open("/", half="run")
    ready(page)
    limited = '{"error": {"code": "too_many", "message": "This address has started many runs. Try again in 40 s."}}'
    page.page.route(
        "**/api/instances", lambda route: route.fulfill(status=429, body=limited, content_type="application/json")
    )
    page.run_button.click()
    expect(page.page.locator(".notice:visible").first).to_be_visible()


def about(stage: Stage) -> None:
    """About this server."""
    stage.open("/about")


def security(stage: Stage) -> None:
    """What protects from what."""
    stage.open("/security")


def not_found(stage: Stage) -> None:
    """A page that there is not."""
    stage.open("/nothing-is-here")


def run_not_found(stage: Stage) -> None:
    """A run that there is not."""
    stage.open("/instances/there-is-none")


def tenants(stage: Stage) -> None:
    """Tenants, to a visitor."""
    stage.open("/tenants")


def tenants_operator(stage: Stage) -> None:
    """Tenants, to the operator."""
    stage.key()
    stage.open("/tenants?operator=1", http_credentials={"username": "operator", "password": OPERATOR})


def tenant_locked(stage: Stage) -> None:
    """A tenant's page before its key."""
    stage.open(f"/tenants/{TENANT}")


def tenant_empty(stage: Stage) -> None:
    """A tenant with nothing deployed."""
    tenant_open(stage)


def tenant_runs(stage: Stage) -> None:
    """A tenant's versions and runs."""
    page, key = tenant_open(stage)
    headers = {"Authorization": f"Bearer {key}"}
    base = f"{stage.url}/api/tenants/{TENANT}"
    assert page.page.request.put(f"{base}/workflow", headers=headers, data={"source": WAITS}).ok
    for number in range(4):
        data = {"id": f"order-{number}", "params": {"number": number}}
        page.page.request.post(f"{base}/instances", headers=headers, data=data)
    page.page.reload()
    expect(page.page.locator("#runs-rows li")).to_have_count(4)


def tenant_run(stage: Stage) -> None:
    """One run of a tenant."""
    page, _ = tenant_open(stage)
    page.page.goto(f"{stage.url}/tenants/{TENANT}/instances/order-1")
    page.expect_status("Waiting")


def tenant_open(stage: Stage) -> tuple[Playground, str]:
    """A tenant's page, opened with a key."""
    key = stage.key()
    page = stage.open(f"/tenants/{TENANT}")
    page.page.get_by_label(f"Key of {TENANT}").fill(key)
    page.page.get_by_role("button", name="Open", exact=True).click()
    expect(page.page.locator("#versions")).to_be_visible()
    return page, key


def ready(page: Playground) -> None:
    """The editor is there, and the code has been checked."""
    page.page.locator(".cm-content").wait_for(state="attached")
    problems = page.page.locator("#problems")
    if problems.count():
        expect(problems).not_to_have_text("Checking")


def stopping(stage: Stage, step: str) -> Playground:
    """A run of STOPS, stopped before a step; the sleep after a wait has a breakpoint too."""
    page = stage.open("/")
    page.editor.wait_for()
    page.write(STOPS)
    for name in (step, *(["until the invoice is due"] if step == "customer has signed" else [])):
        page.control(f"Pause before {name}").click()
    page.run()
    page.expect_status("Paused")
    return page


def tabbed(page: Playground, status: str, tab: str) -> None:
    page.expect_status(status)
    page.tab(tab)


def value_of(stage: Stage) -> Locator:
    """The result of a step, opened."""
    page = stage.run(VALUES)
    page.expect_status("Complete")
    page.step("charge card").click()
    result = page.page.locator("#view-step .tree-view")
    expect(result).to_be_visible()
    return result


def shared(stage: Stage) -> str:
    return str(stage.ask("/api/snippets", {"source": WAITS, "params": "{}"})["url"])


HELPERS = {ready, stopping, tabbed, shared, tenant_open, value_of}


def all_scenes(matching: str = "") -> dict[str, Scene]:
    """The scenes by name, in the order of this file."""
    here = [value for value in globals().values() if callable(value) and getattr(value, "__module__", "") == __name__]
    scenes = {
        scene.__name__.replace("_", "-"): scene for scene in here if scene not in HELPERS and scene is not all_scenes
    }
    return {name: scene for name, scene in scenes.items() if re.search(matching, name)}
