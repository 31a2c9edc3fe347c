"""`?at=SEQ`: an instance as it stood after one of its events, over the API and as a page without scripts."""

from typing import Any

import pytest
from folds_support import from_json
from http_support import APPROVAL, Site

from playground.workflows.events import Event
from playground.workflows.state import fold

HTML = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def finished(site: Site) -> dict[str, Any]:
    """An instance that waited for an event and has got it."""
    made = site.create(source=APPROVAL)
    site.until(made, "wait_started")
    site.operate(made, "events/approved", {"by": "mara"})
    site.finish(made)
    return made


def journal(site: Site, made: dict[str, Any]) -> list[Event]:
    return from_json(site.journal(made))


def test_each_moment_is_the_fold_up_to_it_whatever_the_order_they_are_asked_in(
    site: Site, finished: dict[str, Any]
) -> None:
    events = journal(site, finished)
    now = site.client.get(f"/api{finished['url']}").json()
    for seq in [len(events), *range(1, len(events) + 1), 3, 1]:
        shown = site.client.get(f"/api{finished['url']}?at={seq}").json()
        expected = fold(events[:seq]).as_json()
        assert {name: shown[name] for name in expected} == expected
        assert (shown["id"], shown["kept_until"]) == (finished["id"], now["kept_until"])
    assert site.client.get(f"/api{finished['url']}").json() == now


def test_a_moment_of_a_live_instance_stays_what_it_was(site: Site) -> None:
    made = site.create(source=APPROVAL)
    seen = site.until(made, "workflow_waiting")[-1]["seq"]
    before = site.client.get(f"/api{made['url']}?at={seen}").json()
    site.operate(made, "events/approved", {})
    site.finish(made)
    after = site.client.get(f"/api{made['url']}?at={seen}").json()
    assert (after["status"], after["steps"]) == ("waiting", before["steps"])


@pytest.mark.parametrize("at", ["0", "-1", "x", "", "1.5", "10000", "9" * 20, "%D9%A3"])
@pytest.mark.parametrize("path", ["/api{url}", "{url}"])
def test_a_moment_that_is_none_is_refused_with_those_there_are(
    site: Site, finished: dict[str, Any], path: str, at: str
) -> None:
    last = len(journal(site, finished))
    answer = site.client.get(f"{path.format(url=finished['url'])}?at={at}")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "query.invalid"
    assert answer.json()["error"]["message"].endswith(f"a whole number from 1 to {last}, its newest.")


def test_the_page_of_a_moment_reads_well_without_scripts(site: Site, finished: dict[str, Any]) -> None:
    events = journal(site, finished)
    waiting = next(event.seq for event in events if event.type == "wait_started")
    page = site.client.get(f"{finished['url']}?at={waiting}", headers=HTML).text
    assert f'seq <b class="num">{waiting} of {len(events)}</b>' in page
    assert f"This is the state after event {waiting}" in page
    assert "for approved" in page
    assert "Output" not in page.split("<noscript", 1)[0].split('data-part="plain"')[1].split("Logs")[0]
    refused = site.client.get(f"{finished['url']}?at=1000", headers=HTML)
    assert refused.status_code == 400
    assert "a whole number from 1 to" in refused.text


def test_the_contract_names_it(site: Site) -> None:
    (parameter,) = [
        it
        for it in site.client.get("/openapi.json").json()["paths"]["/api/instances/{id}"]["get"]["parameters"]
        if it["name"] == "at"
    ]
    assert parameter["in"] == "query"
