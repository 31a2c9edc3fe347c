"""The server dies under a watching page: the page comes back by itself, the run completes, and no step runs twice."""

from collections.abc import Callable

from page_support import Playground, completed_steps, expect, journal
from server_support import Server

SLEEPER = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        await step.do("before", lambda: print("before"))
        await step.sleep("in between", "4 seconds")
        await step.do("after", lambda: print("after"))
        return "through"
"""


def test_kill_9_in_mid_sleep(own_server: Server, open_page: Callable) -> None:
    page = Playground(open_page(own_server.url), own_server.url)
    page.write(SLEEPER)
    instance = page.run()
    page.expect_step("in between", "asleep")
    page.watched.server_away = True
    own_server.kill()
    expect(page.page.locator('[data-part="notices"]')).to_contain_text("Connection lost.")
    own_server.start()
    page.expect_status("Complete")
    expect(page.output).to_contain_text("through")
    expect(page.page.locator('[data-part="notices"]')).not_to_contain_text("Connection lost.")
    events = journal(own_server.url, instance)
    assert completed_steps(events) == ["before", "in between", "after"]
    assert [event["data"]["text"] for event in events if event["type"] == "log" and event.get("step")] == ["before", "after"]
    assert page.instance == instance


def test_a_planned_restart_is_told_apart_and_survived(own_server: Server, open_page: Callable) -> None:
    page = Playground(open_page(own_server.url), own_server.url)
    page.write(SLEEPER)
    instance = page.run()
    page.expect_step("in between", "asleep")
    page.watched.server_away = True
    assert own_server.stop() == 0
    expect(page.page.locator('[data-part="notices"]')).to_contain_text("The server is restarting.")
    own_server.start()
    page.expect_status("Complete")
    assert completed_steps(journal(own_server.url, instance)) == ["before", "in between", "after"]
