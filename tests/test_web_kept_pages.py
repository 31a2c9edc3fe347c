"""Pages that are rendered once: what is sent is what would be rendered, for every reader with their own nonce."""

import gzip
import re

import pytest
from http_support import HELLO, Site

from playground.web.pages import kept_pages
from playground.web.pages.kept_pages import KeptPage, KeptPages

BROWSER = {"Accept": "text/html"}
HTML = f'<p>{"é" * 700}</p><script nonce="{kept_pages.NONCE}">{{"now":"{kept_pages.NOW}"}}</script>'


@pytest.mark.parametrize(
    "html",
    [HTML, "", "no marks", kept_pages.NONCE, kept_pages.NONCE * 2],
    ids=["page", "empty", "no-marks", "a-mark-alone", "two-marks"],
)
def test_both_forms_are_the_page_with_its_words(html: str) -> None:
    page = KeptPage(html)
    for nonce, now in (("a-nonce", 1), ("another_nonce", 1_800_000_000_000)):
        there = html.replace(kept_pages.NONCE, nonce).replace(f'"{kept_pages.NOW}"', str(now)).encode()
        assert page.plain(nonce, now) == there
        assert gzip.decompress(page.gzipped(nonce, now)) == there


def test_what_was_asked_for_last_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    page = KeptPage(HTML)
    monkeypatch.setattr(kept_pages, "KEPT_BYTES", 2 * page.size)
    pages = KeptPages()
    pages.keep("a", page)
    pages.keep("b", page)
    assert pages.get("a") is page
    pages.keep("c", page)
    assert [name for name in "abc" if pages.get(name)] == ["a", "c"]
    monkeypatch.setattr(kept_pages, "PAGE_MOST_BYTES", 10)
    pages.keep("d", page)
    assert pages.get("d") is None


def test_a_kept_page_has_the_nonce_of_its_answer_and_the_time_of_now(site: Site) -> None:
    urls = ("/", "/examples/saga", share := site.share(HELLO), share + "/embed")
    for path in urls:
        answers = [
            site.client.get(path, headers=BROWSER | {"Accept-Encoding": it}) for it in ("gzip", "identity", "gzip")
        ]
        nonces = [re.findall(r"nonce-([\w-]+)", answer.headers["content-security-policy"])[0] for answer in answers]
        assert len(set(nonces)) == 3
        assert [re.findall(r'nonce="([^"]*)"', answer.text) for answer in answers] == [[nonce] for nonce in nonces]
        times = [int(re.findall(r'"now":(\d+)\}', answer.text)[0]) for answer in answers]
        assert times == sorted(times) and times[0] > 1_600_000_000_000
        assert {answer.headers["vary"] for answer in answers} == {"Accept, Accept-Encoding"}
        assert [answer.headers.get("content-encoding") for answer in answers] == ["gzip", None, "gzip"]
        assert kept_pages.NONCE not in answers[0].text and kept_pages.NOW not in answers[0].text


def test_pages_that_differ_are_kept_apart(site: Site) -> None:
    url = site.share(HELLO) + "/embed"
    texts = [
        site.client.get(url + query, headers=BROWSER).text
        for query in ("", "?readonly", "?theme=dark", "?readonly&theme=dark") * 2
    ]
    plain = [re.sub(r'nonce="[^"]*"|"now":\d+', "", text) for text in texts]
    assert len(set(plain)) == 4 and plain[:4] == plain[4:]
    here, there = (
        site.client.get("/", headers=BROWSER | {"Host": f"{host}:{site.client.base_url.port}"}).text
        for host in ("127.0.0.1", "localhost")
    )
    assert "http://localhost" in there and "http://localhost" not in here
