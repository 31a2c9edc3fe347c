"""Code that comes in an address: it is shown, and stored only once somebody runs or shares it, with scripts and
without.
"""

import json
import re
from html import unescape
from typing import Any

import pytest
from http_support import HELLO, MakeSite, Site, code_of
from test_http_pages import BROWSER, data_of, page, words

from playground.store.snippets import make_snippet

PARAMS = '{"name": "Ada"}'


@pytest.fixture(scope="module")
def site(make_shared_site: MakeSite) -> Site:
    return make_shared_site()


def is_stored(site: Site, source: str) -> bool:
    return (
        site.call(site.context.store.snippet(make_snippet(source, None, 0).id)) is not None
        or source.encode() in site.stored()
    )


def test_a_link_to_new_code_shows_it_and_stores_nothing(site: Site) -> None:
    source = HELLO + "# of a link\n"
    answer = site.client.get("/new", params={"source": source, "params": PARAMS}, headers=BROWSER)
    assert answer.status_code == 200
    data = data_of(answer)
    assert (data["kind"], data["source"], json.loads(data["params"]), data["snippet"]) == (
        "new",
        source,
        {"name": "Ada"},
        None,
    )
    assert "of a link" in words(answer.text) and "noindex" in answer.text
    again = site.client.get("/new", params={"source": source, "params": PARAMS}, headers={"Accept": "application/json"})
    assert again.json() | {"now": 0} == data | {"now": 0}
    assert not is_stored(site, source)
    assert site.call(site.context.store.count(tenant="")) == {}


@pytest.mark.parametrize(
    ("query", "refused"),
    [
        ({}, (400, "query.invalid")),
        ({"source": "x", "params": "{"}, (400, "body.not_json")),
        ({"source": "x" * 2_001}, (413, "too_large")),
        ({"source": "x", "params": f'"{"x" * 2_001}"'}, (413, "too_large")),
    ],
    ids=["no source", "params that are no JSON", "too long", "params too long"],
)
def test_a_link_that_holds_no_code_or_too_much_is_refused(
    make_site: MakeSite, query: dict[str, str], refused: tuple[int, str]
) -> None:
    site = make_site(source_bytes=2_000, value_bytes=2_000)
    assert code_of(site.client.get("/new", params=query, headers={"Accept": "application/json"})) == refused


def test_without_scripts_the_form_of_the_page_stores_what_it_shows(site: Site) -> None:
    source = HELLO + '# <of a form> & "é"\n'
    shown = site.client.get("/new", params={"source": source, "params": PARAMS}, headers=BROWSER).text
    (form,) = re.findall(r'<form [^>]*id="code-form"[^>]*>', shown)
    assert 'action="/new"' in form and 'method="post"' in form
    fields: dict[str, Any] = dict(re.findall(r'<textarea [^>]*name="(\w+)"[^>]*>\n(.*?)</textarea>', shown, re.DOTALL))
    sent = {name: unescape(text).replace("\n", "\r\n") for name, text in fields.items()}  # as browsers send lines
    answer = site.client.post("/new", data=sent, headers=BROWSER)
    assert answer.status_code == 303
    assert answer.headers["location"] == site.share(source, params={"name": "Ada"})
    assert data_of(page(site, answer.headers["location"]))["source"] == source


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        (b"params=1", (400, "body.invalid")),
        (b"source=x&params=%7B", (400, "body.not_json")),
        (b"source=%ff", (400, "body.invalid")),
        (b"source=\xff", (400, "body.invalid")),
        (b"&".join([b"source=x"] * 50), (400, "body.invalid")),
        (b"source=" + b"x" * 70_000, (413, "too_large")),
    ],
    ids=["no source", "params that are no JSON", "no UTF-8", "no form", "too many fields", "too long"],
)
def test_a_form_that_the_page_would_not_send_is_refused(site: Site, body: bytes, refused: tuple[int, str]) -> None:
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    assert code_of(site.client.post("/new", content=body, headers=headers)) == refused


def test_a_form_of_another_site_stores_nothing(site: Site) -> None:
    source = HELLO + "# of another site\n"
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ):
        answer = site.client.post("/new", data={"source": source}, headers={"Accept": "application/json", **headers})
        assert code_of(answer) == (403, "cross_origin")
    assert not is_stored(site, source)
