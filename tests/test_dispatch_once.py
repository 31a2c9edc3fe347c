"""What must not happen twice, however much time has passed and whatever the database has been through: ids, and keys of
calls.
"""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from dispatch_support import Place, after_expiry, journal, on_engine, output, workflow

from playground import Binding, CallContext, Code, Dispatcher, Engine, InstanceExpired, library
from playground.engine.clock import SystemClock
from playground.engine.instances import Instances
from playground.settings import BadSetting
from playground.store.sqlite.migrations import MIGRATIONS, migrate
from playground.workflows import errors
from playground.workflows import events as ev

DAY_MS = 86_400_000
CHARGE = workflow('return await step.do("charge", lambda: self.env.BANK.charge(event["payload"]))')


class Bank(Binding):
    """Charges once for each key, as payment providers do."""

    def __init__(self) -> None:
        self.charged: dict[str, Any] = {}
        self.keys: list[str] = []

    async def charge(self, amount: Any, *, call: CallContext) -> Any:
        assert call.idempotency_key is not None
        self.keys.append(call.idempotency_key)
        return self.charged.setdefault(call.idempotency_key, amount)


class Later(SystemClock):
    """A clock that is some days ahead."""

    def __init__(self, days: int) -> None:
        super().__init__()
        self._ahead = days * DAY_MS

    def now(self) -> int:
        return super().now() + self._ahead


def orders(engine: Engine, bank: Bank) -> Instances:
    return Dispatcher(engine, lambda metadata: Code(CHARGE, env={"BANK": bank})).wrap_binding({"tenant": "acme"})


# Keys of calls.


def test_the_keys_of_two_databases_are_different_so_that_a_restored_backup_pays_for_its_new_runs(place: Place) -> None:
    bank = Bank()

    async def story(engine: Engine) -> None:
        flows = orders(engine, bank)
        assert await output(await flows.create("order-7", amount)) == amount

    for amount in (10, 20):  # noqa: B007 - the story reads it
        place.run(story)
    assert list(bank.charged.values()) == [10, 20]
    assert [key.partition("-")[0] for key in bank.keys] == ["acme/1"] * 2, "the store's own number is the same"


@on_engine()
async def test_the_random_part_of_a_key_is_as_long_as_the_instance_and_no_longer(engine: Engine) -> None:
    bank = Bank()
    flows = orders(engine, bank)
    one = await flows.create(params=1)
    await output(one)
    await one.restart()
    async for event in one.subscribe():
        if event.type == ev.WORKFLOW_RESTARTED:
            break
    await output(one)
    await output(await flows.create(params=2))
    named = [key.split("/")[1] for key in bank.keys]
    assert named[0] == named[1] != named[2] and len(set(bank.keys)) == 3


def test_an_instance_that_was_made_before_keys_had_a_random_part_keeps_the_key_it_had(
    place: Place, tmp_path: Path
) -> None:
    path = tmp_path / "old.db"
    db = sqlite3.connect(path, isolation_level=None)
    migrate(db, "old", MIGRATIONS[:6])
    db.execute(
        "INSERT INTO instance (key, tenant, id, workflow, snippet, queue, status, generation, execution, last_seq,"
        " due_at, fresh, in_execution, log_bytes, stored_bytes, created_at) VALUES (41, 'acme', 'order-1',"
        " 'dynamic-workflow', '', 'acme', 'queued', 1, 0, 1, 1, 1, 0, 0, 0, 1)"
    )
    db.execute(
        "INSERT INTO origin (instance, class_name, params, metadata) VALUES (41, 'TenantWorkflow', '5', "
        '\'{"tenant":"acme"}\')'
    )
    db.execute(
        'INSERT INTO event VALUES (41, 1, 1, \'workflow_queued\', NULL, NULL, \'{"params":5,"trigger":"binding"}\')'
    )
    db.execute("INSERT INTO tally VALUES ('acme', 'acme', 'queued', 1)")
    db.close()
    bank = Bank()

    async def story(engine: Engine) -> None:
        flows = orders(engine, bank)
        assert await output(await flows.get("order-1")) == 5
        assert await output(await flows.create("order-2", 6)) == 6
        with pytest.raises(errors.InstanceAlreadyExists):
            await flows.create("order-1")

    place.run(story, url=f"sqlite:///{path}", retention_days=0)
    assert bank.keys[0] == "acme/41/1/do/charge-1"
    assert bank.keys[1].startswith("acme/42-") and bank.keys[1].endswith("/1/do/charge-1")


# Ids.


async def finished(engine: Engine, bank: Bank) -> None:
    flows = orders(engine, bank)
    assert await output(await flows.create_once("order-7", 49)) == 49
    await output(await flows.create(params=1))


def expires_all_but_ids(place: Place, bank: Bank, url: str, **settings: Any) -> None:
    async def much_later(engine: Engine) -> None:
        flows = orders(engine, bank)
        await after_expiry(engine)
        assert await engine.store.list("acme") == []
        again = await flows.create_once("order-7", 49)
        assert again.id == "order-7"
        for ask in (again.status, lambda: flows.get("order-7")):
            with pytest.raises(
                InstanceExpired, match=r'Instance "order-7" ended long ago \(complete\) and is not kept'
            ) as expired:
                await ask()
        assert expired.value.details["status"] == "complete" and isinstance(expired.value, errors.InstanceNotFound)
        with pytest.raises(errors.InstanceAlreadyExists, match="Its id stays used"):
            await flows.create("order-7", 49)
        made = await flows.create_batch([{"id": "order-7"}, {"id": "order-8", "params": 5}])
        assert [it.index for it in made.refused] == [0] and await output(made[0]) == 5
        other = Dispatcher(engine, lambda metadata: Code(CHARGE), name="other").wrap_binding({"tenant": "acme"})
        with pytest.raises(errors.InstanceNotFound, match="There is no instance"):
            await other.get("order-7")

    place.run(much_later, url=url, clock=Later(8), **settings)


def test_an_id_that_was_used_stays_used_when_its_instance_is_not_kept_any_more(place: Place) -> None:
    """Given create_once on day 1 and retention of 7 days, expect that on day 8 nothing is charged again."""
    bank, url = Bank(), place.new_url()
    place.run(lambda engine: finished(engine, bank), url=url)
    expires_all_but_ids(place, bank, url)
    assert list(bank.charged.values()) == [49, 1, 5]


def test_ids_are_free_again_after_the_days_that_a_setting_gives(place: Place) -> None:
    bank, url = Bank(), place.new_url()
    place.run(lambda engine: finished(engine, bank), url=url)
    expires_all_but_ids(place, bank, url, used_id_days=9)

    async def free(engine: Engine) -> None:
        await after_expiry(engine)
        assert await output(await orders(engine, bank).create("order-7", 3)) == 3

    place.run(free, url=url, clock=Later(10), used_id_days=9)


@pytest.mark.parametrize("given", [{}, {"retention_days": None}, {"retention_days": 0}])
def test_the_library_keeps_what_has_finished_unless_it_is_told_for_how_long(
    place: Place, given: dict[str, Any]
) -> None:
    settings = library._settings("sqlite:///x.db", given)
    assert settings.retention_days == 0
    assert library._settings("sqlite:///x.db", {"retention_days": 7}).retention_days == 7
    with pytest.raises(BadSetting, match="retention_days is -1"):
        library._settings("sqlite:///x.db", {"retention_days": -1})
    bank, url = Bank(), place.new_url()
    place.run(lambda engine: finished(engine, bank), url=url)

    async def years_later(engine: Engine) -> None:
        await after_expiry(engine)
        flows = orders(engine, bank)
        assert (await (await flows.create_once("order-7", 49)).status()).output == 49
        assert len(await journal(await flows.get("order-7"))) > 3

    place.run(years_later, url=url, clock=Later(9_000), retention_days=settings.retention_days)
