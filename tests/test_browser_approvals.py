"""Somebody answers: from a signed link on a telephone, and from the inbox of the browser that started the run.

No worker is there when they do; the run goes on all the same.
"""

import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from access_support import findings
from page_support import Playground, expect
from server_support import Server, ask

SIZE = {"width": 390, "height": 844}
ASKS = '''"""Invoices"""
from workers import WorkflowEntrypoint

SCHEMA = {
    "type": "object",
    "title": "Pay the invoice of Globex?",
    "properties": {"approved": {"type": "boolean"}, "amount": {"type": "number", "minimum": 0, "title": "Amount"}},
    "required": ["approved", "amount"],
}


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        answer = await step.wait_for_event("pay", "paid", timeout="1 hour", schema=SCHEMA)
        return answer["payload"]
'''


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that ends a worker as soon as its run only waits, which others do after 10 seconds."""
    running = Server(tmp_path_factory.mktemp("server"), "--idle-grace-ms", "0").start()
    yield running
    running.stop()


def asleep(server: Server) -> dict[str, Any]:
    """A run that waits and has no worker any more."""
    made: dict[str, Any] = ask(server.url + "/api/instances", {"source": ASKS})
    with urllib.request.urlopen(f"{server.url}/api{made['url']}/stream", timeout=60) as stream:
        for line in stream:
            if b'"execution_ended"' in line:
                break
    return made


def link_of(server: Server, made: dict[str, Any]) -> str:
    """The path of a new link to the wait of a run."""
    headers = {"Authorization": f"Bearer {made['control_token']}", "Content-Type": "application/json"}
    address = f"{server.url}/api{made['url']}/waits/pay/1/links"
    with urllib.request.urlopen(urllib.request.Request(address, b'{"label": "Ada"}', headers), timeout=60) as reply:
        return str(json.load(reply)["url"]).removeprefix(server.url)


def output(server: Server, made: dict[str, Any]) -> Any:
    """The output of a run, once it has one."""
    with urllib.request.urlopen(f"{server.url}/api{made['url']}/stream", timeout=60) as stream:
        for line in stream:
            if line.strip() == b"event: end":
                break
    return ask(f"{server.url}/api{made['url']}")["output"]


def test_people_answer_from_a_link_and_from_their_inbox_while_no_worker_is_there(
    server: Server, opened: Callable[..., Playground]
) -> None:
    by_link, by_inbox = asleep(server), asleep(server)
    page = opened(link_of(server, by_link), viewport=SIZE, is_mobile=True).page
    expect(page.get_by_role("heading", name="Pay the invoice of Globex?")).to_be_visible()
    assert findings(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == SIZE["width"]
    page.get_by_label("Amount").fill("42")
    page.keyboard.press("Enter")  # decides nothing
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_text("Answered by you at")).to_be_visible()
    assert output(server, by_link) == {"approved": False, "amount": 42}

    mine = opened("/inbox", viewport=SIZE, is_mobile=True)
    page = mine.page
    expect(page.get_by_text("Nothing waits for you.")).to_be_visible()
    kept = {by_inbox["id"]: {"token": by_inbox["control_token"], "title": "November", "at": time.time() * 1_000}}
    page.evaluate("kept => localStorage.setItem('playground.tokens', JSON.stringify(kept))", kept)
    page.reload()
    card = page.get_by_role("listitem").filter(has_text="Pay the invoice of Globex?")
    expect(card.get_by_role("link", name="November")).to_have_attribute("href", by_inbox["url"])
    card.get_by_role("button", name="Get a link for somebody else").click()
    expect(card.get_by_label("Whoever has this link can answer")).to_have_value(re.compile(f"^{server.url}/answer/"))
    assert findings(page) == []
    card.get_by_label("Amount").evaluate("field => { field.form.noValidate = true; field.value = '-1'; }")
    card.get_by_role("button", name="Approve").press("Enter")
    expect(card.get_by_role("alert")).to_have_text("“Amount” takes 0 or more, not -1.")
    card.get_by_label("Amount").fill("7")
    card.get_by_role("button", name="Approve").press("Enter")
    expect(card.get_by_text("Answered by you at")).to_be_visible()
    expect(card.get_by_role("heading")).to_be_focused()
    assert output(server, by_inbox) == {"approved": True, "amount": 7}
    mine.watched.forgive("422")
