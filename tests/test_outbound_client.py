"""The guarded client against a server that misbehaves in every way, over real sockets."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from aio import story
from bad_server_support import HERE, BadServer, Names, tls_server

from playground.outbound.client import Answer, Outbound
from playground.outbound.errors import LimitReached, NoAnswer, OutboundError, Refused
from playground.outbound.hosts import read_rule
from playground.outbound.limits import Limits

QUICK = Limits(seconds=5.0, bytes_in=1_000_000, bytes_out=1_000, redirects=3)


class Place:
    """A bad server under the name `a.example`, and a client that may ask it."""

    def __init__(self, server: BadServer, outbound: Outbound, names: Names) -> None:
        self.server, self.outbound, self.names = server, outbound, names
        self.rules = [read_rule(f"http://{host}:{server.port}") for host in ("a.example", "b.example", "127.0.0.1")]

    def url(self, path: str, host: str = "a.example") -> str:
        return f"http://{host}:{self.server.port}/{path}"

    async def get(self, path: str, limits: Limits = QUICK, **options: object) -> Answer:
        return await self.outbound.fetch(self.rules, self.url(path), **{"limits": limits, "owner": "ada", **options})


@asynccontextmanager
async def place(names: Names | None = None, reachable=HERE) -> AsyncIterator[Place]:
    names = names or Names()
    async with BadServer() as server:
        outbound = Outbound(reachable, resolver=names)
        try:
            yield Place(server, outbound, names)
        finally:
            await outbound.aclose()


@story
async def test_a_request_and_its_answer() -> None:
    async with place() as here:
        answer = await here.get("echo", method="POST", body=b"hello", headers=[("X-Mine", "1")])
        assert (answer.status, answer.reason, answer.redirects) == (200, "OK", 0)
        assert ("content-type", "application/json") in answer.headers
        [seen] = here.server.seen
        assert (seen.method, seen.body, seen.headers["x-mine"]) == ("POST", b"hello", "1")
        assert seen.headers["host"] == f"a.example:{here.server.port}"
        assert (await here.get("status/404")).status == 404
        assert (await here.get("status/204")).body == b""
        assert here.server.connections == 1, "connections are kept"


@story
async def test_an_address_that_is_not_public_is_refused_before_a_socket_is_opened() -> None:
    async with place(reachable=()) as here:
        for host in ("a.example", "127.0.0.1"):
            with pytest.raises(Refused, match="not on the public internet"):
                await here.outbound.fetch(here.rules, here.url("echo", host), owner="ada")
        assert here.server.connections == 0


@story
async def test_a_name_with_one_private_address_among_public_ones_is_refused() -> None:
    async with place(Names(a__example=[["8.8.8.8", "10.0.0.1"]])) as here:
        with pytest.raises(Refused, match="not on the public internet"):
            await here.get("echo")


@story
async def test_the_address_that_was_checked_is_the_one_that_is_asked() -> None:
    """The name's second answer is the metadata of the machine: it is never asked for, since nothing looks twice."""
    names = Names(a__example=[["127.0.0.1"], ["169.254.169.254"]])
    async with place(names) as here:
        assert (await here.get("gone/1") if False else await here.get("echo")).status == 200
        assert names.asked == ["a.example"]
        with pytest.raises(NoAnswer):
            await here.get("gone")  # the server closes: the next request needs a new connection, and a new look
        with pytest.raises(Refused, match="not on the public internet"):
            await here.get("echo")
        assert names.asked == ["a.example", "a.example"]


@story
async def test_a_name_without_an_address() -> None:
    async with place(Names(a__example=[[]], b__example=[["fe80::1%eth0"]])) as here:
        with pytest.raises(NoAnswer, match=r"There is no address for the name a\.example"):
            await here.get("echo")
        with pytest.raises(Refused):
            await here.outbound.fetch(here.rules, here.url("echo", "b.example"), owner="ada")


class SilentNames(Names):
    """A resolver whose servers never answer."""

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        raise AssertionError("it waits for ever")


@story
async def test_a_name_whose_servers_do_not_answer_is_over_at_the_deadline() -> None:
    async with place(SilentNames()) as here:
        with pytest.raises(LimitReached, match=r"after 0\.2 s"):
            await here.get("echo", dataclasses.replace(QUICK, seconds=0.2))


@story
async def test_the_machine_itself_is_refused_by_every_name_that_the_machine_knows_for_it() -> None:
    """By the real resolver, which reads its file of hosts."""
    outbound = Outbound()
    for host in ("localhost", "ip6-localhost", "localhost.localdomain"):
        with pytest.raises(OutboundError) as refused:
            await outbound.fetch([read_rule(f"http://{host}")], f"http://{host}/", owner="")
        assert isinstance(refused.value, Refused) or "There is no address" in refused.value.message, host
    await outbound.aclose()


@pytest.mark.parametrize(
    "to",
    [
        *(
            "http://localhost:{port}/echo",
            "http://127.0.0.1:1/",
            "http://[::1]:{port}/echo",
            "http://2130706433:{port}/",
        ),
        *("http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "http://a.example@b.example:{port}/echo"),
        *("//c.example:{port}/echo", "https://a.example/", "http://0x7f.1:{port}/", "http://a.example:99999/"),
    ],
)
@story
async def test_a_redirect_to_what_is_not_allowed_is_refused(to: str) -> None:
    async with place() as here:
        with pytest.raises(OutboundError) as refused:
            await here.get(f"redirect/302/{to.format(port=here.server.port)}")
        assert isinstance(refused.value, Refused | NoAnswer)
        assert len(here.server.seen) == 1


@story
async def test_a_redirect_to_an_allowed_host_whose_address_is_private_is_refused() -> None:
    async with place(Names(b__example=[["192.168.1.1"]])) as here:
        with pytest.raises(Refused, match=r"b\.example is not on the public internet"):
            await here.get(f"redirect/302/{here.url('echo', 'b.example')}")


@story
async def test_redirects_are_followed_and_counted() -> None:
    async with place() as here:
        answer = await here.get("redirect/307//echo", method="POST", body=b"again")
        assert (answer.redirects, answer.url) == (1, here.url("echo"))
        assert here.server.seen[-1].body == b"again"
        await here.get("redirect/302//echo", method="POST", body=b"gone", headers=[("content-type", "text/plain")])
        assert (here.server.seen[-1].method, here.server.seen[-1].body) == ("GET", b"")
        assert "content-type" not in here.server.seen[-1].headers
        assert (await here.get("redirect/302//echo", follow=False)).status == 302
        with pytest.raises(LimitReached, match="redirects more than 3 times") as over:
            await here.get("round/1")
        assert over.value.limit == "redirects"


@story
async def test_a_redirect_to_another_origin_takes_no_credentials_along() -> None:
    sent = [("Authorization", "Bearer mine"), ("Cookie", "a=b"), ("X-Api-Key", "mine"), ("Accept", "text/plain")]
    async with place() as here:
        here.rules[0] = dataclasses.replace(here.rules[0], headers={"x-token": "of the rule"})
        await here.get("redirect/302//echo", headers=sent)
        kept = here.server.seen[-1].headers
        assert (kept["authorization"], kept["x-api-key"], kept["x-token"]) == ("Bearer mine", "mine", "of the rule")
        await here.get(f"redirect/302/{here.url('echo', 'b.example')}", headers=sent)
        kept = here.server.seen[-1].headers
        assert kept["accept"] == "text/plain"
        assert not {"authorization", "cookie", "x-api-key", "x-token"} & kept.keys()


@story
async def test_credentials_and_keys_of_a_rule_replace_the_callers() -> None:
    async with place() as here:
        here.rules[0] = dataclasses.replace(
            here.rules[0], headers={"Authorization": "Bearer of the tenant"}, idempotency="Idempotency-Key"
        )
        await here.get("echo", headers=[("authorization", "Bearer forged")], idempotency_key="step-1")
        seen = here.server.seen[-1].headers
        assert (seen["authorization"], seen["idempotency-key"]) == ("Bearer of the tenant", "step-1")


@pytest.mark.parametrize("what", ["connect", "head", "body"])
@story
async def test_a_server_that_takes_its_time_is_left_at_the_deadline(what: str) -> None:
    async with place() as here:
        began = time.monotonic()
        with pytest.raises(LimitReached, match=r"not complete after 0\.2 s") as over:
            await here.get(f"slow/{what}", dataclasses.replace(QUICK, seconds=0.2))
        assert over.value.limit == "seconds" and time.monotonic() - began < 3


@story
async def test_a_deadline_is_one_for_all_redirects() -> None:
    async with place() as here:
        with pytest.raises(LimitReached, match=r"after 0\.2 s"):
            await here.get("redirect/302//slow/body", dataclasses.replace(QUICK, seconds=0.2))


@pytest.mark.parametrize("path", ["endless", "bomb/gzip", "bomb/deflate", "bomb/raw"])
@story
async def test_an_answer_that_is_too_large_is_left(path: str) -> None:
    async with place() as here:
        with pytest.raises(LimitReached, match=r"a\.example has more than 1,000,000 bytes") as over:
            await here.get(path)
        assert over.value.limit == "bytes_in"


@pytest.mark.parametrize("kind", ["gzip", "deflate", "raw"])
@story
async def test_a_compressed_answer_is_read(kind: str) -> None:
    async with place() as here:
        answer = await here.get(f"packed/{kind}")
        assert answer.body == b"as it was " * 20_000
        assert "content-encoding" not in dict(answer.headers)


@pytest.mark.parametrize(
    "path", ["packed/cut", "packed/more", "packed/no", "coding/br", "coding/gzip,gzip", "coding/x"]
)
@story
async def test_an_answer_whose_coding_cannot_be_read_is_an_error(path: str) -> None:
    async with place() as here:
        with pytest.raises(NoAnswer, match=r"cannot be read|was not asked for"):
            await here.get(path)


@pytest.mark.parametrize("path", ["short", "lengths", "rubbish", "gone", "upgrade", "endless-headers"])
@story
async def test_what_is_no_complete_answer_is_an_error(path: str) -> None:
    async with place() as here:
        with pytest.raises(NoAnswer, match=r"a\.example") as failed:
            await here.get(path)
        assert "x16" not in str(failed.value)


@story
async def test_hints_without_end_are_over_at_the_deadline() -> None:
    async with place() as here:
        with pytest.raises(LimitReached, match=r"after 0\.3 s"):
            await here.get("endless-hints", dataclasses.replace(QUICK, seconds=0.3))


@story
async def test_what_a_server_sends_after_an_answer_reaches_no_stranger() -> None:
    async with place() as here:
        assert (await here.get("long")).body == b"more"
        assert (await here.get("long", owner="bob")).body == b"more"
        assert (await here.get("echo", owner="eve")).body != b"forged"
        assert here.server.connections == 3


@story
async def test_connections_of_owners_who_have_gone_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("playground.outbound.client.OWNERS", 2)
    async with place() as here:
        for owner in ("ada", "bob", "eve", "ada"):
            await here.get("echo", owner=owner)
        assert here.server.connections == 4


@story
async def test_a_thousand_headers_are_refused_both_ways() -> None:
    async with place() as here:
        assert (await here.get("headers/90")).status == 200
        for path, limit in (("headers/1000", "headers"), ("large-headers/40000", "header_bytes")):
            with pytest.raises(LimitReached) as over:
                await here.get(path)
            assert over.value.limit == limit
        for headers in ([(f"x-{number}", "y") for number in range(1000)], [("x", "y" * 40_000)]):
            with pytest.raises(LimitReached, match="The request|the request"):
                await here.get("echo", headers=headers)


@story
async def test_a_body_that_is_too_large_is_not_sent() -> None:
    async with place() as here:
        with pytest.raises(LimitReached, match="at most 1,000 are sent") as over:
            await here.get("echo", method="POST", body=bytes(1_001))
        assert over.value.limit == "bytes_out" and not here.server.seen

        async def parts() -> AsyncIterator[bytes]:
            for _ in range(10):
                yield bytes(500)

        with pytest.raises(LimitReached, match="at most 1,000 are sent"):
            await here.outbound.client(here.rules, QUICK, owner="ada").post(here.url("echo"), content=parts())


@pytest.mark.parametrize(
    "header",
    [
        *(("Host", "b.example"), ("Content-Length", "5"), ("Transfer-Encoding", "chunked"), ("Connection", "close")),
        *(("Proxy-Authorization", "x"), ("X-A", "a\r\nX-B: b"), ("X-A\r\nX-B", "b"), ("", "x"), ("X A", "b")),
        *(("X-A", "\x00"), ("X-A", "€"), ("Upgrade", "websocket"), ("Expect", "100-continue")),
    ],
)
@story
async def test_a_header_that_is_not_the_callers_is_refused(header: tuple[str, str]) -> None:
    async with place() as here:
        with pytest.raises(Refused, match="header"):
            await here.get("echo", headers=[header])
        assert not here.server.seen


@story
async def test_a_method_that_is_none_is_refused() -> None:
    async with place() as here:
        for method in ("CONNECT", "TRACE", "", "GET /x"):
            with pytest.raises(Refused):
                await here.get("echo", method=method)


@story
async def test_no_proxy_of_the_environment_is_used_and_no_cookie_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with place() as here, here.outbound.client(here.rules, owner="ada") as client:
        for _ in range(2):
            assert (await client.get(here.url("cookie"))).text == "none"


@story
async def test_a_library_with_the_client_keeps_to_the_rules() -> None:
    async with place() as here:
        async with here.outbound.client(here.rules, QUICK, owner="ada") as client:
            assert (await client.get(here.url("packed/gzip"))).text == "as it was " * 20_000
            for path, error in (("bomb/gzip", LimitReached), ("short", NoAnswer), ("headers/1000", LimitReached)):
                with pytest.raises(error):
                    await client.get(here.url(path))
            with pytest.raises(httpx2.TransportError, match="not on the list of allowed hosts"):
                await client.get(here.url("echo", "c.example"))
            with pytest.raises(Refused):
                await client.get(here.url(f"redirect/302/{here.url('echo', 'c.example')}"), follow_redirects=True)
            await client.get(here.url("echo"), headers={"Host": "b.example"})
            assert here.server.seen[-1].headers["host"] == f"a.example:{here.server.port}"
        assert (await here.get("echo")).status == 200, "closing it closed no connection of others"


@story
async def test_many_at_once() -> None:
    async with place() as here:
        answers = await asyncio.gather(*(here.get("echo") for _ in range(200)))
        assert {answer.status for answer in answers} == {200}


@story
async def test_certificates_are_verified_for_the_name(tmp_path: Path) -> None:
    async with tls_server(tmp_path, "a.example") as (server, trusted):
        rules = [read_rule(f"https://{host}:{server.port}") for host in ("a.example", "b.example")]
        outbound = Outbound(HERE, resolver=Names(), ssl_context=trusted)
        assert (await outbound.fetch(rules, f"https://a.example:{server.port}/echo", owner="")).status == 200
        assert server.names == ["a.example"]
        with pytest.raises(NoAnswer, match=r"The certificate of b\.example cannot be verified"):
            await outbound.fetch(rules, f"https://b.example:{server.port}/echo", owner="")
        await outbound.aclose()
        stranger = Outbound(HERE, resolver=Names())
        with pytest.raises(NoAnswer, match=r"The certificate of a\.example cannot be verified"):
            await stranger.fetch(rules, f"https://a.example:{server.port}/echo", owner="")
        await stranger.aclose()


@story
async def test_a_built_in_host_is_answered_without_a_socket() -> None:
    async def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(201, json={"path": request.url.path})

    names = Names()
    outbound = Outbound(resolver=names, built_in={"demo.example": httpx2.MockTransport(answer)})
    made = await outbound.fetch([read_rule("demo.example")], "https://demo.example/a", owner="")
    assert (made.status, made.body, names.asked) == (201, b'{"path":"/a"}', [])
    with pytest.raises(Refused):
        await outbound.fetch([], "https://demo.example/a", owner="")
    await outbound.aclose()
