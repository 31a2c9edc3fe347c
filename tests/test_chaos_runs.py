"""Chaos runs: a run once more for each commit it made, with the worker killed before it; what came of each, and that
nobody else is held up.
"""

from typing import Any

import pytest
from http_support import APPROVAL, HELLO, MakeSite, Site, code_of
from semantics_support import workflow
from store_support import AT, create, execution_ended, running, with_store

from playground.engine.execution import faults
from playground.store.protocol import Store
from playground.workflows import events as ev
from playground.workflows.events import NewEvent

TALE = workflow(
    """
    tried = []
    @step.do("reserve")
    async def reserve():
        return "r"
    @step.do("charge", config={"retries": {"limit": 2, "delay": "1 hour"}})
    async def charge(ctx):
        await self.env.EFFECTS.charge(amount=5)
        if ctx["attempt"] == 1:
            raise RuntimeError("not the first time")
        return "c"
    @step.do("doomed", config={"retries": {"limit": 0, "delay": 1}})
    async def doomed():
        raise ValueError("never")
    parts = [await reserve()]
    await step.sleep("nap", "3 days")
    parts.append(await charge())
    try:
        await doomed()
    except ValueError as error:
        parts.append(str(error))
    try:
        await step.wait_for_event("early", "go", timeout="1 second")
    except WorkflowTimeoutError:
        parts.append("late")
    parts.append((await step.wait_for_event("then", "go"))["payload"])
    return parts
    """,
    isolated=True,
)
CHANCE = workflow("return random.random()", isolated=True)


@pytest.fixture(scope="module")
def site(make_shared_site: MakeSite) -> Site:
    return make_shared_site(chaos_per_hour=1_000)


@pytest.fixture(scope="module")
def tale(site: Site) -> dict[str, Any]:
    """A run that waited, was tried again, failed and timed out, and has ended."""
    made = site.create(TALE)
    site.until(made, "sleep_started")
    site.operate(made, "wake")
    site.until(made, "workflow_waiting")
    while not any(
        step["name"] == "charge" and step["status"] == "completed"
        for step in site.client.get(f"/api{made['url']}").json()["steps"]
    ):
        site.operate(made, "wake", {"step": {"kind": "do", "name": "charge"}})
    site.until(made, "wait_timed_out")
    site.operate(made, "events/go", {"n": 1})
    assert site.finish(made)["output"] == ["r", "c", "never", "late", {"n": 1}]
    return made


def ended(site: Site, made: dict[str, Any]) -> dict[str, Any]:
    """The chaos run of an instance when all of it has ended."""
    seen: set[str] = set()
    while True:
        told = dict(site.client.get(f"/api{made['url']}/chaos").json())
        if told["status"] == "complete":
            return told
        for row in [told["control"], *told["rows"]]:
            if row is not None and row["id"] not in seen:
                seen.add(row["id"])
                list(site.follow({"url": row["url"]}))


def test_each_commit_is_killed_before_once_and_what_is_durable_comes_to_the_same(site: Site, tale: dict[str, Any]):
    assert site.client.get(f"/api{tale['url']}/chaos").json()["status"] == "none"
    assert site.operate(tale, "chaos").status_code == 202
    told = ended(site, tale)
    rows = told["rows"]
    assert [row["number"] for row in rows] == [1, 2, 3, 4]
    assert [row["killed"]["before"] and row["killed"]["before"]["name"] for row in rows] == [
        "reserve",
        "charge",
        "doomed",
        None,
    ]
    assert [row["result"] for row in rows] == ["same"] * 4
    assert [[(it["name"], it["times"]) for it in row["ran_twice"]] for row in rows] == [
        [("reserve", 2)],
        [("charge", 2)],
        [("doomed", 2)],
        [],
    ]
    # Its retry is not the kill's.
    assert [row["effects_twice"] for row in rows] == [
        [],
        [{"kind": "charge", "step": "charge-1"}],
        [],
        [],
    ]
    assert [row["executions"] for row in rows] == [2, 2, 2, 2]
    assert (told["steady"], told["control"]["result"], told["control"]["killed"]) == (True, "same", None)
    assert told["summary"] == {
        "rows": 4,
        "ended": 4,
        "same": 4,
        "differs": 0,
        "varies": 0,
        "diverged": 0,
        "ran_twice": 3,
        "effects_twice": 1,
        "not_killed": 0,
    }


def test_a_rerun_says_what_it_is_and_nobody_can_change_it(site: Site, tale: dict[str, Any]):
    row = ended(site, tale)["rows"][1]
    journal = site.journal(row)
    assert journal[0]["data"]["trigger"] == {"kind": "chaos", "of": tale["id"], "kill_before_commit": 2}
    [kill] = [
        event["data"] for event in journal if event["type"] == "execution_ended" and event["data"]["reason"] == "killed"
    ]
    assert (kill["injected"], kill["step"]["name"]) == (2, "charge")
    waits = [event["data"]["virtual"] for event in journal if event["type"] in ("sleep_completed", "wait_timed_out")]
    assert waits and all(waits)
    shown = site.client.get(f"/api{row['url']}").json()
    assert shown["kept_until"] - shown["ended_at"] == site.settings.chaos_retention_hours * 3_600_000
    assert site.client.post(f"/api{row['url']}/restart").status_code == 401
    assert site.operate({**tale, "url": row["url"]}, "restart").status_code == 403


def test_asked_again_it_begins_anew_and_the_last_reruns_are_gone(site: Site, tale: dict[str, Any]):
    before = ended(site, tale)
    assert site.operate(tale, "chaos").status_code == 202
    after = ended(site, tale)
    assert not {row["id"] for row in before["rows"]} & {row["id"] for row in after["rows"]}
    assert site.client.get(f"/api{before['rows'][0]['url']}").status_code == 404


def test_an_output_that_differs_without_a_kill_too_is_told_so(site: Site):
    made = site.create(CHANCE)
    site.finish(made)
    site.operate(made, "chaos")
    told = ended(site, made)
    assert (told["steady"], told["control"]["result"], [row["result"] for row in told["rows"]]) == (
        False,
        "same",
        ["varies"],
    )


WAVERING = workflow(
    """
    way = "left" if self.ctx["execution"] == 1 else "right"
    await step.do(way, lambda: 1)
    await step.do("last", lambda: 2)
    return "the end"
    """,
    isolated=True,
)


def test_a_rerun_that_took_another_way_is_told_so_though_its_output_is_the_same(site: Site):
    """Killed before its first commit it has nothing to replay yet, and goes right from the start: its steps tell."""
    made = site.create(WAVERING)
    assert site.finish(made)["output"] == "the end"
    site.operate(made, "chaos")
    told = ended(site, made)
    assert (told["steady"], told["control"]["result"]) == (True, "same")
    assert [row["result"] for row in told["rows"]] == ["diverged"] * 3
    assert (told["summary"]["diverged"], told["summary"]["same"]) == (3, 0)


def test_the_steps_that_a_rerun_did_not_come_to_again_are_told(site: Site):
    made = site.create(WAVERING)
    site.finish(made)
    site.operate(made, "chaos")
    left_out = [{step["name"] for step in row["not_reached"]} for row in ended(site, made)["rows"]]
    assert ["left" in names for names in left_out] == [True] * 3


def test_a_run_that_goes_on_is_compared_with_the_rerun_without_a_kill(site: Site):
    made = site.create(APPROVAL)
    site.until(made, "wait_started")
    assert site.operate(made, "chaos").status_code == 202
    told = ended(site, made)
    # Nobody has sent its event.
    assert (told["steady"], told["control"]["error"]["name"]) == (
        None,
        "WorkflowTimeoutError",
    )
    assert [(row["result"], row["killed"] is not None) for row in told["rows"]] == [("same", True)] * 2


def test_the_reruns_without_a_kill_that_a_server_left_is_taken_up_by_the_next(make_site: MakeSite):
    site = make_site()
    made = site.create(APPROVAL)
    site.until(made, "wait_started")
    site.operate(made, "chaos")
    site.stop()
    site.start()
    assert [row["result"] for row in ended(site, made)["rows"]] == ["same"] * 2


def test_it_has_a_limit_of_its_own_and_leaves_the_starts_of_its_address_alone(make_site: MakeSite):
    site = make_site(chaos_per_hour=1, starts_per_minute=3, chaos_commits=1)
    made = site.create(HELLO)
    site.finish(made)
    first = site.operate(made, "chaos")
    assert first.status_code == 202
    assert '"chaos_per_hour";q=1;w=3600' in first.headers["ratelimit-policy"]
    assert [row["number"] for row in ended(site, made)["rows"]] == [1]
    refused = site.operate(made, "chaos")
    assert refused.status_code == 429
    assert refused.json()["error"]["message"].startswith("1 chaos runs in an hour from your address")
    assert int(refused.headers["retry-after"]) > 3_000
    site.create(HELLO), site.create(HELLO)  # what is left of three
    assert site.client.post("/api/instances", json={"source": HELLO}).status_code == 429


def test_it_takes_the_control_token_and_a_run_that_has_begun(site: Site, tale: dict[str, Any]):
    assert site.client.post(f"/api{tale['url']}/chaos").status_code == 401
    child = ended(site, tale)["rows"][0]
    assert site.client.post(f"/api{child['url']}/chaos").status_code == 401


def test_its_reruns_hold_up_nobody(make_site: MakeSite):
    """While the reruns of a run whose step hangs hold all that they may,
    another run of the same address comes through.
    """
    site = make_site(workers=4, chaos_running=2)
    source = workflow(
        """
        @step.do("first")
        async def first():
            if event.instanceId != "original":
                await asyncio.sleep(3600)
        await first()
        """,
        isolated=True,
    )
    made = site.create(source, id="original")
    site.finish(made)
    site.operate(made, "chaos")
    told = site.client.get(f"/api{made['url']}/chaos").json()
    assert len(told["rows"]) == 2
    for row in (told["control"], told["rows"][0]):
        site.until({"url": row["url"]}, "attempt_started")
    assert site.finish(site.create(HELLO))["status"] == "complete"
    told = site.client.get(f"/api{made['url']}/chaos").json()
    # No more than two at once.
    assert [row["status"] for row in (told["control"], *told["rows"])] == [
        "running",
        "running",
        "queued",
    ]
    again = site.operate(made, "chaos")
    assert code_of(again) == (409, "instance.cannot_run_chaos")


@pytest.mark.parametrize(
    ("made", "most", "numbers"),
    [(3, 50, [1, 2, 3]), (5, 5, [1, 2, 3, 4, 5]), (100, 4, [1, 34, 67, 100]), (9, 1, [1])],
)
def test_the_commits_are_spread_over_the_run(made: int, most: int, numbers: list[int]):
    assert faults.spread_over_commits(made, most) == numbers


@with_store
async def test_reruns_expire_earlier_than_others(store: Store):
    for id, queue in (("mine", "addr:1"), ("rerun", "chaos:addr:1")):
        row = await running(store, id, queue=queue)
        await store.append(
            row.key,
            [execution_ended(ev.COMPLETED), NewEvent(ev.WORKFLOW_COMPLETED, {"output": 1})],
            execution=row.execution,
            at=AT + 5,
        )
    assert await store.expire(AT + 5, chaos=True) == 0
    assert await store.expire(AT + 6, chaos=True) == 1
    assert [row.id for row in await store.list(None)] == ["mine"]


@with_store
async def test_what_an_instance_is_given_at_first_is_there_when_it_first_runs(store: Store):
    sent = [NewEvent(ev.EVENT_RECEIVED, {"type": "go", "payload": n}) for n in range(2)]
    [row] = await create(store, "i", events=sent, injected={"chaos": {"kill_before_commit": 1, "timed_out": []}})
    snapshot = await store.load(row.key)
    assert [(it.seq, it.type, it.payload) for it in snapshot.inbox] == [(2, "go", 0), (3, "go", 1)]
    assert (snapshot.row.injected, snapshot.row.last_seq) == ({"chaos": {"kill_before_commit": 1, "timed_out": []}}, 3)
