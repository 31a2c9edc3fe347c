"""The server dies under a watching page: the page comes back by itself, the run completes, and no step runs twice."""

from collections.abc import Callable

import pytest
from page_support import Playground, completed_steps, expect, journal
from server_support import Server

pytestmark = pytest.mark.long

# One sleep is over while the server is away, the other when somebody wakes it, however long a machine takes to look.
SLEEPER = """import asyncio

from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        await step.do("before", lambda: print("before"))
        await asyncio.gather(step.sleep("in between", "1 hour"), step.sleep("meanwhile", "2 seconds"))
        await step.do("after", lambda: print("after"))
        return "through"
"""


STEPS = ["before", "meanwhile", "in between", "after"]


def wake(page: Playground) -> None:
    """Once the sleep that ends by itself has."""
    page.expect_step("meanwhile", "done")
    page.control("Wake in between now").click()
    page.expect_status("Complete")


@pytest.fixture
def sleeper(own_server: Server, open_page: Callable) -> Playground:
    """A page whose run is asleep, on a server that may go away."""
    page = Playground(open_page(own_server.url), own_server.url)
    page.run(SLEEPER)
    page.expect_step("in between", "asleep")
    page.watched.server_away = True
    return page


def test_kill_9_in_mid_sleep(own_server: Server, sleeper: Playground) -> None:
    page, instance = sleeper, sleeper.instance
    own_server.kill()
    lost = page.page.get_by_text("Connection lost.")
    expect(lost).to_be_visible()
    own_server.start()
    wake(page)
    expect(page.output).to_contain_text("through")
    expect(lost).to_be_hidden()
    events = journal(own_server.url, instance)
    assert completed_steps(events) == STEPS
    assert [event["data"]["text"] for event in events if event["type"] == "log" and event.get("step")] == [
        "before",
        "after",
    ]
    assert page.instance == instance


def test_a_planned_restart_is_survived_too(own_server: Server, sleeper: Playground) -> None:
    page = sleeper
    assert own_server.stop() == 0
    own_server.start()
    wake(page)
    expect(page.page.get_by_text("Connection lost.")).to_be_hidden()
    assert completed_steps(journal(own_server.url, page.instance)) == STEPS
