"""A browser has six connections for a site over HTTP/1.1: pages and frames side by side share them, and none of them
hangs.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import MANY as MANY_STARTS
from page_support import HIDE, WAIT_MS, Playground, expect
from playwright.sync_api import Browser, BrowserContext, Page, Request
from server_support import Server, ask

pytestmark = pytest.mark.long

MOST = 4  # streams that one browser may hold
CONNECTIONS = 6  # that a browser opens to one host by HTTP/1.1
MANY = CONNECTIONS  # and one more page, which is to be answered all the same
WAITS = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        await step.wait_for_event("somebody", "called")
        return "awake"
"""
SOON_MS = 25_000  # hidden for 30 s a page lets go of its connection anyway
ASKING = "This one asks for what is new every second."


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose streams are counted: no other test's page holds one."""
    running = Server(tmp_path_factory.mktemp("streams"), *MANY_STARTS).start()
    yield running
    running.stop()


def open_streams(context: BrowserContext) -> list[int]:
    """A list with how many streams the browser holds, which goes on as they begin and end."""
    held: set[Request] = set()
    counts = [0]

    def begun(request: Request) -> None:
        if "/stream?after=" in request.url:
            held.add(request)
            counts.append(len(held))

    def over(request: Request) -> None:
        if request in held:
            held.discard(request)
            counts.append(len(held))

    context.on("request", begun)
    context.on("requestfinished", over)
    context.on("requestfailed", over)
    return counts


def asking_of(pages: list[Page]) -> list[Page]:
    """Those that ask, once all others have the streams that there are: who has one is settled after a run is shown."""
    deadline = time.monotonic() + WAIT_MS / 1000
    while len(asking := [page for page in pages if page.get_by_text(ASKING).is_visible()]) != len(pages) - MOST:
        assert time.monotonic() < deadline, asking
        pages[0].wait_for_timeout(50)
    return asking


def call(server: Server, made: dict[str, Any], page: Any) -> None:
    """Send what a run waits for, from the page: by one of the connections that are left."""
    status = page.evaluate(
        "([url, token]) => fetch(url, {method: 'POST', headers: {Authorization: `Bearer ${token}`}, body: "
        "'{}'}).then(it => it.status)",
        [f"/api{made['url']}/events/called", made["control_token"]],
    )
    assert status == 202


def test_pages_side_by_side_follow_their_runs_and_the_site_answers(counted: Server, open_page: Callable) -> None:
    first = Playground(open_page(counted.url + "/"), counted.url)
    streams = open_streams(first.page.context)
    windows = []
    for _ in range(MANY):
        made = ask(f"{counted.url}/api/instances", {"source": WAITS})
        page = first.page.context.new_page()
        page.goto(counted.url + made["url"], timeout=SOON_MS)
        expect(page.locator('[data-part="word"]')).to_have_text("Waiting", timeout=SOON_MS)
        windows.append((page, made))
    for page, _ in windows:  # all of them come back at once, as after the browser was started again
        page.evaluate("() => { window.old = true; setTimeout(() => location.reload()); }")
    for page, _ in windows:
        page.wait_for_function("() => !window.old")
        expect(page.locator('[data-part="word"]')).to_have_text("Waiting", timeout=SOON_MS)
    asking = asking_of([page for page, _ in windows])
    first.page.goto(counted.url + "/examples/hello", timeout=SOON_MS)
    first.run()
    first.expect_step("compose greeting", "done")
    # One that goes elsewhere leaves its stream to one that asks.
    gone = next(page for page, _ in windows if page not in asking)
    with first.page.context.expect_event("request", lambda request: "/stream?after=" in request.url):
        gone.goto(counted.url + "/about", timeout=SOON_MS)
    windows = [(page, made) for page, made in windows if page is not gone]
    for page, _ in windows:  # no tab of a headless browser is ever hidden by another
        page.evaluate(HIDE, True)
    for page, made in windows:
        page.evaluate(HIDE, False)
        call(counted, made, page)
    for page, _ in windows:
        expect(page.locator('[data-part="word"]')).to_have_text("Complete", timeout=SOON_MS)
        expect(page.get_by_role("region", name="Output")).to_contain_text("awake")
        expect(page.get_by_text(ASKING)).to_be_hidden()
    # The browser tells of one page's end and another's beginning in any order.
    assert MOST in streams and max(streams) < CONNECTIONS, streams


def test_without_locks_too_a_page_that_asks_gets_the_stream_that_another_lets_go(
    counted: Server, open_page: Callable
) -> None:
    """Over plain HTTP from another machine a browser has no locks to give."""
    context = open_page(counted.url + "/about").page.context
    context.add_init_script("Object.defineProperty(Navigator.prototype, 'locks', { get: () => undefined })")
    pages = []
    for _ in range(MOST + 1):
        page = context.new_page()
        page.goto(counted.url + ask(f"{counted.url}/api/instances", {"source": WAITS})["url"])
        expect(page.locator('[data-part="word"]')).to_have_text("Waiting")
        pages.append(page)
    expect(pages[-1].get_by_text(ASKING)).to_be_visible()
    with pages[-1].expect_request("**/stream?after=*"):
        pages[0].close()
    expect(pages[-1].get_by_text(ASKING)).to_be_hidden()


def test_frames_in_one_article_run_and_the_site_answers(counted: Server, browser: Browser, open_page: Callable) -> None:
    snippet = ask(counted.url + "/api/snippets", {"source": WAITS})
    frames = "".join(
        f'<iframe src="{counted.url}{snippet["url"]}/embed" width="420" height="360"></iframe>' for _ in range(MANY)
    )
    context = browser.new_context(
        viewport={"width": 1_000, "height": 1_600}, service_workers="block", reduced_motion="reduce"
    )
    try:
        page = context.new_page()
        page.route("**/article", lambda route: route.fulfill(content_type="text/html", body=f"<!doctype html>{frames}"))
        streams = open_streams(context)
        page.goto(counted.url + "/article")
        made = []
        for place in range(MANY):
            frame = page.frame_locator(f"iframe >> nth={place}")
            with page.expect_response("**/api/instances") as answer:
                frame.get_by_role("button", name="Run", exact=True).click(timeout=SOON_MS)
            made.append(answer.value.json())
            expect(frame.locator('[data-part="word"]')).to_have_text("Waiting", timeout=SOON_MS)
        assert len({it["id"] for it in made}) == MANY
        other = context.new_page()
        other.goto(counted.url + "/examples/hello", timeout=SOON_MS)
        other.locator("#params").fill('{"seconds": 0}')
        other.locator("[data-run]:visible").click()
        expect(other.locator('[data-part="word"]')).to_have_text("Complete", timeout=SOON_MS)
        for it in made:
            call(counted, it, other)
        for place in range(MANY):
            expect(page.frame_locator(f"iframe >> nth={place}").get_by_role("region", name="Output")).to_contain_text(
                "awake", timeout=SOON_MS
            )
        assert MOST in streams and max(streams) <= MOST, streams
    finally:
        context.close()
