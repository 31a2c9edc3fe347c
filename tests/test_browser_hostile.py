"""A hostile website in a real browser, against a playground on the visitor's own machine: it has nothing stored or run
there.

It is served from another port, under another name (another site for the browser) or under the same (the same site, so
that cookies come along), and once under a name that is pointed at the playground itself. Its visitor has the
playground open, is its operator, and clicks where the page wants.
"""

import http.server
import json
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from browser_support import REBOUND, WAIT_MS
from page_support import INSTANCE, expect
from playwright.sync_api import Browser, BrowserContext, Page, Route
from server_support import Server
from test_sandbox_refusals import NO_SECCOMP

from playground.store.snippets import make_snippet

EVIL = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return await step.do("evil", lambda: "it ran")
"""
OWN = EVIL.replace("evil", "own")  # what the visitor has shared: its address is a hash, which anybody can compute
OPERATOR = "Make tenant and key"

# Every way in which a page may have a browser send something, and what came of it as the page can see it.
TRIES = """async ({ target, evil, own, id }) => {
    const body = JSON.stringify({ source: evil });
    const came = {};
    const settle = async (name, promise) => {
        came[name] = await promise.then(
            async (it) => it.type === "opaque" ? "opaque" : `${it.status} ${(await it.text()).slice(0, 80)}`,
            (error) => `refused: ${error.name}`);
    };
    const send = (url, more) => fetch(url, { credentials: "include", signal: AbortSignal.timeout(WAIT_MS), ...more });
    const post = (path, more) => send(target + path, { method: "POST", body, ...more });
    for (const path of ["/api/instances", "/api/snippets", "/api/check", "/new", "/api/tenants/evil/keys"]) {
        await settle(`simple ${path}`, post(path, { mode: "no-cors", headers: { "Content-Type": "text/plain" } }));
        await settle(`form ${path}`, post(path, { mode: "no-cors", body: new URLSearchParams({ source: evil }) }));
        await settle(`cors ${path}`, post(path, { headers: { "Content-Type": "text/plain" } }));
        await settle(`preflighted ${path}`,
            post(path, { headers: { "Content-Type": "application/json", "Playground-Token": "x" } }));
    }
    await settle("a run of what is stored", post("/api/instances",
        { mode: "no-cors", body: JSON.stringify({ snippet: id }) }));
    for (const method of ["PUT", "DELETE", "PATCH"])
        await settle(method, send(`${target}/api/tenants/evil/workflow`, { method, body }));
    navigator.sendBeacon(`${target}/api/instances`, body);
    const link = `${target}/new?${new URLSearchParams({ source: evil })}`;
    await settle("read", send(link));
    await settle("blind", send(link, { mode: "no-cors" }));
    const wait = (node, to) => new Promise((resolve, reject) => {
        node.onload = node.onerror = resolve;
        setTimeout(reject, WAIT_MS, `no answer: ${node.outerHTML}`);
        to.append(node);
    });
    for (const address of [link, `${target}/s/${id}/embed`]) {
        await wait(Object.assign(new Image(), { src: address }), document.body);
        await wait(Object.assign(document.createElement("script"), { src: address }), document.body);
        await wait(Object.assign(document.createElement("link"), { rel: "stylesheet", href: address }), document.head);
        document.head.append(Object.assign(document.createElement("link"), { rel: "prefetch", href: address }));
    }
    return came;
}""".replace("WAIT_MS", str(WAIT_MS))
FRAMES = """<!doctype html><title>hostile</title><style>body { margin: 0 }
iframe, object, embed { width: 400px; height: 300px; border: 0; opacity: .05 }</style>
%s<form method="post" enctype="text/plain" target="one" action="TARGET/api/instances">
<input name='{"source": "EVIL", "x' value='": 1}'></form>
<form method="post" target="two" action="TARGET/new"><textarea name="source">EVIL</textarea></form>
<form method="post" target="three" action="TARGET/api/tenants/evil/keys"></form>
<iframe name="one"></iframe><iframe name="two"></iframe><iframe name="three"></iframe>
<script>for (const form of document.forms) form.submit();</script>"""


@dataclass
class Hostile:
    """A web server that is not the playground's. What it serves is set by the test."""

    port: int
    pages: dict[str, str]

    def serve(self, path: str, html: str) -> None:
        self.pages[path] = html


@pytest.fixture(scope="module")
def hostile() -> Iterator[Hostile]:
    pages: dict[str, str] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(pages.get(self.path, "<!doctype html><title>hostile</title>").encode())

        def log_message(self, *_: Any) -> None:
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield Hostile(running.server_port, pages)
    running.shutdown()
    thread.join()
    running.server_close()


class Victim:
    """A playground with one run and one link of its owner's, and what it has of anybody's."""

    def __init__(self, folder: Path, hostile_name: str, *options: str, command: tuple[str, ...]) -> None:
        self.hostile_name = hostile_name
        self.server = Server(folder, *options, command=command).start()
        (self.link,) = (word for line in self._printed("sign-in") for word in line.split() if word.startswith("http"))
        self.client = httpx2.Client(
            base_url=self.server.url,
            headers={"Playground-Token": self.link.partition("=")[2], "Accept": "application/json"},
            trust_env=False,
        )
        self.shared = self.client.post("/api/snippets", json={"source": OWN}).json()["id"]
        # The server checks its examples once, for the first page that shows them.
        self.client.get("/examples", headers={"Accept": "text/html"})

    def _printed(self, words: str) -> list[str]:
        """Lines that it has printed; all of them come within the first answer."""
        while not any(words in line for line in self.server.printed):
            httpx2.get(self.server.url + "/healthz", trust_env=False)
        return [line for line in self.server.printed if words in line]

    def has(self, source: str) -> bool:
        """Whether this code is stored."""
        stored = b"".join(file.read_bytes() for file in self.server.folder.glob("playground.db*"))
        return (
            self.client.get(f"/api/snippets/{make_snippet(source, None, 0).id}").status_code == 200
            or source.partition("def ")[2].encode() in stored
        )

    def done(self) -> dict[str, Any]:
        """All that it has ever done for anybody: executions begun, sources checked, what is stored."""
        text = self.client.get("/metrics").text
        counted = {
            name: float(re.findall(rf"^playground_{name}_total (\S+)$", text, re.MULTILINE)[0])
            for name in ("executions", "worker_starts")
        }
        tenants = self.client.get(
            "/tenants", headers={"Authorization": f"Bearer {self.link.partition('=')[2]}"}
        ).json()["tenants"]
        return counted | {
            "evil": self.has(EVIL),
            "tenants": tenants,
            "instances": self.client.get("/healthz").json()["instances"],
        }


@pytest.fixture(scope="module", params=["isolated", "not isolated"])
def victim(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """Who may ask does not depend on isolation, so that each of both is visited under one of both names."""
    folder = tmp_path_factory.mktemp("victim")
    if request.param == "isolated":
        playground = Victim(folder, "localhost", command=(sys.executable, "-m", "playground"))  # another site
    else:
        command = (sys.executable, "-c", NO_SECCOMP)
        playground = Victim(folder, "127.0.0.1", "--unsafe-no-sandbox", command=command)  # the same, another port
    yield playground
    playground.client.close()
    playground.server.stop()


@pytest.fixture
def visitor(victim: Victim, browser: Browser) -> Iterator[BrowserContext]:
    """A browser in which the playground is open, by its operator."""
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.goto(victim.link)
    assert page.url in (victim.server.url + "/", victim.server.url + "/tenants")  # nothing of the token
    page.goto(victim.server.url + "/tenants")
    expect(page.get_by_role("button", name=OPERATOR)).to_be_visible()
    yield context
    context.close()


def given(victim: Victim) -> dict[str, str]:
    return {"target": victim.server.url, "evil": EVIL, "own": OWN, "id": victim.shared}


def filled(html: str, victim: Victim) -> str:
    return html.replace("TARGET", victim.server.url).replace("EVIL", json.dumps(EVIL)[1:-1].replace('"', "&quot;"))


def test_requests_of_a_hostile_page_store_and_run_nothing(
    victim: Victim, visitor: BrowserContext, hostile: Hostile
) -> None:
    before = victim.done()
    page = visitor.new_page()
    page.goto(f"http://{victim.hostile_name}:{hostile.port}/")
    came = page.evaluate(TRIES, given(victim))
    assert len(came) == 26
    seen = {what: result for what, result in came.items() if result != "opaque"}
    assert set(seen.values()) == {"refused: TypeError"}, seen  # the browser lets the page read nothing
    assert victim.done() == before
    assert not before["evil"] and not before["tenants"]


def test_what_a_hostile_page_frames_does_not_load_and_its_forms_are_refused(
    victim: Victim, visitor: BrowserContext, hostile: Hostile
) -> None:
    embed = f"TARGET/s/{victim.shared}/embed"
    framed = [
        embed,
        embed + "?theme=light",
        f"TARGET/s/{victim.shared}",
        "TARGET/",
        "TARGET/new?source=EVIL",
        "TARGET/tenants",
    ]
    frames = (
        "".join(f'<iframe src="{address}"></iframe>' for address in framed)
        + f'<object data="{embed}"></object><embed src="{embed}">'
    )
    hostile.serve("/frames", filled(FRAMES % frames, victim))
    before = victim.done()
    page = visitor.new_page()
    answers: dict[str, int] = {}
    page.on(
        "response",
        lambda answer: answers.update(
            {f"{answer.request.method} {answer.url.removeprefix(victim.server.url)}": answer.status}
        ),
    )
    page.goto(f"http://{victim.hostile_name}:{hostile.port}/frames", wait_until="load")
    for box in page.locator(
        "iframe, object, embed"
    ).all():  # somebody clicks wherever the page wants, where Run would be and elsewhere
        edge = box.bounding_box()
        assert edge
        for x, y in ((380, 22), (200, 150), (20, 22)):
            page.mouse.click(edge["x"] + x, edge["y"] + y)
    assert {url for url in (frame.url for frame in page.frames) if url.startswith(victim.server.url)} <= {
        victim.server.url + path for path in REFUSED
    }
    while len(posts := {what: status for what, status in answers.items() if what.startswith("POST")}) < len(REFUSED):
        page.wait_for_event("response")
    assert posts == {f"POST {path}": 403 for path in REFUSED}
    assert victim.done() == before


REFUSED = ("/api/instances", "/new", "/api/tenants/evil/keys")  # where a form's answer, a refusal, was to be shown


def test_windows_that_a_hostile_page_opens_run_nothing_by_themselves(
    victim: Victim, visitor: BrowserContext, hostile: Hostile
) -> None:
    before = victim.done()
    page = visitor.new_page()
    page.goto(f"http://{victim.hostile_name}:{hostile.port}/")
    for path in (f"/new?{httpx2.QueryParams({'source': EVIL})}", f"/s/{victim.shared}/embed", f"/s/{victim.shared}"):
        with visitor.expect_page() as opened:
            page.evaluate("(url) => void (self.opened = open(url))", victim.server.url + path)
        window = opened.value
        expect(window.locator("h1")).to_be_visible()
        page.wait_for_function("opened.closed")  # Cross-Origin-Opener-Policy: the page that opened it has no hold on it
        assert window.evaluate("opener") is None
        window.close()
    checks = "worker_starts"  # of the editor that shows it, for whoever looks
    assert victim.done() | {checks: 0} == before | {checks: 0}


def test_code_in_an_address_becomes_a_run_when_its_reader_presses_run_and_not_before(
    victim: Victim, visitor: BrowserContext
) -> None:
    """Nor by the second press of a double click that was meant for another window. It does run then, so that the other
    tests do not pass for the wrong reason.
    """
    page = visitor.new_page()
    page.clock.install()
    code = OWN + "# meant\n"
    page.goto(f"{victim.server.url}/new?{httpx2.QueryParams({'source': code})}")
    expect(page.locator("#origin")).to_have_text("not stored")
    expect(page.get_by_text("This code came in a link")).to_be_visible()
    begun = victim.done()["executions"]
    page.clock.pause_at(page.evaluate("Date.now()") + 10_000)
    page.evaluate(
        "dispatchEvent(new Event('focus'))"
    )  # a window over it was closed between the presses of a double click
    page.locator("[data-run]:visible").click()
    expect(page.get_by_role("status").filter(has_text="Not started. This page has only just come up")).to_be_visible()
    page.clock.resume()
    assert not victim.has(code)
    assert victim.done()["executions"] == begun
    page.clock.fast_forward(1_000)
    page.locator("[data-run]:visible").click()
    expect(page).to_have_url(INSTANCE)
    assert victim.has(code)
    id = page.url.rpartition("/")[2]
    with victim.client.stream("GET", f"/api/instances/{id}/stream") as stream:
        assert any(line == "event: end" for line in stream.iter_lines())
    assert victim.done()["executions"] == begun + 1


def test_a_name_that_is_pointed_at_the_playground_gets_nothing(victim: Victim, visitor: BrowserContext) -> None:
    """DNS rebinding: for the browser the page and the playground are one site,
    so that it may send and read anything.
    """
    before = victim.done()
    page = visitor.new_page()
    there = f"http://{REBOUND}:{victim.server.port}"
    _serve_there(page, there)
    page.goto(there + "/hostile")
    came = page.evaluate(TRIES, given(victim) | {"target": there})
    assert len(came) == 26
    assert {result.partition(" ")[0] for result in came.values()} == {"421"}, came
    page.goto(there + "/")
    expect(page.locator("body")).to_contain_text(f"not to {REBOUND}")
    assert victim.done() == before


def _serve_there(page: Page, there: str) -> None:
    """The name led to the hostile server when its page was fetched, and leads to the playground from then on."""

    def fulfil(route: Route) -> None:
        route.fulfill(body="<!doctype html><title>hostile</title>", content_type="text/html")

    page.route(there + "/hostile", fulfil)
