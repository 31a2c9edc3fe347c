"""What a tenant wrote is text wherever it is shown: pages have the same elements and attributes as with harmless words
in its place.
"""

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from http_support import Site

BROWSER = {"Accept": "text/html"}
HARMLESS = "plain words"
HOSTILE: dict[str, str] = {
    "markup": "</title></textarea></script><script>alert(1)</script><img src=x onerror=alert(2)>",
    "an attribute": "\" autofocus onfocus=alert(1) x='\" data-x='",
    "a comment": "<!--<script> --!> <![CDATA[ <?php",
    "references": "&lt;script&gt; &amp;quot; &#60;img&#62; &NewLine;",
    "templates": "{{ 7*7 }} {% raw %} ${7*7} #{7*7} <%= 7 %>",
    "a link": "javascript:alert(1) data:text/html,<script>alert(1)</script> //evil.example",
    "event streams": "\n\nevent: end\ndata: {}\n\nid: 999\nretry: 1\n\r\rdata: x\r\n\r\n",
    "event streams for who splits lines as Python does": (
        "\u2028\u2028event: end\u2028data: {}\u2028\u2028\x85\x85event: end\x85data: {}\u2029\u2029"
    ),
    "terminals": (
        "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b[2J \x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07 \x9b2J \x08\x7f"
    ),
    "directions": "\u202egnp.exe\u202c \u2066x\u2069 \u2028 \u2029 \ufeff \u200b",
}
LINES = ("event streams",)
STREAM_FIELDS = {"event", "data", "id", "retry"}

# Everything that a tenant chooses and somebody is shown: docstring, names, printed lines, results, errors with their
# type, traceback and notes.
SOURCE = '''\
"""{text}"""
import logging
from workers import WorkflowEntrypoint

TEXT = {literal}
Odd = type(TEXT.replace(chr(0), ""), (Exception,), dict())

class TenantWorkflow(WorkflowEntrypoint):
    async def run(self, event, step):
        @step.do({name}, config=dict(retries=dict(limit=0, delay=0)))
        async def first():
            print(TEXT)
            logging.warning(TEXT)
            return {{TEXT: [TEXT]}}
        await first()
        @step.do("fails", config=dict(retries=dict(limit=0, delay=0)))
        async def second():
            raise Odd(TEXT)
        await second()
'''


def source_of(text: str) -> str:
    literal = json.dumps(text)  # also a literal of Python's, so that the code has as many tokens whatever it says
    name = json.dumps(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", text))
    return SOURCE.format(text=re.sub(r'["\\\r\n]', "'", text).replace("\0", ""), literal=literal, name=name)


class Structure(HTMLParser):
    """Elements with the names of their attributes, without what colours code, whose pieces depend on the code."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, ...]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "span" and str(values.get("class", "")).startswith("tok-"):
            return
        self.found.append((tag, *values))
        for name in ("href", "src", "action"):
            address = str(values.get(name) or "")
            assert not re.match(r"\s*(javascript|data|//)", address.lower()) or address.startswith("data:image"), (
                address
            )

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.found.append(("a comment", data))

    def handle_decl(self, decl: str) -> None:
        self.found.append(("a declaration", decl))

    def unknown_decl(self, data: str) -> None:
        self.found.append(("a declaration", data))


def structure(html: str, kind: str = "") -> object:
    """In order; of text with line ends, which make more rows, only what there is."""
    parser = Structure()
    parser.feed(html)
    parser.close()
    return set(parser.found) if kind in LINES else parser.found


def finished(site: Site, text: str) -> dict[str, Any]:
    """A run that has shown this text wherever it can."""
    made = site.create(source_of(text), params={text: text})
    # To its end; in bytes, since httpx takes more than the standard's line ends for such.
    site.client.get(f"/api{made['url']}/stream").read()
    assert site.client.get(f"/api{made['url']}").json()["status"] == "errored"
    return made


def pages(site: Site, text: str) -> dict[str, str]:
    """Every page on which this text is shown."""
    source = source_of(text)
    made = finished(site, text)
    shared = site.client.post("/api/snippets", json={"source": source, "params": {text: text}}).json()["url"]
    addresses = {
        "run": made["url"],
        "a moment of the run": made["url"] + "?at=3",
        "snippet": shared,
        "embed": shared + "/embed",
    }
    return {name: site.client.get(address, headers=BROWSER).text for name, address in addresses.items()}


@pytest.fixture(scope="module")
def harmless(site: Site) -> dict[str, str]:
    return pages(site, HARMLESS)


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_page_has_the_same_elements_whatever_a_tenant_wrote(site: Site, harmless: dict[str, str], kind: str) -> None:
    for name, html in pages(site, HOSTILE[kind]).items():
        assert structure(html, kind) == structure(harmless[name], kind), name
        (code,) = re.findall(r'<code>(<span class="line".*?)</code>', html, re.DOTALL)
        head = html.partition("</head>")[0]
        assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", code + head), name


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_stream_has_the_same_messages_whatever_a_tenant_wrote(site: Site, kind: str) -> None:
    def told(text: str) -> tuple[list[str], list[str]]:
        made = finished(site, text)
        raw = site.client.get(f"/api{made['url']}/stream").content
        lines = raw.decode().splitlines()
        fields = [line.partition(": ")[0] for line in lines if line]
        journal = [event for line in lines if line.startswith("data: [") for event in json.loads(line[6:])]
        assert set(fields) <= STREAM_FIELDS
        assert (
            any(event["data"].get("text") == text for event in journal if event["type"] == "log")
            or "\r" in text
            or "\n" in text
        )
        return [line for line in lines if line.startswith("event: ") and line != "event: journal"], [
            e["type"] for e in journal if e["type"] != "log"
        ]

    assert told(HOSTILE[kind]) == told(HARMLESS)


@pytest.mark.parametrize("kind", HOSTILE)
def test_raw_code_stays_text_under_a_name_of_ours(site: Site, kind: str) -> None:
    shared = site.client.post("/api/snippets", json={"source": f"<html><script>{HOSTILE[kind]}</script>"}).json()
    answer = site.client.get(shared["url"] + ".py", headers=BROWSER)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == f'inline; filename="{shared["id"]}.py"'
    assert re.fullmatch("[a-z0-9]+", shared["id"])
    assert "default-src 'none'" in answer.headers["content-security-policy"]
