"""The main flow in a real browser: run, watch the steps, send an event, kill the worker, find what was printed and
returned.
"""

import json
import urllib.request
from collections.abc import Callable

import pytest
from page_support import Playground, completed_steps, expect, journal

pytestmark = pytest.mark.long

FAILS = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        stock = await step.do("count stock", lambda: {"lamps": 3})
        return stock["rugs"]
"""
FAILS_AT = 7


def test_the_first_example_runs_and_its_steps_light_up_as_they_commit(opened: Callable[..., Playground]) -> None:
    page = opened("/", reduced_motion="no-preference")
    expect(page.page.get_by_role("heading", level=1)).to_have_text("Hello, durable world")
    page.page.locator("#params").fill('{"name": "Ada", "seconds": 0.5}')
    source = json.loads(page.page.locator("#page-data").inner_text())["source"]
    assert '"3 seconds"' in source
    page.run(source.replace('"3 seconds"', '"1 hour"'))  # there is time to look at a sleep, on any machine
    page.expect_step("compose greeting", "done")
    page.expect_step("engrave it", "done")
    page.expect_step("let it dry", "asleep")
    page.expect_status("Waiting")
    page.control("Wake let it dry now").click()
    page.expect_step("let it dry", "woken after")
    page.expect_status("Complete")
    expect(page.output).to_contain_text("Hello, Ada! Durably yours.")
    page.tab("Logs")
    expect(page.logs).to_contain_text("thinking of something to say to Ada")
    assert completed_steps(journal(page.url, page.instance)) == ["compose greeting", "engrave it", "let it dry"]


def test_keys_run_what_the_editor_and_the_params_hold(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.page.locator("#params").fill('{"name": "Grace", "seconds": 0}')
    page.editor.click()
    page.page.keyboard.press("ControlOrMeta+Enter")
    page.expect_status("Complete")
    expect(page.output).to_contain_text("Hello, Grace!")


def test_a_waiting_step_takes_the_event_from_its_form(opened: Callable[..., Playground]) -> None:
    page = opened("/examples/approval")
    page.run()
    page.expect_step("manager decides", "waiting")
    form = page.page.get_by_role("form", name="Send an event to manager decides")
    expect(form.get_by_label("event type")).to_have_value("decision")
    form.get_by_label("payload").fill("{not json")
    form.get_by_role("button", name="Send event").click()
    expect(form.get_by_role("alert")).to_contain_text("This is not JSON")
    form.get_by_label("payload").fill('{"approved": true}')
    form.get_by_role("button", name="Send event").click()
    page.expect_step("place order", "done")
    page.expect_status("Complete")
    expect(page.output).to_contain_text("standing desk")


def test_an_error_names_its_line_and_leads_there(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.run(FAILS)
    page.expect_status("Errored")
    page.expect_step("count stock", "done")
    expect(page.error).to_contain_text("KeyError: 'rugs'")
    page.error.get_by_role("link", name=f'workflow.py", line {FAILS_AT}').click()
    expect(page.page.locator("#cursor")).to_contain_text(f"Ln {FAILS_AT},")


def test_a_source_that_does_not_parse_is_marked_and_not_started(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.write("class TenantWorkflow(:\n    pass\n")
    expect(page.page.locator("#problems")).to_contain_text("1 error")
    expect(page.page.locator(".cm-lintRange-error")).to_have_count(1)
    page.run_button.click()
    expect(page.page.locator("#notices")).to_contain_text("Not started.")
    assert page.page.url == page.url + "/"
    # The browser itself reports the refusal.
    page.watched.forgive("status of 422")


def test_params_that_are_not_json_are_said_and_not_sent(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.page.locator("#params").fill("{'name': 'Ada'}")
    expect(page.page.locator("#params-problem")).to_be_visible()
    page.run_button.click()
    expect(page.page.locator("#notices")).to_contain_text("not valid JSON")
    assert page.page.url == page.url + "/"


def test_seven_runs_in_one_tab_all_finish(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.write(FAILS.replace('["rugs"]', '["lamps"]'))
    ran = []
    for _ in range(7):
        ran.append(page.run())
        page.expect_status("Complete")
        expect(page.output).to_contain_text("3")
    assert len(set(ran)) == 7


def test_seven_runs_started_over_one_another_all_finish(opened: Callable[..., Playground]) -> None:
    page = opened("/")
    page.page.locator("#params").fill('{"seconds": 0.5}')
    ran = [page.run() for _ in range(7)]
    page.expect_status("Complete")
    for instance in ran:
        # A stream ends with its run.
        with urllib.request.urlopen(f"{page.url}/api/instances/{instance}/stream", timeout=30) as stream:
            assert b"event: end" in stream.read()
        assert completed_steps(journal(page.url, instance)) == ["compose greeting", "engrave it", "let it dry"]
    page.page.goto(f"{page.url}/instances/{ran[0]}")
    page.expect_status("Complete")
