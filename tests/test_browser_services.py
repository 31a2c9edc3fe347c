"""A tenant's own model and tools on its page, the models on About, and the agent's lesson, in a real browser."""

from collections.abc import Callable

from access_support import findings
from page_support import Playground, expect
from server_support import Server
from test_browser_tenants import key_of

DONE = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return None
"""


def test_a_person_sets_a_model_and_a_server_of_tools_of_a_tenant(server: Server, open_page: Callable) -> None:
    key = key_of(server, "acme")
    watched = open_page(server.url + "/tenants/acme", reduced_motion="reduce")
    page = watched.page
    headers = {"Authorization": f"Bearer {key}"}
    assert page.request.put(f"{server.url}/api/tenants/acme/workflow", headers=headers, data={"source": DONE}).ok
    page.get_by_label("Key of acme").fill(key)
    page.get_by_role("button", name="Open", exact=True).click()

    expect(page.locator("#model li")).to_have_text(["No model of its own."])
    page.get_by_label("Address, which speaks as OpenAI’s").fill("https://api.example.com/v1")
    page.get_by_label("Models", exact=True).fill("small, large")
    page.get_by_label("Tokens a run").fill("50000")
    page.get_by_role("button", name="Set the model").click()
    expect(page.locator("#model-said")).to_contain_text("The operator of this server lets tenants set none.")
    watched.forgive("400")  # which the browser says of a refusal
    page.get_by_label("Its address").fill("https://tools.example.com/mcp")
    page.get_by_role("button", name="Set the server").click()
    expect(page.locator("#tools-said")).to_contain_text("tools_hosts")
    watched.forgive("400")
    assert findings(page) == []

    page.goto(server.url + "/about")
    expect(page.get_by_role("row", name="@playground/echo everybody")).to_be_visible()


def test_the_agents_answer_streams_and_its_step_says_what_it_took(server: Server, open_page: Callable) -> None:
    page = Playground(open_page(server.url + "/examples/agent-loop", reduced_motion="reduce"), server.url)
    page.run()
    expect(page.page.locator("#run")).to_contain_text("Oslo is another matter")
    page.expect_status("Complete")
    first = page.step("ask model").first
    expect(first).to_contain_text("12 tokens · ")
    first.click()
    drawer = page.page.get_by_role("tabpanel", name="ask model").first
    expect(drawer).to_contain_text("@playground/script")
    expect(drawer).to_contain_text("10 tokens in, 2 out")
    assert findings(page.page) == []
