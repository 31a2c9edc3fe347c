"""A snippet in another site's frame: small, in both themes, without storage, it runs when somebody presses Run and not
before.
"""

import http.server
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import MANY
from page_support import expect
from playwright.sync_api import Browser
from server_support import Server, ask

CODE = """import asyncio
from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("first")
        async def first():
            return event["payload"]["n"]

        @step.do("second")
        async def second(ctx):
            await asyncio.sleep(300 if ctx["attempt"] == 1 else 0)
            return ctx["attempt"]

        return await first() + await second()
"""
NO_STORAGE = """for (const name of ["localStorage", "sessionStorage"])
  Object.defineProperty(window, name, { get() { throw new DOMException("refused", "SecurityError"); } });"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One whose operator lets other sites frame it."""
    running = Server(tmp_path_factory.mktemp("server"), *MANY, "--embeddable").start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[Callable[[str], str]]:
    """`elsewhere(html)` serves a page of another origin and gives its address."""
    pages: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(pages.get(self.path, b""))

        def log_message(self, *_: Any) -> None:
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()

    def serve(html: str) -> str:
        path = f"/{len(pages)}"
        pages[path] = html.encode()
        return f"http://localhost:{running.server_port}{path}"

    yield serve
    running.shutdown()
    thread.join()
    running.server_close()


def test_a_run_starts_in_the_frame_and_is_seen_there(
    server: Server, browser: Browser, elsewhere: Callable[[str], str]
) -> None:
    width = 320
    snippet = ask(server.url + "/api/snippets", {"source": CODE, "params": {"n": 40}})
    context = browser.new_context(viewport={"width": width + 40, "height": 520}, color_scheme="light")
    try:
        context.add_init_script(NO_STORAGE)
        page = context.new_page()
        trouble: list[str] = []
        page.on("pageerror", lambda error: trouble.append(error.message))
        page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
        frame = page.frame_locator("iframe")
        for theme in ("light", "dark"):
            address = f"{server.url}{snippet['url']}/embed?theme={theme}"
            page.goto(elsewhere(f'<!doctype html><iframe src="{address}" width="{width}" height="420"></iframe>'))
            expect(frame.locator("#listing")).to_contain_text("class TenantWorkflow")
            ground = frame.locator("body").evaluate("node => getComputedStyle(node).backgroundColor")
            assert (ground == "rgb(255, 255, 255)") == (theme == "light")
        assert frame.locator("#whole").get_attribute("href") == snippet["url"]
        frame.get_by_role("button", name="Run", exact=True).click()
        steps = frame.get_by_role("list", name="Steps")
        # Its row is there before it begins; a kill by then would leave its first attempt to the next worker.
        expect(steps.get_by_role("button", name=re.compile("^second"))).to_contain_text("running")
        frame.locator('[data-part="kill"]').click()
        expect(frame.locator('[data-part="word"]')).to_have_text("Complete")
        expect(steps.get_by_role("button", name="second")).to_contain_text("2 attempts")
        expect(frame.get_by_role("region", name="Output")).to_contain_text("42")
        frame.get_by_role("button", name="Fork", exact=True).click()
        fork = frame.get_by_role("dialog", name="Fork this run")
        fork.get_by_role("button", name="Cancel").click()
        expect(fork).to_be_hidden()
        assert frame.locator("body").evaluate("() => document.documentElement.scrollWidth") <= width
        for control in frame.locator(".runhead button:visible, .embed-bar :is(a, button):visible").all():
            box, edge = control.bounding_box(), page.locator("iframe").bounding_box()
            assert box and edge and box["x"] + box["width"] <= edge["x"] + edge["width"], control.get_attribute(
                "aria-label"
            )
        assert (frame.locator("#whole").get_attribute("href") or "").startswith("/instances/")
        assert trouble == []
    finally:
        context.close()


def test_a_read_only_frame_has_no_scripts_and_starts_nothing(server: Server, open_page: Callable) -> None:
    snippet = ask(server.url + "/api/snippets", {"source": CODE})
    page = open_page(f"{server.url}{snippet['url']}/embed?readonly").page
    expect(page.locator("#listing")).to_contain_text("class TenantWorkflow")
    assert page.locator("script, [data-run], [data-part]").count() == 0
    expect(page.get_by_role("link", name="Open in the playground")).to_be_visible()
