"""Deploying as a tenant from the editor, and the operator's table, in a real browser."""

import re
from collections.abc import Callable

import pytest
from access_support import findings
from page_support import Playground, expect, expect_copied
from playwright.sync_api import Page
from server_support import Server, ask

from playground import commands

pytestmark = pytest.mark.long

GREETS = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return await step.do("greet", lambda: f"WORD, {event['payload']['name']}")
"""


@pytest.fixture(scope="module")
def operators_server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    running = Server(tmp_path_factory.mktemp("tenants"), "--operator-token", "the operator").start()
    yield running
    running.stop()


def test_the_person_at_the_machine_makes_a_tenant_its_key_and_its_first_deployment_in_two_presses(
    own_server: Server, open_page: Callable
) -> None:
    link = next(word for line in lines_with(own_server, "sign-in") for word in line.split() if word.startswith("http"))
    watched = open_page(link, permissions=["clipboard-read", "clipboard-write"], reduced_motion="reduce")
    page = watched.page
    assert page.url == own_server.url + "/tenants"
    expect(page.get_by_text("Nobody has a key yet.")).to_be_visible()
    assert findings(page) == []
    page.get_by_label("Name", exact=True).fill("acme")
    page.get_by_role("button", name="Make tenant and key").click()
    expect(page.get_by_role("heading", name="acme has a key")).to_be_focused()
    key = page.get_by_label("Key", exact=True).first.input_value()
    page.get_by_role("button", name="Copy").click()
    expect_copied(page, key)
    assert key.startswith("pk_")
    expect(page.locator("#mine").get_by_role("link", name="acme")).to_be_visible()
    assert findings(page) == []
    page.get_by_role("button", name="Deploy", exact=True).click()
    expect(page).to_have_url(own_server.url + "/tenants/acme")
    expect(page.locator("#tenant-live")).to_have_text("version 1 is live")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#runs-rows li")).to_have_count(1)
    page.goto(own_server.url + "/tenants")
    expect(page.get_by_role("row", name=re.compile("^acme"))).to_be_visible()

    page.get_by_label("Name", exact=True).fill("- -")
    page.get_by_role("button", name="Make tenant and key").click()
    expect(page.locator("#make-said")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("acme")
    page.get_by_role("button", name="Make tenant and key").click()
    expect(page.get_by_label("Key", exact=True).first).not_to_have_value(key)  # one more
    watched.forgive("400 (Bad Request)")


def test_a_browser_that_was_not_signed_in_is_told_of_the_link_and_makes_nothing(
    own_server: Server, open_page: Callable
) -> None:
    page = open_page(own_server.url + "/tenants").page
    expect(page.get_by_text("Open the operator’s link, which the server printed at its start")).to_be_visible()
    expect(page.get_by_role("button", name="Make tenant and key")).to_have_count(0)


def lines_with(server: Server, words: str) -> list[str]:
    """Lines that the server prints before it answers anything."""
    while not any(words in line for line in server.printed):
        ask(server.url + "/healthz")
    return [line for line in server.printed if words in line]


def key_of(server: Server, tenant: str) -> str:
    said: list[str] = []
    url = f"sqlite:///{server.folder / 'playground.db'}"
    commands.run(["tenant-key", "create", tenant, "--database", url], {}, said.append)
    return said[0]


def test_the_code_in_the_editor_is_deployed_for_two_tenants_and_each_runs_its_own(
    operators_server: Server, open_page: Callable
) -> None:
    server = operators_server
    watched = open_page(server.url + "/", reduced_motion="reduce")
    page = Playground(watched, server.url)
    said = page.page.locator("#deploy-said")
    for tenant, word in (("acme", "Hello"), ("globex", "Guten Tag")):
        page.write(GREETS.replace("WORD", word))
        page.page.locator("#params").fill('{"name": "Ada"}')
        page.control("Share").click()
        if tenant == "acme":
            page.page.get_by_text("Deploy as tenant").click()
        page.page.get_by_label("Tenant", exact=True).fill(tenant)
        page.page.get_by_label("Key", exact=True).fill("not a key" if tenant == "acme" else key_of(server, tenant))
        page.page.get_by_role("button", name="Deploy", exact=True).click()
        if tenant == "acme":
            expect(said).to_have_text("This is not a key of this tenant.")
            expect(page.page.get_by_role("button", name="Start a run")).to_be_disabled()
            page.page.get_by_label("Key", exact=True).fill(key_of(server, tenant))
            page.page.get_by_role("button", name="Deploy", exact=True).click()
        expect(said).to_have_text(re.compile(r"Version 1 \(\w{8}\) is deployed"))
        page.page.get_by_role("button", name="Start a run").click()
        expect(said).to_have_text(re.compile(rf'complete, "{word}, Ada"$'))
        if tenant == "globex":  # another workflow of the same tenant
            page.page.keyboard.press("Escape")
            page.write(GREETS.replace("WORD", "Servus"))
            page.control("Share").click()
            page.page.get_by_label("Workflow", exact=True).fill("bavaria")
            page.page.get_by_role("button", name="Deploy", exact=True).click()
            expect(said).to_have_text(re.compile(r"Version 1 \(\w{8}\) of bavaria is deployed"))
            page.page.get_by_role("button", name="Start a run").click()
            expect(said).to_have_text(re.compile(r'complete, "Servus, Ada"$'))
            page.page.goto(server.url + "/tenants/globex")
            _workflows_of(page.page)
            page.page.goto(server.url + "/tenants/globex")
            _dead_letters_of(page.page, f"{server.url}/api/tenants/globex/queues/mail", key_of(server, "globex"))
        page.page.keyboard.press("Escape")
    watched.forgive("403 (Forbidden)")
    watched.forgive("400 (Bad Request)")


def _dead_letters_of(page: Page, api: str, key: str) -> None:
    """A queue is made, and a letter that nothing handles is looked at and deleted."""
    page.get_by_label("Queue", exact=True).fill("mail")
    page.get_by_role("button", name="Make a queue").click()
    queue = page.locator("#queues li").filter(has_text="mail")
    expect(queue.locator(".counts")).to_have_text("empty")
    headers = {"Authorization": f"Bearer {key}"}
    at_once = {"consumer": "main", "max_batch_timeout": 0, "max_retries": 0}
    assert page.request.put(api, headers=headers, data=at_once).ok
    assert page.request.post(f"{api}/messages", headers=headers, data={"body": {"to": "lin"}}).ok
    expect(queue.locator(".counts")).to_have_text("1 dead")
    queue.locator("summary").click()
    expect(queue.locator(".dead code")).to_have_text('{"to":"lin"}')
    assert findings(page) == []
    queue.get_by_role("button", name=re.compile("^Delete: message")).click()
    expect(queue.locator(".dead")).to_have_text("No dead letters.")
    page.locator("#runs-rows").get_by_role("link", name=re.compile("^queue-")).click()
    expect(page.get_by_text("no class that handles messages").first).to_be_visible()


def _workflows_of(page: Page) -> None:
    """The tenant's page shows both workflows, and starts runs of the one that is chosen."""
    chosen = page.get_by_role("radiogroup", name="Workflows")
    expect(chosen.get_by_role("radio", name="main")).to_be_checked()
    expect(page.locator("#tenant-live")).to_have_text("version 1 of main is live")
    chosen.get_by_text("bavaria").click()
    expect(page.locator("#tenant-live")).to_have_text("version 1 of bavaria is live")
    page.get_by_label("Params, JSON").fill('{"name": "Bo"}')
    _starts_later(page)
    page.get_by_role("button", name="Start", exact=True).click()
    rows = page.locator("#runs-rows li")
    expect(rows.locator(".of-workflow")).to_have_text(["workflow bavaria"] * 3 + ["workflow main"])
    expect(rows.filter(has_text="Starts when its time has come.")).to_have_count(1)
    assert findings(page) == []
    rows.first.get_by_role("link").click()
    expect(page.get_by_role("region", name="Output")).to_contain_text("Servus, Bo")


def _starts_later(page: Page) -> None:
    """On a phone: a start says when it may be, and what the server refuses of it is said at its field."""
    wide = page.viewport_size
    page.set_viewport_size({"width": 390, "height": 844})
    when = page.locator("#begin-when")
    expect(when.locator("summary")).to_have_text("When it may start at once")
    when.locator("summary").press("Enter")
    page.get_by_label("Key", exact=True).fill("order-7")
    page.get_by_label("Delay").fill("soon")
    page.get_by_label("Priority").fill("9")
    when.locator("summary").press("Enter")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#begin-said")).to_contain_text("`delay`: ")
    expect(page.get_by_label("Delay")).to_be_focused()
    page.get_by_label("Delay").fill("1 hour")
    expect(when.locator("summary")).to_contain_text("key order-7, delay 1 hour, priority 9")
    assert findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing hangs over the edge"
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#begin-said")).to_contain_text("It starts later")
    for label in ("Delay", "Priority"):
        page.get_by_label(label).fill("")
    page.get_by_label("Key", exact=True).fill("")
    assert wide is not None
    page.set_viewport_size(wide)


def test_the_operators_table_shows_tenants_with_their_instances(operators_server: Server, open_page: Callable) -> None:
    server = operators_server
    watched = open_page(
        server.url + "/tenants?operator=1", http_credentials={"username": "any", "password": "the operator"}
    )
    api, header = f"{server.url}/api/tenants/initech", {"Authorization": f"Bearer {key_of(server, 'initech')}"}
    asked = watched.page.request
    assert asked.put(f"{api}/workflow", data={"source": GREETS}, headers=header).ok
    made = asked.post(f"{api}/instances", data={"params": {"name": "Ada"}}, headers=header).json()
    # It ends when the run does.
    assert "event: end" in asked.get(f"{api}/instances/{made['id']}/stream", headers=header).text()
    watched.page.reload()
    row = watched.page.get_by_role("row", name=re.compile("^initech"))
    expect(row.get_by_role("cell").nth(0)).to_have_text("1")
    headers = watched.page.get_by_role("columnheader").all_text_contents()
    assert headers == [
        "Tenant",
        "Version",
        "Deployed",
        "queued",
        "running",
        "waiting",
        "waitingForPause",
        "paused",
        "complete",
        "errored",
        "terminated",
    ]
    expect(row.get_by_role("cell").nth(headers.index("complete") - 1)).to_have_text("1")
