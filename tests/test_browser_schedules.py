"""A tenant's schedules, and runs that wait for their turn, in a real browser."""

from collections.abc import Callable

from access_support import findings
from page_support import expect
from server_support import Server
from test_browser_tenants import key_of

WAITS = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return await step.wait_for_event("go", "go", timeout="1 hour")
"""


def test_a_person_schedules_runs_and_sees_which_wait_for_their_turn(server: Server, open_page: Callable) -> None:
    key = key_of(server, "acme")
    headers = {"Authorization": f"Bearer {key}"}
    watched = open_page(server.url + "/tenants/acme", reduced_motion="reduce")
    page = watched.page
    api = f"{server.url}/api/tenants/acme"
    assert page.request.put(f"{api}/workflow", headers=headers, data={"source": WAITS}).ok
    page.get_by_label("Key of acme").fill(key)
    page.get_by_role("button", name="Open", exact=True).click()

    schedules = page.locator("#schedules li")
    expect(schedules).to_have_text(["No schedules."])
    page.get_by_label("Called", exact=True).fill("weekly")
    page.get_by_label("When, as cron").fill("0 9 * *")
    page.get_by_role("button", name="Add", exact=True).click()
    said = page.locator("#schedules-said")
    expect(said).to_contain_text("`cron` takes five fields: minute, hour, day, month and weekday")
    watched.forgive("400")  # which the browser says of a refusal
    page.get_by_label("When, as cron").fill("0 9 * * MON")
    page.get_by_label("Time zone").fill("Europe/Berlin")
    page.get_by_label("Given to each run, JSON").fill('{"n": 1}')
    page.get_by_role("button", name="Add", exact=True).click()
    expect(said).to_contain_text("weekly is set; it starts next Mon")
    expect(schedules).to_contain_text("weekly0 9 * * MON Europe/BerlinNext Mon")
    expect(schedules).to_contain_text("09:00")  # as the clock there shows it
    page.get_by_role("button", name="Pause: weekly").click()
    expect(schedules).to_contain_text(["paused"])
    page.get_by_role("button", name="Run now: weekly").click()
    expect(said).to_contain_text("Started")
    expect(page.locator("#runs-rows li")).to_have_count(1)
    page.get_by_role("button", name="Resume: weekly").click()
    expect(schedules).to_contain_text(["Next Mon"])
    assert findings(page) == []

    for id in ("first", "second", "third"):
        body = {"id": id, "key": "order-7", "limits": {"concurrency_per_key": 1}}
        assert page.request.post(f"{api}/instances", headers=headers, data=body).ok
    held = page.locator("#runs-rows li").filter(has_text="third")
    expect(held).to_contain_text("2 ahead of it: concurrency 1 for key order-7.")
    held.get_by_role("link").click()
    expect(page.get_by_text("2 ahead of it: concurrency 1 for key order-7.")).to_be_visible()
    assert page.request.post(f"{api}/instances/first/terminate", headers=headers, data={}).ok
    expect(page.get_by_text("1 ahead of it: concurrency 1 for key order-7.")).to_be_visible()
    assert page.request.post(f"{api}/instances/second/terminate", headers=headers, data={}).ok
    expect(page.locator('[data-part="word"]')).to_have_text("Waiting")

    page.go_back()
    page.get_by_role("button", name="Delete: weekly").click()
    page.get_by_role("button", name="Delete it").click()
    expect(schedules).to_have_text(["No schedules."])
