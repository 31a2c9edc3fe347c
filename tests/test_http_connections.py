"""Connections of strangers: heads without end, requests that trickle in, upgrades, bytes that are no HTTP."""

import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
from http_support import APPROVAL, DEADLINE, HELLO, MakeSite, Site, bearer, settled

from playground.settings import Settings
from playground.web.http.connections import HEADERS_MAX, PIPELINED_REQUESTS, REQUEST_LINE_BYTES


@pytest.fixture
def raw(site: Site) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", site.port), timeout=DEADLINE) as raw:
        yield raw


@pytest.fixture
def impatient(make_site: MakeSite) -> Site:
    """A server that waits for a fifth of a second where others would for many."""
    return make_site(head_seconds=0.2, body_seconds=0.2, stream_send_seconds=0.2)


def answer(raw: socket.socket) -> bytes:
    """All that comes until the server closes."""
    received = b""
    while chunk := raw.recv(65_536):
        received += chunk
    return received


@pytest.mark.parametrize(
    ("head", "more"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ", b"x"),
        (b"GET / HTTP/1.1\r\n", b"X-Field: " + b"x" * 1_000 + b"\r\n"),
    ],
    ids=["one long field", "many fields"],
)
def test_a_head_without_end_is_refused(raw: socket.socket, head: bytes, more: bytes) -> None:
    whole = head + more * ((Settings().head_bytes + REQUEST_LINE_BYTES) // len(more) + 1)
    raw.sendall(whole[: Settings().head_bytes + REQUEST_LINE_BYTES + 1])
    assert answer(raw).startswith(b"HTTP/1.1 431")


def test_code_that_is_too_long_for_an_address_is_refused_with_the_way_to_send_it(raw: socket.socket) -> None:
    raw.sendall(b"GET /new?source=" + b"%23" * 22_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    received = answer(raw)
    assert received.startswith(b"HTTP/1.1 414")
    assert b"POST /api/snippets" in received


def test_code_that_fits_in_an_address_is_shown(raw: socket.socket) -> None:
    raw.sendall(b"GET /new?source=" + b"%23" * 21_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer(raw).startswith(b"HTTP/1.1 200")


def test_a_head_that_trickles_in_is_given_up(impatient: Site) -> None:
    for said in (b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n"):
        with socket.create_connection(("127.0.0.1", impatient.port), timeout=DEADLINE) as raw:
            raw.sendall(said)
            assert answer(raw).startswith(b"HTTP/1.1 408")


def test_a_body_that_trickles_in_is_given_up(impatient: Site, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=DEADLINE) as raw:
        raw.sendall(b"POST /api/check HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        said = answer(raw)
    assert said.startswith(b"HTTP/1.1 408")
    assert b"The body of the request took longer than 0.2 s to arrive" in said
    assert impatient.client.get("/healthz").status_code == 200
    assert (impatient.log.of("failed"), caplog.records) == ([], [])


def test_who_does_not_take_a_large_answer_is_cut_off(impatient: Site) -> None:
    made = impatient.create(HELLO, params={"name": "x" * 1_000_000})
    impatient.finish(made)
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        deaf.settimeout(DEADLINE)
        deaf.connect(("127.0.0.1", impatient.port))
        deaf.sendall(f"GET /api{made['url']}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        settled(impatient, lambda: bool(impatient.log.of("limit")))
        taken = len(answer(deaf))
    assert impatient.log.of("limit")[-1]["limit"] == "stream_send_seconds"
    whole = impatient.client.get(f"/api{made['url']}/events")
    assert whole.status_code == 200 and taken < len(whole.content)


def test_a_run_that_lasts_longer_than_a_request_may_is_not_cut_off(
    impatient: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = impatient
    monkeypatch.setattr("playground.web.api.stream.PING_SECONDS", 0.1)
    made = site.create(APPROVAL)
    pings = 0
    for name, _ in site.follow(made):
        pings += name == "ping"
        if pings == 5:
            site.client.post(f"/api{made['url']}/events/approved", json=1, headers=bearer(made))
    assert name == "end"


def test_what_is_no_http_is_refused_with_one_line(raw: socket.socket, caplog: pytest.LogCaptureFixture) -> None:
    raw.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n")
    assert answer(raw).startswith(b"HTTP/1.1 400")
    assert [record.getMessage() for record in caplog.records] == ["Invalid HTTP request received."]


def test_an_upgrade_is_answered_over_http(raw: socket.socket, caplog: pytest.LogCaptureFixture) -> None:
    raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n")
    assert answer(raw).startswith(b"HTTP/1.1 200")
    assert caplog.records == []


def test_only_so_many_headers_are_taken(raw: socket.socket) -> None:
    """Each takes a hundred bytes here, however short it is."""
    raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"a:\r\n" * HEADERS_MAX + b"\r\n")
    received = answer(raw)
    assert received.startswith(b"HTTP/1.1 431")
    assert b"more than 200 headers" in received


def test_only_so_many_requests_are_taken_ahead_of_their_answers(site: Site, raw: socket.socket) -> None:
    with suppress(ConnectionError):  # closed with most of them unread
        raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 5_000)
        assert answer(raw).count(b"HTTP/1.1 200") <= PIPELINED_REQUESTS + 2
    with socket.create_connection(("127.0.0.1", site.port), timeout=DEADLINE) as other:
        other.sendall(
            b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * PIPELINED_REQUESTS + b"GET /healthz HTTP/1.0\r\n\r\n"
        )
        assert answer(other).count(b"HTTP/1.1 200") == PIPELINED_REQUESTS + 1


def test_requests_one_after_the_other_on_one_connection(raw: socket.socket) -> None:
    for _ in range(50):
        raw.sendall(b"GET /robots.txt HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while b"Disallow: /new" not in received:
            received += raw.recv(65_536)
        assert received.startswith(b"HTTP/1.1 200")
