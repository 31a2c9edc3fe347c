"""Deploying as a tenant from the editor, and the operator's table, in a real browser."""

import re
from collections.abc import Callable

import pytest
from page_support import Playground, expect
from server_support import Server

from playground import commands

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


def key_of(server: Server, tenant: str) -> str:
    said: list[str] = []
    url = f"sqlite:///{server.folder / 'playground.db'}"
    commands.run(["tenant-key", "create", tenant, "--database", url], {}, said.append)
    return said[0]


def test_the_code_in_the_editor_is_deployed_for_two_tenants_and_each_runs_its_own(operators_server: Server, open_page: Callable) -> None:
    server = operators_server
    watched = open_page(server.url + "/")
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
        page.page.keyboard.press("Escape")
    watched.forgive("403 (Forbidden)")


def test_the_operators_table_shows_tenants_with_their_instances(operators_server: Server, open_page: Callable) -> None:
    server = operators_server
    watched = open_page(server.url + "/tenants?operator=1", http_credentials={"username": "any", "password": "the operator"})
    api, header = f"{server.url}/api/tenants/initech", {"Authorization": f"Bearer {key_of(server, 'initech')}"}
    asked = watched.page.request
    assert asked.put(f"{api}/workflow", data={"source": GREETS}, headers=header).ok
    made = asked.post(f"{api}/instances", data={"params": {"name": "Ada"}}, headers=header).json()
    assert "event: end" in asked.get(f"{api}/instances/{made['id']}/stream", headers=header).text()  # it ends when the run does
    watched.page.reload()
    row = watched.page.get_by_role("row", name=re.compile("^initech"))
    expect(row.get_by_role("cell").nth(0)).to_have_text("1")
    headers = watched.page.get_by_role("columnheader").all_text_contents()
    assert headers == ["Tenant", "Version", "Deployed", "queued", "running", "waiting", "waitingForPause", "paused", "complete", "errored", "terminated"]
    expect(row.get_by_role("cell").nth(headers.index("complete") - 1)).to_have_text("1")
