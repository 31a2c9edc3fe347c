"""A run that is kept as a file and opened again: by somebody who has no server that knows it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from access_support import findings
from conftest import MANY
from page_support import Playground, expect
from server_support import Server

WIDE = {"viewport": {"width": 1280, "height": 860}, "color_scheme": "light"}
CODE = '''"""Greets <b>somebody</b>"""
from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do("greet")
        async def greet():
            print("<img src=x onerror=alert(1)>")
            return {"<b>": f"Hello, {event['payload']['name']}!"}

        return await greet()
'''
"""A drop of a file that the page is given as text."""
DROP = """([name, text]) => {
    const data = new DataTransfer();
    data.items.add(new File([text], name));
    const drop = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
    document.body.dispatchEvent(drop);
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server"), *MANY).start()
    yield running
    running.stop()


def test_a_run_is_saved_dropped_on_a_page_looked_at_and_run_again(
    server: Server, open_page: Callable, tmp_path: Path
) -> None:
    watched = open_page(f"{server.url}/", **WIDE)
    page, playground = watched.page, Playground(watched, server.url)
    page.get_by_role("textbox", name="Params").fill('{"name": "Ada"}')
    id = playground.run(CODE)
    expect(page.locator("[data-part=word]")).to_have_text("Complete")
    page.get_by_role("button", name="Share").click()
    with page.expect_download() as test:
        page.get_by_role("button", name="Test from this run").click()
    assert 'recorded.ran("greet", {"<b>": "Hello, Ada!"})' in Path(test.value.path()).read_text()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save the run").click()
    assert saved.value.suggested_filename == f"run-{id}.jsonl"
    text = Path(saved.value.path()).read_text()

    asked = []
    page.goto(f"{server.url}/")
    expect(page.locator("[data-part=idle]")).to_be_visible()
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(DROP, ["broken.jsonl", text[:-80]])
    expect(page.get_by_role("alert")).to_contain_text("This file was not opened. broken.jsonl: it is cut off in line")
    page.evaluate(DROP, ["ada <i>.jsonl", text])
    bar = page.locator(".from-file")
    expect(bar).to_contain_text("From a file. ada <i>.jsonl, written")
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator("[data-part=word]")).to_have_text("Complete")
    expect(page.locator("[data-part=rows]")).to_contain_text("greet")
    expect(page.get_by_text('"Hello, Ada!"').first).to_be_visible()
    page.get_by_role("tab", name="Journal").click()
    expect(page.locator("[data-part=journal-rows]")).to_contain_text("workflow_completed")
    page.get_by_role("tab", name="Logs").click()
    expect(page.locator("[data-part=logs-rows]")).to_contain_text("<img src=x onerror=alert(1)>")
    page.get_by_role("button", name="One event back").click()
    expect(page.locator("[data-part=head]")).to_contain_text("as it was at event")
    page.get_by_role("button", name="Back to latest").click()
    expect(page.get_by_role("button", name="Restart", exact=True)).to_have_attribute("aria-disabled", "true")
    expect(page.get_by_role("button", name="Fork", exact=True)).to_be_hidden()
    assert findings(page) == []
    assert [url for url in asked if "/api/instances" in url] == []

    bar.get_by_role("button", name="Compare…").click()
    dialog = page.get_by_role("dialog", name="Compare with another run")
    dialog.get_by_label("Address or id of the other run").fill("no run")
    dialog.get_by_role("button", name="Compare", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("That is no address of a run, and no id.")
    dialog.get_by_label("Address or id of the other run").fill(f"{server.url}/instances/{id}")
    dialog.get_by_role("button", name="Compare", exact=True).click()
    expect(dialog).to_contain_text("No difference: the same steps with the same results, and the same end.")
    assert findings(page) == []
    page.keyboard.press("Escape")

    bar.get_by_role("button", name="Fork with results").click()
    expect(page).not_to_have_url(f"{server.url}/")
    expect(page.locator("[data-part=word]")).to_have_text("Complete")
    expect(bar).to_have_count(0)
    assert playground.instance != id
    expect(page.locator("[data-part=logs-rows]")).not_to_contain_text("<img")  # the step has not run again
    expect(page.get_by_text('"Hello, Ada!"').first).to_be_visible()
