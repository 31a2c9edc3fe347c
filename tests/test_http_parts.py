"""The pure parts of the web: bodies, addresses, rates, tokens, origins, highlighting, static files."""

import re
from pathlib import Path

import aio
import msgspec
import pytest
from starlette.requests import Request

from playground.engine.clock import FakeClock
from playground.settings import BadSetting
from playground.web import bodies, rates, rendering, security, tokens
from playground.web.addresses import Addresses
from playground.web.assets import FOR_GOOD, Assets
from playground.web.errors import (
    STATUS_OF,
    BadBody,
    CrossOrigin,
    NotAnObject,
    NothingHere,
    NotJson,
    NoToken,
    TooMany,
    WrongToken,
)
from playground.web.highlight import Highlighter, highlight
from playground.workflows import errors
from playground.workflows.errors import TooLarge


def request(
    method: str = "POST", path: str = "/", *, body: tuple[bytes, ...] = (b"",), client: str | None = "192.0.2.7", **headers: str
) -> Request:
    """A request as uvicorn would give it; `headers` are written with underscores."""
    chunks = [{"type": "http.request", "body": part, "more_body": index < len(body) - 1} for index, part in enumerate(body)]

    async def receive() -> dict[str, object]:
        return chunks.pop(0)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": raw,
        "client": (client, 1) if client else None,
        "query_string": b"",
    }
    return Request(scope, receive)


# Bodies.


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"hello", "line 1, column 1"),
        (b'{"a": 1,\n  b: 2}', "line 2, column 3"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b"[Infinity]", "Infinity is not a JSON number"),
        (b'"\\ud800"', "surrogate"),
        (b'"\xff"', "not UTF-8"),
        (b"1e999", "can be kept"),
        (b"9" * 5_000, "can't be kept"),
        (b"[" * 101 + b"]" * 101, "nested more than 100"),
        (b"[" * 100_000, "nested more than 100"),
        (b'{"a":' * 500 + b"1" + b"}" * 500, "nested more than 100"),
    ],
)
def test_what_is_not_json_is_refused_with_its_place(raw: bytes, said: str) -> None:
    with pytest.raises(NotJson, match=re.escape(said)):
        bodies.parse(raw)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"null", None),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b"12345678901234567890123", 12345678901234567890123),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b"[" * 100 + b"]" * 100, None),
    ],
)
def test_what_is_json_is_read(raw: bytes, value: object) -> None:
    read = bodies.parse(raw)
    assert value is None or read == value


class Sample(msgspec.Struct, forbid_unknown_fields=True):
    source: str
    count: int = 1


@pytest.mark.parametrize(
    ("raw", "error", "said"),
    [
        (b"[]", NotAnObject, "an array"),
        (b'"x"', NotAnObject, "a string"),
        (b"null", NotAnObject, "null"),
        (b"{}", BadBody, "`source`"),
        (b'{"source": 1}', BadBody, "$.source"),
        (b'{"source": "x", "sauce": 1}', BadBody, "unknown field `sauce`"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_with_its_field(raw: bytes, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=re.escape(said)):
        aio.run(bodies.read_object(request(body=(raw,)), Sample, 1_000))


def test_a_body_is_read_no_further_than_its_limit() -> None:
    chunks = (b"x" * 600,) * 3
    with pytest.raises(TooLarge, match="1,000 bytes"):
        aio.run(bodies.read_bytes(request(body=chunks), 1_000))
    with pytest.raises(TooLarge, match="1,000 bytes"):
        aio.run(bodies.read_bytes(request(content_length="1001"), 1_000))
    assert aio.run(bodies.read_bytes(request(body=(b"x" * 500, b"y" * 500)), 1_000)) == b"x" * 500 + b"y" * 500


# Whose request it is.


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
    assert Addresses.parse(trusted).of(request(client=peer, **headers)) == found


def test_a_client_without_address_is_local() -> None:
    assert Addresses().of(request(client=None)) == "local"


def test_a_proxy_that_is_no_address_is_a_bad_setting() -> None:
    with pytest.raises(BadSetting, match="proxy.example"):
        Addresses.parse("10.0.0.1, proxy.example")


# Rates.


def test_the_limit_holds_in_any_minute_and_says_when_it_is_over() -> None:
    clock = FakeClock()
    limit = rates.PerMinute(3, rates.STARTS, clock.now)
    for _ in range(3):
        limit.take("a")
        clock.advance(10_000)
    with pytest.raises(TooMany, match="3 runs in a minute") as refusal:
        limit.take("a")
    assert refusal.value.details["retry_after"] == 30
    limit.take("b")
    clock.advance(30_000)
    limit.take("a")
    with pytest.raises(TooMany) as refusal:
        limit.take("a")
    assert refusal.value.details["retry_after"] == 10


def test_a_refused_request_is_not_counted() -> None:
    clock = FakeClock()
    limit = rates.PerMinute(1, rates.CHECKS, clock.now)
    limit.take("a")
    for _ in range(59):
        clock.advance(1_000)
        with pytest.raises(TooMany):
            limit.take("a")
    clock.advance(1_000)
    limit.take("a")


def test_addresses_not_heard_of_for_longest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("playground.engine.sliding.MOST_KEYS", 2)
    limit = rates.PerMinute(1, rates.CHECKS, FakeClock().now)
    for address in "abc":
        limit.take(address)
    limit.take("a")
    with pytest.raises(TooMany):
        limit.take("c")


def test_only_so_many_are_open_at_once() -> None:
    limit = rates.AtOnce(2, rates.STREAMS)
    limit.enter("a")
    limit.enter("a")
    with pytest.raises(TooMany, match="2 event streams"):
        limit.enter("a")
    limit.enter("b")
    limit.leave("a")
    limit.enter("a")
    assert limit.total() == 3


# Tokens and origins.


def test_only_the_right_token_passes() -> None:
    stored = tokens.digest("secret")
    tokens.check(request(authorization="Bearer secret"), stored)
    tokens.check(request(authorization="bearer  secret "), stored)
    for headers in (
        {},
        {"authorization": "Basic secret"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer " + "x" * 300},
    ):
        with pytest.raises(NoToken):
            tokens.check(request(**headers), stored)
    for wrong in ("Secret", stored, "secret2"):
        with pytest.raises(WrongToken):
            tokens.check(request(authorization=f"Bearer {wrong}"), stored)
    with pytest.raises(WrongToken):
        tokens.check(request(authorization="Bearer secret"), None)


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
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.WorkflowError)]
    assert len(kinds) > 10
    assert [kind.code for kind in kinds if kind.code not in STATUS_OF] == []


# Highlighting and templates.


def plain(shown: str) -> str:
    text = re.sub(r"<[^>]+>", "", shown)
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#x27;", "'"), ("&amp;", "&")):
        text = text.replace(entity, character)
    return text


@pytest.mark.parametrize(
    "source",
    [
        "",
        "\n",
        "x",
        "x = 1\n",
        '"""a\nb"""\n\ny',
        "def f(): # <b>&\n    return '</span>'",
        "\u00e9\U0001f600 = 'ü'",
        "\r\nx\r\n",
        "{" * 2_000,
        "'''" * 999,
    ],
)
def test_highlighting_changes_nothing_but_the_looks(source: str) -> None:
    shown = str(highlight(source))
    assert plain(shown) == source.removesuffix("\n")
    lines = shown.split("\n")
    assert [re.match(r'<span class="line" id="L(\d+)">.*</span>', line)[1] for line in lines] == [
        str(number + 1) for number in range(len(lines))
    ]
    assert all(line.count("<span") == line.count("</span>") for line in lines)


def test_keywords_strings_numbers_names_and_comments_are_told_apart() -> None:
    shown = str(highlight("def charge(): # why\n    return 'x', 42\n"))
    for kind, text in (
        ("keyword", "def"),
        ("name", "charge"),
        ("comment", "# why"),
        ("keyword", "return"),
        ("string", "&#x27;x&#x27;"),
        ("number", "42"),
    ):
        assert f'<span class="tok-{kind}">{text}</span>' in shown


def test_a_source_made_to_be_slow_is_given_up_on_in_time() -> None:
    source = " \n" * 32_000  # quadratic in Pygments' lexer: 46 s
    shown = str(highlight(source, deadline=0.05))
    assert plain(shown) == source.removesuffix("\n")


def test_the_same_source_is_highlighted_once() -> None:
    highlighter = Highlighter()

    async def twice() -> bool:
        return await highlighter.python("x = 1") is await highlighter.python("x = 1")

    assert aio.run(twice())


def test_json_in_a_page_cannot_leave_its_element() -> None:
    shown = str(rendering.json_script({"source": "</script><!--<script>&\u2028"}))
    assert not re.search("[<>&\u2028]", shown)
    assert msgspec.json.decode(shown) == {"source": "</script><!--<script>&\u2028"}


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, ""),
        (0, "0 ms"),
        (999, "999 ms"),
        (1_200, "1.2 s"),
        (184_000, "3 min 4 s"),
        (7_500_000, "2 h 5 min"),
        (273_600_000, "3 d 4 h"),
    ],
)
def test_durations_are_for_people(ms: int | None, text: str) -> None:
    assert rendering.duration_text(ms) == text


# Static files.


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    (tmp_path / "js").mkdir()
    (tmp_path / "js" / "main.js").write_text("// main\n" * 200)
    (tmp_path / "dot.png").write_bytes(b"\x89PNG" + bytes(2_000))
    assets = Assets({"": tmp_path})
    assets.refresh(0)
    return assets


def test_a_file_is_kept_for_good_only_under_its_own_version(assets: Assets) -> None:
    name = assets.url("js/main.js").removeprefix("/static/")
    assert assets.respond(request("GET"), name).headers["cache-control"] == FOR_GOOD
    for other in ("js/main.js", "v-000000000000/js/main.js"):
        assert assets.respond(request("GET"), other).headers["cache-control"] == "no-cache"


def test_a_file_is_compressed_for_who_can_read_it_and_not_sent_twice(assets: Assets) -> None:
    packed = assets.respond(request("GET", accept_encoding="gzip, br"), "js/main.js")
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) < 100
    whole = assets.respond(request("GET"), "js/main.js")
    assert "content-encoding" not in whole.headers
    assert "content-encoding" not in assets.respond(request("GET", accept_encoding="gzip"), "dot.png").headers
    again = assets.respond(request("GET", if_none_match=whole.headers["etag"]), "js/main.js")
    assert (again.status_code, again.body) == (304, b"")


def test_a_changed_file_changes_every_address(assets: Assets, tmp_path: Path) -> None:
    before = assets.url("dot.png")
    (tmp_path / "js" / "main.js").write_text("// other")
    assets.refresh(500)
    assert assets.url("dot.png") == before
    assets.refresh(1_500)
    assert assets.url("dot.png") != before
    assert assets.respond(request("GET"), "js/main.js").body == b"// other"


@pytest.mark.parametrize("path", ["", "nothing.js", "../pyproject.toml", "js/../js/main.js", "v-x", "js"])
def test_nothing_but_the_files_is_served(assets: Assets, path: str) -> None:
    with pytest.raises(NothingHere):
        assets.respond(request("GET"), path)
