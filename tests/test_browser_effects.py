"""The ledger of effects beside a living run: a worker is killed after its effect, it happens twice,
and a key cures it.
"""

import re
import urllib.request
from collections.abc import Callable

from page_support import HIDE, Playground, expect, journal
from playwright.sync_api import Route
from server_support import Server, ask

SHOP = """import asyncio
from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("charge card")
        async def charge(ctx):
            receipt = await self.env.EFFECTS.charge(event["payload"]["amount"]KEY)
            await asyncio.sleep(300 if ctx["attempt"] == 1 else 0)
            return receipt

        return await charge()
"""
TIMED = """() => {
    const { setTimeout } = window;
    window.setTimeout = (call, ms) => setTimeout(() => {
        call(); if (ms === 120) document.documentElement.dataset.timed = "yes";
        }, ms);
}"""  # says when it was time to ask
PHONE = {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def test_what_a_killed_attempt_did_is_seen_to_happen_twice_until_it_has_a_key(
    opened: Callable[..., Playground],
) -> None:
    page = opened("/", **PHONE)
    table = page.page.get_by_role("table", name="Effects")
    row = table.locator(".effect")

    def story(key: str, times: str) -> None:
        page.page.get_by_role("button", name="Code", exact=True).tap()
        page.page.locator("#params").fill('{"amount": 49}')
        page.run(SHOP.replace("KEY", key))
        page.tab("Effects")
        expect(row).to_contain_text("once")  # while the attempt runs: the effect is there before anything is committed
        page.page.locator('[data-part="kill"]').click()
        page.expect_status("Complete")
        expect(row).to_have_count(1)
        expect(row).to_contain_text(times)

    story("", "twice")
    expect(row).to_have_class(re.compile("twice"))
    expect(row).to_contain_text(
        "lost its worker before its commit, and again by attempt 2. Pass key= and the second one is recognised."
    )
    expect(page.page.locator("#tab-effects")).to_contain_text("twice")
    expect(page.page.locator('[data-part="sentence"]')).to_contain_text("charge card charged twice")
    ground = "node => getComputedStyle(node).backgroundColor"
    assert row.evaluate(ground) != page.page.locator(".ledger-head").evaluate(ground)
    assert page.page.evaluate("document.documentElement.scrollWidth") <= PHONE["viewport"]["width"]
    story(', key=event["instanceId"]', "once")
    expect(row).to_contain_text("the first was given back")
    expect(page.page.locator("#tab-effects")).not_to_contain_text("twice")
    assert journal(page.url, page.instance)[-1]["data"]["output"]["repeated"] is True


def test_code_that_calls_none_says_so_and_nothing_is_asked(server: Server, open_page: Callable) -> None:
    watched = open_page(f"{server.url}/")
    asked: list[str] = []
    watched.page.on("request", lambda request: asked.append(request.url))
    page = Playground(watched, server.url)
    page.run(
        "from workers import WorkflowEntrypoint\n\n\nclass TenantWorkflow(WorkflowEntrypoint):\n    async def "
        'run(self, event, step):\n        return await step.do("x", lambda: 1)\n'
    )
    page.expect_status("Complete")
    page.tab("Effects")
    expect(page.page.get_by_text("No effects: this code calls none.")).to_be_visible()
    assert len([url for url in asked if url.endswith("/effects")]) == 1


def test_what_happened_while_the_page_was_hidden_is_there_when_it_is_shown(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.page.locator("#params").fill('{"amount": 49}')
    page.run(
        SHOP.replace("KEY", "")
        .replace("300 if", "0 if")
        .replace("return await", 'await step.sleep("a while", "1 hour")\n        return await')
    )
    page.tab("Effects")
    page.page.evaluate(HIDE, True)
    page.page.evaluate(TIMED)
    page.control("Wake a while now").click()
    page.expect_status("Complete")
    expect(page.page.locator("html[data-timed]")).to_have_count(1)
    page.page.evaluate(HIDE, False)
    expect(page.page.get_by_role("table", name="Effects")).to_contain_text("once")


def test_what_is_asked_for_too_early_is_asked_for_again_and_a_refusal_is_said(
    server: Server, open_page: Callable
) -> None:
    watched = open_page(f"{server.url}/")
    page = Playground(watched, server.url)
    early: list[Route] = []

    def hold(route: Route) -> None:
        if early:
            route.fulfill(status=503)
        else:
            early.append(route)

    page.page.route("**/effects", hold)
    page.page.evaluate(TIMED)
    page.page.locator("#params").fill('{"amount": 49}')
    page.run(SHOP.replace("KEY", "").replace("300 if", "0 if"))
    page.expect_status("Complete")
    expect(page.page.locator("html[data-timed]")).to_have_count(1)
    page.tab("Effects")
    early[0].fulfill(json={"effects": []})
    expect(page.page.get_by_text("The effects could not be read.")).to_be_visible()
    watched.forgive("503")
    page.page.unroute_all()
    page.tab("Journal")
    page.tab("Effects")
    expect(page.page.get_by_role("table", name="Effects")).to_contain_text("once")


def test_the_ledger_reads_without_scripts(server: Server, open_page: Callable) -> None:
    made = ask(
        server.url + "/api/instances",
        {"source": SHOP.replace("KEY", "").replace("300 if", "0 if"), "params": {"amount": 49}},
    )
    with urllib.request.urlopen(f"{server.url}/api{made['url']}/stream", timeout=30) as stream:
        assert any(line.strip() == b"event: end" for line in stream)
    page = open_page(server.url + made["url"], java_script_enabled=False).page
    expect(page.get_by_role("row", name="charge 49")).to_contain_text("once")
