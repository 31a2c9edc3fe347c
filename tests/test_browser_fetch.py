"""Requests to other hosts, in a real browser: the lesson that asks a service, and a tenant's list of hosts."""

import json
from collections.abc import Callable

import pytest
from access_support import findings
from page_support import Playground, expect
from server_support import Server
from test_browser_tenants import key_of


@pytest.fixture(scope="module")
def fetching_server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    running = Server(tmp_path_factory.mktemp("fetching"), "--fetch-tenants", "*.example.org").start()
    yield running
    running.stop()


def test_a_lesson_shows_what_was_asked_how_it_went_and_what_happened_twice(opened: Callable[..., Playground]) -> None:
    page = opened("/examples/asking-a-service", reduced_motion="reduce")
    source = json.loads(page.page.locator("#page-data").inner_text())["source"]
    page.run()
    page.expect_status("Complete")
    row = page.page.get_by_role("list", name="Steps").locator(".row", has_text="place order")
    expect(row.locator(".answers")).to_have_text("503 201")
    page.step("place order").click()
    rows = page.page.get_by_role("group", name="Requests").get_by_role("row")
    expect(rows).to_have_count(3)
    expect(rows.nth(1)).to_contain_text("POST playground.example")
    expect(rows.nth(1).locator(".bad")).to_have_text("503")
    assert findings(page.page) == []
    page.tab("Effects")
    effect = page.page.get_by_role("table", name="Effects").get_by_role("row").nth(1)
    expect(effect).to_contain_text("POST playground.example")
    expect(effect).to_contain_text("twice")
    expect(effect).to_contain_text("Send an Idempotency-Key")
    page.run(source.replace("            # headers", "            headers"))
    page.expect_status("Complete")
    expect(page.output).to_contain_text("orders: 1")
    expect(page.page.locator('[data-part="lesson"]')).to_contain_text("Lesson done.")
    page.tab("Journal")
    expect(page.page.get_by_text("POST playground.example, 503").first).to_be_visible()


def test_a_tenant_says_on_its_page_whom_its_code_may_ask(fetching_server: Server, open_page: Callable) -> None:
    key = key_of(fetching_server, "acme")
    watched = open_page(fetching_server.url + "/tenants/acme", reduced_motion="reduce")
    page = watched.page
    page.get_by_label("Key of acme").fill(key)
    page.get_by_role("button", name="Open", exact=True).click()
    hosts, form = page.locator("#hosts li"), page.locator("#host-form")
    expect(page.locator("#hosts-possible")).to_have_text("You may add: https://*.example.org.")
    expect(hosts).to_have_text(["https://playground.examplefor everybody"])
    for host, secret, said in (
        ("api.example.com", "", "is not among what the operator lets tenants allow"),
        ("api.example.org", "KEY", "There is no secret 'KEY'. Set it first."),
        ("api.example.org", "", "api.example.org may be asked from the next execution on."),
    ):
        form.get_by_label("Host").fill(host)
        form.get_by_label("Secret, if it is to be sent").fill(secret)
        form.get_by_role("button", name="Add").click()
        expect(page.locator("#hosts-said")).to_contain_text(said)
    expect(hosts).to_have_count(2)
    assert findings(page) == []
    page.get_by_role("button", name="Remove api.example.org").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(hosts).to_have_count(1)
    page.goto(fetching_server.url + "/about")
    expect(page.get_by_text("Off: code reaches no host but https://playground.example")).to_be_visible()
    expect(page.get_by_text("Tenants may allow more for their own code.")).to_be_visible()
    watched.forgive("400")
    watched.forgive("404")  # nothing is deployed yet
