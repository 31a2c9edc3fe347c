"""What a person is told of the limits while running code: how much is left when it is nearly used up, and when there is
more.
"""

import re
from collections.abc import Callable, Iterator

import pytest
from page_support import Playground, expect
from server_support import Server

AT_THE_LIMIT = re.compile(
    r"4 runs in a minute from your address, which is the limit here\. You can run again in \d+ s\."
)
QUICK = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return "done"
"""


@pytest.fixture
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server"), "--starts-per-minute", "4").start()
    yield running
    running.stop()


def test_what_is_left_is_told_when_it_is_nearly_used_up(strict: Server, open_page: Callable) -> None:
    watched = open_page(strict.url)
    page = Playground(watched, strict.url)
    notice = watched.page.locator("#notices [data-subject=run]")
    page.write(QUICK)
    for told in (
        "3 runs left this minute. One more in",
        "2 runs left",
        "1 run left",
        "No runs left this minute. You can run again in",
    ):
        page.run()
        page.expect_status("Complete")
        expect(notice).to_contain_text(told)
        expect(notice).to_have_attribute("role", "status")
        expect(page.run_button).to_have_attribute("aria-disabled", "false")
    page.run_button.click()
    expect(notice).to_have_text(AT_THE_LIMIT)
    expect(page.run_button).to_have_text(re.compile(r"Run in \d+ s"))
    before = notice.inner_text()
    expect(notice).not_to_have_text(before)  # it counts down
    expect(notice).to_have_text(AT_THE_LIMIT)
    page.editor.click()  # and nothing else is held up
    page.page.keyboard.type("#")
    expect(page.editor).to_contain_text("#")
    watched.page.set_viewport_size({"width": 390, "height": 844})
    # Over the button, whichever half is in sight.
    expect(watched.page.locator("#notices-bar [data-subject=run]")).to_be_visible()
    watched.forgive("429")
