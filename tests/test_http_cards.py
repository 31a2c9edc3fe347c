"""What a link looks like elsewhere: its words, its picture, and that nobody can write another site's name into them."""

import html
import io
import re
import time
from typing import Any

import pytest
from aio import run, story
from http_support import HELLO, MakeSite, Site

from playground.examples import load
from playground.settings import BadSetting
from playground.web.http.hosts import PublicUrl
from playground.web.pages import preview_cards
from playground.web.pages.link_previews import card_of_example
from playground.web.pages.preview_cards import CardCache
from playground.workflows.errors import Busy

BROWSER = {"Accept": "text/html"}
PNG = b"\x89PNG\r\n\x1a\n"
HOSTILE = {
    "long lines": "class W(X):\n" + "\n".join("x = '" + "я" * 5000 for _ in range(12)),
    "one line": "(" * 60_000,
    "quotes": "'''" * 20_000,
    "strings never closed": 'f"{' * 20_000,
    "what is not printed": "\u202e\u0000\ud7ff\ufeff\t\x1b[31m\u200b" * 3000,
    "stacked accents": "a" + "\u0301" * 60_000,
    "scripts without a glyph": "日本語🎉" * 10_000,
    "only newlines": "\n" * 60_000,
    "only comments": "# x\n" * 16_000,
    "nothing": "",
}


@pytest.fixture(scope="module")
def site(make_shared_site: MakeSite) -> Site:
    return make_shared_site(public_url="https://play.example/", allowed_hosts="*")


@pytest.fixture(scope="module")
def unnamed(make_shared_site: MakeSite) -> Site:
    """A server whose operator has not said what it is called."""
    return make_shared_site(cards_per_minute=3, allowed_hosts="*")


def told(site: Site, path: str, **headers: str) -> dict[str, str]:
    """What the page's head says to whoever makes a preview of it."""
    head = site.client.get(path, headers=BROWSER | headers).text.partition("</head>")[0]
    found = dict(re.findall(r'<meta (?:name|property)="([^"]+)" content="([^"]*)">', head))
    found["canonical"] = re.findall(r'<link rel="canonical" href="([^"]+)">', head)[0]
    return {name: html.unescape(value) for name, value in found.items()}


def size(png: bytes) -> tuple[int, int]:
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        image.load()
        return image.size


def test_each_page_says_what_a_link_to_it_looks_like(site: Site) -> None:
    url = site.share(HELLO)
    made = site.create(HELLO)
    site.finish(made)
    pictures = {"/": "/playground.png", "/examples/saga": "/examples/saga.png", url: f"{url}.png", made["url"]: None}
    for path, picture in pictures.items():
        head = told(site, path)
        assert head["og:title"] and head["og:description"] == head["description"], path
        assert head["twitter:card"] == "summary_large_image"
        assert head["canonical"] == head["og:url"] == f"https://play.example{path}"
        assert head["og:image"].startswith("https://play.example/")
        assert (head["og:image:width"], head["og:image:height"]) == ("1200", "630")
        if picture:
            assert head["og:image"] == f"https://play.example{picture}"
        answer = site.client.get(head["og:image"].removeprefix("https://play.example"))
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
        assert size(answer.content) == preview_cards.SIZE
        assert len(answer.content) < 60_000
    assert told(site, "/examples/saga")["og:title"] == "Saga with rollback"
    run_head = told(site, made["url"])
    assert re.fullmatch(
        r"Complete after 1 execution, \d+ events in its journal\. Steps: greet\.", run_head["og:description"]
    )
    assert run_head["robots"] == "noindex"
    assert "robots" not in told(site, url)


def test_no_header_can_put_another_name_into_a_page(site: Site, unnamed: Site) -> None:
    forged = (
        "evil.example",
        "evil.example:80",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "203.0.113.9",
        "[2001:db8::1]",
    )
    for host in forged:
        for each in (site, unnamed):
            answer = each.client.get(
                "/examples/hello",
                headers=BROWSER | {"Host": host, "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"},
            )
            assert (
                "evil.example" not in answer.text and "203.0.113.9" not in answer.text and "2001:db8" not in answer.text
            ), host
        assert told(site, "/examples/hello", Host=host)["canonical"] == "https://play.example/examples/hello"
        nameless = told(unnamed, "/examples/hello", Host=host)
        assert nameless["canonical"] == "/examples/hello"
        assert "og:image" not in nameless and "og:url" not in nameless
    for each in (site, unnamed):
        assert "><b>" not in each.client.get("/examples/hello", headers=BROWSER | {"Host": 'a"><b>'}).text
    own = told(unnamed, "/examples/hello")
    assert own["og:image"] == f"http://127.0.0.1:{unnamed.port}/examples/hello.png"
    assert told(unnamed, "/", Host="localhost:9")["canonical"] == "http://localhost:9/"


@pytest.mark.parametrize(
    "setting",
    [
        "play.example",
        "ftp://play.example",
        "https://play.example/x",
        "https://u:p@play.example",
        "https://",
        "https://a b",
    ],
)
def test_a_public_url_that_is_none_is_refused_at_the_start(setting: str) -> None:
    with pytest.raises(BadSetting, match=r"https://play\.example$"):
        PublicUrl.parse(setting)
    assert PublicUrl.parse("https://Play.example:8443/").base == "https://play.example:8443"


def test_a_picture_is_kept_by_its_etag_and_may_be_shown_elsewhere(site: Site) -> None:
    path = site.share(HELLO + "# kept\n") + ".png"
    first = site.client.get(path)
    assert first.content.startswith(PNG)
    assert first.headers["cache-control"].startswith("public")
    assert "cross-origin-resource-policy" not in first.headers
    again = site.client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert site.client.get(path).content == first.content
    for missing in ("/s/nothing.png", "/examples/nothing.png"):
        assert site.client.get(missing).status_code == 404


def test_an_address_may_have_only_so_many_drawn_anew(unnamed: Site) -> None:
    paths = [unnamed.share(f"{HELLO}# {number}\n") + ".png" for number in range(4)]
    assert [unnamed.client.get(path).status_code for path in paths] == [200, 200, 200, 429]
    refused = unnamed.client.get(paths[3])
    assert "pictures" in refused.json()["error"]["message"] and int(refused.headers["retry-after"]) > 0
    assert unnamed.client.get(paths[0]).status_code == 200


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_is_written_a_picture_takes_the_same_small_time(name: str) -> None:
    began = time.thread_time()
    png = preview_cards.draw_card(
        preview_cards.card_of(HOSTILE[name][:200], HOSTILE[name], note=HOSTILE[name], tag="0123abcd")
    )
    assert time.thread_time() - began < 2
    assert size(png) == preview_cards.SIZE


def test_it_shows_where_the_workflow_begins_and_not_what_it_imports() -> None:
    card = preview_cards.card_of("x", '"""A docstring."""\n\nimport os\nLIMIT = 3\n\n' + HELLO)
    assert card.code[0] == "class TenantWorkflow(WorkflowEntrypoint):"
    assert card.first_line == 9
    assert preview_cards.card_of("x", "# a\nimport os\n\nprint(os)\n").code == ("print(os)",)


def test_who_waits_too_long_for_a_picture_is_told_to_come_again() -> None:
    async def story() -> Any:
        import asyncio
        import threading

        gate = threading.Event()

        def slow(_card: Any) -> bytes:
            gate.wait(20)
            return PNG

        cards = CardCache(slow, wait=0.01)
        card = card_of_example(load()[0])
        with pytest.raises(Busy, match="Ask again"):
            await cards.draw_picture("one", card)
        gate.set()
        patient = CardCache(slow, wait=20)
        assert await asyncio.gather(*(patient.draw_picture("one", card) for _ in range(3))) == [PNG] * 3

    run(story())


@story
async def test_only_so_much_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("playground.web.pages.preview_cards.CACHED_BYTES", 250)
    cards = CardCache(lambda _card: b"x" * 100)
    for name in "abc":
        await cards.draw_picture(name, card_of_example(load()[0]))
    assert [cards.cached_picture(name) is not None for name in "abc"] == [False, True, True]
