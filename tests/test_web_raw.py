"""Requests that a proxy before this server might read otherwise, or that are no requests: each has one answer, which
gives nothing away.
"""

import re
import socket

import pytest
from http_support import DEADLINE, HELLO, Site

HOST = b"Host: localhost\r\n"
SMUGGLED = b"GET /api/examples HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHECK = b"POST /api/check HTTP/1.1\r\n" + HOST

# Refused, and the connection closed, so that nothing after it is taken for another request.
TWO_WAYS: dict[str, bytes] = {
    "a length and chunks": CHECK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": CHECK + b"Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "an unknown encoding": CHECK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks that are not last": CHECK + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "two encodings": CHECK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "an encoding after a control character": CHECK + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "two lengths": CHECK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "the same length twice": CHECK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": CHECK + b"Content-Length: 2, 2\r\n\r\n{}",
    "a length with a sign": CHECK + b"Content-Length: +2\r\n\r\n{}",
    "a length below nothing": CHECK + b"Content-Length: -1\r\n\r\n{}",
    "a length that is no decimal": CHECK + b"Content-Length: 0x2\r\n\r\n{}",
    "a length past any": CHECK + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
    "a chunk of a size with a space": CHECK + b"Transfer-Encoding: chunked\r\n\r\n2 \r\n{}\r\n0\r\n\r\n",
    "a chunk of a negative size": CHECK + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    "a chunk that ends too late": CHECK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n",
    "chunks with bare line feeds": CHECK + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n",
    "bare line feeds": b"GET /healthz HTTP/1.1\nHost: localhost\n\n",
    "a bare line feed between fields": b"GET /healthz HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
    "a bare return within a field": b"GET /healthz HTTP/1.1\r\nHost: localhost\rX: y\r\n\r\n",
    "a folded field": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: b\r\n c\r\n\r\n",
    "a null within a field": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n",
    "a field without a name": b"GET /healthz HTTP/1.1\r\n" + HOST + b": x\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /healthz HTTP/1.1\r\n" + HOST + b"Host: evil.example\r\n\r\n",
    "a host that is markup": b'GET / HTTP/1.1\r\nHost: "><script>alert(1)</script>\r\n\r\n',
    "a host with a path": b"GET / HTTP/1.1\r\nHost: localhost/api/\r\n\r\n",
    "a host with a user": b"GET / HTTP/1.1\r\nHost: evil@localhost\r\n\r\n",
    "half a bracket": b"GET / HTTP/1.1\r\nHost: [\r\n\r\n",
    "a port that is none": b"GET / HTTP/1.1\r\nHost: localhost:evil\r\n\r\n",
    "a space in the address": b"GET /health z HTTP/1.1\r\n" + HOST + b"\r\n",
    "an address that is not ASCII": "GET /näh HTTP/1.1\r\n".encode() + HOST + b"\r\n",
    "an address elsewhere that cannot be": b"GET http://evil.example:99999999/healthz HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "HTTP/2 without having agreed on it": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another version": b"GET /healthz HTTP/2.0\r\n" + HOST + b"\r\n",
    "a later version": b"GET /healthz HTTP/1.9\r\n" + HOST + b"\r\n",
    "TLS": bytes.fromhex("16030100a5010000a10303"),
    "a method of its own": b"EVIL / HTTP/1.1\r\n" + HOST + b"\r\n",
}

# Understood, and answered without harm: (request, status, what stands in no answer).
STRANGE: dict[str, tuple[bytes, int]] = {
    "a traversal": (b"GET /static/../../../etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "an encoded traversal": (b"GET /static/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "a traversal with encoded slashes": (b"GET /static/..%2f..%2fetc%2fpasswd HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "a traversal encoded twice": (b"GET /static/%252e%252e%252fsettings.py HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "a traversal with backslashes": (b"GET /static/..\\..\\settings.py HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "a whole path as a file": (b"GET /static//etc/passwd HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "a file of a version that never was": (b"GET /static/v-x/../../pyproject.toml HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "an example that is a path": (b"GET /examples/..%2f__init__ HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "a snippet with a null": (b"GET /s/a%00b.py HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "a snippet that is not UTF-8": (b"GET /s/%ff%fe HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "half a surrogate pair": (b"GET /s/%ed%a0%80 HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "a line end in the address": (b"GET /instances/a%0d%0aX-Evil:%201 HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "a line end in the code's address": (b"GET /new?source=a%0d%0aX-Evil:%201 HTTP/1.1\r\n" + HOST + b"\r\n", 200),
    "a broken escape": (b"GET /%zz/%2 HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "two slashes": (b"GET //evil.example/ HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "a slash at the end": (b"GET /about/ HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "an address with a server's name": (
        b"GET http://evil.example/about HTTP/1.1\r\n" + HOST + b"Accept: text/html\r\n\r\n",
        200,
    ),
    "no address": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    "a trace": (b"TRACE /about HTTP/1.1\r\n" + HOST + b"X-Secret: told\r\n\r\n", 405),
    "another method in a field": (
        b"GET /api/instances/x HTTP/1.1\r\n" + HOST + b"X-HTTP-Method-Override: DELETE\r\n\r\n",
        404,
    ),
    "another address in a field": (
        b"GET /nowhere HTTP/1.1\r\n" + HOST + b"X-Original-URL: /about\r\nX-Rewrite-URL: /about\r\n\r\n",
        404,
    ),
    "another host in a field": (
        b"GET /about HTTP/1.1\r\n" + HOST + b"X-Forwarded-Host: evil.example\r\nAccept: text/html\r\n\r\n",
        200,
    ),
    "a token that is not ASCII": (
        b"POST /api/instances/x/pause HTTP/1.1\r\n"
        + HOST
        + b"Authorization: Bearer \xff\xfe\r\nContent-Length: 0\r\n\r\n",
        404,
    ),
    "an operator's token that is not ASCII": (
        b"GET /tenants HTTP/1.1\r\n" + HOST + b"Authorization: Bearer \xe9\xff\r\n\r\n",
        403,
    ),
    "an operator's password that is not base64": (
        b"GET /tenants HTTP/1.1\r\n" + HOST + b"Authorization: Basic ////\r\n\r\n",
        401,
    ),
    "an origin that is not ASCII": (CHECK + b"Origin: \xff\r\nContent-Length: 2\r\n\r\n{}", 403),
    "a place in the stream past any": (
        b"GET /api/instances/x/stream HTTP/1.1\r\n" + HOST + b"Last-Event-ID: 99999999999999999\r\n\r\n",
        404,
    ),
    "JSON in another alphabet": (
        CHECK + b"Content-Type: application/json; charset=utf-16\r\nContent-Length: 6\r\n\r\n\xff\xfe{\x00}\x00",
        400,
    ),
    "a form": (CHECK + b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 8\r\n\r\nsource=x", 400),
    "a packed body": (CHECK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b", 400),
    "a chunk with an extension": (CHECK + b"Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\n\r\n", 400),
    "a field after the chunks": (
        CHECK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nAuthorization: Bearer x\r\n\r\n",
        400,
    ),
}


def said(site: Site, request: bytes) -> bytes:
    """All that comes until the server closes."""
    with socket.create_connection(("127.0.0.1", site.port), timeout=DEADLINE) as raw:
        raw.sendall(request)
        received = b""
        while chunk := raw.recv(65_536):
            received += chunk
    return received


@pytest.mark.parametrize("case", TWO_WAYS)
def test_what_can_be_read_in_two_ways_is_refused_and_nothing_after_it_heard(site: Site, case: str) -> None:
    received = said(site, TWO_WAYS[case] + SMUGGLED)
    head, _, body = received.partition(b"\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 400 ")
    assert len(re.findall(rb"HTTP/1\.1 \d\d\d", received)) == 1, "the request behind it was heard"
    assert b"nosniff" in head and b"connection: close" in head
    assert body == (
        b'{"error":{"code":"bad_request","message":"This is no request of HTTP/1.1, or one that could be read in '
        b'two ways."}}'
    )


@pytest.mark.parametrize("case", STRANGE)
def test_what_is_strange_is_answered_without_harm(site: Site, case: str) -> None:
    request, status = STRANGE[case]
    received = said(site, request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
    head, _, body = received.partition(b"\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 %d " % status), head
    assert b"nosniff" in head
    assert b"X-Evil" not in head and b"x-evil" not in head
    assert not any(
        leak in body
        for leak in (b"root:", b"[project]", b"Settings", b"Traceback", b"evil.example", b"X-Secret", b"told")
    )
    assert site.log.of("failed") == []


@pytest.mark.parametrize(
    ("request_line", "more"),
    [
        (b"HTTP/1.0", b""),
        (b"HTTP/1.0", b"Connection: keep-alive\r\n"),
        (b"HTTP/1.1", b"Connection: close\r\n"),
        (b"HTTP/1.1", b""),
    ],
    ids=["HTTP/1.0", "HTTP/1.0 that would stay", "HTTP/1.1 that leaves", "HTTP/1.1"],
)
def test_a_stream_is_sent_in_the_words_of_the_version_that_asks(site: Site, request_line: bytes, more: bytes) -> None:
    made = site.create(HELLO)
    site.finish(made)
    asked = f"GET /api{made['url']}/stream ".encode() + request_line + b"\r\n" + HOST + more + b"\r\n"
    closes = request_line == b"HTTP/1.0" or more == b"Connection: close\r\n"
    last = b"" if closes else b"GET /healthz HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n"
    head, _, body = said(site, asked + last).partition(b"\r\n\r\n")
    fields = [line.partition(b": ")[0].lower() for line in head.split(b"\r\n")[1:]]
    values = [line.partition(b": ")[2] for line in head.split(b"\r\n")[1:] if line.lower().startswith(b"connection:")]
    chunked = request_line == b"HTTP/1.1"
    assert (b"transfer-encoding" in fields) == chunked
    assert values == ([b"close"] if not last else [])
    if chunked:
        assert re.match(rb"[0-9a-f]+\r\nretry: 1000\n", body) and b"0\r\n\r\n" in body
    else:
        parts = [message.split(b"\n") for message in body.split(b"\n\n")]
        assert parts.pop() == [b""] and parts[0][0] == b"retry: 1000" and parts[-1][0] == b"event: end"
        assert all(line.split(b":")[0] in (b"id", b"event", b"data", b"retry") for part in parts for line in part)


def test_an_old_client_and_an_ordinary_one_are_served(site: Site) -> None:
    assert said(site, b"GET /healthz HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200")
    ours, others = (
        (b"localhost", b"LOCALHOST:8000", b"127.0.0.1", b"[::1]:80"),
        (b"play.example.org.", b"xn--9ca.example", b"my_host"),
    )
    for host in ours + others:
        answered = b"HTTP/1.1 200" if host in ours else b"HTTP/1.1 421"  # understood, and not ours
        assert said(site, b"GET /healthz HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n").startswith(
            answered
        ), host
