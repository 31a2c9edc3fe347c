"""What a person is told of the limits while running code: how much is left when it is nearly used up, and when there is more."""

from collections.abc import Callable, Iterator

import pytest
from page_support import Playground, expect
from server_support import Server

QUICK = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return "done"
"""


@pytest.fixture
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server"), "--starts-per-minute", "5").start()
    yield running
    running.stop()


def test_what_is_left_is_told_when_it_is_nearly_used_up(strict: Server, open_page: Callable) -> None:
    watched = open_page(strict.url)
    page = Playground(watched, strict.url)
    notice = watched.page.locator("#notices [data-subject=run]")
    page.write(QUICK)
    for told in (None, "3 more runs now: 5 a minute", "2 more runs now", "1 more run now", "No more runs now"):
        page.run()
        page.expect_status("Complete")
        if told is None:
            expect(notice).to_have_count(0)
        else:
            expect(notice).to_contain_text(told)
    page.run_button.click()
    expect(notice).to_contain_text("5 runs in a minute from your address, which is the limit here.")
    expect(notice).to_contain_text("You can run again in")
    watched.forgive("429")
