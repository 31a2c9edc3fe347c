"""A tenant's own model and tools on its page, the models on About, and the agent's lesson, in a real browser."""

from collections.abc import Callable

from access_support import findings
from page_support import expect
from server_support import Server
from test_browser_tenants import key_of


def test_a_person_sets_a_model_and_a_server_of_tools_of_a_tenant(server: Server, open_page: Callable) -> None:
    key = key_of(server, "acme")
    watched = open_page(server.url + "/tenants/acme", reduced_motion="reduce")
    page = watched.page
    page.get_by_label("Key of acme").fill(key)
    page.get_by_role("button", name="Open", exact=True).click()

    expect(page.locator("#model li")).to_have_text(["No model of its own."])
    page.get_by_label("Address, which speaks as OpenAI’s").fill("https://api.example.com/v1")
    page.get_by_label("Models", exact=True).fill("small, large")
    page.get_by_label("Tokens a run").fill("50000")
    page.get_by_role("button", name="Set the model").click()
    expect(page.locator("#model-said")).to_contain_text("The operator of this server lets tenants set none.")
    page.get_by_label("Its address").fill("https://tools.example.com/mcp")
    page.get_by_role("button", name="Set the server").click()
    expect(page.locator("#tools-said")).to_contain_text("tools_hosts")
    assert all("400" in watched.trouble.pop() for _ in range(2))  # which the browser says of a refusal
    assert findings(page) == []

    page.goto(server.url + "/about")
    expect(page.get_by_role("row", name="@playground/echo everybody")).to_be_visible()


def test_the_agents_answer_streams_and_its_tokens_stand_in_the_row(server: Server, open_page: Callable) -> None:
    page = open_page(server.url + "/examples/agent-loop", reduced_motion="reduce").page
    page.get_by_role("button", name="Run", exact=True).first.click()
    rows = page.locator("#timeline .row, .timeline .row")
    expect(rows.filter(has_text="ask model").first).to_contain_text("tokens", timeout=15_000)
    rows.filter(has_text="ask model").first.locator("button").first.click()
    expect(page.get_by_text("@playground/script").last).to_be_visible()
    assert findings(page) == []
