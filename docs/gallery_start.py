"""States of the page before a run: the first visit, the examples, the editor and what is wrong in it."""

from gallery_stage import Stage, ready
from gallery_workflows import SLOW, WRONG
from page_support import Playground, expect


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
    _first_run(stage, seconds=600)


def first_visit_replay(stage: Stage) -> None:
    """A first visit: what the ring says."""
    first_visit_kill(stage)
    stage.page.get_by_role("button", name="Kill worker").click()
    expect(stage.page.locator(".hint")).to_contain_text("The ring")


def first_visit_end(stage: Stage) -> None:
    """A first visit: back over the cut."""
    page = _first_run(stage, seconds=4)
    page.control("Kill worker").click()
    page.expect_status("Complete")
    expect(page.page.locator(".hint")).to_contain_text("slider")


def on_a_schedule(stage: Stage) -> None:
    """A lesson whose run stands for a firing of a schedule."""
    page = stage.open("/examples/on-a-schedule", half="code")
    ready(page)
    expect(page.page.locator("#fired")).to_have_js_property("hidden", False)


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


def _first_run(stage: Stage, *, seconds: int) -> Playground:
    """A first visit's run, whose second step takes so long; the hint asks for the kill."""
    page = stage.open("/", hints=True)
    ready(page)
    page.page.locator("#params").fill(f'{{"name": "Ada", "seconds": {seconds}}}')
    page.run()
    expect(page.page.locator(".hint")).to_contain_text("Now press")
    return page
