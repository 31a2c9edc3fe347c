"""`from workers import fetch`: requests of tenant code, over real sockets, in the journal and in the ledger."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from bad_server_support import HERE, BadServer, Names
from dispatch_support import error, journal_until, on_engine, output, workflow

from playground import Code, Dispatcher, Engine, Secrets, WorkflowInstance
from playground.engine.bindings.fetch import Fetch, InvalidRule, read_entry
from playground.outbound.client import Outbound
from playground.workflows import events as ev

KEY = "sk_live_of_a_tenant"
HEAD = "from workers import fetch, env\nimport json"


@asynccontextmanager
async def world(engine: Engine) -> AsyncIterator[BadServer]:
    """A bad server under every name, which this engine may reach."""
    async with BadServer() as server:
        outbound = engine._services.outbound
        opened = Outbound(HERE, resolver=Names(), built_in=outbound.built_in)
        outbound.network, outbound.built_in = opened.network, opened.built_in
        yield server


async def started(
    engine: Engine, server: BadServer, body: str, allow: Any = None, secrets: Any = None, **more: Any
) -> WorkflowInstance:
    """An instance whose code may ask the server; `PLACE` in its body is the server's address."""
    place = f"http://a.example:{server.port}"
    given = [place] if allow is None else [{**entry, "host": place} for entry in allow]
    code = Code(
        workflow(body.replace("PLACE", place), HEAD),
        env={"FETCH": Fetch(given, secrets), "SECRETS": Secrets(secrets or {"OTHER": "another one"}), **more},
    )
    flows = Dispatcher(engine, lambda metadata: code, name="fetching").wrap_binding({"tenant": "acme"})
    return await flows.create()


async def calls(instance: WorkflowInstance) -> list[dict[str, Any]]:
    """What the journal says of the requests, without times."""
    found = [event async for event in instance.subscribe()]
    return [
        {name: value for name, value in event.data.items() if name != "took_ms"}
        for event in found
        if event.type == ev.FETCH_CALLED
    ]


@on_engine()
async def test_a_fetch_in_a_step_gives_a_response_and_stands_in_the_journal(engine: Engine) -> None:
    body = """
    @step.do("ask")
    async def ask():
        response = await fetch("PLACE/echo", method="POST", headers={"X-Mine": "1"}, body=json.dumps({"a": 1}))
        seen = await response.json()
        return [response.status, response.ok, response.headers["Content-Type"], seen["method"], seen["body"],
                seen["headers"]["x-mine"], response.url, response.redirected, response.status_text,
                len(await response.bytes()) == len(response.body), (await response.text())[0], repr(response)]
    return await ask()
    """
    async with world(engine) as server:
        instance = await started(engine, server, body)
        place = f"http://a.example:{server.port}/echo"
        expected = [200, True, "application/json", "POST", '{"a": 1}', "1", place, False, "OK", True, "{"]
        assert await output(instance) == [*expected, f"<FetchResponse 200 {place}>"]
        [call] = await calls(instance)
        assert call.pop("bytes") > 100
        assert call == {"method": "POST", "host": "a.example", "status": 200, "attempt": 1}
        row = await engine.store.find("acme", instance.id)
        [effect] = await engine.store.effects.of_instance(row.key)
        assert (effect.kind, effect.data) == ("fetch", {"method": "POST", "host": "a.example", "path": "/echo"})


@on_engine()
async def test_a_replay_reads_the_answer_of_a_fetch_in_a_step_and_of_one_outside(engine: Engine) -> None:
    body = """
    @step.do("ask")
    async def ask():
        return (await fetch("PLACE/status/201")).status
    inside = await ask()
    response = await fetch("PLACE/status/404")
    await step.wait_for_event("go", "go")
    again = await env.FETCH.fetch("PLACE/status/500")
    return [inside, response.status, await response.text(), again.status, again.ok]
    """
    async with world(engine) as server:
        instance = await started(engine, server, body)
        await journal_until(instance, ev.WORKFLOW_WAITING)
        await engine.kill_worker(await engine.store.find("acme", instance.id), "now")
        await instance.send_event("go")
        assert await output(instance) == [201, 404, "so it is", 500, False]
        assert [request.path for request in server.seen] == ["/status/201", "/status/404", "/status/500"]
        steps = [event.key.name async for event in instance.subscribe() if event.type == ev.STEP_STARTED]
        assert steps == ["ask", f"fetch GET a.example:{server.port}", f"fetch GET a.example:{server.port}"]


@on_engine()
async def test_an_attempt_that_is_lost_after_its_fetch_asks_again_under_the_same_key(engine: Engine) -> None:
    body = """
    await step.wait_for_event("go", "go")
    @step.do("order")
    async def order():
        for _ in range(2):
            seen = await (await fetch("PLACE/echo", method="POST")).json()
        return seen["headers"]["idempotency-key"]
    return await order()
    """
    async with world(engine) as server:
        instance = await started(engine, server, body, allow=[{"idempotency": True}])
        await journal_until(instance, ev.WORKFLOW_WAITING)
        await engine.kill_worker(await engine.store.find("acme", instance.id), "before-commit")
        await instance.send_event("go")
        key = await output(instance)
        keys = [request.headers["idempotency-key"] for request in server.seen]
        assert len(keys) == 4 and keys[:2] == keys[2:] and keys[1] == key and keys[0] != keys[1]
        assert [call["attempt"] for call in await calls(instance)] == [1, 1, 2, 2]
        row = await engine.store.find("acme", instance.id)
        effects = await engine.store.effects.of_instance(row.key)
        assert sorted((effect.key, effect.asked) for effect in effects) == sorted((key, 2) for key in set(keys))


@pytest.mark.parametrize(
    ("entry", "header", "value"),
    [
        ({}, "authorization", f"Bearer {KEY}"),
        ({"header": "X-Api-Key"}, "x-api-key", KEY),
        ({"header": "Authorization: Basic {secret}"}, "authorization", f"Basic {KEY}"),
    ],
)
@on_engine()
async def test_credentials_are_sent_and_never_seen(engine: Engine, entry: Any, header: str, value: str) -> None:
    body = """
    @step.do("ask")
    async def ask():
        response = await fetch("PLACE/echo", headers={"Authorization": "forged", "X-Api-Key": "forged"})
        return await response.text()
    answer = await ask()
    print(answer)
    return answer
    """
    async with world(engine) as server:
        instance = await started(engine, server, body, allow=[{"secret": "KEY", **entry}], secrets={"KEY": KEY})
        seen = json.loads(await output(instance))
        assert server.seen[0].headers[header] == value
        assert seen["headers"][header] == value.replace(KEY, "[REDACTED]")
        journal = [event.as_json() async for event in instance.subscribe()]
        assert KEY not in json.dumps(journal)


REFUSED = {
    "another host": ("http://b.example/", "is not on the list of allowed hosts"),
    "another port": ("http://a.example:1/", "a.example:1 is not allowed; http://a.example:"),
    "another scheme": ("https://a.example/", "https://a.example is not allowed"),
    "this machine": ("http://127.0.0.1:8000/", "not on the list"),
    "this machine, in octal": ("http://0177.0.0.1/", "is no host that a request can go to"),
    "a file": ("file:///etc/passwd", "A URL begins with https:// or http://"),
    "no text": ("7", "A URL begins with"),
}


@pytest.mark.parametrize("what", REFUSED)
@on_engine()
async def test_what_is_not_allowed_fails_the_step_at_once(engine: Engine, what: str) -> None:
    url, message = REFUSED[what]
    body = f"""
    @step.do("ask")
    async def ask():
        return await fetch({url!r})
    await ask()
    """
    async with world(engine) as server:
        instance = await started(engine, server, body)
        name, said = await error(instance)
        assert name == "NonRetryableError" and message in said
        assert server.seen == [] and len([call for call in await calls(instance) if "error" in call]) == 1


LIMITS = {
    "bytes": ("/endless", {"fetch_bytes": 10_000}, "10,000 bytes", "fetch_bytes"),
    "seconds": ("/slow/body", {"fetch_seconds": 1}, "not complete after 1 s", "fetch_seconds"),
    "redirects": ("/round/1", {"fetch_redirects": 2}, "more than 2 times", "fetch_redirects"),
    "headers": ("/headers/50", {"fetch_headers": 20}, "51 headers", "fetch_headers"),
    "header bytes": ("/large-headers/5000", {"fetch_header_bytes": 4_000}, "4,000", "fetch_header_bytes"),
}


@pytest.mark.parametrize("limit", LIMITS)
@on_engine()
async def test_a_limit_of_an_answer_is_an_error_that_names_its_setting(engine: Engine, limit: str) -> None:
    path, settings, message, setting = LIMITS[limit]
    body = f"""
    try:
        await fetch("PLACE{path}")
    except Exception as failed:
        return str(failed)
    """
    for name, value in settings.items():
        object.__setattr__(engine.settings, name, value)
    async with world(engine) as server:
        said = await output(await started(engine, server, body))
        assert message in said and f"The setting is {setting} (" in said


@on_engine(fetches_per_execution=4, fetches_in_flight=2, fetch_sent_bytes=100)
async def test_limits_of_calls_name_their_settings(engine: Engine) -> None:
    body = """
    async def asked(*args, **more):
        try:
            return (await fetch(*args, **more)).status
        except Exception as failed:
            return str(failed)
    @step.do("ask")
    async def ask():
        three = await asyncio.gather(*(asked("PLACE/status/200") for _ in range(3)))
        return [*three, await asked("PLACE/status/200")]
    @step.do("send")
    async def send():
        return await asked("PLACE/echo", method="PUT", body="x" * 101)
    return [await send(), await ask()]
    """
    async with world(engine) as server:
        sent, asked = await output(await started(engine, server, body))
        assert "at most 100 are sent" in sent and "fetch_sent_bytes" in sent
        assert asked[:2] == [200, 200]
        assert "2 calls under way at once" in asked[2] and "fetches_in_flight" in asked[2]
        assert "4 calls in one execution" in asked[3] and "fetches_per_execution" in asked[3]


@on_engine()
async def test_a_host_that_cannot_be_asked_is_tried_again(engine: Engine) -> None:
    body = """
    @step.do("ask", config={"retries": {"limit": 1, "delay": 1}})
    async def ask():
        await fetch("PLACE/gone")
    await ask()
    """
    async with world(engine) as server:
        instance = await started(engine, server, body)
        _, said = await error(instance)
        assert said == "fetch: a.example has sent what is no complete answer of HTTP."
        assert len(server.seen) == 2


@on_engine()
async def test_code_without_the_binding_is_told_so(engine: Engine) -> None:
    code = Code(workflow("await fetch('https://a.example')", HEAD))
    instance = await Dispatcher(engine, lambda metadata: code).wrap_binding({"tenant": "acme"}).create()
    name, said = await error(instance)
    assert name == "NonRetryableError" and 'Code(env={"FETCH": Fetch(allow=' in said


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (7, "a text, or has a `host`"),
        ({"host": "ftp://a.example"}, "names no host"),
        ({"host": "a.example", "port": 7}, "not 'port'"),
        ({"host": "a.example", "methods": "GET"}, "is a list"),
        ({"host": "a.example", "methods": ["BREW"]}, "BREW is none of"),
        ({"host": "a.example", "header": "X-Key"}, "none is named"),
        ({"host": "a.example", "secret": "K", "header": "Host"}, "no header that can be set"),
        ({"host": "a.example", "secret": "K", "header": "X-Key: constant"}, "{secret} in it"),
        ({"host": "a.example", "secret": "K", "header": 7}, "the name of a header"),
        ({"host": "a.example", "idempotency": "Content-Length"}, "no header that can be set"),
    ],
)
def test_an_entry_that_cannot_be_used_is_an_error(entry: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("{", r"\{")):
        read_entry(entry)


@pytest.mark.parametrize(("secrets", "says"), [({}, "which there is not"), ({"K": "line\nline"}, "no header may have")])
def test_a_secret_that_cannot_be_sent_is_an_error(secrets: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Fetch([{"host": "a.example", "secret": "K"}], secrets)


def test_an_invalid_rule_is_a_value_error_and_credentials_are_not_printed() -> None:
    assert issubclass(InvalidRule, ValueError)
    assert KEY not in repr(Fetch([{"host": "a.example", "secret": "K"}], {"K": KEY}))
