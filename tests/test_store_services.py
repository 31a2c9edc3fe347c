"""Services of tenants, and usage that is taken only as far as a limit goes: the same on every database."""

import asyncio

from store_support import AT, with_store

from playground.store.protocol import Store
from playground.store.services import AI, MCP, Service
from playground.store.tables import Claim


@with_store
async def test_services_are_kept_by_tenant_kind_and_name_and_go_with_their_tenant(store: Store) -> None:
    services, model = store.services, Service(AI, "default", {"base_url": "https://x", "secret": "KEY"})
    tools = [Service(MCP, name, {"url": f"https://{name}"}) for name in ("a", "b")]
    for service in (model, *tools):
        assert await services.put("acme", service, most=2)
    assert not await services.put("acme", Service(MCP, "c", {}), most=2), "two of a kind are the most"
    changed = Service(MCP, "b", {"url": "https://other"})
    assert await services.put("acme", changed, most=2), "one of the two is changed"
    assert await services.of_tenant("acme") == [model, tools[0], changed]
    assert (model.secret, changed.secret) == ("KEY", None)
    assert await services.of_tenant("other") == []
    assert await services.delete("acme", MCP, "a") and not await services.delete("acme", MCP, "a")
    await store.tenants.add_key("acme", "", "hash", at=AT)
    await store.usage.take([Claim("ai_tokens_per_day", "acme", 1, 5, 9)])
    await store.tenants.remove("acme")
    assert await services.of_tenant("acme") == []
    assert await store.usage.amounts("ai_tokens_per_day", "acme", since=0) == []


@with_store
async def test_usage_is_taken_whole_or_not_at_all_and_never_over_its_limit(store: Store) -> None:
    def claims(amount: int) -> list[Claim]:
        return [Claim("of a day", "acme", 1, amount, 100), Claim("of a run", "7", 0, amount, 60)]

    took = await asyncio.gather(*(store.usage.take(claims(10)) for _ in range(50)))
    assert took.count(None) == 6
    assert {refused for refused in took if refused is not None} == {(claims(10)[1], 60)}
    assert await store.usage.amounts("of a day", "acme", since=0) == [(1, 60)], "a refused claim has used nothing"
    await store.usage.add({("of a run", "7", 0): -25}, since={}, kept={})
    assert await store.usage.take(claims(20)) is None
    assert await store.usage.take([Claim("of a day", "acme", 2, 100, 100)]) is None, "another day"
