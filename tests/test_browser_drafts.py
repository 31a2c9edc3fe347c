"""Drafts of several tabs: each has its own, none is written over, and a tab that is reloaded or opened again has it
back.
"""

import json
import re
from collections.abc import Callable

from browser_support import Watched
from page_support import Playground, expect

NO_LOCKS = "Object.defineProperty(Navigator.prototype, 'locks', { get: () => undefined })"
MOST = 50
KEPT = "Draft kept in this browser"
NOTE = "There is no class TenantWorkflow, so there is nothing to run.*"  # which the check writes behind the last line


def tab(page: Playground, path: str = "/") -> Playground:
    """Another tab of the same browser."""
    return Playground(Watched(page.watched.context, page.url + path), page.url)


def expect_code(page: Playground, line: str) -> None:
    """The editor has this line of code and no other, whether the check has had its say or not."""
    expect(page.editor).to_have_text(re.compile(rf"^{re.escape(line)}({NOTE})?$"))


def edit(page: Playground, source: str) -> None:
    page.write(source)
    expect(page.page.locator("#draft")).to_contain_text(KEPT)
    expect_code(page, source.strip())


def drafts(page: Playground) -> dict[str, dict[str, str]]:
    """What is kept, by the code."""
    found = page.page.evaluate(
        "Object.entries(localStorage).filter(([name]) => name.startsWith('playground.draft.')).map(([, text]) => text)"
    )
    return {json.loads(text)["source"].strip(): json.loads(text) for text in found}


def test_two_tabs_keep_a_draft_each_and_have_it_back_after_a_reload(opened: Callable[..., Playground]) -> None:
    one = opened("/examples/retries")
    two = tab(one, "/examples/retries")
    edit(one, "# of the first\n")
    edit(two, "# of the second\n")
    edit(one, "# of the first, again\n")
    for page, source in ((two, "# of the second"), (one, "# of the first, again")):
        page.page.reload()
        expect_code(page, source.strip())
        expect(page.page.locator("#notices")).to_contain_text("is back")
    assert set(drafts(one)) == {"# of the first, again", "# of the second"}


def test_a_tab_that_is_opened_again_gets_the_draft_of_the_closed_one(opened: Callable[..., Playground]) -> None:
    one = opened("/")
    two = tab(one)
    edit(two, "# of the second\n")
    edit(one, "# of the first\n")
    two.page.close()
    again = tab(one)
    expect_code(again, "# of the second")
    edit(again, "# of the second, again\n")
    third = tab(one)
    expect(third.editor).to_contain_text("compose greeting")
    assert set(drafts(one)) == {"# of the first", "# of the second, again"}
    again.page.close()
    third.page.goto(one.url + "/examples/retries")
    expect(third.editor).to_contain_text("redeem coupon")
    expect(third.page.locator("#notices")).to_be_empty()


def test_a_copy_of_a_tab_does_not_write_over_the_drafts_of_the_tab(opened: Callable[..., Playground]) -> None:
    one = opened("/")
    edit(one, "# of the first\n")
    with one.page.expect_popup() as made:
        one.page.evaluate("() => void window.open('/')")  # with what the session holds, as a duplicated tab
    copy = Playground(one.watched, one.url)
    copy.page = made.value
    expect_code(copy, "# of the first")
    edit(copy, "# of the copy\n")
    assert set(drafts(one)) == {"# of the first", "# of the copy"}
    one.page.reload()
    expect_code(one, "# of the first")


def test_a_draft_that_was_offered_and_not_restored_stays(opened: Callable[..., Playground]) -> None:
    page = opened("/examples/retries")
    edit(page, "# older\n")
    page.page.goto(page.url + "/examples/retries")
    expect(page.page.locator("#notices")).to_contain_text("You have a draft of this")
    edit(page, "# newer\n")
    assert set(drafts(page)) == {"# older", "# newer"}


def test_without_locks_nothing_is_written_over_either(opened: Callable[..., Playground]) -> None:
    """Over plain HTTP from another machine a browser has no locks: which tabs are open is not known there."""
    one = opened("/")
    one.watched.context.add_init_script(NO_LOCKS)
    one.page.reload()
    two = tab(one)
    edit(one, "# of the first\n")
    edit(two, "# of the second\n")
    three = tab(one)
    expect_code(three, "# of the second")
    edit(three, "# of the third\n")
    edit(two, "# of the second, again\n")
    one.page.reload()
    expect_code(one, "# of the first")
    assert set(drafts(one)) == {"# of the first", "# of the third", "# of the second, again"}


def test_the_oldest_draft_gives_way_when_there_are_many_and_that_is_said(opened: Callable[..., Playground]) -> None:
    page = opened("/examples/retries", timezone_id="UTC")
    fill = """most => { for (let place = 0; place < most; place += 1)
        localStorage.setItem(`playground.draft.${place}`, JSON.stringify({
            base: `snippet:${place}`, source: `# ${place}`, params: "", title: "T", at: place })); }"""
    page.page.evaluate(fill, MOST)
    page.write("# mine\n")
    expect(page.page.locator("#draft")).to_contain_text("one from 1 January gave way")
    kept = drafts(page)
    assert len(kept) == MOST and "# mine" in kept and "# 0" not in kept and "# 1" in kept


def test_drafts_of_an_earlier_version_of_the_page_are_taken_over(opened: Callable[..., Playground]) -> None:
    page = opened("/about")
    old = {"base": "example:retries", "source": "# latest", "params": "", "title": "Old", "at": 5}
    shelf = {
        "example:retries": {**old, "at": 5},
        "snippet:abc": {"source": "# shared", "params": "", "title": "S", "at": 4},
    }
    page.page.evaluate(
        "([shelf, old]) => { localStorage.setItem('playground.drafts', shelf); "
        "localStorage.setItem('playground.draft', old); }",
        [json.dumps(shelf), json.dumps(old)],
    )
    page.page.goto(page.url)
    expect_code(page, "# latest")
    assert {draft["base"] for draft in drafts(page).values()} == {"example:retries", "snippet:abc"}
    assert page.page.evaluate(
        "[localStorage.getItem('playground.drafts'), localStorage.getItem('playground.draft')]"
    ) == [None, None]
