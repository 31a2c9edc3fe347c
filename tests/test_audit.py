"""The audit log: each change has an entry in its own transaction, on both databases; what was refused has one too, and
what changed nothing has none. Tenants read their own, the operator all.
"""

import json
import re
from pathlib import Path

import pytest
from http_support import MakeSite, Site, code_of
from store_support import AT, create, with_store
from tenants_support import WAITS, Tenant, make_key

from playground import commands
from playground.settings import Settings
from playground.store.audit import AuditEntry, Pending, auditing
from playground.store.protocol import Store
from playground.store.services import MCP, Service
from playground.store.tables import NewVersion
from playground.workflows import events as ev
from playground.workflows.errors import InstanceNotFound
from playground.workflows.events import NewEvent

PACKAGE = Path(commands.__file__).parent


def about(action: str, target: str = "it", tenant: str = "acme", at: int = AT) -> Pending:
    pending = Pending(AuditEntry(at, tenant, "", "192.0.2.1", action, target))
    pending.identify("key 1")
    return pending


async def seen(store: Store, tenant: str | None = "acme") -> list[tuple[str, str]]:
    return [(row.action, row.target) for row in reversed(await store.audit.entries(tenant, limit=100))]


@with_store
async def test_a_change_and_its_entry_are_one_and_what_changes_nothing_has_none(store: Store) -> None:
    row = (await create(store, "one", tenant="acme"))[0]
    version = NewVersion("code")
    changes = {
        "key": lambda: store.tenants.add_key("acme", "", "hash", at=AT),
        "deploy": lambda: store.tenants.deploy("acme", version, at=AT, most=9, workflows_most=9),
        "deploy again": lambda: store.tenants.deploy("acme", version, at=AT, most=9, workflows_most=9),
        "secret": lambda: store.tenants.set_secret("acme", "a", "value", most=1),
        "one too many": lambda: store.tenants.set_secret("acme", "b", "value", most=1),
        "no secret": lambda: store.tenants.set_secret("acme", "z", None),
        "service": lambda: store.services.put("acme", Service(MCP, "m", {}), most=9),
        "no service": lambda: store.services.delete("acme", MCP, "n"),
        "pause": lambda: store.decide(row.key, lambda _: [NewEvent(ev.WORKFLOW_PAUSED)], execution=None, at=AT),
        "no pause": lambda: store.decide(row.key, lambda _: [], execution=None, at=AT),
        "delete": lambda: store.delete(row.key),
        "revoke": lambda: store.tenants.revoke_key("acme", 1, at=AT),
        "close": lambda: store.tenants.close("acme"),
    }
    for action, change in changes.items():
        with auditing(about(action)):
            await change()
            await store.tenants.set_trigger("acme", "a second change of the request")
            await store.usage.add({("limit", "acme", 1): 1}, since={}, kept={})
    unchanged = {"deploy again", "one too many", "no secret", "no service", "no pause"}
    found = await seen(store)
    assert [action for action, _ in found if action not in unchanged] == [it for it in changes if it not in unchanged]
    assert len(found) == len(changes), "where the first change is none, the next of the request is it"
    with auditing(about("gone")), pytest.raises(InstanceNotFound):
        await store.delete(row.key)
    with auditing(Pending(AuditEntry(AT, "acme", "", "", "nobody", ""))):
        await store.tenants.set_trigger("acme", None)
    assert len(await seen(store)) == len(changes), "neither what failed nor what nobody asked for"
    assert await seen(store, "other") == [] and len(await seen(store, None)) == len(changes)


@with_store
async def test_entries_are_read_in_pages_and_forgotten_by_age_and_number(store: Store) -> None:
    for number in range(6):
        await store.audit.add(AuditEntry(AT + number, "acme", "key 1", "", "secret.set", str(number)))
    await store.audit.add(AuditEntry(AT, "other", "key 1", "", "secret.set", "old"))
    page = await store.audit.entries("acme", limit=2)
    assert [row.target for row in page] == ["5", "4"]
    assert [row.target for row in await store.audit.entries("acme", before=page[-1].number, limit=2)] == ["3", "2"]
    assert [row.target for row in await store.audit.entries(None, since=AT + 5, limit=9)] == ["5"]
    assert await store.audit.forget(AT + 2, most=Settings(audit_entries=3).audit_entries) == 4
    assert [target for _, target in await seen(store, None)] == ["3", "4", "5"]
    assert await store.audit.forget(0, most=3) == 0


def test_no_statement_changes_an_entry() -> None:
    statements = [text for path in PACKAGE.rglob("*.sql") for text in re.split(r"-- name:|;", path.read_text())]
    about_audit = [text for text in statements if re.search(r"\b(INTO|UPDATE|FROM|TABLE)\s+audit\b", text)]
    assert len(about_audit) > 10
    assert not [text for text in about_audit if re.search(r"\bUPDATE\b|ON CONFLICT|REPLACE", text)]
    deletes = [text for text in about_audit if "DELETE" in text]
    assert all(re.search(r"at < |ORDER BY number LIMIT", text) for text in deletes), "by age, or the oldest"


def entries(tenant: Tenant) -> list[dict[str, object]]:
    answer = tenant.ask("GET", "/audit", params={"limit": 1000})
    assert answer.status_code == 200, answer.text
    return list(reversed(answer.json()["entries"]))


def test_over_http_a_tenant_reads_who_did_what_and_the_operator_reads_all(make_site: MakeSite) -> None:
    site: Site = make_site(operator_token="o" * 40)
    acme, other = Tenant(site, "audit-acme"), Tenant(site, "audit-other")
    version = acme.deploy(WAITS)["version"]
    acme.deploy(WAITS)
    acme.ask("PUT", "/secrets/token", json={"value": "s3cret-value"})
    id = acme.create()["id"]
    acme.until(id, "waiting")
    acme.ask("POST", f"/instances/{id}/pause")
    acme.ask("POST", f"/instances/{id}/terminate", json={})
    assert code_of(acme.ask("DELETE", f"/workflow/{'0' * 64}")) == (404, "version.not_found")
    acme.ask("POST", "/instances/delete", json={"ids": [id, "none"]})
    other.ask("DELETE", "/secrets/nothing")
    wrong = Tenant(site, acme.name, other.key).ask("PUT", "/secrets/x", json={"value": "x"})
    assert code_of(wrong) == (403, "key.wrong")
    got = entries(acme)
    assert [(it["action"], it["target"], it["outcome"]) for it in got] == [
        ("key.make", "1", "done"),
        ("workflow.deploy", "", "done"),
        ("secret.set", "token", "done"),
        ("instance.pause", id, "done"),
        ("instance.terminate", id, "done"),
        ("version.delete", "0" * 64, "version.not_found"),
        ("instances.delete", f"2: {id}, none", "done"),
    ]
    assert {it["actor"] for it in got[1:]} == {"key 1"} and got[0]["actor"] == "operator (command)"
    assert all(it["address"] for it in got[1:]) and "s3cret-value" not in json.dumps(got) and version
    assert [it["action"] for it in entries(other)] == ["key.make"]
    operator = {"Authorization": "Bearer " + "o" * 40}
    site.client.post(f"/api/tenants/{acme.name}/keys", json={"name": "second"}, headers=operator)
    assert code_of(site.client.get("/api/audit")) == (401, "operator.token_missing")
    everything = site.client.get("/api/audit", params={"limit": 1000}, headers=operator).json()["entries"]
    assert {it["tenant"] for it in everything} == {acme.name, other.name}
    assert (everything[0]["action"], everything[0]["actor"]) == ("key.make", "operator")
    site.client.delete(f"/api/tenants/{acme.name}?end=true", headers=operator)
    again = Tenant(site, acme.name)
    assert [it["action"] for it in entries(again)] == ["key.make"], "what another tenant of this name did is not shown"
    of_name = site.client.get("/api/audit", params={"tenant": acme.name}, headers=operator).json()["entries"]
    assert "tenant.delete" in {it["action"] for it in of_name} and len(of_name) > 8


def test_the_command_prints_it_and_keys_made_by_commands_are_in_it(make_site: MakeSite) -> None:
    site: Site = make_site()
    make_key(site, "audited")
    database = ["--database", site.settings.database]
    commands.run(["tenant-key", "revoke", "audited", "1", *database], {}, lambda _: None)
    said: list[str] = []
    commands.run(["audit", "--tenant", "audited", *database], {}, said.append)
    assert [line.partition("UTC  ")[2] for line in said] == [
        "audited: key.make 1  by operator (command)",
        "audited: key.revoke 1  by operator (command)",
    ]
    said.clear()
    commands.run(["audit", "--tenant", "audited", "--json", "--limit", "1", *database], {}, said.append)
    assert [json.loads(line)["action"] for line in said] == ["key.revoke"]
    with pytest.raises(commands.BadCommand, match="1 to 100,000"):
        commands.run(["audit", "--limit", "0", *database], {}, said.append)
