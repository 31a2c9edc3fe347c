"""Limits that hold for all nodes together: two engines over one store, as two servers on one database."""

import asyncio

import pytest
from dispatch_support import Place

from playground.engine import CreateInstance
from playground.workflows import errors


@pytest.mark.parametrize(("tenant", "setting"), [("", "queue_length"), ("acme", "queued_per_tenant")])
def test_a_queue_is_as_long_as_it_may_be_whoever_creates(place: Place, tenant: str, setting: str) -> None:
    async def tale() -> None:
        async with place.nodes(**{setting: 5}) as nodes:
            new = CreateInstance(None, tenant=tenant, workflow="nobody-runs-this")
            answers = await asyncio.gather(*(node.create(new) for node in nodes * 6), return_exceptions=True)
            refused = [it for it in answers if isinstance(it, errors.Busy)]
            assert (len(refused), {it.details["setting"] for it in refused}) == (7, {setting})
            assert await nodes[0].store.count(tenant=tenant) == {"queued": 5}

    place.call(tale)
