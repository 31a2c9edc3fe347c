"""Every limit of a server: it is a setting with a number, what is at it passes, one more is refused, and who meets it
is told what to do.

`edge` marks the test of a limit; the first test fails when a setting is a limit and has none. Those of one instance are
in test_limits_runs.py.
"""

import dataclasses
import html
import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
import test_limits_runs  # noqa: F401 - its edges count
from http_support import APPROVAL, DEADLINE, HELLO, MakeSite, Site, bearer
from limits_support import EDGES, edge, in_a_step, in_run, refused
from tenants_support import WAITS, Tenant

from playground.settings import Settings, limit_settings, public_rows
from playground.store.open import free_bytes
from playground.web.http.authorization import BYTES_PER_READ, EVENTS_PER_READ
from playground.web.http.rate_limits import RateLimit
from playground.web.indented_json import indent_json
from playground.web.pages.pages import with_unit

TESTS = Path(__file__).parent
# Limits whose edge is tested where the rest of their feature is.
ELSEWHERE = {
    "worker_cpu_seconds": (
        "test_cpu_watchdog.py::test_a_worker_that_uses_up_its_whole_life_s_time_is_ended_by_the_kernel"
    ),
    "head_seconds": "test_http_connections.py::test_a_head_that_trickles_in_is_given_up",
    "body_seconds": "test_http_connections.py::test_a_body_that_trickles_in_is_given_up",
    "audit_entries": "test_audit.py::test_entries_are_read_in_pages_and_forgotten_by_age_and_number",
    "patch_limit": "test_patches.py::test_a_patch_inside_a_step_and_more_than_there_may_be_end_the_run",
    "stream_send_seconds": "test_stream.py::test_a_reader_that_does_not_read_is_dropped_and_the_run_goes_on",
    "cards_per_minute": "test_http_cards.py::test_an_address_may_have_only_so_many_drawn_anew",
    "bulk_runs": "test_bulk_runs.py::test_runs_of_one_operation",
    "bulks_per_tenant": "test_bulk_runs.py::test_operations_at_once_and_one_that_is_stopped_half_way",
    "bulk_per_second": "test_bulk_runs.py::test_operations_at_once_and_one_that_is_stopped_half_way",
    "running_per_tenant": (
        "test_semantics_slots.py::test_a_tenant_has_at_most_so_many_running_at_once_and_delays_nobody_else"
    ),
    "starts_per_second_per_tenant": (
        "test_tenants_fairness.py::test_a_tenant_begins_so_many_in_a_second_and_the_others_in_the_next"
    ),
    "child_depth": "test_bindings_children.py::test_children_of_children_are_only_so_deep",
    "children_limit": "test_bindings_children.py::test_one_instance_runs_only_so_many_children",
    "children_per_minute": ("test_bindings_children.py::test_code_of_nobody_runs_itself_as_a_child_and_only_so_often"),
    "debounces_per_instance": "test_flow_runs.py::test_a_run_is_debounced_so_often_and_no_more",
    "reply_seconds": "test_semantics_events.py::test_who_asks_is_told_that_no_reply_comes",
    "mcp_wait_seconds": "test_mcp_tenants.py::test_a_call_that_takes_long_answers_with_the_run_and_how_to_ask",
    "mcp_task_seconds": "test_mcp_tenants.py::test_a_run_is_a_task_to_whoever_takes_tasks",
    "schedules_per_tenant": "test_schedules.py::test_a_tenant_has_so_many_schedules_and_no_more",
    "schedule_seconds": "test_schedules.py::test_what_fires_too_often_or_makes_no_sense_is_refused",
    "queues_per_tenant": "test_queues.py::test_limits_say_what_to_do",
    "messages_per_tenant": "test_queues.py::test_limits_say_what_to_do",
    "messages_per_run": "test_queues.py::test_a_run_without_a_tenant_has_a_queue_of_its_own",
    "deliveries_per_tenant": "test_queues.py::test_a_tenants_queues_together_have_so_many_batches_at_once",
    "workflows_per_tenant": (
        "test_tenants_versions.py::test_a_tenant_has_at_most_so_many_workflows_and_one_is_gone_with_its_last_version"
    ),
    "versions_per_tenant": "test_tenants_versions.py::test_old_versions_that_nothing_needs_make_room_for_new_ones",
    "requests_per_tenant": (
        "test_tenants_security.py::test_a_tenant_asks_so_often_in_a_minute_and_another_is_not_held_up"
    ),
    "chaos_per_hour": "test_chaos_runs.py::test_it_has_a_limit_of_its_own_and_leaves_the_starts_of_its_address_alone",
    "chaos_commits": "test_chaos_runs.py::test_the_commits_are_spread_over_the_run",
    "chaos_running": "test_chaos_runs.py::test_its_reruns_hold_up_nobody",
    "check_seconds_per_minute": "test_checker_turns.py::test_over_http_an_address_and_a_tenant_are_told_what_to_do",
    "load_seconds": "test_dispatch_loader.py::test_a_loader_that_hangs_is_given_up_and_holds_up_nobody",
    "load_attempts": "test_dispatch_loader.py::test_a_loader_that_never_succeeds_ends_the_instance_with_its_last_error",
    "ahead_entries": "test_gate.py::test_a_worker_that_outruns_the_disk_is_read_no_further_and_loses_nothing",
    "ahead_bytes": "test_gate.py::test_a_worker_that_outruns_the_disk_is_read_no_further_and_loses_nothing",
    "ahead_ms": "test_gate.py::test_a_worker_that_outruns_the_disk_is_read_no_further_and_loses_nothing",
    "call_seconds": "test_bindings_own.py::test_settings_are_the_limits_of_bindings_without_their_own",
    "ai_tokens_per_day": "test_bindings_ai.py::test_a_budget_of_the_operators_models_names_its_setting",
    "ai_tokens_per_run": "test_bindings_ai.py::test_a_budget_of_the_operators_models_names_its_setting",
    "ai_max_tokens": "test_bindings_ai.py::test_an_answer_is_asked_to_be_no_longer_than_the_setting_says",
    "ai_seconds": "test_bindings_ai.py::test_whatever_an_endpoint_does_wrong_has_a_class_and_words",
    "ai_answer_bytes": "test_bindings_ai.py::test_whatever_an_endpoint_does_wrong_has_a_class_and_words",
    "tools_seconds": "test_bindings_mcp.py::test_what_goes_wrong_has_a_class_and_words",
    "tools_answer_bytes": "test_bindings_mcp.py::test_what_goes_wrong_has_a_class_and_words",
    "tool_servers_per_tenant": "test_services_http.py::test_what_cannot_be_set_is_refused_with_a_sentence",
    "fetch_rules": "test_fetch_http.py::test_a_list_that_cannot_be_used_is_refused_with_a_sentence",
    "fetch_bytes": "test_bindings_fetch.py::test_a_limit_of_an_answer_is_an_error_that_names_its_setting",
    "fetch_seconds": "test_bindings_fetch.py::test_a_limit_of_an_answer_is_an_error_that_names_its_setting",
    "fetch_redirects": "test_bindings_fetch.py::test_a_limit_of_an_answer_is_an_error_that_names_its_setting",
    "fetch_headers": "test_bindings_fetch.py::test_a_limit_of_an_answer_is_an_error_that_names_its_setting",
    "fetch_header_bytes": "test_bindings_fetch.py::test_a_limit_of_an_answer_is_an_error_that_names_its_setting",
    "fetches_per_execution": "test_bindings_fetch.py::test_limits_of_calls_name_their_settings",
    "fetches_in_flight": "test_bindings_fetch.py::test_limits_of_calls_name_their_settings",
    "fetch_sent_bytes": "test_bindings_fetch.py::test_limits_of_calls_name_their_settings",
}
# A run of a thousand steps.
LONG = """\
import asyncio
from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        await asyncio.gather(*(step.do(f"{number}", int) for number in range(1_010)))
"""


def test_every_limit_has_a_number_a_sentence_and_a_test_at_its_edge() -> None:
    rows = {row.name: row for row in dataclasses.fields(Settings)}
    for name in limit_settings():
        assert rows[name].default > 0, name
        assert len(rows[name].metadata["help"]) > 10, name
        unit = re.search(r"_(bytes|seconds|ms)$", name)
        assert not unit or rows[name].metadata["unit"] == {"ms": "milliseconds"}.get(unit[1], unit[1]), name
    assert set(limit_settings()) == EDGES.keys() | ELSEWHERE.keys(), (
        "a limit takes a test that `edge` marks, or a place in ELSEWHERE"
    )
    assert not EDGES.keys() & ELSEWHERE.keys()
    for name, place in ELSEWHERE.items():
        file, _, test = place.partition("::")
        text = (TESTS / file).read_text()
        assert f"def {test}(" in text and name in text, place


def test_who_may_meet_a_limit_is_shown_it() -> None:
    """All but those of embedding programs and of the server's own disk and patience stand on the About page."""
    hidden = {
        "free_disk_bytes",
        "stream_send_seconds",
        "load_seconds",
        "load_attempts",
        "delay_function_ms",
        "chaos_running",
        "ahead_entries",
        "ahead_bytes",
        "ahead_ms",
    }
    assert set(limit_settings()) - {row["name"] for row in public_rows(Settings())} == hidden


def test_the_about_page_has_them_in_groups_with_amounts_that_can_be_read(make_site: MakeSite) -> None:
    page = html.unescape(make_site(attempt_wall_seconds=90).client.get("/about", headers={"Accept": "text/html"}).text)
    for row in public_rows(Settings()):
        assert row["help"].partition("; ")[0][1:] in page
    for group in ("A run", "Your address", "A request", "Tenants", "Bindings"):
        assert f'<th scope="rowgroup" colspan="2">{group}</th>' in page
    amounts = (65_536, "bytes"), (1 << 30, "bytes"), (1_000_000, "bytes"), (3_600, "seconds"), (90, "seconds")
    assert [with_unit(*it) for it in amounts] == [
        "64 KiB", "1 GiB", "1,000,000 bytes", "1 h", "90 s",
    ]  # fmt: skip
    assert [with_unit(*it) for it in ((10_000, "milliseconds"), (0, "bytes"), (10_000, ""), (7, "days"))] == [
        "10 s",
        "0 bytes",
        "10,000",
        "7 days",
    ]
    assert "<td>90 s</td>" in page


# Sizes of what is sent.


@edge("source_bytes", "1,001 bytes", "the limit is 1,000", "Move data out of the code, into params.")
def test_source(make_site: MakeSite) -> str:
    made, said = make_site(source_bytes=1_000), ""
    fits = HELLO + "#" * (1_000 - len(HELLO))
    for path, status in (("/api/check", 200), ("/api/snippets", 201), ("/api/instances", 201)):
        assert made.client.post(path, json={"source": fits}).status_code == status
        said = refused(made.client.post(path, json={"source": fits + "#"}), 413, "source_bytes")
    return said


@edge(
    "value_bytes", "The params is 1,001 bytes", "the limit is 1,000", "Keep large data elsewhere and store its address."
)
def test_params(make_site: MakeSite) -> str:
    made, said = make_site(value_bytes=1_000), ""
    for path in ("/api/snippets", "/api/instances"):
        assert made.client.post(path, json={"source": HELLO, "params": {"name": "x" * 989}}).status_code == 201
        said = refused(
            made.client.post(path, json={"source": HELLO, "params": {"name": "x" * 990}}), 413, "value_bytes"
        )
    return said


@edge("value_bytes", "The event payload is 1,001 bytes", "the limit is 1,000", "store its address.")
def test_an_event(make_site: MakeSite) -> str:
    made = make_site(value_bytes=1_000)
    instance = made.create(APPROVAL)
    assert made.operate(instance, "events/other", "x" * 998).status_code == 202
    return refused(made.operate(instance, "events/other", "x" * 999), 413, "value_bytes")


@edge("value_bytes", "1,001 bytes when stored; the limit is 1,000. Keep large data elsewhere")
def test_a_result(make_site: MakeSite) -> str:
    made = make_site(value_bytes=1_000)
    assert made.finish(made.create(in_a_step('return "x" * 998')))["output"] == "x" * 998
    error = made.finish(made.create(in_a_step('return "x" * 999')))["error"]
    assert error["name"] == "NotSerialisableError"
    return str(error["message"])


@edge("step_bytes_limit", "is 2,001 bytes; the limit of bytes is 2,000. Keep large data elsewhere")
def test_a_result_that_is_bytes(make_site: MakeSite) -> str:
    made = make_site(value_bytes=1_000, step_bytes_limit=2_000)
    fits, larger = (in_run(f'return len(await step.do("s", lambda: b"x" * {size}))') for size in (2_000, 2_001))
    assert made.finish(made.create(fits))["output"] == 2_000
    error = made.finish(made.create(larger))["error"]
    assert error["name"] == "NotSerialisableError"
    return str(error["message"])


@edge("body_bytes", "The body is larger than 5,000 bytes", "Keep large data elsewhere and send its address.")
def test_a_body(make_site: MakeSite) -> str:
    made = make_site(body_bytes=5_000)
    body = json.dumps({"source": HELLO, "params": {"name": ""}}).encode()
    fits = body.replace(b'"name": ""', b'"name": "%s"' % (b"x" * (5_000 - len(body))))
    assert made.client.post("/api/instances", content=fits).status_code == 201
    said = refused(made.client.post("/api/instances", content=fits.replace(b"xx", b"xxx", 1)), 413, "body_bytes")
    with socket.create_connection(("127.0.0.1", made.port), timeout=DEADLINE) as raw:  # and it is not even read
        raw.sendall(b"POST /api/instances HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n")
        assert raw.recv(65_536).startswith(b"HTTP/1.1 413")
    return said


@edge("head_bytes", "more than 2,000 bytes", "Send data in the body.")
def test_a_head(make_site: MakeSite) -> str:
    made = make_site(head_bytes=2_000)

    def ask(size: int) -> bytes:
        with socket.create_connection(("127.0.0.1", made.port), timeout=DEADLINE) as raw:
            fixed = b"/robots.txt" + b"Host: localhost\r\n" + b"X-Long: \r\n"
            raw.sendall(
                b"GET /robots.txt HTTP/1.1\r\nHost: localhost\r\nX-Long: %s\r\n\r\n" % (b"x" * (size - len(fixed)))
            )
            return raw.recv(65_536)

    assert ask(2_000).startswith(b"HTTP/1.1 200")
    said = ask(2_001)
    assert said.startswith(b"HTTP/1.1 431")
    return said.decode()


# How often, and how many at once.


@edge("starts_per_minute", "3 runs in a minute from your address, which is the limit here. You can run again in")
def test_starts_in_a_minute_and_how_many_are_left(make_site: MakeSite) -> str:
    made = make_site(starts_per_minute=3)
    left = []
    for _ in range(3):
        answer = made.client.post("/api/instances", json={"source": HELLO})
        assert answer.status_code == 201
        assert answer.headers["ratelimit-policy"] == '"checks_per_minute";q=100000;w=60, "starts_per_minute";q=3;w=60'
        found = re.fullmatch(
            r'"checks_per_minute";r=99\d+;t=\d+, "starts_per_minute";r=(\d);t=(\d+)', answer.headers["ratelimit"]
        )
        assert found and 1 <= int(found[2]) <= 60
        left.append(int(found[1]))
    assert left == [2, 1, 0]
    answer = made.client.post("/api/instances", json={"source": HELLO})
    said = refused(answer, 429, "starts_per_minute", wait=True)
    assert (answer.json()["error"]["code"], answer.json()["error"]["limit"]) == ("too_many", 3)
    assert '"starts_per_minute";r=0;t=' in answer.headers["ratelimit"]
    return said


@pytest.mark.parametrize(
    ("setting", "method", "path", "body", "words"),
    [
        ("checks_per_minute", "POST", "/api/check", {"source": HELLO}, "2 checks in a minute"),
        ("snippets_per_minute", "POST", "/api/snippets", {"source": HELLO}, "2 links in a minute"),
        ("reads_per_minute", "GET", "/api/examples", None, "2 requests in a minute"),
        ("changes_per_minute", "POST", "/api/instances/nobody/pause", None, "2 changes in a minute"),
    ],
)
def test_what_an_address_may_ask_for_in_a_minute(
    make_site: MakeSite, setting: str, method: str, path: str, body: Any, words: str
) -> None:
    client = make_site(**{setting: 2}).client
    for left in (1, 0):
        answer = client.request(method, path, json=body)
        assert answer.status_code != 429
        assert f'"{setting}";r={left};t=' in answer.headers["ratelimit"]
    said = refused(client.request(method, path, json=body), 429, setting, wait=True)
    assert f"{words} from your address, which is the limit here." in said


for name in ("checks_per_minute", "snippets_per_minute", "reads_per_minute", "changes_per_minute"):
    EDGES[name] = [test_what_an_address_may_ask_for_in_a_minute.__name__]


@edge("changes_per_minute", "10 changes in a minute", "The next is possible in")
def test_a_large_event_counts_for_more_than_a_small_one(make_site: MakeSite) -> str:
    made = make_site(changes_per_minute=10)
    instance = made.create(APPROVAL)
    assert made.operate(instance, "events/other", "x" * 1_000_000).status_code == 202
    return refused(made.operate(instance, "events/other", "x"), 429, "changes_per_minute", wait=True)


def test_a_long_run_counts_for_more_reads_than_a_short_one_and_its_page_has_an_end(make_site: MakeSite) -> None:
    here = make_site()
    made = here.create(LONG)
    run = here.finish(made)
    more = run["last_seq"] // EVENTS_PER_READ
    assert (len(run["steps"]), more) == (1_010, 40)
    large = len(here.client.get(f"/api{made['url']}").content) // BYTES_PER_READ
    left = allowance(here, "/api/examples")
    for path, worth in (
        (f"/api{made['url']}", 1 + more + large),
        (f"/api{made['url']}?at=250", 1 + 2),
        (f"/api{made['url']}/events?limit=300", 1 + 3),
        (f"/api{made['url']}/events?after={run['last_seq'] - 10}", 1),
        (f"/api{made['url']}/stream?after={run['last_seq'] - 110}", 1 + 1),
        (f"/compare?a={made['id']}&b={made['id']}", 1 + 2 * more),
        (made["url"], 1 + more),
    ):
        before, left = left, allowance(here, path)
        assert before - left == worth, path
    page = here.client.get(made["url"], headers={"Accept": "text/html"}).text
    table = page.partition("Steps of this run")[2].partition("</table>")[0]
    assert table.count('<th scope="row">') == 1_000
    assert f'10 more steps are in <a href="/api{made["url"]}">' in page


def test_a_page_counts_for_more_reads_when_its_code_is_highlighted_anew(make_site: MakeSite) -> None:
    here = make_site()
    made = here.client.post("/api/snippets", json={"source": HELLO + "# " + "x" * 10_000}).json()
    before = allowance(here, "/api/examples")
    after = [allowance(here, made["url"]) for _ in range(2)]
    assert [before - after[0], after[0] - after[1]] == [1 + 10, 1]


def allowance(site: Site, path: str) -> int:
    """The reads that are left after asking for this."""
    with site.client.stream("GET", path, headers={"Accept": "text/html"}) as answer:
        return int(re.findall(r'"reads_per_minute";r=(\d+)', answer.headers["ratelimit"])[0])


def test_files_of_the_page_are_not_counted(make_site: MakeSite) -> None:
    client = make_site(reads_per_minute=1).client
    assert [client.get("/favicon.ico").status_code for _ in range(4)] == [302] * 4  # to its file


@edge("streams_per_address", "1 event streams are open from your address", "Close a tab")
def test_streams_of_an_address(make_site: MakeSite) -> str:
    made = make_site(streams_per_address=1)
    instance = made.create(APPROVAL)
    with made.client.stream("GET", f"/api{instance['url']}/stream") as first:
        assert first.status_code == 200
        answer = made.client.get(f"/api{instance['url']}/stream")
        return refused(answer, 429, "streams_per_address", wait=True)


@edge("connections_per_address", "3 connections are open from your address", "Close some")
def test_connections_of_an_address(make_site: MakeSite) -> str:
    made = make_site(connections_per_address=3)
    held = [socket.create_connection(("127.0.0.1", made.port), timeout=DEADLINE) for _ in range(3)]
    try:
        for each in held:
            each.sendall(b"GET /robots.txt HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert each.recv(65_536).startswith(b"HTTP/1.1 200")
        with socket.create_connection(("127.0.0.1", made.port), timeout=DEADLINE) as fourth:
            said = fourth.recv(65_536)
        assert said.startswith(b"HTTP/1.1 429")
        assert b"retry-after: 10" in said
    finally:
        for each in held:
            each.close()
    assert made.client.get("/healthz").status_code == 200
    return said.decode()


def test_connections_through_a_trusted_proxy_are_not_counted(make_site: MakeSite) -> None:
    made = make_site(connections_per_address=1, trusted_proxies="127.0.0.1")
    held = [socket.create_connection(("127.0.0.1", made.port), timeout=DEADLINE) for _ in range(5)]
    for each in held:
        each.sendall(b"GET /robots.txt HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert each.recv(65_536).startswith(b"HTTP/1.1 200")
        each.close()


@edge("queue_length", "The server is full: 1 instances are queued.", "Try again in a minute.")
def test_a_full_queue(make_site: MakeSite) -> str:
    made = make_site(queue_length=1, running_per_address=1)
    running = made.create(APPROVAL)
    made.until(running, "wait_started")
    made.create(HELLO)
    answer = made.client.post("/api/instances", json={"source": HELLO})
    return refused(answer, 503, "queue_length", wait=True)


@edge("test_file_bytes", "has more than", "the limit for a test", "`export` takes it as a file")
def test_a_journal_that_is_too_long_for_a_test(make_site: MakeSite) -> str:
    made = make_site()
    run = made.create(HELLO)
    made.finish(run)
    lines = made.client.get(f"/api{run['url']}/export").content.splitlines()[1:-1]
    for spare in (0, -1):
        made.stop()
        made.settings = dataclasses.replace(made.settings, test_file_bytes=sum(map(len, lines)) + spare)
        made.start()
        answer = made.client.get(f"/api{run['url']}/test.py")
        if not spare:
            assert answer.status_code == 200, answer.text
    return refused(answer, 413, "test_file_bytes")


@edge("queued_per_tenant", "1 instances of this tenant are queued, and 1 is the most.", "Try again in a minute.")
def test_a_tenant_s_full_queue(make_site: MakeSite) -> str:
    made = make_site(queued_per_tenant=1, running_per_tenant=1)
    acme, other = Tenant(made, "acme"), Tenant(made, "other")
    for tenant in (acme, other):
        tenant.deploy(WAITS)
    acme.until(acme.create()["id"], "waiting")
    acme.create()
    said = refused(acme.ask("POST", "/instances", json={}), 503, "queued_per_tenant", wait=True)
    assert [line["whose"] for line in made.log.of("limit")] == ["acme"]
    other.create()
    return said


@edge("running_per_address")
def test_instances_of_one_address_run_a_few_at_once_and_the_others_after_them(make_site: MakeSite) -> str:
    made = make_site(running_per_address=1)
    first = made.create(APPROVAL)
    made.until(first, "wait_started")
    second = made.create(HELLO)
    assert made.client.get(f"/api{second['url']}").json()["status"] == "queued"
    made.client.post(f"/api{first['url']}/terminate", headers=bearer(first))
    assert made.finish(second)["status"] == "complete"
    return "nobody is refused: the others wait"


@edge("stored_per_day", "What your address has stored in a day is at its limit of 20,000 bytes.", "run again in 24 h")
def test_what_an_address_stores_in_a_day(make_site: MakeSite) -> str:
    made = make_site(stored_per_day=20_000)
    shown = made.finish(made.create(in_a_step('return "x" * 30_000')))
    assert "storage: your address has stored more than 20,000 bytes within a day" in shown["error"]["message"]
    answers = [made.client.post(path, json={"source": HELLO}) for path in ("/api/instances", "/api/snippets")]
    return " ".join(refused(answer, 429, "stored_per_day", wait=True) for answer in answers)


@edge("free_disk_bytes", "disk is nearly full", "Try again in some hours")
def test_nothing_new_is_started_on_a_full_disk(make_site: MakeSite, tmp_path: Path) -> str:
    free = free_bytes(f"sqlite:///{tmp_path / 'x.db'}")
    assert free is not None and free > 0
    assert free_bytes("postgresql://host/db") is None
    made = make_site(free_disk_bytes=free * 10)
    answer = made.client.post("/api/instances", json={"source": HELLO})
    assert made.log.of("disk_full")
    return refused(answer, 503, "free_disk_bytes", wait=True)


def test_an_amount_counts_as_so_many() -> None:
    counted = RateLimit(10, "", lambda: 0)
    assert counted.try_charge("a", 7)
    assert counted.allowance("a").left == 3
    assert counted.try_charge("a", 7)
    assert (counted.allowance("a").left, counted.try_charge("a")) == (0, False)
    assert counted.try_charge("b")


def test_params_are_shown_on_many_lines_where_that_keeps_them_small() -> None:
    assert indent_json(b'{"a":[1,{}]}') == '{\n  "a": [\n    1,\n    {}\n  ]\n}'
    for hostile in (b"[" * 90 + b"1," * 9_000 + b"1" + b"]" * 90, b"[" + b"[]," * 300_000 + b"1]"):
        assert len(indent_json(hostile)) <= 8 * len(hostile)
