"""Sharing: links with their options, what is said when there is none, and what somebody else may do with one."""

import re
import zipfile
from collections.abc import Callable, Iterator

import pytest
from conftest import MANY
from page_support import Playground, expect, hearing
from playwright.sync_api import Route
from server_support import Server

WIDE = {"viewport": {"width": 1280, "height": 860}, "color_scheme": "light"}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "color_scheme": "dark"}
CODE = (
    "from workers import WorkflowEntrypoint\n\n\nclass TenantWorkflow(WorkflowEntrypoint):\n    async def run(self, "
    "event, step):\n        return await step.do('one', lambda: {n})\n"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One whose operator lets other sites frame it."""
    running = Server(tmp_path_factory.mktemp("server"), *MANY, "--embeddable").start()
    yield running
    running.stop()


def test_the_dialog_has_a_link_for_each_purpose_with_its_options(server: Server, open_page: Callable) -> None:
    watched = open_page(f"{server.url}/examples/saga", permissions=["clipboard-read", "clipboard-write"], **WIDE)
    page = watched.page
    page.get_by_role("button", name="Share").click()
    code, embed, markdown = (
        page.get_by_label(name, exact=True) for name in ("Link to the code", "Frame to embed", "Markdown")
    )
    expect(code).to_have_value(re.compile(rf"^{server.url}/s/\w+$"))
    link = code.input_value()
    expect(page.get_by_label("Link to this run")).to_be_hidden()
    expect(embed).to_have_value(
        f'<iframe src="{link}/embed" title="Saga with rollback" width="100%" height="420" loading="lazy"></iframe>'
    )
    page.get_by_role("button", name="Dark", exact=True).click()
    page.get_by_label("Read-only, without Run").check()
    expect(embed).to_have_value(re.compile(r"/embed\?theme=dark&#38;readonly\""))
    expect(markdown).to_have_value(f"[![Saga with rollback]({link}.png)]({link})")
    page.get_by_label("With a picture of the code").uncheck()
    expect(markdown).to_have_value(f"[Saga with rollback]({link})")
    page.get_by_text("Preview", exact=True).click()
    preview = page.frame_locator("#share-preview iframe")
    expect(preview.locator("#listing")).to_contain_text("book flight")
    assert preview.locator("body").evaluate("node => getComputedStyle(node).backgroundColor") != "rgb(255, 255, 255)"
    expect(preview.locator("[data-run]")).to_have_count(0)
    with hearing(page, "Link to the code copied"):
        page.locator("#share-code").get_by_role("button", name="Copy").click()
    assert page.evaluate("navigator.clipboard.readText()") == link
    page.get_by_text("Take it to Cloudflare").click()
    expect(page.locator("#take-out-said")).to_contain_text("3 lines fail there, or mean something else:")
    expect(page.locator("#take-out-said li")).to_have_count(2)
    with page.expect_download() as taken:
        page.get_by_role("button", name="Download the folder").click()
    assert taken.value.suggested_filename == "saga-with-rollback.zip"
    with zipfile.ZipFile(taken.value.path()) as archive:
        assert "saga-with-rollback/wrangler.jsonc" in archive.namelist()
    page.keyboard.press("Escape")
    expect(page.locator("#share-preview iframe")).to_have_count(0)
    with hearing(page, "Link to the code copied"):
        page.keyboard.press("ControlOrMeta+s")


def test_where_no_site_may_frame_it_the_dialog_says_how_to_change_that(own_server: Server, open_page: Callable) -> None:
    page = open_page(f"{own_server.url}/examples/saga", **WIDE).page
    page.get_by_role("button", name="Share").click()
    code, markdown = (page.get_by_label(name, exact=True) for name in ("Link to the code", "Markdown"))
    expect(code).to_have_value(re.compile(rf"^{own_server.url}/s/\w+$"))
    expect(markdown).to_have_value(re.compile(r"\.png\)\]"))
    expect(page.locator("#share-no-embed")).to_contain_text("start it with --embeddable")
    expect(page.get_by_label("Frame to embed")).to_have_count(0)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Share").click()
    expect(code).to_have_value(re.compile("/s/"))


def test_without_the_server_it_says_so_and_tries_again(server: Server, open_page: Callable) -> None:
    watched = open_page(f"{server.url}/", **PHONE)
    page = watched.page
    watched.server_away = True
    watched.context.set_offline(True)
    page.get_by_role("button", name="Share").tap()
    problem = page.locator("#share-problem")
    expect(problem).to_contain_text("No connection to the server. Your code is kept in this browser")
    expect(page.locator("#share-code").get_by_role("button", name="Copy")).to_have_attribute("aria-disabled", "true")
    watched.context.set_offline(False)
    # At once: the browser says that it is back.
    expect(page.get_by_label("Link to the code")).to_have_value(re.compile("/s/"))
    expect(problem).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_what_is_typed_while_the_link_is_made_is_no_part_of_it_and_kept(server: Server, open_page: Callable) -> None:
    watched = open_page(f"{server.url}/examples/hello", permissions=["clipboard-read", "clipboard-write"], **WIDE)
    page = Playground(watched, server.url)
    page.write(CODE.format(n=3))
    expect(page.editor).to_contain_text("lambda: 3")
    expect(page.editor).to_be_focused()
    held: list[Route] = []
    page.page.route("**/api/snippets", lambda route: held.append(route))
    with page.page.expect_request("**/api/snippets"):
        page.page.keyboard.press("ControlOrMeta+s")
    page.page.keyboard.type("# later")
    with hearing(page.page, "Link to the code copied"):
        held[0].continue_()
    expect(page.page).to_have_url(f"{server.url}/")
    expect(page.page.locator("#draft")).to_contain_text("Draft kept")
    page.page.goto(page.page.evaluate("navigator.clipboard.readText()"))
    expect(page.page.locator("#notices")).to_contain_text("You have a draft of this")
    expect(page.editor).not_to_contain_text("# later")


def test_what_is_edited_has_another_link_and_who_watches_runs_a_copy(
    server: Server, opened: Callable[..., Playground]
) -> None:
    page = opened("/", **WIDE)
    instance = page.run(CODE.format(n=1))
    page.expect_status("Complete")
    page.control("Share").click()
    code = page.page.get_by_label("Link to the code")
    expect(code).to_have_value(re.compile("/s/"))
    expect(page.page.locator("#share-note")).to_be_hidden()
    expect(page.page.get_by_label("Link to this run")).to_have_value(f"{server.url}/instances/{instance}")
    before = code.input_value()
    page.page.keyboard.press("Escape")
    page.write(CODE.format(n=2))
    page.control("Share").click()
    expect(page.page.locator("#share-note")).to_contain_text("You have edited the code since this run began")
    expect(code).not_to_have_value(re.compile(f"^({re.escape(before)})?$"))

    other = opened(f"/instances/{instance}", **PHONE)
    expect(
        other.page.get_by_text("You are watching. Only the browser that started this run can change it.")
    ).to_be_visible()
    other.control("Run a copy").tap()
    expect(other.page).not_to_have_url(re.compile(instance))
    other.expect_status("Complete")
    expect(other.output).to_contain_text("1")
    expect(other.control("Run a copy")).to_have_count(0)
