"""A workflow of one's own: begun, named, run, found again by its name, also by whoever watches it."""

import re
from collections.abc import Callable

from access_support import findings
from browser_support import Watched
from page_support import Playground, expect
from server_support import ask

from playground.cloudflare.project import as_zip, project_files

# A file held over the page and let go on it, as a person drags it in from a folder.
DROP = """([name, content]) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([Uint8Array.from(content)], name));
  const event = (type) => new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true });
  document.querySelector(".cm-content").dispatchEvent(event("dragover"));
  const said = document.body.classList.contains("is-dropping");
  document.querySelector(".cm-content").dispatchEvent(event("drop"));
  return said;
}"""
DROPPED = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        return await step.do("double", lambda: 42)
"""


def test_a_workflow_is_begun_named_run_and_found_by_its_name(
    opened: Callable[..., Playground], open_page: Callable[..., Watched]
) -> None:
    page = opened("/", reduced_motion="reduce")
    title = page.page.get_by_role("heading", level=1)
    page.write("# what was here\n")
    page.control("New").click()
    page.page.get_by_label("Name", exact=True).fill("Invoices, November")
    assert findings(page.page) == []
    page.page.get_by_role("dialog").get_by_role("button", name="Blank").click()
    expect(title).to_have_text("Invoices, November")
    expect(page.editor).to_contain_text('"""Invoices, November"""')
    expect(page.editor).to_be_focused()
    expect(page.page.locator("#draft")).to_have_text("Draft kept in this browser")

    page.page.locator("#rename").click()
    page.page.keyboard.type('The "big" invoices')
    page.page.keyboard.press("Enter")
    expect(title).to_have_text('The "big" invoices')
    expect(page.editor).to_contain_text('"""The "big" invoices"""')
    page.page.keyboard.press("ControlOrMeta+Enter")
    page.expect_status("Complete")
    expect(page.page).to_have_title('Complete · The "big" invoices · Dynamic Workflows Playground')
    run = ask(f"{page.url}/api/instances/{page.instance}")
    shared, frame = (
        page.page.request.get(f"{page.url}/s/{run['snippet']}{end}", headers={"Accept": "text/html"}).text()
        for end in ("", "/embed")
    )
    assert '<meta property="og:title" content="The &#34;big&#34; invoices">' in shared
    assert '<h1 id="title">The &#34;big&#34; invoices</h1>' in frame
    raw = page.page.request.get(f"{page.url}/s/{run['snippet']}.py")
    assert f"the-big-invoices-{run['snippet'][:8]}.py" in raw.headers["content-disposition"]

    # While the editor has the code of a run it is the run that is renamed, in this browser only.
    page.page.locator("#rename").click()
    page.page.keyboard.type("Mine")
    page.page.keyboard.press("Enter")
    expect(title).to_have_text("Mine")
    expect(page.editor).to_contain_text('"""The "big" invoices"""')

    assert page.page.evaluate(DROP, ["old_name.py", list(DROPPED.encode())])
    expect(title).to_have_text("old name")
    expect(page.editor).to_contain_text('step.do("double"')
    project = project_files(
        DROPPED.replace("double", "triple"),
        title="Of a project",
        class_name="TenantWorkflow",
        has_default=False,
        diagnostics=[],
        params='{"n": 1}',
    )
    assert page.page.evaluate(DROP, ["it.zip", list(as_zip(project, "it"))])
    expect(title).to_have_text("of a project")
    expect(page.editor).to_contain_text('step.do("triple"')
    expect(page.page.locator("#params")).to_have_value('{"n": 1}')
    expect(page.page).to_have_url(page.url + "/")
    page.run()
    page.expect_status("Complete")
    page.control("Recent runs").click()
    rows = page.page.get_by_role("dialog", name="Recent runs").get_by_role("listitem")
    expect(rows).to_have_text([re.compile("of a project.*Complete"), re.compile("Mine.*Complete")])
    page.page.get_by_label("Search runs").fill("mine")
    expect(rows).to_have_count(1)
    assert findings(page.page) == []

    # Somebody who has its link finds it again, too, where it was when it was opened first.
    watcher = open_page(f"{page.url}/instances/{run['id']}")
    expect(watcher.page.get_by_role("heading", level=1)).to_have_text('The "big" invoices')
    watcher.page.goto(page.url)
    watcher.page.get_by_role("button", name="Recent runs").click()
    expect(watcher.page.get_by_role("listitem").filter(has_text="somebody’s, opened here")).to_contain_text("Complete")
