"""A tenant's pages: as HTML the same for everybody and empty, as JSON for who brings a key; and the page's stream,
which carries that key.
"""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from http_support import MakeSite, Site, code_of
from page_code_support import node
from tenants_support import WAITS, Tenant

BROWSER = {"Accept": "text/html"}
JSON = {"Accept": "application/json"}
PAGE = "/tenants/{}/instances/{}"


@pytest.fixture(scope="module")
def site(make_shared_site: MakeSite) -> Site:
    return make_shared_site(operator_token="the operator")


@pytest.fixture(scope="module")
def acme(site: Site) -> Tenant:
    tenant = Tenant(site, "acme")
    tenant.deploy(WAITS)
    tenant.ask("PUT", "/secrets/TOKEN", json={"value": "acmes secret"})
    tenant.create(id="theirs", params={"who": "Ada"})
    tenant.until("theirs", "waiting")
    return tenant


def shell(site: Site, path: str, **headers: str) -> str:
    """A page without what is new in every answer: its nonce and its clock."""
    answer = site.client.get(path, headers={**BROWSER, **headers})
    assert answer.status_code == 200, answer.text
    return re.sub(r'nonce="[^"]*"|"now":\d+', "", answer.text)


def test_the_html_is_the_same_whoever_asks_and_whether_there_is_such_a_tenant(site: Site, acme: Tenant) -> None:
    for path in ("/tenants/{}", PAGE.format("{}", "theirs")):
        bare = shell(site, path.format("acme"))
        assert shell(site, path.format("acme"), Authorization=f"Bearer {acme.key}") == bare
        assert shell(site, path.format("nobody")).replace("nobody", "acme") == bare
        assert not [
            word for word in ("Ada", "wait_for_event", "TOKEN", "noindex") if (word in bare) != (word == "noindex")
        ]
    assert site.client.get("/tenants/-%20-", headers=BROWSER).status_code == 400


def test_the_same_addresses_as_json_take_a_key(site: Site, acme: Tenant) -> None:
    other = Tenant(site, "other")
    for path in ("/tenants/acme", PAGE.format("acme", "theirs")):
        for key, expected in (
            (None, (401, "key.missing")),
            (other.key, (403, "key.wrong")),
            (site.settings.operator_token, (403, "key.wrong")),
        ):
            answer = site.client.get(path, headers=JSON | ({"Authorization": f"Bearer {key}"} if key else {}))
            assert code_of(answer) == expected
    held = JSON | {"Authorization": f"Bearer {acme.key}"}
    shown = site.client.get("/tenants/acme", headers=held).json()
    version = shown["version"]
    assert (shown["versions"], shown["instances"]["waiting"], shown["secrets"]) == (1, 1, ["TOKEN"])
    page = site.client.get(PAGE.format("acme", "theirs"), headers=held).json()
    assert (page["kind"], page["tenant"], page["source"], json.loads(page["params"])) == (
        "instance",
        "acme",
        WAITS,
        {"who": "Ada"},
    )
    assert page["instance"]["snippet"] == version and page["snippet"] is None
    assert (
        site.client.get(PAGE.format("acme", "theirs"), params={"at": 1}, headers=held).json()["instance"]["status"]
        == "queued"
    )
    assert site.client.get(PAGE.format("acme", "nowhere"), headers=held).status_code == 404
    assert (
        site.client.get(
            PAGE.format("other", "theirs"), headers=JSON | {"Authorization": f"Bearer {other.key}"}
        ).status_code
        == 404
    )


def test_a_run_on_edited_code_shows_that_code(site: Site, acme: Tenant) -> None:
    edited = WAITS.replace('"1 hour"', '"2 hours"')
    forked = acme.ask("POST", "/instances/theirs/fork", json={"source": edited}).json()["id"]
    page = site.client.get(PAGE.format("acme", forked), headers=JSON | {"Authorization": f"Bearer {acme.key}"}).json()
    assert page["source"] == edited


def test_a_browser_without_a_token_gets_its_own_tenants_and_the_way_to_the_operators(site: Site, acme: Tenant) -> None:
    page = site.client.get("/tenants", headers=BROWSER)
    assert page.status_code == 200 and "acme</th>" not in page.text and "/tenants?operator=1" in page.text
    asked = site.client.get("/tenants?operator=1", headers=BROWSER)
    assert asked.status_code == 401 and asked.headers["www-authenticate"].startswith("Basic")
    assert "acme</th>" in site.client.get("/tenants", headers=BROWSER, auth=("any", "the operator")).text


FOLLOWS = """
import { KeyedSource } from "RUN/keyed-source.js";
globalThis.EventSource = { CONNECTING: 0, OPEN: 1, CLOSED: 2 };
const heard = [];
const source = new KeyedSource(given, "pk_key");
await new Promise((resolve) => {
  source.addEventListener("journal", ({ data, lastEventId }) => heard.push([lastEventId, JSON.parse(data)]));
  source.addEventListener("error", () => { heard.push(source.readyState); if (source.readyState === 2) resolve(); });
});
return heard;
"""


def test_the_pages_stream_carries_the_key_reads_split_messages_and_goes_on_where_it_was() -> None:
    asked: list[tuple[str | None, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.headers["Authorization"], self.headers["Last-Event-ID"]))
            if len(asked) == 3:
                self.send_response(204)
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            first = len(asked) == 1
            for part in (
                (
                    "retry: 1\n\nid: 2\nev",
                    'ent: journal\ndata: [{"seq":1},\ndata: "é"]\n',
                    "\nid: 3\nevent: journal\ndata: half of one",
                )
                if first
                else ("id: 3\nevent: journal\ndata: 7\n\n",)
            ):
                self.wfile.write(part.encode())
                self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            heard = node(FOLLOWS, f"http://127.0.0.1:{server.server_port}/")
        finally:
            server.shutdown()
            thread.join()
    assert heard == [["2", [{"seq": 1}, "é"]], 0, ["3", 7], 0, 2]
    assert asked == [("Bearer pk_key", None), ("Bearer pk_key", "3"), ("Bearer pk_key", "3")]


def test_no_script_puts_a_key_into_an_address() -> None:
    """Addresses in the scripts of tenants' pages are made of names only."""
    folder = Path(__file__).parent.parent / "static" / "js"
    for file in [*(folder / "tenants").glob("*.js"), folder / "deploy.js", folder / "run" / "paths.js"]:
        for template in re.findall(r"`[^`\n]*/[^`\n]*`", file.read_text()):
            assert not re.search(r"\$\{[^}]*\b(key|token)\b", template), (file.name, template)
