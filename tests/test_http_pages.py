"""The pages as they leave the server: what is in them without JavaScript, what may run in them, how they are cached."""

import html
import json
import re
from html.parser import HTMLParser
from typing import Any

import httpx2
import pytest
from http_support import APPROVAL, HELLO, MakeSite, Site

from playground.web.instance_view import LONG_EVENTS
from playground.workflows.errors import Busy

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
LOOP = """from workers import WorkflowEntrypoint


class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        for number in range(event["payload"]["turns"]):
            await step.do("turn", lambda: number)
        return number
"""
HOSTILE = "</script><script>alert(1)</script>\"'&<img src=x onerror=alert(2)>"


def page(site: Site, path: str, status: int = 200) -> httpx2.Response:
    answer = site.client.get(path, headers=BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8"), answer.text
    return answer


def data_of(answer: httpx2.Response) -> dict[str, Any]:
    """What the page gives to its scripts."""
    (text,) = re.findall(r'<script type="application/json" id="page-data"[^>]*>(.*?)</script>', answer.text, re.DOTALL)
    return dict(json.loads(text))


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def tags(text: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(text)
    return parser.found


def words(text: str) -> str:
    """The text of a page, as a reader without scripts sees it."""
    return html.unescape(re.sub(r"<[^>]+>", "", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)))


def test_the_first_page_opens_on_the_first_example(site: Site) -> None:
    data = data_of(page(site, "/"))
    assert (data["kind"], data["example"]["slug"]) == ("start", "hello")
    assert "class TenantWorkflow" in data["source"]
    assert data["snippet"] is data["instance"] is None


def test_every_example_has_its_page(site: Site) -> None:
    for example in site.client.get("/api/examples").json()["examples"]:
        answer = page(site, example["url"])
        onward = answer.text.partition('<nav class="onward"')[2].partition("</nav>")[0]
        assert onward.count('class="card"') == 3 and f'"{example["url"]}"' not in onward
        assert data_of(answer)["example"]["slug"] == example["slug"]
        assert html.escape(example["title"]) in answer.text
    for path in ("/examples", "/about"):
        page(site, path)


def test_a_snippet_reads_well_without_scripts(site: Site) -> None:
    url = site.share(HELLO, params={"name": "Ada"})
    answer = page(site, url)
    data = data_of(answer)
    assert (data["kind"], data["source"], json.loads(data["params"])) == ("snippet", HELLO, {"name": "Ada"})
    assert data["snippet"] == {"id": url.removeprefix("/s/"), "url": url, "raw_url": url + ".py"}
    assert '<span class="tok-keyword">class</span>' in answer.text
    assert HELLO.strip() in words(answer.text)


def test_a_finished_instance_reads_well_without_scripts(site: Site) -> None:
    made = site.create(HELLO, params={"name": "Ada"})
    done = site.finish(made)
    answer = page(site, made["url"])
    assert data_of(answer)["instance"] == {**done, "steps": None}, "scripts read the journal"
    assert site.client.get(made["url"]).json()["instance"] == done
    text = words(answer.text)
    for shown in ("greet", "Hello, Ada!", "hello", HELLO.strip()):
        assert shown in text


def test_a_long_run_is_shown_by_its_row_and_whole_when_asked_for(site: Site) -> None:
    done = site.finish(site.create(LOOP, params={"turns": LONG_EVENTS // 4}))
    assert (len(done["steps"]), done["last_seq"] > LONG_EVENTS) == (LONG_EVENTS // 4, True)
    brief = page(site, done["url"])
    shown = data_of(brief)["instance"]
    assert shown == site.client.get(done["url"]).json()["instance"]
    assert {name: value for name, value in shown.items() if value is not None} == {
        name: value for name, value in done.items() if shown.get(name) is not None
    }
    assert f"Its journal has {done['last_seq']:,} events" in words(brief.text) and "turn-1000" not in brief.text
    (whole_url,) = re.findall(rf'<a href="({done["url"]}\?\w+)">', brief.text)
    whole = page(site, whole_url)
    assert "turn-1000" in words(whole.text) and "Show its steps" not in whole.text
    assert site.client.get(whole_url).json()["instance"] == done


def test_a_run_of_an_example_is_called_by_its_name_for_whoever_has_the_link(site: Site) -> None:
    start = data_of(page(site, "/"))
    answer = page(site, site.create(start["source"], params={})["url"])
    assert f'<h1 id="title">{start["example"]["title"]}</h1>' in answer.text


def test_a_waiting_instance_shows_what_it_waits_for(site: Site) -> None:
    made = site.create(APPROVAL)
    site.until(made, "workflow_waiting")
    answer = page(site, made["url"])
    assert data_of(answer)["instance"]["status"] == "waiting"
    assert "approved" in words(answer.text)


def test_the_raw_source_is_text_for_ever(site: Site) -> None:
    answer = site.client.get(site.share(HOSTILE) + ".py", headers=BROWSER)
    assert answer.text == HOSTILE
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    "path", ["/nothing", "/examples/nothing", "/s/nothing", "/s/nothing.py", "/s/nothing/embed", "/instances/nothing"]
)
def test_what_is_not_there_is_a_page_for_a_browser_and_json_for_everyone_else(site: Site, path: str) -> None:
    shown = words(page(site, path, 404).text)
    for accept in ("application/json", "*/*"):
        answer = site.client.get(path, headers={"Accept": accept})
        assert answer.status_code == 404
        assert answer.json()["error"]["message"] in shown


def test_who_comes_too_late_is_told_how_long_runs_are_kept(make_site: MakeSite) -> None:
    assert "No run has this address. Finished runs are kept 1 day." in words(
        page(make_site(retention_days=1), "/instances/nothing", 404).text
    )


def test_the_same_views_answer_in_json_for_who_is_no_browser(site: Site) -> None:
    made = site.create(HELLO)
    site.finish(made)
    for path in ("/", "/examples/hello", site.share(HELLO), made["url"]):
        answer = site.client.get(path, headers={"Accept": "application/json"})
        said = answer.json() | {"now": 0}
        if said["instance"]:
            said["instance"]["steps"] = None
        assert said == data_of(page(site, path)) | {"now": 0}
        assert "Accept" in answer.headers["vary"]


def test_nothing_a_tenant_wrote_can_become_markup(site: Site) -> None:
    source = (
        HELLO.replace('"greet"', repr(HOSTILE))
        .replace('print("hello")', f"print({HOSTILE!r})")
        .replace("Hello,", HOSTILE.replace('"', ""))
        + f"# {HOSTILE}\n"
    )
    made = site.create(source, params={HOSTILE: HOSTILE})
    site.finish(made)
    failing = site.create(
        HELLO.replace("            print", f"            raise ValueError({HOSTILE!r})\n            print").replace(
            '"greet")', '"greet", config={"retries": {"limit": 0, "delay": 0}})'
        )
    )
    assert site.finish(failing)["status"] == "errored"
    for path in (made["url"], failing["url"], site.share(source), site.share(source) + "/embed"):
        answer = page(site, path)
        assert [attributes for tag, attributes in tags(answer.text) if tag == "img" or "onerror" in attributes] == []
        assert not re.search(r"<script>", answer.text)


def test_only_our_own_scripts_and_styles_may_be_in_a_page(site: Site) -> None:
    made = site.create(HELLO)
    site.finish(made)
    for path in ("/", site.share(HELLO), made["url"], "/about", "/examples"):
        answer = page(site, path)
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        for tag, attributes in tags(answer.text):
            assert not any(name.startswith("on") or name == "style" for name in attributes), (path, tag, attributes)
            if tag == "script" and attributes.get("type") != "application/json":
                assert str(attributes.get("src")).startswith("/"), (path, attributes)
            assert tag != "style" or "nonce" in attributes
            assert (
                attributes.get("rel") == "canonical"
                or not str(attributes.get("href", "")).startswith(("http:", "//"))
                and not str(attributes.get("src", "")).startswith(("http:", "//"))
            )


def test_every_response_has_its_own_nonce(site: Site) -> None:
    nonces = set()
    for _ in range(3):
        answer = page(site, "/")
        (nonce,) = re.findall(r"'nonce-([^']+)'", answer.headers["content-security-policy"])
        assert f'nonce="{nonce}"' in answer.text
        nonces.add(nonce)
    assert len(nonces) == 3


def test_the_embed_view_takes_a_theme_and_may_be_read_only(site: Site) -> None:
    url = site.share(HELLO)
    assert "<script" not in page(site, url + "/embed?readonly").text
    assert '<html lang="en" data-theme="dark">' in page(site, url + "/embed?theme=dark").text
    assert "data-theme" not in page(site, url + "/embed?theme=%22%3E%3Cscript%3E").text.partition("</head>")[0]


def test_security_headers_are_on_everything(site: Site) -> None:
    for path in (
        "/",
        "/api/examples",
        "/healthz",
        "/nothing",
        site.context.assets.url("css/plain.css"),
        "/favicon.ico",
        "/robots.txt",
    ):
        headers = site.client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "same-origin", path
        assert "default-src 'none'" in headers["content-security-policy"], path


def test_every_file_a_page_names_is_there_and_kept_for_good(site: Site) -> None:
    named = set()
    for path in ("/", "/about", "/examples", "/nothing", site.share(HELLO) + "/embed"):
        text = site.client.get(path, headers=BROWSER).text
        named |= {
            value
            for _, attributes in tags(text)
            for name in ("src", "href")
            if (value := attributes.get(name) or "").startswith("/static/")
        }
    assert len(named) > 3
    for path in named:
        answer = site.client.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable", path


def test_pages_and_json_are_compressed(site: Site) -> None:
    for path in ("/", "/api/examples", "/openapi.json", site.context.assets.url("css/plain.css")):
        assert site.client.get(path, headers={"Accept-Encoding": "gzip"}).headers["content-encoding"] == "gzip", path
        plain = site.client.get(path, headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers


def test_pages_with_a_nonce_or_a_run_are_not_cached(site: Site) -> None:
    made = site.create(HELLO)
    for path in ("/", made["url"], f"/api{made['url']}"):
        assert site.client.get(path, headers=BROWSER).headers["cache-control"] == "no-store"


def test_a_fault_of_ours_shows_nothing_of_the_inside(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("the inside")

    monkeypatch.setattr(site.context.store, "count", broken)
    site.log.clear()
    answer = site.client.get("/healthz", headers=BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (500, "text/html; charset=utf-8")
    assert "the inside" not in answer.text
    answer = site.client.get("/healthz", headers={"Accept": "application/json"})
    assert answer.json()["error"]["code"] == "internal"
    assert [fields["error"] for fields in site.log.of("failed")] == ["RuntimeError", "RuntimeError"]


def test_a_database_that_cannot_be_used_is_503_and_no_fault_of_ours(make_site: MakeSite) -> None:
    site = make_site()
    made = site.create(HELLO)
    site.finish(made)
    site.call(site.context.store.close())
    site.log.clear()
    answer = site.client.get(f"/api{made['url']}/events", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["error"]["code"] == "unavailable"
    page = site.client.get(made["url"], headers=BROWSER)
    assert page.status_code == 503
    assert "The database is away" in page.text
    assert "closed" not in page.text
    assert {fields["error"] for fields in site.log.of("unavailable")} == {"StoreError: the store is closed"}
    assert not site.log.of("failed")


def test_outlines_of_the_examples_are_found_once_and_for_pages_that_show_them(
    make_site: MakeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site()
    engine, asked, down = site.context.engine, [], True
    check = engine.check

    async def counted(source: str) -> Any:
        asked.append(source)
        if down:
            raise Busy("No worker is free.")
        return await check(source)

    monkeypatch.setattr(engine, "check", counted)
    for path in ("/nothing", "/tenants", "/compare", "/security"):
        site.client.get(path, headers=BROWSER)
    assert asked == []
    assert '<svg class="shape"' not in page(site, "/examples").text
    down = False
    before = page(site, "/examples").text
    assert before.count('<svg class="shape"') == len(site.context.examples)
    asked.clear()
    assert page(site, "/examples").text == before
    page(site, "/")
    assert asked == []
