"""A tenant's pages in a real browser: the way in, the list of runs, and a run that is watched and handled with the
tenant's key.
"""

import re
from collections.abc import Callable

import pytest
from access_support import findings
from page_support import Playground, expect, hearing
from playwright.sync_api import Request
from server_support import Server
from test_browser_tenants import key_of

pytestmark = pytest.mark.long

CODE = """import asyncio
from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("prepare")
        async def prepare(ctx):
            print("preparing")
            await asyncio.sleep(600 if ctx["attempt"] == 1 else 0)
            return ctx["attempt"]

        await prepare()
        got = await step.wait_for_event("a person decides", "decision", timeout="1 hour")
        return f"{event['payload']['who']}: {got['payload']['word']}"
"""
PARENT = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        if "child" not in event["payload"]:
            @step.do("start a child")
            async def start():
                child = await self.env.WORKFLOWS.create("child-7", {"child": True})
                return {"note": "no-run", "started": [child.id]}

            await start()
"""
LOOK_AGAIN = "() => { for (const _ of [1, 2]) document.dispatchEvent(new Event('visibilitychange')); }"


@pytest.fixture(scope="module")
def tenants_server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    running = Server(tmp_path_factory.mktemp("tenant-pages")).start()
    yield running
    running.stop()


def test_from_an_empty_browser_to_a_run_that_is_killed_answered_and_over(
    tenants_server: Server, open_page: Callable
) -> None:
    server = tenants_server
    key = key_of(server, "acme")
    allowed = ["clipboard-read", "clipboard-write"]
    watched = open_page(server.url + "/tenants", reduced_motion="reduce", permissions=allowed)
    page = watched.page
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request))
    expect(page.get_by_text("This browser holds no key yet.")).to_be_visible()
    page.goto(server.url + "/tenants/acme/instances/one")
    expect(page.locator('[data-key="said"]')).to_contain_text("This browser keeps none")
    expect(page.locator("#play")).to_be_hidden()
    page.goto(server.url + "/tenants/acme")
    for given in ("not a key", key):
        page.get_by_label("Key of acme").fill(given)
        page.get_by_role("button", name="Open", exact=True).click()
        if given != key:
            expect(page.get_by_role("alert")).to_have_text("This is not a key of this tenant.")
    expect(page.get_by_text("No run yet. First deploy what is to run")).to_be_visible()
    expect(page.get_by_role("button", name="Start", exact=True)).to_have_attribute(
        "title", "Nothing is deployed yet: a run needs a version."
    )
    expect(page.locator("#versions")).to_contain_text("Nothing is deployed yet")

    playground = Playground(watched, server.url)
    page.goto(server.url + "/")
    playground.write(CODE)
    playground.control("Share").click()
    page.get_by_text("Deploy as tenant").click()
    expect(page.get_by_label("Tenant", exact=True)).to_have_value("acme")  # and its key, from this browser
    page.get_by_role("button", name="Deploy", exact=True).click()
    page.get_by_role("link", name="acme").click()

    versions = page.locator("#versions li")
    expect(versions).to_contain_text(["1live"])
    versions.get_by_text("1live").click()
    expect(versions.locator(".code")).to_contain_text("a person decides")
    for source in (CODE.replace("preparing", "beginning"), CODE):
        newer = page.request.put(
            f"{server.url}/api/tenants/acme/workflow",
            headers={"Authorization": f"Bearer {key}"},
            data={"source": source},
        )
        assert newer.ok
    page.evaluate(LOOK_AGAIN)
    expect(versions.locator("b")).to_have_text(["3", "2", "1"])
    expect(page.locator("#tenant-live")).to_have_text("version 3 is live")
    expect(versions.filter(has=page.locator(".live:visible"))).to_contain_text(["3"])
    expect(page.locator("#versions details[open]")).to_contain_text("a person decides")
    page.get_by_label("Params, JSON").fill('{"who": "Ada"}')
    page.get_by_label("Id, if it is to have one of yours").fill("desk-1")
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_label("How many").fill("2")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_text("Started 2 runs.")).to_be_visible()
    rows = page.locator("#runs-rows li")
    expect(rows).to_have_count(3)
    expect(rows.locator(".of-version")).to_have_text(["version 3"] * 3)  # not 1, which had the same code
    assert findings(page) == []
    page.locator("#runs-rows").get_by_role("link", name="desk-1").press("Enter")

    playground.expect_step("prepare", "running")
    expect(page.locator("#title")).to_have_text("Run desk-1")
    expect(page.get_by_role("button", name="Chaos")).to_be_hidden()
    playground.control("Kill worker").click()
    expect(playground.executions).to_have_text("2")
    playground.expect_status("Waiting")
    page.locator(".ask textarea").fill('{"word": "yes"}')
    page.get_by_role("button", name="Send event").click()
    playground.expect_status("Complete")
    expect(page.get_by_role("region", name="Output")).to_contain_text("Ada: yes")
    playground.control("Copy as text").click()
    copying = page.get_by_role("dialog", name="Copy as text")
    assert findings(page) == []
    with hearing(page, "Copied for an agent"):
        copying.get_by_role("button", name="Copy for an agent").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("# Run desk-1: complete") and "/tenants/acme/instances/desk-1" in copied
    assert key not in copied
    page.keyboard.press("Escape")
    page.reload()
    playground.expect_status("Complete")
    playground.run_button.click()
    expect(page).not_to_have_url(re.compile("desk-1$"))
    playground.control("Terminate").click()
    playground.expect_status("Terminated")

    page.get_by_role("link", name="acme").click()
    page.get_by_role("button", name=re.compile("^terminated")).click()
    expect(rows).to_have_count(1)
    api = f"{server.url}/api/tenants/acme"
    by_key = {"Authorization": f"Bearer {key}"}
    assert page.request.put(f"{api}/workflow", headers=by_key, data={"source": PARENT}).ok
    assert page.request.post(f"{api}/instances", headers=by_key, data={"id": "parent", "params": {}}).ok
    page.goto(f"{server.url}/tenants/acme/instances/parent")
    playground.expect_status("Complete")
    playground.tab("Graph")
    page.get_by_role("treeitem", name=re.compile("^start a child, starts a workflow")).click()
    link = page.locator(".graph-kids").get_by_role("link", name="child-7")
    expect(page.locator(".graph-kids")).to_have_text("its run child-7")
    playground.step("start a child").click()
    expect(page.get_by_role("tabpanel", name="start a child")).to_contain_text("It started the run child-7.")
    playground.tab("Graph")
    link.click()
    expect(page.locator("#title")).to_have_text("Run child-7")
    playground.expect_status("Complete")
    watched.forgive("404 (Not Found)")  # what it returned besides is no run

    with_key = [it for it in sent if it.headers.get("authorization") == f"Bearer {key}"]
    assert {"stream", "kill-worker", "batch"} <= {it.url.partition("?")[0].rsplit("/", 1)[1] for it in with_key}
    assert not [it.url for it in sent if key in it.url]
    watched.forgive("403 (Forbidden)")
