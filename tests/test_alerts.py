"""Alerts arrive over a real socket, signed, at least once: after a refusal and after a crash, by whichever node."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from store_support import AT, claim, create, with_store

from playground.engine.alerts import RUNS_NAMED, SETTLED_MS, Alerts, signature
from playground.engine.execution.context import EVERYWHERE
from playground.outbound.client import Outbound
from playground.settings import BadSetting, Settings
from playground.store.protocol import Store
from playground.workflows import events as ev
from playground.workflows.events import NewEvent

SECRET = "shared-with-the-receiver"


class Clock:
    """A clock that a test sets."""

    def __init__(self, now: int) -> None:
        self.at = now

    def now(self) -> int:
        return self.at


class Receiver:
    """The webhook: keeps what it is sent, and answers as it is told. `outbound` are the connections to it."""

    def __init__(self) -> None:
        self.status, self.url = 200, ""
        self.sent: list[tuple[Mapping[str, str], bytes]] = []
        self.outbound = Outbound(EVERYWHERE)

    def alerts(self, store: Store, clock: Clock, said: list[str], node: str = "a", **given: Any) -> Alerts:
        """A node's alerts, which are sent here."""
        settings = Settings(**{"alert_url": self.url, "alert_secret": SECRET, **given})
        return Alerts(store, clock, settings, self.outbound, node, lambda: "7", lambda _, error: said.append(error))

    async def take(self, request: Request) -> Response:
        """POST /hook."""
        self.sent.append((dict(request.headers), await request.body()))
        return Response(status_code=self.status)

    def taken(self) -> list[dict[str, Any]]:
        """The alerts since the last look, those of several requests together."""
        found = [alert for _, body in self.sent for alert in json.loads(body)["alerts"]]
        self.sent.clear()
        return found


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = Starlette(routes=[Route("/hook", receiver.take, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    sockets = [server.config.bind_socket()]
    receiver.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/hook"
    serving = asyncio.create_task(server.serve(sockets))
    try:
        yield receiver
    finally:
        await receiver.outbound.aclose()
        server.should_exit = True
        await serving


async def fail(store: Store, *ids: str, at: int, **given: Any) -> None:
    """Runs that are created and fail at a time."""
    await create(store, *ids, at=at, **given)
    error = {"error": {"name": "ValueError", "message": "secret"}}
    for row in await claim(store, 999, at=at):
        ended = [NewEvent(ev.EXECUTION_ENDED, {"reason": ev.COMPLETED}), NewEvent(ev.WORKFLOW_ERRORED, error)]
        await store.append(row.key, ended, execution=row.execution, at=at)


@with_store
async def test_what_failed_is_told_once_delivered_and_again_until_it_is(store: Store) -> None:
    said: list[str] = []
    async with receiving() as receiver:
        clock = Clock(AT)
        alerts = receiver.alerts(store, clock, said)
        await fail(store, "before", tenant="acme", at=AT - SETTLED_MS - 1)
        assert await alerts.make_round() and receiver.sent == [], "the first round tells of nothing before it"
        await fail(store, "one", tenant="acme", at=AT)
        await fail(store, "nobody", at=AT)
        clock.at += SETTLED_MS + 1
        receiver.status = 503
        assert not await alerts.make_round() and said == ["the receiver answered 503"]
        first = receiver.taken()
        receiver.status = 204
        other = receiver.alerts(store, clock, said, "b")  # the first node has died
        assert await other.make_round()
        [(headers, body)] = receiver.sent
        expected = signature(SECRET, headers["webhook-id"], int(headers["webhook-timestamp"]), body)
        assert headers["webhook-signature"] == expected and json.loads(body)["node"] == "b"
        assert b"secret" not in body
        [alert] = receiver.taken()
        assert [alert] == first and (alert["kind"], alert["tenant"], alert["error"]) == (
            "run.failed", "acme", "ValueError",
        )  # fmt: skip
        clock.at += 60_000
        assert await other.make_round() and await alerts.make_round() and receiver.sent == [], "told once"
        await fail(store, *(f"many-{n}" for n in range(RUNS_NAMED + 3)), tenant="acme", at=clock.at)
        await fail(store, "everybody's", at=clock.at)
        clock.at += SETTLED_MS
        everybody = receiver.alerts(store, clock, said, alert_runs="all")
        assert await everybody.make_round()
        many = receiver.taken()
        assert len(many) == RUNS_NAMED + 1 and many[-1]["count"] == RUNS_NAMED + 4


@with_store
async def test_a_stuck_queue_is_told_again_only_after_a_while(store: Store) -> None:
    async with receiving() as receiver:
        clock = Clock(AT)
        alerts = receiver.alerts(store, clock, [], alert_queue_seconds=60, alert_repeat_minutes=5)
        await create(store, "waits", at=AT)
        for seconds, told in ((59, False), (61, True), (75, False), (5 * 60 + 62, True)):
            clock.at = AT + seconds * 1_000
            assert await alerts.make_round()
            assert [(it["kind"], it["seconds"]) for it in receiver.taken()] == [("queue.stuck", seconds)] * told


@with_store
async def test_a_receiver_that_is_away_or_no_address_holds_up_nothing(store: Store) -> None:
    said: list[str] = []
    async with receiving() as receiver:
        clock = Clock(AT)
        away = receiver.alerts(store, clock, said, alert_url="http://127.0.0.1:1/hook")
        assert await away.make_round()
        await fail(store, "one", tenant="acme", at=AT)
        clock.at += SETTLED_MS
        assert not await away.make_round() and len(said) == 1
        with pytest.raises(BadSetting, match="alert_url"):
            receiver.alerts(store, clock, said, alert_url="ftp://example.com")


@with_store
async def test_a_node_whose_lease_ends_is_lost_and_one_that_gives_it_back_is_not(store: Store) -> None:
    lease = await store.nodes.join("gone", 1_000)
    shared = store.product[0] == "PostgreSQL"
    assert [name for name, _ in await store.alerts.lost_nodes(0, 2 * AT)] == ["gone"] * shared
    await store.nodes.leave(lease)
    assert await store.alerts.lost_nodes(0, 2 * AT) == []
