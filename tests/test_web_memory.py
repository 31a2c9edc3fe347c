"""What the server lets go of by itself: a connection that is lost, and what it remembers only for speed."""

import asyncio
import gc
import socket
import struct
import time
import weakref
from collections.abc import Iterator

import pytest
from http_support import DEADLINE, HELLO, Site

from playground.engine.code import checker
from playground.engine.code.checker import Check
from playground.engine.limits import SlidingWindow
from playground.web.http.connections import LimitedHttpProtocol

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[weakref.ref[LimitedHttpProtocol]]]:
    """Every connection that is made, while nothing collects garbage."""
    made: list[weakref.ref[LimitedHttpProtocol]] = []
    begin = LimitedHttpProtocol.connection_made

    def connection_made(self: LimitedHttpProtocol, transport: asyncio.Transport) -> None:
        made.append(weakref.ref(self))
        begin(self, transport)

    monkeypatch.setattr(LimitedHttpProtocol, "connection_made", connection_made)
    gc.collect()
    gc.disable()
    yield made
    gc.enable()


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize(
    ("said", "answered"),
    [
        (b"", False),
        (b"GET / HT", False),
        (HEALTH, True),
        (HEALTH * 3, True),
        (b"POST /api/check HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{", False),
    ],
    ids=["nothing", "half a head", "one request", "three at once", "half a body"],
)
def test_a_lost_connection_is_gone_at_once_and_waits_for_no_timer_or_collection(
    site: Site, connections: list[weakref.ref[LimitedHttpProtocol]], said: bytes, answered: bool, reset: bool
) -> None:
    with socket.create_connection(("127.0.0.1", site.port), timeout=DEADLINE) as raw:
        raw.sendall(said)
        if answered:
            assert raw.recv(12) == b"HTTP/1.1 200"
        until = time.monotonic() + DEADLINE
        while not connections:
            assert time.monotonic() < until
            site.call(asyncio.sleep(0))
        assert connections[0]() is not None
        if reset:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    while connections[0]() is not None:
        assert time.monotonic() < until, gc.get_referrers(connections[0]())
        site.call(asyncio.sleep(0))


def test_folds_are_forgotten_when_nothing_has_run_for_a_moment(site: Site) -> None:
    made = site.create(HELLO)
    ended = site.finish(made)
    assert site.context.views._folds._folds
    site.call(site.engine._scheduler.idle_trimmer.trim())
    assert not site.context.views._folds._folds
    assert site.client.get(f"/api{made['url']}").json() == ended


def test_results_of_checks_are_kept_up_to_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checker, "CACHED_BYTES", 400)
    known = checker._ResultCache()
    found = {digest: Check(({"message": "x" * 100 + str(digest)},), ({"kind": "do"},)) for digest in (b"a", b"b", b"c")}
    for digest, check in found.items():
        known.put(digest, check)
        assert known.get(b"a") in (found[b"a"], None)
    assert [known.get(digest) for digest in found] == [found[b"a"], None, found[b"c"]]


def test_what_was_counted_long_ago_is_counted_no_more() -> None:
    now = [1_000]
    had = SlidingWindow(3, 1_000, lambda: now[0])
    for at, amount in ((1_000, 5), (1_900, 1), (3_000, 2)):
        now[0] = at
        had.add("a", amount)
    assert (had.total("a"), had.counts("a")) == (8, [(1, 6), (3, 2)])
    now[0] = 4_000
    assert (had.total("a"), had.counts("a")) == (2, [(3, 2)])
    now[0] = 6_000
    assert (had.total("a"), had.counts("a"), had.total("b")) == (0, [], 0)
