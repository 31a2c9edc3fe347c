"""Under which names the server answers: a website that points a name of its own at it (DNS rebinding) gets nothing,
however it asks.
"""

import pytest
from http_support import HELLO, MakeSite
from starlette.requests import Request

from playground.settings import BadSetting, Settings
from playground.web.http.errors import HostRefused
from playground.web.http.hosts import AllowedHosts
from playground.web.http.listening import CannotListen, is_loopback

OWN = (
    "localhost:8000",
    "LOCALHOST",
    "localhost.",
    "app.localhost:8000",
    "127.0.0.1:8000",
    "127.9.9.9",
    "[::1]:8000",
    "192.0.2.7:8000",
)
FOREIGN = (
    "evil.example",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "evil-localhost",
    "192.0.2.8",
    "0.0.0.0",
    "[::]",
    "2130706433",
    "x",
    "",
)
PLAY = {"public_url": "https://play.example:8443"}
LISTED = {"allowed_hosts": " Play.Example. , .tailnet.example,[2001:db8::1]"}
EVERYTHING = {"any.example", *FOREIGN}


@pytest.mark.parametrize(
    ("settings", "loopback", "unprotected", "answered"),
    [
        ({}, True, False, set()),
        (PLAY, True, False, {"play.example", "play.example:8443"}),
        (
            LISTED,
            True,
            False,
            {"play.example:9", "PLAY.EXAMPLE", "tailnet.example", "a.b.tailnet.example", "[2001:db8::1]:80"},
        ),
        (LISTED | {"trusted_proxies": "10.0.0.1"}, True, False, {"play.example"}),
        (LISTED, False, False, {"play.example"}),
        (PLAY, False, False, {"play.example"}),
        ({"trusted_proxies": "127.0.0.1"}, True, False, EVERYTHING),
        ({"allowed_hosts": "*"}, True, False, EVERYTHING),
        ({"allowed_hosts": "play.example,*"} | PLAY, True, False, EVERYTHING),
        ({}, False, False, EVERYTHING),
        ({"allowed_hosts": "*"} | PLAY, True, True, set()),
        ({"trusted_proxies": "127.0.0.1"}, True, True, set()),
    ],
)
def test_which_names_are_answered(
    settings: dict[str, str], loopback: bool, unprotected: bool, answered: set[str]
) -> None:
    hosts = AllowedHosts.from_settings(Settings(**settings), loopback=loopback, unprotected=unprotected)
    for name in {*OWN, *answered}:
        hosts.check_host(asked(name))
    for name in {
        *FOREIGN,
        "tailnet.example.evil.example",
        "eviltailnet.example",
        "play.example.evil.example",
    } - answered:
        if answered is not EVERYTHING:
            with pytest.raises(HostRefused):
                hosts.check_host(asked(name))
    hosts.check_host(Request({"type": "http", "headers": []}))  # of HTTP/1.0, which no browser speaks


def asked(host: str) -> Request:
    """A request for this host, on a connection that came to 192.0.2.7."""
    return Request(
        {
            "type": "http",
            "method": "GET",
            "path": "/",
            "headers": [(b"host", host.encode())],
            "server": ("192.0.2.7", 8000),
        }
    )


@pytest.mark.parametrize(
    "setting", ["https://play.example", "play.example:8000", "a b", "*.example", "bücher.example", "play..example", "."]
)
def test_what_is_no_name_is_no_setting(setting: str) -> None:
    with pytest.raises(BadSetting, match=r"allowed_hosts .* has .*play\.example"):
        AllowedHosts.from_settings(Settings(allowed_hosts=setting), loopback=True, unprotected=False)


def test_what_is_loopback_is_known_by_where_it_leads() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "127.0.0.2"))
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::"))
    with pytest.raises(CannotListen):
        is_loopback("no such host")


def test_a_website_that_points_its_name_at_this_machine_gets_nothing(make_site: MakeSite) -> None:
    here = make_site()
    made = here.create(HELLO)
    evil = {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}
    api = f"/api{made['url']}"
    for method, path, body in (
        ("GET", "/", None),
        ("GET", made["url"], None),
        ("GET", api, None),
        ("GET", f"{api}/events", None),
        ("GET", f"{api}/stream", None),
        ("POST", "/api/instances", {"source": HELLO}),
        ("POST", "/api/check", {"source": HELLO}),
        ("DELETE", api, None),
        ("GET", "/new?source=x", None),
        ("GET", here.context.assets.url("css/plain.css"), None),
        ("GET", "/healthz", None),
        ("GET", "/metrics", None),
        ("GET", "/nowhere", None),
        ("OPTIONS", "/api/instances", None),
        ("HEAD", "/", None),
    ):
        answer = here.client.request(method, path, json=body, headers=evil)
        assert answer.status_code == 421, (method, path)
        assert made["id"] not in answer.text and "location" not in answer.headers
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert sum(here.call(here.context.store.count(tenant="")).values()) == 1
    assert here.log.of("refused")[-1]["code"] == "host.refused"


def test_the_refusal_says_what_to_do(make_site: MakeSite) -> None:
    here = make_site()
    told = here.client.get("/api/examples", headers={"Host": "box.lan:8000"}).json()["error"]
    assert told["code"] == "host.refused"
    assert "not to box.lan." in told["message"] and "--allowed-hosts box.lan" in told["message"]
    page = here.client.get("/", headers={"Host": "box.lan:8000", "Accept": "text/html"})
    assert (page.text, page.headers["content-type"]) == (told["message"] + "\n", "text/plain; charset=utf-8")
    assert (
        here.client.get("/about", headers={"Host": f"app.localhost:{here.port}", "Accept": "text/html"}).status_code
        == 200
    )


@pytest.mark.parametrize(
    ("settings", "others", "warned"),
    [
        ({"trusted_proxies": "127.0.0.1", "allowed_hosts": "play.example"}, 421, 0),
        ({"host": "0.0.0.0"}, 200, 1),
    ],
    ids=["behind a proxy", "on an address that others reach"],
)
def test_other_names_are_answered_as_set_and_the_log_says_when_any_is(
    make_site: MakeSite, settings: dict[str, str], others: int, warned: int
) -> None:
    here = make_site(**settings)
    statuses = [
        here.client.get("/healthz", headers={"Host": name}).status_code for name in ("play.example", "evil.example")
    ]
    assert statuses == [200, others]
    assert len(here.log.of("any_host")) == warned
