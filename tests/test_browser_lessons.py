"""Lessons: the page notices in the journal that a task was done, says so, remembers it and offers the next."""

import json
from collections.abc import Callable

from page_support import Playground, expect
from server_support import Server

from playground.examples import load

PHONE = {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def test_a_lesson_is_taken_noticed_and_remembered(server: Server, open_page: Callable) -> None:
    page = Playground(open_page(f"{server.url}/examples/crash-and-resume", **PHONE), server.url)
    lesson = page.page.locator('[data-part="lesson"]')
    invitation = page.page.locator('#run [data-part="invitation"]')
    expect(invitation).to_have_text("Press Run, then press Kill worker while charge card runs.")
    source = json.loads(page.page.locator("#page-data").inner_text())["source"]
    # There is time to kill, on any machine.
    page.run(
        source.replace('%")\n                await asyncio.sleep(0.6)', '%")\n                await asyncio.sleep(600)')
    )
    expect(page.page.locator('[data-part="sentence"]')).to_have_text(
        "Try it: press Kill worker while charge card runs."
    )
    expect(page.page.locator('[data-part="narrator"]')).to_have_attribute("data-press", "kill-worker")
    expect(lesson).to_be_hidden()
    page.page.locator('[data-part="kill"]').click()
    expect(lesson).to_contain_text("Lesson done. The process was gone, the journal was not")
    assert page.page.evaluate("document.documentElement.scrollWidth") <= PHONE["viewport"]["width"]

    watcher = Playground(open_page(page.page.url), server.url)
    expect(watcher.page.locator('[data-part="mode"]')).to_have_text("watching")
    watcher.expect_step("charge card", "2 attempts")
    expect(watcher.page.locator('[data-part="lesson"]')).to_be_hidden()

    page.page.reload()
    expect(lesson).to_contain_text("Lesson done.")
    lesson.get_by_role("link", name="Next: Retries and backoff").click()
    expect(page.page).to_have_url(f"{server.url}/examples/retries")
    page.page.goto(f"{server.url}/examples")
    expect(page.page.get_by_text(f"You have done 1 of {len(load())}.")).to_be_visible()
    card = page.page.get_by_role("link", name="Crash and resume")
    expect(card).to_contain_text("Done")
    expect(card.locator(".todo")).to_be_hidden()
    page.page.goto(f"{server.url}/examples/crash-and-resume")
    expect(invitation).to_have_text("You have done this lesson. Press Run to see it again.")


def test_a_second_task_is_asked_for_once_the_first_is_done_and_belongs_to_edited_code_too(
    opened: Callable[..., Playground],
) -> None:
    page = opened("/examples/two-tenants")
    lesson = page.page.locator('[data-part="lesson"]')
    source = json.loads(page.page.locator("#page-data").inner_text())["source"].replace('"6 seconds"', '"1 second"')
    page.run(source)
    expect(lesson).to_contain_text("1 of 2 done.")
    expect(lesson).to_contain_text("Next: Be the second tenant")
    page.run(source.replace('"Hello"', '"Good day"'))
    expect(lesson).to_contain_text("Lesson done. Two codes under one roof")
    page.page.reload()
    # The code is not the example's any more, the run is still its lesson.
    expect(lesson).to_contain_text("Lesson done.")
    page.run(
        "from workers import WorkflowEntrypoint\n\n\nclass TenantWorkflow(WorkflowEntrypoint):\n    async def "
        "run(self, event, step):\n        return 1\n"
    )
    page.expect_status("Complete")
    expect(lesson).to_be_hidden()


def test_a_lesson_runs_as_the_firing_of_a_schedule_that_the_person_changes(opened: Callable[..., Playground]) -> None:
    page = opened("/examples/on-a-schedule")
    fired = page.page.get_by_label("Fired by")
    lesson = page.page.locator('[data-part="lesson"]')
    expect(fired).to_have_value("0 9 * * MON")
    page.run()
    expect(page.output).to_contain_text("Monday 09:00")
    expect(lesson).to_contain_text("1 of 2 done.")
    fired.fill("0 18 * * FRI")
    page.run()
    expect(page.output).to_contain_text("Friday 18:00")
    expect(lesson).to_contain_text("Lesson done.")
    page.write("class TenantWorkflow: ...")
    expect(fired).to_be_hidden()


def test_the_support_desk_runs_to_its_end_with_its_worker_killed_on_the_way_and_one_mail_is_handled(
    opened: Callable[..., Playground],
) -> None:
    page = opened("/examples/support-desk")
    source = json.loads(page.page.locator("#page-data").inner_text())["source"]
    lesson = page.page.locator('[data-part="lesson"]')
    page.run(
        source.replace("asyncio.sleep(0.15)", 'asyncio.sleep(600 if ctx["attempt"] == 1 else 0)').replace(
            "def write_answer()", "def write_answer(ctx)"
        )
    )
    page.page.get_by_role("button", name="Send event", exact=True).click()
    page.expect_step("write answer", "running")
    expect(page.page.get_by_text("We", exact=True).first).to_be_visible()
    page.page.locator('[data-part="kill"]').click()
    page.expect_status("Complete")
    page.expect_step("write answer", "2 attempts")
    expect(lesson).to_contain_text("Lesson done.")
    lineage = page.page.locator(".lineage")
    expect(lineage).to_contain_text("Its messages are handled by queue-")
    parent = page.instance
    lineage.get_by_role("link").click()
    page.expect_status("Complete")
    page.expect_step("send mail", "done")
    expect(lineage).to_contain_text(f"Child of {parent[:12]}")
    page.tab("Logs")
    expect(page.logs).to_contain_text("We are sorry that the lamp arrived broken.")
