"""The life of the fork server and of parked workers: death at any moment, recycling, closing, and that nothing is left
behind.
"""

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sandbox_support import Held, children, converse, descriptors, hear, held, tell, wait_gone

from playground.sandbox.forkserver import ForkFailed, ForkServer
from playground.sandbox.pool import Sandbox, SandboxDown, Worker

WAIT_FOR_EVER = "channel.send(b'x')\nwhile True: channel.recv(100)"


async def taken(sandbox: Sandbox) -> Worker:
    """A worker that surely runs, and waits."""
    worker = await sandbox.take_worker()
    await tell(worker, WAIT_FOR_EVER)
    assert await asyncio.get_running_loop().sock_recv(worker.sock, 1) == b"x"
    return worker


def test_the_death_of_the_fork_server_costs_its_workers_and_nothing_else() -> None:
    with held() as sandbox:

        async def story() -> None:
            first = await taken(sandbox.sandbox)
            old = sandbox.sandbox.zygote
            assert old is not None
            os.kill(old, signal.SIGKILL)
            end = await first.exited
            assert (end.cause, end.signal, end.code) == ("zygote", None, None)
            first.close()
            answer, end = await converse(sandbox.sandbox, "r = 1 + 1")
            assert (answer, end.cause) == ("2", "exit")
            assert sandbox.sandbox.zygote not in (None, old)

        sandbox.runner.run(story())
        assert sandbox.log.events().count("sandbox.zygote_died") == 1


def test_takers_that_wait_while_the_fork_server_dies_are_served_by_the_next() -> None:
    with held(parked=1) as sandbox:

        async def story() -> list[str]:
            takes = [asyncio.create_task(converse(sandbox.sandbox, "r = 'served'")) for _ in range(20)]
            await asyncio.sleep(0)
            assert sandbox.sandbox.zygote is not None
            os.kill(sandbox.sandbox.zygote, signal.SIGKILL)
            return [answer for answer, _ in await asyncio.gather(*takes)]

        answers = sandbox.runner.run(story())
    # A worker that was already taken dies with its fork server; one that was still waited for comes from the next.
    assert set(answers) <= {"'served'", ""}
    assert answers[-10:] == ["'served'"] * 10


def test_many_deaths_in_a_row_leave_nothing_behind() -> None:
    with held(parked=1) as sandbox:

        async def story() -> None:
            for _ in range(5):
                worker = await taken(sandbox.sandbox)
                assert sandbox.sandbox.zygote is not None
                os.kill(sandbox.sandbox.zygote, signal.SIGKILL)
                await worker.exited
                worker.close()

        before = None
        for _ in range(2):
            sandbox.runner.run(story())
            sandbox.runner.run(converse(sandbox.sandbox, "r = 1"))
            open_now = descriptors()
            before = before or open_now
        assert descriptors() <= before + 6  # a worker more or less that is on its way


def test_a_parked_worker_that_dies_is_replaced() -> None:
    with held(parked=3) as sandbox:
        assert sandbox.sandbox.zygote is not None
        sandbox.run("r = 1")
        killed = children(sandbox.sandbox.zygote)
        assert killed
        pidfds = [os.pidfd_open(child) for child in killed]
        for child in killed:
            os.kill(child, signal.SIGKILL)
        assert wait_gone(pidfds)
        assert [sandbox.run("r = 2")[0] for _ in range(6)] == ["2"] * 6


def test_a_worker_that_dies_before_it_is_heard_of_is_given_to_nobody() -> None:
    with held(parked=1) as sandbox:

        async def story() -> str:
            worker = await taken(sandbox.sandbox)
            assert sandbox.sandbox.zygote is not None
            alive = [os.pidfd_open(child) for child in children(sandbox.sandbox.zygote)]
            for pidfd in alive:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            assert wait_gone(alive)
            asked = asyncio.create_task(converse(sandbox.sandbox, "r = 'served'"))
            await asyncio.sleep(0)  # now it waits for the next
            sandbox.sandbox._park(worker)
            return (await asked)[0]

        assert sandbox.runner.run(story()) == "'served'"


def test_nothing_is_left_after_three_hundred_workers() -> None:
    with held(parked=4) as sandbox:

        async def many(count: int) -> None:
            for _ in range(count):
                assert (await converse(sandbox.sandbox, "r = 0"))[0] == "0"

        async def settled() -> int:
            """Descriptors once every parked place is filled."""
            workers = [await sandbox.sandbox.take_worker() for _ in range(4)]
            for worker in workers:
                worker.close()
                await worker.exited
            return descriptors()

        sandbox.runner.run(many(10))
        before = sandbox.runner.run(settled())
        sandbox.runner.run(many(300))
        assert abs(sandbox.runner.run(settled()) - before) <= 12  # up to four forks under way, three descriptors each
        assert sandbox.sandbox.zygote is not None
        states = [
            Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[0]
            for child in children(sandbox.sandbox.zygote)
        ]
        assert len(states) <= 8
        assert states.count("Z") <= 1  # one may be on its way


def test_closing_leaves_no_process_and_no_descriptor() -> None:
    before, others = descriptors(), {*children(os.getpid())}
    with held(parked=3) as sandbox:
        workers = [sandbox.runner.run(taken(sandbox.sandbox)) for _ in range(3)]
        assert sandbox.sandbox.zygote is not None
        numbers = {*children(os.getpid()), sandbox.sandbox.zygote, *children(sandbox.sandbox.zygote)} - others
        assert len(numbers) >= 5
        sandbox.runner.run(sandbox.sandbox.close())
        assert all(worker.exited.done() for worker in workers)
        assert [number for number in numbers if os.path.exists(f"/proc/{number}")] == []
        for worker in workers:
            worker.close()
        with pytest.raises(SandboxDown):
            sandbox.runner.run(sandbox.sandbox.take_worker())
    assert descriptors() == before


@pytest.mark.parametrize(
    "when", [{"recycle_forks": 8}, {"recycle_seconds": 0.01}], ids=["after so many workers", "after so long"]
)
def test_the_fork_server_is_recycled_and_running_workers_go_on(when: dict[str, Any]) -> None:
    with held(parked=2, **when) as sandbox:

        async def story() -> None:
            old = await taken(sandbox.sandbox)
            zygote = sandbox.sandbox.zygote
            labels = []
            while sandbox.log.events().count("sandbox.zygote_recycled") < 2:
                worker = await sandbox.sandbox.take_worker()
                labels.append(worker.label)
                await tell(worker, "r = 1")
                assert await hear(worker) == "1"
                worker.close()
                await worker.exited
            assert not old.exited.done()
            assert sandbox.sandbox.zygote != zygote
            generations = [int(label.removeprefix("w").split(".")[0]) for label in labels]
            assert generations == sorted(generations), "no stale worker is given out after a fresh one"
            old.close()
            assert (await old.exited).cause == "signal"
            pidfd = os.pidfd_open(zygote) if zygote and os.path.exists(f"/proc/{zygote}") else None
            if pidfd is not None:
                assert await asyncio.to_thread(wait_gone, [pidfd])

        sandbox.runner.run(story())


def test_a_worn_fork_server_serves_on_until_the_next_one_can() -> None:
    with held(parked=1, recycle_forks=4) as sandbox:
        good, told = sandbox.sandbox._launch, sandbox.log.events
        sandbox.sandbox._launch = replace(good, entry="nowhere")  # so that no other comes up
        old = sandbox.sandbox.zygote
        while "sandbox.zygote_failed" not in told():
            assert sandbox.run("r = 1")[0] == "1"
        assert [sandbox.run("r = 2")[0] for _ in range(4)] == ["2"] * 4
        assert sandbox.sandbox.zygote == old
        assert "sandbox.zygote_recycled" not in told()
        sandbox.sandbox._launch = good
        while "sandbox.zygote_recycled" not in told():
            assert sandbox.run("r = 3")[0] == "3"
        assert sandbox.sandbox.zygote != old
        assert "sandbox.fork_failed" not in told()


def test_workers_of_a_fork_server_that_dies_while_it_is_made_ready_leave_no_descriptor() -> None:
    with held(parked=12) as sandbox:

        async def story() -> None:
            pool = sandbox.sandbox
            server = ForkServer(pool._launch, "w9", group=None, log=sandbox.log)
            warming = asyncio.create_task(pool._warm(server))
            while not server.forks or len(server._pending) == server.forks:
                await asyncio.sleep(0)
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            with pytest.raises(ForkFailed):
                await warming

        full = [sandbox.runner.run(sandbox.sandbox.take_worker()) for _ in range(12)]
        sandbox.sandbox._size = 0  # so that nothing but this test makes workers
        for worker in full:
            worker.close()
            sandbox.runner.run(asyncio.wait_for(worker.exited, 30))
        while sandbox.sandbox._parked or sandbox.sandbox._in_flight:
            parked = sandbox.runner.run(sandbox.sandbox.take_worker())
            parked.close()
            sandbox.runner.run(asyncio.wait_for(parked.exited, 30))
        sandbox.sandbox._size = 12
        before = descriptors()
        with suppress(asyncio.CancelledError):
            sandbox.runner.run(story())
        assert descriptors() == before


def test_a_fork_server_that_dies_while_the_next_one_is_made_ready_costs_nobody_who_waits() -> None:
    with held(parked=1, recycle_forks=3) as sandbox:

        async def story() -> None:
            """Whenever a second one is there beside it, the one in use is killed."""
            deaths = 0
            while deaths < 3:
                answer, _ = await converse(sandbox.sandbox, "r = 1")
                assert answer in ("1", "")  # one that was taken already may die with it
                if len(children(os.getpid())) > 1 and sandbox.sandbox.zygote is not None:
                    os.kill(sandbox.sandbox.zygote, signal.SIGKILL)
                    deaths += 1
            assert (await converse(sandbox.sandbox, "r = 2"))[0] in ("2", "")

        sandbox.runner.run(story())
        assert [sandbox.run("r = 3")[0] for _ in range(8)].count("3") >= 7


def test_strings_have_the_same_hash_in_workers_of_different_fork_servers() -> None:
    with held(parked=1, recycle_forks=2) as sandbox:
        first, _ = sandbox.run("r = hash('seed')")
        while "sandbox.zygote_recycled" not in sandbox.log.events():
            sandbox.run("r = 0")
        assert sandbox.run("r = hash('seed')")[0] == first
        environment = (
            "import os, sys; r = ([name for name in os.environ if 'PY' in name], sys.flags.safe_path, "
            "sys.flags.no_user_site, sys.flags.no_site)"
        )
        assert sandbox.run(environment)[0] == "([], True, 1, 1)"


def test_a_taker_that_gives_up_costs_no_worker() -> None:
    with held(parked=1) as sandbox:

        async def story() -> None:
            takes = [asyncio.create_task(sandbox.sandbox.take_worker()) for _ in range(30)]
            await asyncio.sleep(0)
            for take in takes[1:]:
                take.cancel()
            done = await asyncio.gather(*takes, return_exceptions=True)
            for worker in done:
                if isinstance(worker, Worker):
                    worker.close()
                    await worker.exited

        sandbox.runner.run(story())
        assert sandbox.run("r = 1")[0] == "1"


def test_a_fork_server_that_hangs_is_replaced() -> None:
    with held(parked=1, take_seconds=0.5) as sandbox:

        async def story() -> None:
            zygote = sandbox.sandbox.zygote
            assert zygote is not None
            os.kill(zygote, signal.SIGSTOP)
            workers = []
            with pytest.raises(SandboxDown, match="No worker could be started"):
                while len(workers) < 3:  # one is parked, another may have been on its way
                    workers.append(await sandbox.sandbox.take_worker())
            for worker in workers:
                assert (await worker.exited).cause == "zygote"
                worker.close()
            while sandbox.sandbox.zygote in (None, zygote):
                with suppress(SandboxDown):
                    (await sandbox.sandbox.take_worker()).close()

        sandbox.runner.run(story())
        assert sandbox.run("r = 1")[0] == "1"


def test_the_helper_closes_what_it_opens() -> None:
    before = descriptors()
    with held() as sandbox:
        assert isinstance(sandbox, Held)
    assert descriptors() == before
