"""Whose request it is: addresses behind proxies, rates, tokens and origins."""

import pytest
from request_support import request

from playground.engine.clock import FakeClock
from playground.settings import BadSetting
from playground.web.http import rate_limits, security, tokens
from playground.web.http.errors import STATUS_OF, CrossOrigin, NoToken, TooMany, WrongToken
from playground.web.http.hosts import ClientAddresses
from playground.workflows import errors


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "found"),
    [
        ("", "192.0.2.7", "203.0.113.9", "192.0.2.7"),
        ("10.0.0.0/8", "10.1.2.3", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.0/8", "10.1.2.3", "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.0/8, 203.0.113.9", "10.1.2.3", "198.51.100.1, 203.0.113.9", "198.51.100.1"),
        ("10.0.0.0/8", "192.0.2.7", "203.0.113.9", "192.0.2.7"),
        ("10.0.0.0/8", "10.1.2.3", "nonsense", "10.1.2.3"),
        ("10.0.0.0/8", "10.1.2.3", "203.0.113.9:50123", "203.0.113.9"),
        ("::1", "::1", "[2001:db8:9:9::1]:443", "2001:db8:9:9::/64"),
        ("10.0.0.0/8", "10.1.2.3", "203.0.113.9, 10.9.9.9", "203.0.113.9"),
        ("10.0.0.0/8", "10.1.2.3", "", "10.1.2.3"),
        ("", "::ffff:192.0.2.7", "", "192.0.2.7"),
        ("", "2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64"),
        ("", "2001:db8:1:2:ffff::1", "", "2001:db8:1:2::/64"),
        ("", "::1", "", "::1"),
        ("", "fe80::1%eth0", "", "fe80::/64"),
        ("::1", "::1", "[2001:db8:9:9::1]", "2001:db8:9:9::/64"),
    ],
)
def test_an_address_is_believed_only_from_a_trusted_proxy(trusted: str, peer: str, forwarded: str, found: str) -> None:
    headers = {"x_forwarded_for": forwarded} if forwarded else {}
    assert ClientAddresses.parse(trusted).client_of(request(client=peer, **headers)) == found


def test_a_client_without_address_is_local() -> None:
    assert ClientAddresses().client_of(request(client=None)) == "local"


def test_a_proxy_that_is_no_address_is_a_bad_setting() -> None:
    with pytest.raises(BadSetting, match="proxy.example"):
        ClientAddresses.parse("10.0.0.1, proxy.example")


# Rates.


def test_the_limit_holds_in_any_minute_and_says_when_it_is_over() -> None:
    clock = FakeClock()
    limit = rate_limits.RateLimit(3, rate_limits.STARTS, clock.now)
    for _ in range(3):
        limit.charge("a")
        clock.advance(10_000)
    with pytest.raises(TooMany, match="3 runs in a minute") as refusal:
        limit.charge("a")
    assert refusal.value.details["retry_after"] == 30
    limit.charge("b")
    clock.advance(30_000)
    limit.charge("a")
    with pytest.raises(TooMany) as refusal:
        limit.charge("a")
    assert refusal.value.details["retry_after"] == 10


def test_a_refused_request_is_not_counted() -> None:
    clock = FakeClock()
    limit = rate_limits.RateLimit(1, rate_limits.CHECKS, clock.now)
    limit.charge("a")
    for _ in range(59):
        clock.advance(1_000)
        with pytest.raises(TooMany):
            limit.charge("a")
    clock.advance(1_000)
    limit.charge("a")


def test_addresses_not_heard_of_for_longest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("playground.engine.limits.MOST_KEYS", 2)
    limit = rate_limits.RateLimit(1, rate_limits.CHECKS, FakeClock().now)
    for address in "abc":
        limit.charge(address)
    limit.charge("a")
    with pytest.raises(TooMany):
        limit.charge("c")


def test_only_so_many_are_open_at_once() -> None:
    limit = rate_limits.ConcurrencyLimit(2, rate_limits.STREAMS)
    limit.acquire("a")
    limit.acquire("a")
    with pytest.raises(TooMany, match="2 event streams"):
        limit.acquire("a")
    limit.acquire("b")
    limit.release("a")
    limit.acquire("a")
    assert limit.total_open() == 3


# Tokens and origins.


def test_only_the_right_token_passes() -> None:
    stored = tokens.digest("secret")
    tokens.check_control_token(request(authorization="Bearer secret"), stored)
    tokens.check_control_token(request(authorization="bearer  secret "), stored)
    for headers in (
        {},
        {"authorization": "Basic secret"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer " + "x" * 300},
    ):
        with pytest.raises(NoToken):
            tokens.check_control_token(request(**headers), stored)
    for wrong in ("Secret", stored, "secret2"):
        with pytest.raises(WrongToken):
            tokens.check_control_token(request(authorization=f"Bearer {wrong}"), stored)
    with pytest.raises(WrongToken):
        tokens.check_control_token(request(authorization="Bearer secret"), None)


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "none"}, True),
        ({"sec_fetch_site": "same-site"}, False),
        ({"sec_fetch_site": "cross-site", "origin": "http://play.example"}, False),
        ({"origin": "http://play.example"}, True),
        ({"origin": "https://PLAY.example"}, True),
        ({"origin": "http://play.example:81"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": "http://[::"}, False),
    ],
)
def test_a_change_is_refused_when_another_site_asks(headers: dict[str, str], passes: bool) -> None:
    asked = request(host="play.example", **headers)
    if passes:
        security.check_origin(asked)
    else:
        with pytest.raises(CrossOrigin):
            security.check_origin(asked)


def test_every_error_of_an_operation_has_a_status() -> None:
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.WorkflowError)
    ]
    assert len(kinds) > 10
    assert [kind.code for kind in kinds if kind.code not in STATUS_OF] == []
