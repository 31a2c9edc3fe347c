"""The client: typed answers, streams that go on over a restart, refusals as errors with the server's own words."""

import asyncio
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from aio import story
from http_support import APPROVAL, HELLO, MakeSite, Site
from server_support import free_port
from tenants_support import ECHO, Tenant

from playground.client import (
    BadAnswer,
    BadRequest,
    Client,
    Conflict,
    NotAllowed,
    NotFound,
    NotReached,
    Refused,
    SourceRefused,
    StepRef,
    TooLarge,
    TooMany,
    Unavailable,
)
from playground.client.connection import Connection, checked_address, encode
from playground.client.errors import ServerFault, refusal
from playground.web.http.errors import STATUS_OF
from playground.workflows import events as ev

REPLIES = """\
from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        asked = await step.wait_for_event("asked", "question", timeout="1 hour")
        await asked.reply({"double": asked["payload"] * 2})
        await step.sleep("long", "1 hour")
        return "done"
"""


@pytest.fixture(scope="module")
def site(make_shared_site: MakeSite) -> Site:
    return make_shared_site()


def client_of(site: Site, **options: Any) -> Client:
    return Client(f"http://127.0.0.1:{site.port}", **options)


# Without a server.


def test_a_body_is_json_with_its_digits_and_nothing_that_is_none() -> None:
    assert encode({"params": msgspec.Raw(b'{"n": 1.10}'), "id": None}) == b'{"params":{"n": 1.10},"id":null}'
    assert encode({"given": msgspec.UNSET, "big": 2**80}) == b'{"big":1208925819614629174706176}'
    assert encode([msgspec.Raw(b"1.0"), "ä"]) == '[1.0,"ä"]'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode({"n": float("nan")})


@pytest.mark.parametrize("address", ["", "play.example", "ftp://a", "http://", "http://a?b=1", "http://me:pw@a"])
def test_an_address_that_is_none_is_refused_before_anything_is_sent(address: str) -> None:
    with pytest.raises(ValueError, match="is not the address of a server"):
        checked_address(address)


def test_every_code_of_the_server_is_an_error_of_its_kind_with_its_words() -> None:
    for code, status in STATUS_OF.items():
        error = refusal(status, {"error": {"code": code, "message": "why", "limit": 3}})
        assert isinstance(error, Refused) and type(error) is not Refused, code
        assert (error.status, error.code, str(error), error.details) == (status, code, "why", {"limit": 3})
        assert isinstance(error, ServerFault) == (status == 500), code
    assert isinstance(refusal(502, "<html>"), BadAnswer)


@story
async def test_a_server_that_is_away_is_waited_for_no_longer_than_the_patience_lasts() -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    address = f"http://127.0.0.1:{free_port()}"
    async with Connection(address, patience=20.0, sleep=sleep, now=lambda: sum(waited)) as connection:
        client = Client(address, connection=connection)
        with pytest.raises(NotReached, match="can't be reached"):
            async for _ in client.instance("x").events():
                pass
        assert waited == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
        with pytest.raises(NotReached):
            await client.check(HELLO)


@contextmanager
def answering(status: int, body: bytes, heard: list[dict[str, str]]) -> Iterator[str]:
    """A server that answers everything alike, and remembers the headers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(dict(self.headers))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_DELETE = do_GET

        def log_message(self, *given: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "body"), [(200, b"<html>"), (200, b'{"ok": 1}'), (404, b"gone"), (302, b""), (200, b"")]
)
def test_what_is_no_playground_is_said_to_be_none(status: int, body: bytes) -> None:
    async def ask(address: str) -> None:
        async with Client(address) as client:
            with pytest.raises(BadAnswer):
                await client.check(HELLO)

    with answering(status, body, []) as address:
        asyncio.run(ask(address))


def test_tokens_are_sent_with_what_they_are_for_and_nothing_else() -> None:
    heard: list[dict[str, str]] = []

    async def ask(address: str) -> None:
        async with Client(address, start_token="start") as client:
            await client.health()
            await client.operator("operator").delete_tenant("x")
            await client.health()

    with answering(200, b'{"instances": 0}', heard) as address:
        asyncio.run(ask(address))
    assert [it.get("Authorization") for it in heard] == [None, "Bearer operator", None]
    assert [it["Playground-Token"] for it in heard] == ["start"] * 3


# With one.


@story
async def test_an_instance_is_created_followed_and_read(site: Site) -> None:
    async with client_of(site) as client:
        run = await client.create(HELLO, params={"name": "Ada"})
        assert run.token
        events = [event async for event in run.events()]
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert (events[0].type, events[-1].type) == (ev.WORKFLOW_QUEUED, ev.WORKFLOW_COMPLETED)
        shown = await run.get()
        assert (shown.status, shown.output, shown.last_seq) == ("complete", {"greeting": "Hello, Ada!"}, events[-1].seq)
        assert [event.seq async for event in run.journal(after=3)] == [event.seq for event in events[3:]]
        assert [event.seq async for event in run.events(after=shown.last_seq)] == []
        assert (await run.get(at=1)).status == "queued"
        assert (await client.instance(run.id).wait()).status == "complete"
        assert [row.status for row in await client.statuses([run.id, "gone"])] == ["complete"]
        assert await client.statuses([]) == []


@story
async def test_an_instance_stands_for_the_next_firing_of_a_cron_expression(site: Site) -> None:
    source = HELLO.replace("return {", 'return dict(event["schedule"] or {}) or {')
    async with client_of(site) as client:
        run = await client.create(source, schedule="30 9 * * MON")
        assert (await run.wait()).output["cron"] == "30 9 * * MON"
        example = await client.create(example="on-a-schedule")
        assert (await example.wait()).output["fired"] == "Monday 09:00", "an example's own"


@story
async def test_what_a_person_can_do_can_be_done(site: Site) -> None:
    async with client_of(site) as client:
        run = await client.create(REPLIES)
        assert await run.ask("question", 21) == {"double": 42}
        async for event in run.events():
            if event.type == ev.SLEEP_STARTED:
                break
        assert (await run.pause()).status in ("paused", "waitingForPause")
        await run.resume()
        assert (await run.wake(StepRef("long", kind=ev.SLEEP))).status in ("waiting", "running", "queued", "complete")
        assert (await run.wait()).output == "done"
        with pytest.raises(Conflict) as refused:
            await run.send_event("question", 1)
        assert refused.value.code == "instance.in_finite_state"
        await run.restart()
        assert (await run.send_event("question", 1)).id == run.id
        assert (await run.skip_sleeps()).id == run.id
        assert (await run.wait()).output == "done"
        fork = await run.fork(StepRef("long", kind=ev.SLEEP), source=REPLIES.replace('"done"', '"forked"'))
        await fork.skip_sleeps()
        assert (await fork.wait()).output == "forked"
        await fork.delete()
        with pytest.raises(NotFound):
            await fork.get()


@story
async def test_deleting_an_instance_ends_the_stream_of_who_follows_it(site: Site) -> None:
    """It is terminated first; who is fast enough reads so, all others learn that it is gone."""
    async with client_of(site) as client:
        run, last = await client.create(APPROVAL), ""
        try:
            async for event in run.events():
                last = event.type
                if last == ev.WAIT_STARTED:
                    await run.delete()
            assert last == ev.WORKFLOW_TERMINATED
        except NotFound as gone:
            assert gone.code == "instance.not_found"
        with pytest.raises(NotFound):
            await run.get()


@story
async def test_a_chaos_run_is_reported(site: Site) -> None:
    async with client_of(site) as client:
        run = await client.create(HELLO)
        await run.wait()
        await run.chaos()
        while (report := await run.chaos_report()).status != "complete":
            for row in [*report.rows, *([report.control] if report.control else [])]:
                await client.instance(str(row["id"])).wait()
        assert report.summary["same"] == report.summary["rows"] > 0


@story
async def test_code_is_checked_shared_and_taken_from_examples(site: Site) -> None:
    async with client_of(site) as client:
        checked = await client.check("import requests\nx =")
        assert not checked.ok and checked.diagnostics[0].line == 2
        made = await client.share(HELLO, {"name": "Ada"})
        found = await client.snippet(made.id)
        assert (found.source, found.params) == (HELLO, {"name": "Ada"})
        run = await client.create(snippet=made.id)
        assert (await run.wait()).output == {"greeting": "Hello, Ada!"}
        slugs = [it["slug"] for it in await client.examples()]
        assert "class TenantWorkflow" in (await client.example(slugs[0]))["source"]
        assert (await client.health())["version"] == "1.2.3"
        await client.ready()


@story
async def test_refusals_are_errors_with_code_message_and_details(site: Site) -> None:
    async with client_of(site) as client:
        with pytest.raises(SourceRefused) as source:
            await client.create("def (")
        assert (source.value.code, source.value.diagnostics[0]["line"]) == ("source.refused", 1)
        with pytest.raises(NotFound) as missing:
            await client.instance("none-such").get()
        assert missing.value.code == "instance.not_found"
        run = await client.create(APPROVAL, id="only-one-of-it")
        with pytest.raises(Conflict):
            await client.create(APPROVAL, id="only-one-of-it")
        for token in (None, "wrong"):
            with pytest.raises(NotAllowed):
                await client.instance(run.id, token).pause()
        with pytest.raises(BadRequest):
            await client.create(HELLO, example="hello")
        with pytest.raises(TooLarge) as large:
            await client.check("#" * 70_000)
        assert large.value.details["setting"] == "source_bytes"


@story
async def test_who_asks_too_often_learns_when_to_come_again(make_shared_site: MakeSite) -> None:
    async with client_of(make_shared_site(snippets_per_minute=1)) as client:
        await client.share(HELLO)
        with pytest.raises(TooMany) as refused:
            await client.share(APPROVAL)
        assert refused.value.retry_after and refused.value.details["setting"] == "snippets_per_minute"


@story
async def test_a_stream_goes_on_over_a_server_that_restarts_without_a_gap_or_a_duplicate(
    make_shared_site: MakeSite,
) -> None:
    site = make_shared_site()
    async with client_of(site) as client:
        run = await client.create(APPROVAL)
        seen: list[int] = []
        async for event in run.events():
            seen.append(event.seq)
            if event.type == ev.WAIT_STARTED:
                await asyncio.to_thread(site.stop)
                await asyncio.to_thread(site.start)
                await run.send_event("approved", {"by": "ada"})
        shown = await run.get()
        assert seen == list(range(1, shown.last_seq + 1))
        assert shown.output == {"by": "ada"}


@story
async def test_a_tenant_deploys_runs_and_keeps_schedules_queues_and_secrets(site: Site) -> None:
    key = Tenant(site, "acme").key
    async with client_of(site) as client:
        tenant = client.tenant("acme", key)
        deployed = await tenant.deploy(ECHO, "echo")
        assert (deployed.created, (await tenant.workflows())[0].version) == (True, deployed.version)
        run = await tenant.create({"n": 1}, workflow="echo", id="one-1")
        assert (await run.wait()).output == {"n": 1}
        assert [it.id for it in (await tenant.instances(status="complete")).instances] == ["one-1"]
        fork = await run.fork()
        assert (await fork.wait()).output == {"n": 1}
        with pytest.raises(SourceRefused):
            await tenant.deploy("def (")

        put = await tenant.put_schedule("nightly", "0 3 * * *", workflow="echo", params={"n": 2})
        assert len(put.next) == 5 and (await tenant.schedules())[0].params == {"n": 2}
        assert await tenant.schedule("nightly") == put
        assert (await tenant.pause_schedule("nightly")).paused
        assert not (await tenant.pause_schedule("nightly", paused=False)).paused
        started = await tenant.run_schedule("nightly")
        assert (await started.wait()).output == {"n": 2}
        await tenant.delete_schedule("nightly")
        assert await tenant.schedules() == []

        await tenant.put_queue("orders", consumer="echo", max_batch_size=1)
        assert await tenant.send_message("orders", {"n": 3}, delay_seconds=3_600)
        assert [(it.name, it.waiting) for it in await tenant.queues()] == [("orders", 1)]
        assert await tenant.dead_messages("orders") == []
        await tenant.delete_queue("orders")

        await tenant.set_secret("TOKEN", "s3cret")
        assert "TOKEN" in json.dumps(await tenant.secret_names())
        await tenant.remove_secret("TOKEN")
        with pytest.raises(NotAllowed):
            await client.tenant("acme", "pk_wrong").workflows()


@story
async def test_the_operator_makes_keys_and_deletes_tenants(make_shared_site: MakeSite) -> None:
    site = make_shared_site(operator_token="of the operator")
    async with client_of(site) as client:
        operator = client.operator("of the operator")
        made = await operator.make_key("umbra", "laptop")
        assert made.created and made.key.startswith("pk_")
        await client.tenant("umbra", made.key).deploy(ECHO)
        (row,) = (await operator.tenants()).tenants
        assert (row.name, row.workflows) == ("umbra", 1)
        assert await operator.delete_tenant("umbra") == 0
        with pytest.raises(NotAllowed):
            await client.operator("wrong").tenants()


def test_the_kinds_of_unavailability_are_told_apart() -> None:
    busy = refusal(503, {"error": {"code": "busy", "message": "full", "retry_after": 2}})
    assert isinstance(busy, Unavailable) and busy.retry_after == 2.0
