"""The network between a node and its database is cut, by a real proxy: the node stops its workers before its lease is
over, another takes over in time, nothing that the cut node says afterwards counts, and it joins again.
"""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from aio import run
from outage_support import LEASE_MS, LOADED_SECONDS, member, results, until
from proxy_support import Cut, Proxy
from puppet_support import do, done, ended, frame, has, hears
from semantics_support import assert_dense

from playground.engine.nodes import STOP_AFTER
from playground.store.postgres.connections import SILENT_SECONDS, one_connection
from playground.workflows import events as ev

LEASE = LEASE_MS / 1000


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[Proxy]:
    with Proxy(Path(postgres_url.partition("host=")[2].partition("&")[0]) / ".s.PGSQL.5432") as made:
        yield made


@pytest.mark.parametrize("how", Cut, ids=lambda how: how.value)
def test_a_node_that_is_cut_off_is_replaced_and_what_it_commits_late_is_refused(
    proxy: Proxy, postgres_url: str, how: Cut
) -> None:
    async def story() -> None:
        clock = asyncio.get_running_loop().time
        async with member("a", proxy.url(postgres_url)) as a:
            row, puppet = await a.start()
            await puppet.say(do("one"), done("one", value=1), do("two"))
            await a.journal(row, has(ev.ATTEMPT_STARTED, 2))
            async with member("b", postgres_url) as b:
                proxy.cut(how)
                cut_at = clock()
                await puppet.say(done("two", value="late"), frame(op="finish", output="late"))
                await puppet.exited
                stopped = clock() - cut_at
                assert (await b.store.find("", row.id)).execution == 1, "it stopped by itself"
                again = await b.puppets.next(row.id)
                taken_over = clock() - cut_at
                assert stopped <= LEASE * STOP_AFTER + LOADED_SECONDS
                assert stopped <= taken_over <= LEASE + 0.5 + LOADED_SECONDS, (stopped, taken_over)

                proxy.heal()  # now what was held comes to the database
                await until(lambda: a.membership.owner == "a.2")
                await again.say(frame(op="resume", step=["do", "two", 1]))
                await hears(again, "run")
                await again.say(
                    frame(op="done", step=["do", "two", 1], attempt=2, value=2), frame(op="finish", output=3)
                )
                journal = await b.journal(row, ended)
                assert_dense(journal)
                assert [value for _, value in results(journal)] == [1, 2] and journal[-1].data == {"output": 3}
                reasons = [event.data["reason"] for event in journal if event.type == ev.EXECUTION_ENDED]
                assert reasons == [ev.LOST, ev.COMPLETED]
                assert "node_lost" in [event for event, _ in a.log]

                await b.engine.abandon()  # which would take it as well
                other, last = await a.start()
                await last.say(frame(op="finish", output="again"))
                assert (await a.journal(other, ended))[-1].data == {"output": "again"}

    run(story())


def test_the_kernel_breaks_a_connection_whose_other_end_is_silent(proxy: Proxy, postgres_url: str) -> None:
    """What it is told is the test: a machine without power takes one machine more."""

    async def story() -> None:
        for url, silent_ms in ((proxy.url(postgres_url), SILENT_SECONDS * 1000), (postgres_url, None)):
            async with one_connection(url) as connection:
                sock = connection._transport.get_extra_info("socket")
                if silent_ms is not None:
                    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == silent_ms
                assert await connection.fetchval("SELECT 1") == 1

    run(story())


def test_a_slow_network_costs_no_lease_and_no_commit(proxy: Proxy, postgres_url: str) -> None:
    """Each piece is late by 0.03 s, in both directions."""

    async def story() -> None:
        async with member("a", proxy.url(postgres_url), lease_ms=15_000) as a:
            row, puppet = await a.start()
            proxy.slow_down(0.03)
            for number in range(1, 6):
                await puppet.say(do(count=number), done(count=number, value=number))
                assert (await puppet.hear())["op"] == "ok"
            await puppet.say(frame(op="finish", output=None))
            journal = await a.journal(row, ended)
            assert results(journal) == [(number, number) for number in range(1, 6)]
            assert "node_lost" not in [event for event, _ in a.log]

    run(story())


def test_connections_that_die_in_silence_cost_a_node_neither_its_lease_nor_a_worker(
    proxy: Proxy, postgres_url: str
) -> None:
    """A middlebox forgets the connections there are; new ones work. The renewal that hangs is given up in time, and the
    commit that hangs with it.
    """

    async def story() -> None:
        clock = asyncio.get_running_loop().time
        async with member("a", proxy.url(postgres_url)) as a:
            row, puppet = await a.start()
            await puppet.say(do(count=1), done(count=1, value=1))
            assert (await puppet.hear())["op"] == "ok"
            lease = a.membership.lease
            proxy.cut(Cut.DROPPED)
            proxy.heal()
            began = clock()
            await puppet.say(do(count=2), done(count=2, value=2))
            assert (await puppet.hear())["op"] == "ok"
            assert clock() - began < LEASE * STOP_AFTER + LOADED_SECONDS
            await puppet.say(frame(op="finish", output=None))
            assert results(await a.journal(row, ended)) == [(1, 1), (2, 2)]
            assert a.membership.lease is lease

    run(story())
