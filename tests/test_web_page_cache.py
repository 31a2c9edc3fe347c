"""Pages made of kept parts: what is sent is what would be rendered, for every reader with their own nonce."""

import gzip
import re

import pytest
from http_support import APPROVAL, HELLO, Site, bearer

from playground.web.pages import page_cache
from playground.web.pages.page_cache import Piece, Shell, SizedCache, html_slot, json_slot

BROWSER = {"Accept": "text/html"}
HTML = f'<p>{"é" * 700}</p><script nonce="{html_slot("nonce")}">{{"now":"{json_slot("now")}"}}</script>'


@pytest.mark.parametrize(
    "html",
    [HTML, "", "no slots", html_slot("nonce"), html_slot("nonce") * 2],
    ids=["page", "empty", "no-slots", "a-slot-alone", "two-slots"],
)
@pytest.mark.parametrize(
    "nonce", [b"a-nonce", b"long" * 9_000, Piece.for_cache(b"kept" * 900)], ids=["a", "long", "kept"]
)
def test_both_forms_are_the_page_with_its_words(html: str, nonce: bytes | Piece) -> None:
    shell = Shell(html)
    for now in (b"1", b"null"):
        filled = html.replace(f'"{json_slot("now")}"', now.decode()).encode()
        filled = filled.replace(html_slot("nonce").encode(), nonce if isinstance(nonce, bytes) else nonce.plain)
        values = {"nonce": nonce, "now": now, "unused": b""}
        assert shell.fill(values) == filled
        assert gzip.decompress(shell.fill_gzip(values)) == filled


def test_what_was_asked_for_last_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell(HTML)
    kept = SizedCache[Shell](2 * shell.size)
    kept.put("a", shell)
    kept.put("b", shell)
    assert kept.get("a") is shell
    kept.put("c", shell)
    assert [name for name in "abc" if kept.get(name)] == ["a", "c"]
    monkeypatch.setattr(page_cache, "ENTRY_BYTES_MAX", 10)
    kept.put("d", shell)
    assert kept.get("d") is None
    kept.clear()
    assert kept.get("a") is None


def test_a_page_has_the_nonce_of_its_answer_and_the_time_of_now(site: Site) -> None:
    run = site.create(HELLO)
    site.finish(run)
    urls = ("/", "/examples/saga", share := site.share(HELLO), share + "/embed", "/new?source=x", run["url"])
    for path in (*urls, "/tenants/acme/instances/x"):
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
        assert html_slot("")[:32] not in answers[0].text
        same = [re.sub(r'nonce="[^"]*"|"now":\d+', "", answer.text) for answer in answers]
        assert same[0] == same[1] == same[2]


def test_a_run_is_shown_as_it_stands_and_not_as_it_was_kept(site: Site) -> None:
    def shown(query: str = "") -> str:
        text = site.client.get(run["url"] + query, headers=BROWSER).text
        return re.sub(r"\s+", " ", text[text.index('data-part="plain"') :])

    run = site.create(APPROVAL)
    site.until(run, "wait_started")
    assert "Waiting" in shown()
    site.client.post(f"/api{run['url']}/events/approved", json="by Ada", headers=bearer(run))
    last = site.finish(run)["last_seq"]
    for _ in range(2):
        assert "by Ada" in shown() and "Complete" in shown()
        assert "by Ada" not in shown("?at=3") and f"3 of {last}" in re.sub(r"<[^>]+>", "", shown("?at=3"))
    site.context.page_cache.clear_runs()
    assert "by Ada" in shown()
    other = site.create(HELLO)
    site.finish(other)
    compared = f"/compare?a={run['id']}&b={other['id']}"
    texts = [site.client.get(compared, headers=BROWSER).text for _ in range(2)]
    assert texts[0] != texts[1], "each has its own nonce"
    assert len({re.sub('nonce="[^"]*"', "", text) for text in texts}) == 1
    swapped = site.client.get(f"/compare?a={other['id']}&b={run['id']}", headers=BROWSER).text
    assert swapped.index(other["id"]) < swapped.index(run["id"])
    assert site.client.delete(f"/api{run['url']}", headers=bearer(run)).status_code == 204
    assert site.client.get(run["url"], headers=BROWSER).status_code == 404
    assert "greet" not in site.client.get(compared, headers=BROWSER).text


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
