"""A tenant's schedules over HTTP, and of a dispatcher in a program."""

import pytest
from http_support import MakeSite, Site, code_of
from tenants_support import ECHO, Tenant

from playground.engine.code.dispatcher import Dispatcher
from playground.engine.code.sources import Code
from playground.workflows.errors import ScheduleNotFound

TELLS = (
    "from workers import WorkflowEntrypoint\n"
    "class TenantWorkflow(WorkflowEntrypoint):\n"
    "    async def run(self, event, step):\n"
    "        return {'payload': event.payload, 'cron': event.schedule.cron, 'at': event.schedule.scheduledTime}\n"
)


@pytest.fixture(scope="module")
def site(make_shared_site: MakeSite) -> Site:
    return make_shared_site(schedules_per_tenant=3)


@pytest.fixture(scope="module")
def acme(site: Site) -> Tenant:
    tenant = Tenant(site, "acme")
    tenant.deploy(TELLS)
    tenant.ask("PUT", "/workflows/other", json={"source": ECHO})
    return tenant


def test_a_schedule_is_put_listed_paused_resumed_run_and_deleted(acme: Tenant) -> None:
    body = {"cron": "0 9 * * MON", "timezone": "Europe/Berlin", "params": {"n": 1}, "missed": "once"}
    made = acme.ask("PUT", "/schedules/weekly", json=body)
    shown = made.json()
    assert made.status_code == 201
    assert {name: shown[name] for name in body} == body and shown["workflow"] == "main"
    assert len(shown["next"]) == 5 and shown["next"] == sorted(set(shown["next"]))
    assert acme.ask("PUT", "/schedules/weekly", json=body).status_code == 200
    assert acme.ask("GET", "/schedules").json()["schedules"] == [acme.ask("GET", "/schedules/weekly").json()]
    paused = acme.ask("POST", "/schedules/weekly/pause").json()
    assert (paused["paused"], paused["next"]) == (True, [])
    assert acme.ask("POST", "/schedules/weekly/resume").json()["paused"] is False
    ran = acme.ask("POST", "/schedules/weekly/run")
    assert ran.status_code == 201 and ran.headers["location"] == ran.json()["url"]
    ended = acme.finish(ran.json()["id"])
    assert ended["output"]["payload"] == {"n": 1} and ended["output"]["cron"] == "0 9 * * MON"
    assert ended["trigger"]["kind"] == "schedule"
    assert acme.ask("DELETE", "/schedules/weekly").status_code == 204
    assert code_of(acme.ask("DELETE", "/schedules/weekly")) == (404, "schedule.not_found")


def test_a_schedule_names_a_workflow_that_is_deployed(acme: Tenant) -> None:
    made = acme.ask("PUT", "/schedules/o", json={"cron": "0 9 * * *", "workflow": "other"}).json()
    assert made["workflow"] == "other"
    missing = acme.ask("PUT", "/schedules/x", json={"cron": "0 9 * * *", "workflow": "none"})
    assert code_of(missing) == (404, "workflow.not_found")
    acme.ask("DELETE", "/schedules/o")


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({"cron": "* * * *"}, "schedule.invalid", "five fields"),
        ({"cron": "* * * * * *"}, "schedule.invalid", "five fields"),
        ({"cron": "0 9 * * *", "timezone": "Mars/Olympus"}, "schedule.invalid", "There is no time zone"),
        ({"cron": "0 9 * * *", "missed": "some"}, "schedule.invalid", "skip, once or all"),
        ({}, "body.invalid", "cron"),
        ({"cron": 5}, "body.invalid", "cron"),
    ],
)
def test_what_makes_no_sense_is_refused_with_words(acme: Tenant, body: object, code: str, words: str) -> None:
    answer = acme.ask("PUT", "/schedules/s", json=body)
    assert code_of(answer) == (400, code)
    assert words in answer.json()["error"]["message"]


def test_a_tenant_has_so_many_and_no_other_sees_them(site: Site) -> None:
    one, other = Tenant(site, "globex"), Tenant(site, "initech")
    for tenant in (one, other):
        tenant.deploy(TELLS)
    for n in range(3):
        one.ask("PUT", f"/schedules/s{n}", json={"cron": "0 9 * * *"})
    refused = one.ask("PUT", "/schedules/s9", json={"cron": "0 9 * * *"})
    assert code_of(refused) == (409, "schedule.too_many") and "schedules_per_tenant" in refused.text
    assert other.ask("GET", "/schedules").json() == {"schedules": []}
    assert code_of(other.ask("GET", "/schedules/s0")) == (404, "schedule.not_found")
    assert site.client.get("/api/tenants/globex/schedules").status_code == 401


def test_a_dispatchers_workflow_has_schedules_of_its_own(site: Site) -> None:
    async def story() -> None:
        engine = site.engine
        dispatcher = Dispatcher(engine, lambda metadata: Code(TELLS), name="nightly-reports")
        workflow = dispatcher.wrap_binding({"tenant": "hooli", "plan": "gold"})
        made = await workflow.schedules.put("nightly", "0 2 * * *", timezone="Europe/Berlin", params={"n": 2})
        assert len(made.next) == 5 and made.workflow == "nightly-reports"
        assert [it.name for it in await workflow.schedules.list()] == ["nightly"]
        id = await workflow.schedules.run("nightly")
        instance = await workflow.get(id)
        async for _ in instance.subscribe():
            pass
        status = await instance.status()
        assert status.output["payload"] == {"n": 2} and status.output["cron"] == "0 2 * * *"
        assert (await workflow.schedules.pause("nightly")).next == []
        await workflow.schedules.resume("nightly")
        await workflow.schedules.delete("nightly")
        with pytest.raises(ScheduleNotFound):
            await workflow.schedules.get("nightly")

    site.call(story())


def test_the_schedules_of_a_deleted_tenant_are_gone(site: Site) -> None:
    tenant = Tenant(site, "umbrella")
    tenant.deploy(TELLS)
    tenant.ask("PUT", "/schedules/s", json={"cron": "0 9 * * *"})
    site.call(site.engine.store.tenants.close("umbrella"))
    assert site.call(site.engine.schedules.of_tenant("umbrella")) == []
