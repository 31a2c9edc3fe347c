"""A tool that takes a day: an agent calls a tenant's workflow, its worker dies, a person answers on the page, and the
agent has its result.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
from aio import run
from mcp_support import MODERN, Json, Tasks, agent
from page_support import Playground, expect
from server_support import Server
from test_browser_tenants import key_of

from playground import examples

SECONDS = 30.0


def test_an_agents_call_outlives_its_worker_and_waits_for_a_person(tmp_path: Path, open_page: Callable) -> None:
    server = Server(tmp_path, "--mcp-task-seconds", "1").start()
    try:
        key = key_of(server, "acme").split()[0]
        lesson = next(it for it in examples.load() if it.slug == "tool-call")
        source = lesson.source.replace("async def look():", "async def look(ctx):")
        source = source.replace("asyncio.sleep(2)", 'asyncio.sleep(600 if ctx["attempt"] == 1 else 0)')
        deployed = httpx2.put(
            f"{server.url}/api/tenants/acme/workflows/refund",
            json={"source": source},
            headers={"Authorization": f"Bearer {key}"},
            timeout=SECONDS,
        )
        assert deployed.status_code == 201

        async def call() -> Json:
            tasks = Tasks()
            async with agent(f"{server.url}/mcp/tenants/acme", key, mode=MODERN, tasks=tasks) as client:
                assert (await client.list_tools()).tools[0].description == "Refund an order, once a person has agreed."
                result = await client.call_tool("refund", lesson.params)
                assert tasks.statuses[0] == "working" and tasks.statuses[-1] == "completed"
                return dict(result.structured_content)

        with ThreadPoolExecutor() as elsewhere:
            answer = elsewhere.submit(run, call())
            watched = open_page(server.url + "/tenants/acme", reduced_motion="reduce")
            page, playground = watched.page, Playground(watched, server.url)
            page.get_by_label("Key of acme").fill(key)
            page.get_by_role("button", name="Open", exact=True).click()
            page.locator("#runs-rows").get_by_role("link").first.press("Enter")
            playground.expect_step("look at the order", "running")
            playground.control("Kill worker").click()
            expect(playground.executions).to_have_text("2")
            playground.expect_status("Waiting")
            page.locator(".ask textarea").fill('{"yes": true}')
            page.get_by_role("button", name="Send event").click()
            playground.expect_status("Complete")
            expect(page.get_by_role("region", name="Output")).to_contain_text("refunded")
            assert answer.result(SECONDS) == {"refunded": 49}
    finally:
        server.stop()
