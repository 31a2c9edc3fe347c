"""Many runs of a tenant, as a person handles them: found by a tag, ended in one go, and what stays is seen."""

from collections.abc import Callable

import pytest
from access_support import findings
from dispatch_support import workflow
from page_support import expect
from server_support import Server
from test_browser_tenants import key_of

WAITS = workflow('got = await step.wait_for_event("go", "go", timeout="1 hour")\nreturn got["payload"]')


@pytest.fixture(scope="module")
def bulk_server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    running = Server(tmp_path_factory.mktemp("bulk")).start()
    yield running
    running.stop()


def test_runs_are_found_by_a_tag_and_ended_in_one_go(bulk_server: Server, open_page: Callable) -> None:
    base = f"{bulk_server.url}/api/tenants/acme"
    key = key_of(bulk_server, "acme")
    watched = open_page(bulk_server.url + "/tenants/acme?tag=spring", reduced_motion="reduce")
    page, headers = watched.page, {"Authorization": f"Bearer {key}"}
    assert page.request.put(f"{base}/workflow", headers=headers, data={"source": WAITS}).ok
    spring, summer = (
        [{"id": f"{name}-{number}", "tags": [name]} for number in range(3)] for name in ("spring", "summer")
    )
    assert page.request.post(f"{base}/instances/batch", headers=headers, data={"instances": spring + summer}).ok
    page.get_by_label("Key of acme").fill(key)
    page.get_by_role("button", name="Open", exact=True).click()
    rows = page.locator("#runs-rows > li")
    expect(rows.locator("a")).to_have_text(["spring-2", "spring-1", "spring-0"])
    expect(page.get_by_role("searchbox", name="Find runs")).to_have_value("spring")
    assert findings(page) == []

    page.get_by_label("All of these:").select_option("terminate")
    page.get_by_role("button", name="Apply…").click()
    expect(page.get_by_role("heading", name="Terminate 3 runs?")).to_be_visible()
    page.get_by_role("button", name="Terminate", exact=True).click()
    expect(page.locator("#bulk-said")).to_have_text("3 done")
    expect(rows.locator(".state")).to_have_text(["Terminated"] * 3)

    page.get_by_role("searchbox", name="Find runs").fill("summer waiting:go")
    page.get_by_role("button", name="Find", exact=True).click()
    expect(rows.locator("a")).to_have_text(["summer-2", "summer-1", "summer-0"])
    assert page.url.endswith("?tag=summer&waiting_for=go")
    page.get_by_role("searchbox", name="Find runs").fill("winter")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No run fits.")).to_be_visible()
