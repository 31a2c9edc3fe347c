"""`env.EFFECTS`: what a lost attempt has done is done, and done again, unless it names a key."""

from typing import Any

import pytest
from dispatch_support import error, journal_until, on_engine, output, workflow

from playground import Code, Dispatcher, Effects, Engine, WorkflowInstance
from playground.engine import CreateInstance
from playground.workflows import events as ev

CHARGES = """
    await step.wait_for_event("go", "go")

    @step.do("charge card")
    async def charge():
        return await self.env.EFFECTS.charge(49, KEY)

    return await charge()
    """


def flows(engine: Engine, body: str, tenant: str = "acme", name: str = "effects") -> Any:
    code = Code(workflow(body), env={"EFFECTS": Effects()})
    return Dispatcher(engine, lambda metadata: code, name=name).wrap_binding({"tenant": tenant})


async def ledger(engine: Engine, instance: WorkflowInstance, tenant: str = "acme") -> list[Any]:
    row = await engine.store.find(tenant, instance.id)
    return list(await engine.store.effects.of_instance(row.key))


@pytest.mark.parametrize(("key", "charged"), [("None", [1, 2]), ("'order-7'", [1])])
@on_engine()
async def test_an_attempt_lost_after_its_effect_has_it_again_unless_it_names_a_key(
    engine: Engine, key: str, charged: list[int]
) -> None:
    instance = await flows(engine, CHARGES.replace("KEY", key)).create()
    await journal_until(instance, ev.WORKFLOW_WAITING)
    await engine.kill_worker(await engine.store.find("acme", instance.id), "before-commit")
    await instance.send_event("go")
    receipt = await output(instance)
    effects = await ledger(engine, instance)
    assert [effect.attempt for effect in effects] == charged
    assert [(effect.kind, effect.data, effect.step, effect.execution) for effect in effects] == [
        ("charge", {"amount": 49}, "charge card-1", execution) for execution in charged
    ]
    assert (receipt["id"], receipt["repeated"]) == (f"charge-{len(charged)}", len(charged) == 1)
    assert effects[-1].asked == 3 - len(charged)


@on_engine()
async def test_effects_have_kinds_receipts_and_details(engine: Engine) -> None:
    body = """
    effects = self.env.EFFECTS
    mail = await effects.email("ada@example.com", "Welcome", key="mail-1", lang="en")
    again = await effects.email("bob@example.com", key="mail-1")
    ship = await effects.record("shipment", parcels=2)
    return [mail, again, ship]
    """
    instance = await flows(engine, body).create()
    mail, again, ship = await output(instance)
    assert {key: mail[key] for key in ("id", "to", "subject", "lang", "repeated")} == {
        "id": "email-1", "to": "ada@example.com", "subject": "Welcome", "lang": "en", "repeated": False,
    }  # fmt: skip
    assert again == mail | {"repeated": True}
    assert (ship["id"], ship["parcels"]) == ("shipment-2", 2)
    assert [effect.step for effect in await ledger(engine, instance)] == [None, None]


@on_engine()
async def test_a_key_counts_within_a_tenant_and_nobody_elses(engine: Engine) -> None:
    body = "return (await self.env.EFFECTS.charge(event['payload'], 'order-7'))['amount']"
    first = await flows(engine, body, name="one").create(params=1)
    assert await output(first) == 1
    assert await output(await flows(engine, body, name="two").create(params=2)) == 1
    assert await output(await flows(engine, body, tenant="globex", name="three").create(params=3)) == 3
    for amount in (4, 5):
        row = await engine.create(CreateInstance(workflow(body), amount))
        assert await output(WorkflowInstance(engine, "", row.id)) == amount


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("charge('a lot')", "charge takes an amount as a number, not str."),
        ("charge(True)", "not bool"),
        ("charge(5, key='')", "The key of an effect must be a string of 1 to 200 characters"),
        ("charge(5, key=7)", "The key of an effect must be a string"),
        ("email('')", "email takes an address"),
        ("record('no good')", "must be a word"),
        ("charge(5, note='x' * 5000)", "The data of this charge is 5,"),
        ("charge(float('nan'))", "not serialisable: $[0]: float nan"),
    ],
)
@on_engine()
async def test_misuse_is_an_error_that_says_what_is_wrong(engine: Engine, call: str, said: str) -> None:
    instance = await flows(engine, f"await self.env.EFFECTS.{call}").create()
    assert said in (await error(instance))[1]
    assert await ledger(engine, instance) == []


@on_engine(effects_per_instance=3)
async def test_an_instance_has_so_many_effects_and_no_more(engine: Engine) -> None:
    instance = await flows(engine, "for n in range(4):\n            await self.env.EFFECTS.charge(n)").create()
    assert "has had 3 effects" in (await error(instance))[1]
    assert len(await ledger(engine, instance)) == 3


@on_engine()
async def test_effects_are_deleted_with_their_instance(engine: Engine) -> None:
    instance = await flows(engine, "await self.env.EFFECTS.charge(1)").create()
    await output(instance)
    key = (await engine.store.find("acme", instance.id)).key
    await instance.delete()
    assert await engine.store.effects.of_instance(key) == []
