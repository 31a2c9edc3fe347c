"""Which URLs, hosts and addresses a request may go to, however they are written."""

import ipaddress

import pytest

from playground.outbound.addresses import is_reachable, literal_address, read_networks
from playground.outbound.errors import Refused
from playground.outbound.hosts import HostRule, allowed_rule, read_host, read_rule, read_url

PRIVATE = (
    "0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.255 168.63.129.16 169.254.169.254 "
    "172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.1 "
    "203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 "
    ":: ::1 fe80::1 fec0::1 fc00::1 fd00:ec2::254 ff02::1 2001:db8::1 2001::1 2001:10::1 2002:7f00:1:: 3fff::1 5f00::1 "
    "100::1 100:0:0:1::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:0:127.0.0.1 ::127.0.0.1 ::8.8.8.8 "
    "64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b:1::8.8.8.8 64:ff9b::a9fe:a9fe 2002:808:808:: "
    "2001:0:808:808:8000:63bf:3fff:fdd2 2606:4700::5efe:127.0.0.1 2606:4700::200:5efe:10.0.0.1"
)
PUBLIC = (
    "1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.0 172.32.0.1 192.0.1.1 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808"
)


@pytest.mark.parametrize("text", PRIVATE.split())
def test_an_address_that_is_not_public_is_not_reachable(text: str) -> None:
    assert not is_reachable(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", PUBLIC.split())
def test_a_public_address_is_reachable(text: str) -> None:
    assert is_reachable(ipaddress.ip_address(text))


def test_networks_that_the_operator_names_are_reachable_and_nothing_beside_them() -> None:
    named = read_networks("10.1.0.0/16, 127.0.0.1,fd00::/8")
    reachable = [text for text in PRIVATE.split() if is_reachable(ipaddress.ip_address(text), named)]
    assert reachable == ["127.0.0.1", "fd00:ec2::254", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1"]
    with pytest.raises(ValueError, match="host bits"):
        read_networks("10.1.0.1/16")


# Each is 127.0.0.1 or another address of this machine to some reader of URLs.
@pytest.mark.parametrize(
    "host",
    [
        *("2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "127.1", "127.0.1", "0", "0x0", "1"),
        *("127.0.0.01", "127.0.0.1.1", "127.0.0.256", "0x7f.0x0.0x0.0x1", "00000177.1", "127.0.0.0x1"),
        *("[::1%25lo]", "[::1%lo]", "[fe80::1%1]", "[::ffff:127.0.0.1", "[]", "[::1]]", "::1", "[127.0.0.1]", "[v1.a]"),
        *(
            "a%2eb",
            "127%2e0.0.1",
            "%6c",
            "localhost%00.example.com",
            "a b",
            "a\tb",
            "a\\b",
            "",
            ".",
            "a..b",
            "-a",
            "a-",
        ),
        *("user@example.com", "user:password@example.com", "example.com@127.0.0.1", "example.com:80@127.0.0.1"),
        *("example.com:0", "example.com:65536", "example.com:8x", "example.com:-1", "example.com:٨٠"),
        *("a" * 64, "a." * 127 + "com", "exa\u00admple\u200b.com\u0000", "\u2488", "xn--", "a_\u0301\ufdd0"),
    ],
)
def test_a_host_that_readers_disagree_about_is_refused(host: str) -> None:
    with pytest.raises(Refused):
        read_url(f"http://{host}/")


# Unusual forms that can be read in one way only are that address, which is what is checked then.
@pytest.mark.parametrize(
    ("host", "read"),
    [
        ("127.0.0.1.", "127.0.0.1"),
        ("１２７.０.０.１", "127.0.0.1"),
        ("①②⑦.⓪.⓪.①", "127.0.0.1"),
        ("127。0。0。1", "127.0.0.1"),
        ("[0:0:0:0:0:0:0:1]", "::1"),
        ("[::FFFF:7f00:1]", "::ffff:127.0.0.1"),
        ("[::127.0.0.1]", "::7f00:1"),
    ],
)
def test_an_address_is_read_as_one(host: str, read: str) -> None:
    found = read_url(f"http://{host}/").host
    assert ipaddress.ip_address(found) == ipaddress.ip_address(read)
    address = literal_address(found)
    assert address is not None and not is_reachable(address)


def test_names_are_compared_in_one_form() -> None:
    assert read_host("EXAMPLE.com.") == read_host("ｅｘａｍｐｌｅ。com") == "example.com"
    assert read_host("bücher.example") == read_host("BÜCHER.example") == "xn--bcher-kva.example"
    assert read_host("LOCALHOST") == "localhost"
    target = read_url("HTTPS://Bücher.Example:8443/a?b=ä#c")
    assert (target.scheme, target.host, target.port) == ("https", "xn--bcher-kva.example", 8443)
    assert target.url.raw_host == b"xn--bcher-kva.example"


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://a.example", "file:///etc/passwd", "gopher://a.example", "//a.example", "a.example", "http:a.example"),
        *(
            "http:/a.example",
            "http:\\\\a.example",
            " http://a.example",
            "http://a.example/a b",
            "http://a.example/\r\nX: y",
        ),
        *("http://a.example/\x00", "unix:///run/docker.sock", "http://", "https://?x", "https://#x"),
        "https://a.example/" + "x" * 9_000,
    ],
)
def test_what_is_no_url_for_a_request_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        read_url(url)


def test_only_text_is_a_url() -> None:
    with pytest.raises(Refused, match="not int"):
        read_url(7)


@pytest.mark.parametrize(
    ("rule", "fits", "fits_not"),
    [
        ("api.example.com", "https://api.example.com/x", "https://example.com https://x.api.example.com"),
        ("api.example.com", "https://api.example.com:443", "http://api.example.com https://api.example.com:444"),
        ("*.example.com", "https://a.example.com https://a.b.example.com.", "https://example.com https://aexample.com"),
        ("http://intranet:8080", "http://INTRANET:8080/x", "http://intranet https://intranet:8080"),
        ("https://[2606:4700::1]", "https://[2606:4700:0:0::1]", "https://[2606:4700::2]"),
        ("*", "https://anything.example", "https://8.8.8.8 https://[2606:4700::1] http://anything.example"),
        ("bücher.example", "https://xn--bcher-kva.example", "https://bucher.example"),
    ],
)
def test_a_rule_fits_its_hosts_and_no_others(rule: str, fits: str, fits_not: str) -> None:
    assert all(allowed_rule([read_rule(rule)], read_url(url), "GET") for url in fits.split())
    for url in fits_not.split():
        with pytest.raises(Refused, match="allowed"):
            allowed_rule([read_rule(rule)], read_url(url), "GET")


def test_a_rule_may_name_methods() -> None:
    rule = read_rule("get,HEAD https://api.example.com")
    assert rule.methods == ("GET", "HEAD") and str(rule) == "GET,HEAD https://api.example.com"
    with pytest.raises(Refused, match="POST https://api.example.com is not allowed; other methods are"):
        allowed_rule([rule], read_url("https://api.example.com"), "POST")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ftp://a.example",
        "TRACE a.example",
        "a.example/path",
        "*.127.0.0.1",
        "a*.example",
        "127.1",
        "u@a",
        "a:x",
        "a" * 500,
    ],
)
def test_a_rule_that_cannot_be_read_is_an_error_that_shows_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        read_rule(text)


def test_a_rule_that_is_too_long_is_not_shown() -> None:
    with pytest.raises(ValueError, match="at most 400 characters, not 500"):
        read_rule("a" * 500)


@pytest.mark.parametrize(
    ("operator", "tenant", "covered"),
    [
        ("*", "api.example.com", True),
        ("*", "*.example.com", True),
        ("*", "127.0.0.1", False),
        ("*", "http://api.example.com", False),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "*.a.example.com", True),
        ("*.example.com", "*.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "*.aexample.com", False),
        ("*.example.com", "*", False),
        ("a.example.com", "*.a.example.com", False),
        ("GET a.example.com", "a.example.com", False),
        ("a.example.com", "GET a.example.com", True),
        ("https://a.example.com:8443", "a.example.com", False),
        ("10.0.0.1", "10.0.0.1", True),
    ],
)
def test_what_a_tenant_may_allow_is_within_what_the_operator_allows(operator: str, tenant: str, covered: bool) -> None:
    assert read_rule(operator).covers(read_rule(tenant)) is covered


def test_credentials_are_not_printed() -> None:
    rule = HostRule("a.example", headers={"authorization": "Bearer of-a-tenant"})
    assert "of-a-tenant" not in repr(rule) + str(rule)
