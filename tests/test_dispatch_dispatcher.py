"""The dispatcher: metadata that routes, and tenants that see only their own."""

from typing import Any

import pytest
from dispatch_support import GREET, error, greeter, journal, journal_until, on_engine, output, workflow

from playground.engine import CreateInstance, Engine
from playground.engine.code.dispatcher import Dispatcher
from playground.engine.code.metadata import METADATA_BYTES, tenancy
from playground.engine.code.sources import Code
from playground.engine.instances import WorkflowInstance
from playground.workflows import errors
from playground.workflows import events as ev


@on_engine()
async def test_each_tenants_instances_run_that_tenants_code(engine: Engine) -> None:
    dispatcher = Dispatcher(engine, lambda metadata: greeter(metadata["tenant"]))
    made = [
        await dispatcher.wrap_binding({"tenant": name}).create(params={"name": "Ada"}) for name in ("acme", "globex")
    ]
    assert [await output(instance) for instance in made] == ["Ada, by acme", "Ada, by globex"]


@on_engine()
async def test_metadata_travels_beside_params_and_never_in_them(engine: Engine) -> None:
    seen = []

    async def load(metadata: dict[str, Any]) -> Code:
        seen.append(metadata)
        metadata["tenant"] = "changed"
        return Code(workflow("return [event['payload'], dict(self.ctx)]"))

    metadata = {"tenant": "acme", "plan": ["pro", {"seats": 5}]}
    instance = await Dispatcher(engine, load).wrap_binding(metadata).create(params={"n": 1})
    assert await output(instance) == [{"n": 1}, {"execution": 1}]
    await instance.restart()
    await journal_until(instance, ev.WORKFLOW_RESTARTED)
    await output(instance)
    assert seen[0]["plan"] == seen[1]["plan"] == metadata["plan"]
    assert "pro" not in repr([event.data for event in await journal(instance)])


@on_engine()
async def test_an_instance_made_past_the_dispatcher_ends_and_says_what_it_lacks(engine: Engine) -> None:
    dispatcher = Dispatcher(engine, lambda metadata: greeter("acme"))
    for nothing in (None, {}):
        with pytest.raises(errors.MissingDispatcherMetadataError, match="wrap_binding"):
            dispatcher.wrap_binding(nothing)  # type: ignore[arg-type]
    row = await engine.create(CreateInstance(None, workflow=dispatcher.name, tenant="acme"))
    name, message = await error(WorkflowInstance(engine, "acme", row.id))
    assert name == "MissingDispatcherMetadataError" and "wrap_binding" in message


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (["acme"], "must be a dict"),
        ({"x": object()}, "must be JSON"),
        ({"x": float("nan")}, "must be JSON"),
        ({1: "x"}, "keys must be strings"),
        ({"x": (1, 2)}, "lists must not be tuples"),
        ({"x": "y" * METADATA_BYTES}, "the limit is 16,384"),
    ],
)
@on_engine()
async def test_metadata_that_can_not_be_kept_is_refused(engine: Engine, metadata: Any, said: str) -> None:
    with pytest.raises(errors.InvalidMetadata, match=said):
        Dispatcher(engine, lambda metadata: greeter("x")).wrap_binding(metadata)


def test_a_tenancy_is_the_tenants_name_or_a_hash_of_what_is_given() -> None:
    assert tenancy({"tenant": "acme", "plan": "pro"}) == tenancy({"tenant": "acme"}) == "acme"
    assert tenancy({"customer": 1, "region": "eu"}) == tenancy({"region": "eu", "customer": 1})
    others = [
        {"customer": 1},
        {"customer": 2},
        {"customer": "1"},
        {"tenant": 1},
        {"tenant": "joe@example.com"},
        {"tenant": ""},
    ]
    names = [tenancy(metadata) for metadata in others]
    assert len(set(names)) == len(names) and all(name.startswith("_m_") for name in names)
    assert tenancy({"tenant": names[0]}) != names[0], "nobody may call himself by another's hash"


# Tenants apart.


@on_engine()
async def test_get_sees_only_instances_of_the_same_metadata_and_workflow(engine: Engine) -> None:
    dispatcher = Dispatcher(engine, lambda metadata: greeter("x"))
    other_workflow = Dispatcher(engine, lambda metadata: greeter("y"), name="reports")
    mine = dispatcher.wrap_binding({"customer": 1})
    made = await mine.create("order-1", {"name": "Ada"})
    assert (await mine.get("order-1")).id == made.id
    for other in ({"customer": 2}, {"customer": 1, "region": "eu"}):
        with pytest.raises(errors.InstanceNotFound):
            await dispatcher.wrap_binding(other).get("order-1")
    with pytest.raises(errors.InstanceNotFound):
        await other_workflow.wrap_binding({"customer": 1}).get("order-1")
    for bad in ("", "no such", None, 5):
        with pytest.raises(errors.InstanceNotFound):
            await mine.get(bad)  # type: ignore[arg-type]


@on_engine()
async def test_the_same_id_in_two_tenants_is_two_instances(engine: Engine) -> None:
    dispatcher = Dispatcher(engine, lambda metadata: greeter(metadata["tenant"]))
    made = [
        await dispatcher.wrap_binding({"tenant": name}).create("one", {"name": "Ada"}) for name in ("acme", "globex")
    ]
    assert [await output(instance) for instance in made] == ["Ada, by acme", "Ada, by globex"]
    await made[0].delete()
    assert (await made[1].status()).status == "complete"


@on_engine()
async def test_two_dispatchers_of_one_name_are_refused(engine: Engine) -> None:
    Dispatcher(engine, lambda metadata: greeter("x"))
    with pytest.raises(errors.InvalidName, match="There is a dispatcher named"):
        Dispatcher(engine, lambda metadata: greeter("y"))
    with pytest.raises(errors.InvalidName, match="workflow name"):
        Dispatcher(engine, lambda metadata: greeter("y"), name="no spaces")


class Versions:
    """A source of code that is no dispatcher: it goes by the version that the instance was created with."""

    async def load(self, row: Any) -> Code:
        return Code(GREET.replace("GREETER", f"{row.tenant} at {row.snippet}"), version=row.snippet)


@on_engine()
async def test_a_program_may_register_a_source_of_code_of_its_own(engine: Engine) -> None:
    engine.register("versioned", Versions())
    new = CreateInstance(None, {"name": "Ada"}, tenant="acme", workflow="versioned", version="v7")
    instance = WorkflowInstance(engine, "acme", (await engine.create(new)).id)
    assert await output(instance) == "Ada, by acme at v7"
    assert [event.data["code_version"] for event in await journal(instance) if event.type == ev.EXECUTION_STARTED] == [
        "v7"
    ]
