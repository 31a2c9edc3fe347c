"""Signed links: who has one answers one wait, once, without an account, and sees nothing else of the run.

The worker is gone whenever a test answers: the site gives it up as soon as the run only waits.
"""

import asyncio
import re
from typing import Any

import httpx2
import pytest
from dispatch_support import workflow
from http_support import MakeSite, Site, bearer, code_of
from store_support import with_store
from tenants_support import Tenant

from playground.engine.answer_links import AnswerLink, AnswerLinks, link_id
from playground.store.protocol import Store
from playground.workflows.events import StepKey

BROWSER = {"Accept": "text/html"}
SCHEMA = """{"type": "object", "title": "Pay the invoice?", "properties": {
    "approved": {"type": "boolean"}, "amount": {"type": "number", "minimum": 10, "title": "Amount in euros"}},
    "required": ["approved", "amount"], "additionalProperties": False}"""
ASKS = workflow(f"""
await step.do("secret", lambda: "nobody else reads this")
got = await step.wait_for_event("pay", "paid", timeout="1 hour", schema={SCHEMA})
return got["payload"]
""")


@pytest.fixture(scope="module")
def site(make_shared_site: MakeSite) -> Site:
    return make_shared_site(idle_grace_ms=0)


@pytest.fixture
def asking(site: Site) -> dict[str, Any]:
    made = site.create(ASKS)
    site.until(made, "execution_ended")
    return made


def link_of(site: Site, made: dict[str, Any], **body: Any) -> str:
    """The path of a new link to the wait of a run."""
    answer = site.client.post(f"/api{made['url']}/waits/pay/1/links", json=body, headers=bearer(made))
    assert answer.status_code == 201, answer.text
    return "/answer/" + str(answer.json()["url"]).rpartition("/")[2]


def seen(site: Site, path: str) -> tuple[int, str]:
    """What a person is shown at an address: the status and the page."""
    answer = site.client.get(path, headers=BROWSER)
    return answer.status_code, answer.text


def send(site: Site, path: str, **fields: str) -> httpx2.Response:
    return site.client.post(path, data=fields, headers=BROWSER)


def test_a_link_asks_one_thing_takes_one_answer_and_says_when_it_came(site: Site, asking: dict[str, Any]) -> None:
    path = link_of(site, asking, label="Ada, accounting")
    answer = site.client.get(path, headers=BROWSER)
    assert (answer.headers["referrer-policy"], answer.headers["cache-control"]) == ("no-referrer", "no-store")
    assert answer.headers["x-robots-tag"] == "noindex, nofollow"
    page = answer.text
    assert "Pay the invoice?" in page and "A workflow waits for Ada, accounting" in page
    assert re.findall(r'name="([^"]+)"', page.partition("<form")[2]) == ["payload.amount", *["payload.approved"] * 2]
    for hidden in (asking["id"], bearer(asking)["Authorization"][7:], asking["snippet"], "nobody else reads this"):
        assert hidden not in page and hidden not in path

    wrong = send(site, path, **{"payload.approved": "true", "payload.amount": "5"})
    assert (
        wrong.status_code == 422
        and "“Amount in euros” takes 10 or more, not 5." in wrong.text
        and 'value="5"' in wrong.text
    )
    assert send(site, path, **{"payload.approved": "yes", "payload.amount": "12"}).status_code == 400
    right = {"payload.approved": "true", "payload.amount": "12.5"}
    assert send(site, path, **right).headers["location"] == path

    ended = site.finish(asking)
    assert ended["output"] == {"approved": True, "amount": 12.5}
    by = {"how": "link", "name": "Ada, accounting", "id": link_id(path.rpartition("/")[2])}
    (received,) = (event for event in site.journal(asking) if event["type"] == "event_received")
    assert received["data"]["by"] == by
    assert next(step for step in ended["steps"] if step["kind"] == "wait")["by"] == by
    assert seen(site, path)[0] == 200 and "Answered by you at" in seen(site, path)[1]
    again = send(site, path, **right)
    assert again.status_code == 409 and "You have answered this already. A link answers once." in again.text
    told = site.client.get(path, headers={"Accept": "application/json"}).json()
    assert (told["state"], told["answered_at"]) == ("answered", received["at"])


def test_a_link_that_answers_nothing_says_why(site: Site, asking: dict[str, Any]) -> None:
    path = link_of(site, asking)
    token = path.rpartition("/")[2]
    other = "A" if token[20] != "A" else "B"
    link = site.call(site.context.answer_links.unseal(token))
    assert isinstance(link, AnswerLink)

    def sealed(**changed: Any) -> str:
        fields = {name: getattr(link, name) for name in AnswerLink.__slots__} | changed
        return "/answer/" + str(site.call(site.context.answer_links.seal(AnswerLink(**fields))))

    late, gone = sealed(until=site.context.now()), sealed(instance="nowhere")
    cases = [
        (f"/answer/{token[:20]}{other}{token[21:]}", 404, "was not made here"),
        (f"/answer/{token[:-4]}", 404, "was not made here"),
        ("/answer/" + "A" * 2_001, 404, "was not made here"),
        ("/answer/%C3%A4", 404, "was not made here"),
        (late, 410, "The time to answer is over."),
        (gone, 410, "not kept any more"),
        (sealed(started_seq=link.started_seq + 1), 409, "This is not asked any more"),
        (sealed(step=StepKey("wait", "other", 1)), 409, "This is not asked any more"),
    ]
    payload = {"payload.approved": "true", "payload.amount": "12"}
    for address, status, words in cases:
        for answer in (site.client.get(address, headers=BROWSER), send(site, address, **payload)):
            assert answer.status_code == status and words in answer.text, address
            assert asking["id"] not in answer.text

    site.operate(asking, "pause")
    assert "The run is paused" in seen(site, path)[1] and "<form" not in seen(site, path)[1]
    assert code_of(send_json(site, path, {"approved": True, "amount": 12})) == (409, "wait.over")
    site.operate(asking, "resume")
    second = link_of(site, asking)
    assert send_json(site, path, {"approved": False, "amount": 12}).json()["state"] == "answered"
    site.finish(asking)
    assert seen(site, second)[0] == 409 and "Somebody else has answered this already." in seen(site, second)[1]
    site.operate(asking, "restart")
    assert seen(site, path)[0] == 409 and "This is not asked any more" in seen(site, path)[1]


def send_json(site: Site, path: str, payload: Any) -> httpx2.Response:
    return site.client.post(path, json=payload, headers={"Accept": "application/json"})


def test_only_who_may_answer_makes_a_link_and_to_what_waits(site: Site, asking: dict[str, Any]) -> None:
    def make(wait: str, headers: dict[str, str], **body: Any) -> httpx2.Response:
        return site.client.post(f"/api{asking['url']}/waits/{wait}/links", json=body, headers=headers)

    mine = bearer(asking)
    assert code_of(make("pay/1", {})) == (401, "token.missing")
    assert code_of(make("pay/1", {"Authorization": "Bearer other"})) == (403, "token.wrong")
    for wait in ("pay/2", "pay/x", "secret/1"):
        assert code_of(make(wait, mine)) == (404, "wait.not_found")
    for body in ({"label": "x" * 61}, {"label": "a\nb"}, {"expires_in": "soon"}, {"expires_in": 10}):
        assert code_of(make("pay/1", mine, **body)) == (400, "body.invalid")
    made = make("pay/1", mine, expires_in="5 minutes").json()
    assert made["expires_at"] - site.context.now() <= 300_000 and made["step"]["name"] == "pay"
    until = next(step["until"] for step in site.client.get(f"/api{asking['url']}").json()["steps"] if "until" in step)
    assert make("pay/1", mine, expires_in="2 days").json()["expires_at"] == until, "no longer than the wait"


def test_a_link_of_a_tenant_ends_with_the_key_that_made_it(site: Site) -> None:
    acme = Tenant(site, "acme")
    acme.deploy(ASKS)
    id = acme.create()["id"]
    acme.until(id, "waiting")
    made = acme.ask("POST", f"/instances/{id}/waits/pay/1/links", json={"label": "Bo"}).json()
    path = "/answer/" + made["url"].rpartition("/")[2]
    assert seen(site, path)[0] == 200 and "acme" not in seen(site, path)[1]
    refused = acme.ask("POST", f"/instances/{id}/events/paid", json={"approved": 1, "amount": 12})
    assert code_of(refused) == (422, "event.payload_mismatch")
    assert refused.json()["error"]["path"] == "$.approved"
    assert site.call(site.context.store.tenants.revoke_key("acme", 1, at=site.context.now()))
    assert seen(site, path)[0] == 404 and "ended with the key that made it" in seen(site, path)[1]


@with_store
async def test_servers_of_one_database_know_each_others_links_from_the_first_on(store: Store) -> None:
    link = AnswerLink("", "one", StepKey("wait", "pay", 1, StepKey("do", "outer", 2)), 7, 99, "Ada", 3)
    nodes = [AnswerLinks(store.tenants) for _ in range(4)]
    made = await asyncio.gather(*(node.seal(link) for node in nodes))
    for node in nodes:
        assert [await node.unseal(token) for token in made] == [link] * 4
    assert len(set(made)) == 4 and await store.tenants.secrets("") == {}, "no code can ask for the key"


def test_an_inbox_has_what_waits_in_the_runs_that_are_named_and_takes_answers(
    site: Site, asking: dict[str, Any]
) -> None:
    plain = site.create(workflow('return (await step.wait_for_event("any", ["yes", "no"], timeout="1 hour"))["type"]'))
    site.until(plain, "execution_ended")

    def items(**query: str) -> Any:
        answer = site.client.get("/inbox", params=query, headers={"Accept": "application/json"})
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    found = items(ids=f"{asking['id']},nowhere,{plain['id']}")
    assert [item["run"]["id"] for item in found] == [plain["id"], asking["id"]], "the newest run first"
    first, second = found
    assert (first["types"], first["schema"], first["asked"], first["paused"]) == (["yes", "no"], None, "any", False)
    assert second["form"]["title"] == "Pay the invoice?" and second["since"] < second["until"]
    assert code_of(site.client.get("/inbox", headers={"Accept": "application/json"})) == (400, "query.invalid")

    def answer(item: Any, made: dict[str, Any], path: str = "", **body: Any) -> httpx2.Response:
        return site.client.post(item["answer"] + path, headers=bearer(made), **body)

    assert code_of(answer(second, plain, json={})) == (403, "token.wrong")
    assert code_of(answer(second, asking, json={"approved": 1})) == (422, "event.payload_mismatch")
    assert code_of(answer(first, plain, "&type=maybe", json=1)) == (409, "wait.over")
    assert answer(first, plain, "&type=no", json=1).status_code == 202
    assert answer(second, asking, data={"payload.approved": "true", "payload.amount": "12"}).status_code == 202
    assert site.finish(plain)["output"] == "no" and site.finish(asking)["output"] == {"approved": True, "amount": 12}
    assert code_of(answer(first, plain, "&type=no", json=1)) == (409, "wait.over")
    assert items(ids=f"{asking['id']},{plain['id']}") == []


def test_a_tenants_inbox_is_found_by_its_key(site: Site) -> None:
    globex = Tenant(site, "globex")
    globex.deploy(ASKS)
    ids = [globex.create()["id"] for _ in range(2)]
    for id in ids:
        globex.until(id, "waiting")
    keyed = {"Accept": "application/json", "Authorization": f"Bearer {globex.key}"}
    found = site.client.get("/inbox", headers=keyed).json()
    assert [item["run"]["id"] for item in found["items"]] == ids[::-1] and found["tenant"] == "globex"
    rest = site.client.get("/inbox", params={"before": ids[1]}, headers=keyed).json()
    assert [item["run"]["id"] for item in rest["items"]] == ids[:1]
    sent = site.client.post(rest["items"][0]["answer"], json={"approved": True, "amount": 10}, headers=keyed)
    assert sent.status_code == 202
    wait = next(step for step in globex.finish(ids[0])["steps"] if step["kind"] == "wait")
    assert wait["by"] == {"how": "key", "name": "1"}
    wrong = {**keyed, "Authorization": "Bearer pk_other"}
    assert code_of(site.client.get("/inbox", headers=wrong)) == (403, "key.wrong")


MAILS = workflow("""
@step.do("ask")
async def ask():
    link = await self.env.APPROVALS.link("pay", label="Ada", expires_in="2 days")
    await self.env.EFFECTS.email("ada@example.com", text=link["url"])

await ask()
await step.wait_for_event("before that", "go")
return (await step.wait_for_event("pay", "paid", schema={"type": "boolean"}))["payload"]
""")


def test_a_link_that_code_sends_before_it_asks_works_from_then_on_until_a_restart(site: Site) -> None:
    def mailed() -> str:
        effects = site.client.get(f"/api{made['url']}/effects", headers=bearer(made)).json()["effects"]
        return str(effects[-1]["data"]["text"])

    def asked() -> dict[str, Any]:
        answer: dict[str, Any] = site.client.get(path, headers={"Accept": "application/json"}).json()
        return answer

    def waits(number: int) -> None:
        """Until so many waits have begun, those before a restart too."""
        begun = 0
        for name, data in site.follow(made):
            begun += sum(event["type"] == "wait_started" for event in data) if name == "journal" else 0
            if begun == number:
                return

    def go_on() -> None:
        assert site.operate(made, "events/go", {"payload": None}).status_code < 300

    made = site.create(MAILS)
    waits(1)
    path = first = mailed()
    assert path.startswith("/answer/")
    assert asked()["error"]["code"] == "wait.over" and "not asked yet" in asked()["error"]["message"]
    go_on()
    waits(2)
    assert {name: asked()[name] for name in ("state", "asked", "for")} == {
        "state": "open", "asked": "pay", "for": "Ada",
    }  # fmt: skip
    site.operate(made, "restart")
    waits(3)
    assert "ended or begun anew" in asked()["error"]["message"], "it was made before the restart"
    path = mailed()
    assert path != first and "not asked yet" in asked()["error"]["message"]
    go_on()
    waits(4)
    assert send_json(site, path, True).status_code == 200
    assert asked()["state"] == "answered"
    assert site.finish(made)["output"] is True


@pytest.mark.parametrize(
    "call, says",
    [
        ('link("")', "takes the name of a wait"),
        ('link("pay", label="x" * 61)', "up to 60 characters"),
        ('link("pay", expires_in="soon")', "expires_in"),
        ('link("pay", expires_in="366 days")', "1 second to 365 days"),
        ('link("pay", count=0)', "count is that of the wait"),
    ],
)
def test_code_is_told_what_a_link_takes(site: Site, call: str, says: str) -> None:
    once = {"retries": {"limit": 0, "delay": 0}}
    made = site.create(workflow(f'await step.do("ask", lambda: self.env.APPROVALS.{call}, config={once})'))
    assert says in site.finish(made)["error"]["message"]


def test_outside_of_a_step_code_makes_no_link(site: Site) -> None:
    made = site.create(workflow('await self.env.APPROVALS.link("pay")'))
    assert "called in a step" in site.finish(made)["error"]["message"]
