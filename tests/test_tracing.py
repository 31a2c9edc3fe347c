"""Spans of runs: made of durable events, sent by OTLP to a real receiver, and part of the trace that a create names."""

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from bad_server_support import BadServer
from dispatch_support import workflow
from http_support import Background, MakeSite
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SentSpan
from tenants_support import Tenant

from playground.engine.span_export import open_tracing
from playground.engine.tracing import ExecutionTrace, Span, TraceContext, checked_traceparent, read_traceparent
from playground.settings import BadSetting, Settings
from playground.workflows import events as ev
from playground.workflows.events import Event, StepKey

TRACE, CALLER = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
DO = StepKey(ev.DO, "charge", 1)
INNER = StepKey(ev.DO, "sign", 2, DO)
NAP = StepKey(ev.SLEEP, "nap", 1)
ERROR = {"name": "ValueError", "message": "no [REDACTED]", "traceback": ["secret code"], "line": 3}


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (PARENT, True),
        (PARENT[:-2] + "00", True),
        (PARENT[:-2] + "03", True),
        ("cc" + PARENT[2:] + "-what-is-to-come", True),  # a later version may append to the form
        ("cc" + PARENT[2:] + ".what", False),
        (PARENT + "-more", False),
        ("ff" + PARENT[2:], False),
        (PARENT.upper(), False),
        (PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32), False),
        (PARENT.replace("00f067aa0ba902b7", "0" * 16), False),
        (PARENT[:-1], False),
        (" " + PARENT, False),
        ("", False),
        (None, False),
    ],
)
def test_a_traceparent_has_the_form_of_w3c_or_is_none(text: str | None, known: bool) -> None:
    found = read_traceparent(text)
    assert (found is not None) == known
    if found is not None:
        assert (found.trace_id, found.span_id, found.sampled) == (TRACE, CALLER, not str(text).endswith("00"))
        assert checked_traceparent(str(text)) == str(found)
    else:
        with pytest.raises(ValueError, match="00-TRACE-SPAN-FLAGS"):
            checked_traceparent(str(text))


def spans_of(*events: tuple[Any, ...], execution: int = 2, sampled: bool = True) -> tuple[ExecutionTrace, list[Span]]:
    """The spans of events given as (type, data?, step?), one each second from 1 s."""
    told: list[Span] = []
    created = TraceContext(TRACE, CALLER, sampled)
    trace = ExecutionTrace("seed", TRACE, execution, created, sampled, {"workflow.name": "orders"}, told.append)
    for place, event in enumerate(events, 1):
        type, data, step = (*event, {}, None)[:3] if len(event) == 1 else (*event, None)[:3]
        trace.read([Event(place, place * 1_000, type, execution, step, data)])
    trace.end()
    return trace, told


def test_an_execution_its_steps_and_their_attempts_become_spans() -> None:
    trace, told = spans_of(
        (ev.SLEEP_COMPLETED, {}, NAP),  # before the execution began: not its own
        (ev.EXECUTION_STARTED, {"execution": 2, "code_version": "v7"}),
        (ev.STEP_STARTED, {"config": {}}, DO),
        (ev.ATTEMPT_STARTED, {"attempt": 1}, DO),
        (ev.STEP_STARTED, {"config": {}}, INNER),
        (ev.ATTEMPT_COMPLETED, {"attempt": 1, "took_us": 3_500_000}, INNER),  # its start came with its end
        (ev.STEP_COMPLETED, {"output": "a secret"}, INNER),
        (ev.ATTEMPT_ERRORED, {"attempt": 1, "error": ERROR}, DO),
        (ev.STEP_ERRORED, {"error": ERROR}, DO),
        (ev.SLEEP_STARTED, {"until": 99_000}, NAP),
        (ev.ROLLBACK_ATTEMPT_STARTED, {"attempt": 1}, DO),
        (ev.WORKFLOW_WAITING, {"until": 99_000}),
        (ev.EXECUTION_ENDED, {"reason": ev.HIBERNATED}),
    )
    run, charge = trace.context(), trace.context(DO)
    first, sign = trace.context(DO, 1), trace.context(INNER)
    shown = {span.name: (span.parent, span.began / 1_000, span.ended / 1_000, span.error) for span in told}
    problem = "ValueError: no [REDACTED]"
    assert shown == {
        "charge › sign-2 attempt 1": (sign, 2.5, 6, None),
        "charge › sign-2": (first, 2.5, 7, None),
        "charge attempt 1": (charge, 4, 8, problem),
        "charge": (run, 3, 9, problem),
        "nap": (run, 10, 13, None),
        "rollback charge attempt 1": (told[5].parent, 11, 13, None),
        "rollback charge": (run, 11, 13, None),
        "run orders": (TraceContext(TRACE, CALLER, True), 2, 13, None),
    }
    assert len({span.context.span_id for span in told}) == len(told), "each has an id of its own"
    by_name = {span.name: span.attributes for span in told}
    assert by_name["nap"]["workflow.step.status"] == "open"
    assert by_name["charge"]["error.type"] == "ValueError"
    assert by_name["run orders"] == {
        "workflow.name": "orders", "workflow.version": "v7", "workflow.status": "waiting",
        "workflow.execution.end": "hibernated",
    }  # fmt: skip
    before, _ = spans_of(execution=1)
    assert list(told[-1].links) == [TraceContext(TRACE, CALLER, True), before.context()]
    assert "secret" not in str(told)


def test_what_is_not_sampled_or_never_began_has_no_span_and_a_context_all_the_same() -> None:
    began = (ev.EXECUTION_STARTED, {"execution": 2, "code_version": None})
    trace, told = spans_of(began, (ev.WORKFLOW_COMPLETED, {"output": 1}), sampled=False)
    assert told == [] and str(trace.context(DO, 1)).startswith(f"00-{TRACE:032x}-")
    assert str(trace.context(DO, 1)).endswith("-00")
    assert spans_of((ev.EXECUTION_STARTED, {"execution": 1, "code_version": None}))[1] == []


class Collector:
    """A receiver of OTLP over HTTP. `spans` are those that came, by the ids of their spans."""

    def __init__(self) -> None:
        self.spans: dict[bytes, SentSpan] = {}
        self.resource: Mapping[str, str] = {}
        self._came = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def take(self, request: ExportTraceServiceRequest) -> None:
        with self._came:
            for of_resource in request.resource_spans:
                attributes = of_resource.resource.attributes
                self.resource = {pair.key: pair.value.string_value for pair in attributes}
                for of_scope in of_resource.scope_spans:
                    for span in of_scope.spans:
                        assert span.span_id not in self.spans, f"{span.name} is told once"
                        self.spans[span.span_id] = span
            self._came.notify_all()

    def wait_for(self, count: int, wanted: Callable[[SentSpan], bool]) -> dict[str, SentSpan]:
        """So many spans by name, once they have come; that of a run has its id in its name."""
        with self._came:
            assert self._came.wait_for(lambda: len(self._found(wanted)) >= count, timeout=30), self._found(wanted)
            return self._found(wanted)

    def _found(self, wanted: Callable[[SentSpan], bool]) -> dict[str, SentSpan]:
        found = filter(wanted, self.spans.values())
        return {f"{span.name} {attributes(span).get('workflow.instance.id', '')}".strip(): span for span in found}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A receiver that the variables of the SDK name."""
    collector = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield collector
    collector.close()


@pytest.fixture
def server() -> Iterator[BadServer]:
    background = Background()
    served = BadServer()
    background.call(served.__aenter__())
    yield served
    background.call(served.__aexit__())
    background.close()


ASKS = workflow(
    """
    if event["payload"] == "child":
        return 1
    if event["payload"] == "hang":
        await step.do("hang", lambda: asyncio.sleep(3_600))
    @step.do("ask")
    async def ask():
        await fetch(event["payload"])
        await fetch(event["payload"], headers={"Traceparent": "mine"})
    await ask()
    await self.env.WORKFLOWS.run(params="child", id="child")
    @step.do("fail", config={"retries": {"limit": 0, "delay": 0}})
    async def fail():
        raise ValueError("no")
    await fail()
    """,
    "from workers import fetch",
)


def attributes(span: SentSpan) -> dict[str, str | int]:
    """The attributes of a span as they came."""
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in span.attributes}


def test_a_trace_goes_from_the_create_over_its_spans_to_what_the_code_asks(
    collector: Collector, make_site: MakeSite, server: BadServer
) -> None:
    place = f"http://127.0.0.1:{server.port}"
    acme = Tenant(make_site(tracing=True, fetch_tenants=place, fetch_reachable="127.0.0.1", node="n1"), "acme")
    acme.deploy(ASKS)
    assert acme.ask("PUT", "/fetch", json={"allow": [{"host": place}]}).status_code == 200
    headers = {"traceparent": PARENT}
    id = acme.ask("POST", "/instances", json={"params": f"{place}/echo"}, headers=headers).json()["id"]
    error = acme.finish(id)["error"]
    assert error["name"] == "ValueError", error
    trace = bytes.fromhex(PARENT[3:35])
    spans = collector.wait_for(7, lambda span: span.trace_id == trace)
    run, child_run = spans[f"run main {id}"], spans["run main child"]
    ask, fail, child = spans["ask"], spans["fail"], spans["child"]
    assert spans.keys() - {"ask attempt 1", "fail attempt 1", "ask", "fail", "child"} == {
        f"run main {id}", "run main child",
    }  # fmt: skip
    assert [request.headers["traceparent"] for request in server.seen] == [
        f"00-{trace.hex()}-{spans['ask attempt 1'].span_id.hex()}-01",
        "mine",
    ]
    created = bytes.fromhex(PARENT[36:52])
    assert run.parent_span_id == created and [link.span_id for link in run.links] == [created]
    assert {ask.parent_span_id, fail.parent_span_id, child.parent_span_id} == {run.span_id}
    assert spans["ask attempt 1"].parent_span_id == ask.span_id
    assert child_run.parent_span_id == child.span_id
    assert (fail.status.code, fail.status.message, run.status.code) == (2, "ValueError: no", 2)
    assert collector.resource["service.name"] == "playground"

    # One whose create names no trace, or none of W3C's form, has one of its own.
    broken = acme.ask("POST", "/instances", json={"params": "child"}, headers={"traceparent": PARENT[:-1]}).json()
    acme.finish(broken["id"])
    [run] = collector.wait_for(1, lambda span: span.trace_id != trace).values()
    assert not run.parent_span_id and not run.links
    shown = attributes(run)
    assert shown.pop("workflow.version") and shown == {
        "workflow.instance.id": broken["id"], "workflow.tenant": "acme", "workflow.name": "main",
        "workflow.execution": 1, "workflow.execution.end": "completed", "workflow.status": "complete",
    }  # fmt: skip

    # One that another commit than its own ends.
    collector.spans.clear()
    hung = acme.create(params="hang")["id"]
    while "attempt_started" not in acme.ask("GET", f"/instances/{hung}/events").text:
        pass
    assert acme.ask("POST", f"/instances/{hung}/terminate").status_code == 202
    found = collector.wait_for(3, lambda span: True)
    assert attributes(found[f"run main {hung}"])["workflow.status"] == "terminated"
    assert found["hang attempt 1"].parent_span_id == found["hang"].span_id


def test_without_the_setting_nothing_is_imported_and_without_the_extra_it_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.startswith("opentelemetry.")] + ["opentelemetry.sdk.trace"]:
        monkeypatch.setitem(sys.modules, name, None)
    assert open_tracing(Settings(), "n1") is None
    with pytest.raises(BadSetting, match=r"tracing.*pip install 'dynamic-workflows-playground\[otel\]'"):
        open_tracing(Settings(tracing=True), "n1")


def test_a_receiver_that_is_away_holds_up_nothing_and_what_there_is_no_room_for_is_dropped(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.1")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    tracing = open_tracing(Settings(tracing=True), "n1")
    assert tracing is not None
    context = TraceContext(TRACE, CALLER, tracing.samples(TRACE, None))
    for number in range(1_000):
        tracing.export(Span(f"{number}", context, None, 1, 2, {}))
    asyncio.run(tracing.close())
    assert "Queue full, dropping" in caplog.text and context.sampled
    assert not tracing.samples(TRACE, context._replace(sampled=False)), "what the create says"
