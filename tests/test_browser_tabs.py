"""Seven tabs of one browser, which has six connections for all of them; and a tab that is hidden and shown again."""

from collections.abc import Callable

from page_support import Playground, expect
from server_support import Server, ask

NAPS = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        await step.wait_for_event("somebody", "called")
        return "awake"
"""
BEFORE_MS = 20_000  # hidden for 30 s a tab lets go of its connection anyway
HIDE = (
    "hidden => { Object.defineProperty(document, 'hidden', { get: () => hidden, configurable: true }); "
    "document.dispatchEvent(new Event('visibilitychange')) }"
)


def test_seven_tabs_follow_seven_runs(server: Server, opened: Callable[..., Playground]) -> None:
    first = opened()
    tabs = []
    for _ in range(7):
        made = ask(f"{server.url}/api/instances", {"source": NAPS})
        page = first.page.context.new_page()
        page.goto(server.url + made["url"], timeout=BEFORE_MS)
        expect(page.locator('[data-part="word"]')).to_have_text("Waiting")
        # No tab of a headless browser is ever hidden by another.
        page.evaluate(HIDE, True)
        tabs.append((page, made))
    for page, made in tabs:
        page.evaluate(HIDE, False)
        status = page.evaluate(
            "([url, token]) => fetch(url, {method: 'POST', headers: {Authorization: `Bearer ${token}`}, body: "
            "'{}'}).then(it => it.status)",
            [f"/api{made['url']}/events/called", made["control_token"]],
        )
        assert status == 202
        expect(page.locator('[data-part="word"]')).to_have_text("Complete")
        expect(page.get_by_role("region", name="Output")).to_contain_text("awake")
