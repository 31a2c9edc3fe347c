"""Section 9 of semantics.md: creating instances, one and many, of one tenant and of several.

Each test names the number of its behaviour.
"""

import pytest
from semantics_support import playing, story, workflow

from playground.engine import CreateInstance
from playground.testing import WorkflowTester
from playground.workflows.errors import InstanceAlreadyExists, InvalidBatch, InvalidId, InvalidName


@story
async def test_23_a_second_create_of_an_id_is_refused_and_the_first_is_untouched():
    async with playing("return event.payload", "first", created={"id": "same"}) as (tester, run):
        await run.result()
        with pytest.raises(InstanceAlreadyExists, match='"same"'):
            await tester.create("second", id="same")
        assert await run.result() == "first"


@pytest.mark.parametrize("id", ["", "-a", "a b", "a.b", "ä", "x" * 101, "a\n", 5])
@story
async def test_23_a_bad_id_is_refused(id):
    async with WorkflowTester(workflow("return 1")) as tester:
        with pytest.raises(InvalidId, match="1 to 100 letters"):
            await tester.create(id=id)
        assert await tester.store.count() == {}


@pytest.mark.parametrize("given", [{"workflow": "a.b"}, {"workflow": ""}, {"tenant": "x" * 65}, {"tenant": "-"}])
@story
async def test_23_a_bad_name_is_refused(given):
    async with WorkflowTester(workflow("return 1")) as tester:
        with pytest.raises(InvalidName, match="1 to 64 letters"):
            await tester.create(**given)


@pytest.mark.parametrize("size", [0, 101])
@story
async def test_23_a_batch_of_0_or_101_is_refused(size):
    async with WorkflowTester(workflow("return 1")) as tester:
        with pytest.raises(InvalidBatch, match=f"1 to 100 instances, not {size}"):
            await tester.engine.create_batch([CreateInstance(tester.source)] * size)
        assert await tester.store.count() == {}


@story
async def test_23_a_batch_leaves_out_ids_that_are_taken_or_repeated_and_reports_them():
    async with playing("return event.payload", "first", created={"id": "taken"}) as (tester, _):
        batch = [
            CreateInstance(tester.source, params=place, id=id) for place, id in enumerate(["a", "taken", "b", "a"])
        ]
        created, refused = await tester.engine.create_batch(batch)
        assert [row.id for row in created] == ["a", "b"]
        assert [(refusal.index, refusal.id, refusal.code) for refusal in refused] == [
            (1, "taken", "instance.already_exists"),
            (3, "a", "instance.already_exists"),
        ]


@story
async def test_33_the_same_id_in_two_tenants_is_two_independent_instances():
    async with WorkflowTester(
        workflow('return [event.payload, (await step.wait_for_event("w", "go")).payload]')
    ) as tester:
        ada = await tester.create("of ada", id="same", tenant="ada")
        bob = await tester.create("of bob", id="same", tenant="bob")
        await ada.wait_for_step("w", status="waiting")
        await bob.wait_for_step("w", status="waiting")
        await ada.send_event("go", 1)
        assert await ada.result() == ["of ada", 1]
        assert (await bob.state()).status == "waiting"
        await ada.restart()
        await ada.terminate()
        await bob.send_event("go", 2)
        assert await bob.result() == ["of bob", 2]
