"""The fork server and the server above it: how they begin, on which kernels, with which priority, and what is left when
either is killed or fails.
"""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox_support import INSIDE, MEMORY, Log, children, descriptors, held, tell, wait_gone

from playground.sandbox.forkserver import ForkServer, LaunchFailed
from playground.sandbox.pool import Exit, LaunchOptions, Sandbox, SandboxRefused


@pytest.mark.parametrize("without", [(), ("namespaces", "user")], ids=["tier A", "tier B"])
def test_killing_the_server_ends_everything_inside(without: tuple[str, ...]) -> None:
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "sandbox_server.py"), *without], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    with server.stdout:
        words = server.stdout.readline().split()
    try:
        assert len(words) >= 5, "the server did not start"
        pidfds = [os.pidfd_open(int(number)) for number in set(words[1:])]
    finally:
        server.kill()
        server.wait()
    assert words[0] == ("B" if without else "A")
    assert wait_gone(pidfds)


def test_a_server_that_is_nicer_than_its_workers_would_be_makes_them_as_nice() -> None:
    """Only root may become less nice, and a worker is not root."""
    server = subprocess.Popen(
        ["nice", "-n", "15", sys.executable, str(Path(__file__).parent / "sandbox_server.py")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    with server.stdout:
        tier = server.stdout.readline()[:1]
    server.kill()
    server.wait()
    assert tier == "A"


@pytest.mark.parametrize("without", [(), ("namespaces", "user")], ids=["tier A", "tier B"])
def test_it_works_on_a_kernel_without_handles_of_processes(without: tuple[str, ...]) -> None:
    """As inside gVisor before 2025: the fork server is asked to kill, and says who ended."""
    with held(parked=1, pidfds=False, without=frozenset(without), cpu_seconds=1) as sandbox:

        async def killed(how: str) -> Exit:
            worker = await sandbox.sandbox.take_worker()
            await tell(worker, "channel.send(b'x')\nwhile True: pass")
            assert await asyncio.get_running_loop().sock_recv(worker.sock, 1) == b"x"
            if how == "by us":
                worker.kill()
            elif how == "with its fork server":
                assert sandbox.sandbox.zygote is not None
                os.kill(sandbox.sandbox.zygote, signal.SIGKILL)
            ended = await asyncio.wait_for(worker.exited, 30)
            worker.close()
            return ended

        assert sandbox.run("r = 1")[0] == "1"
        assert sandbox.runner.run(killed("by us")).signal == signal.SIGKILL
        assert sandbox.runner.run(killed("by its limit")).cause == "cpu"
        assert sandbox.runner.run(killed("with its fork server")).cause == "zygote"
        assert sandbox.run("r = 2")[0] == "2"


def test_bubblewrap_that_dies_at_its_start_leaves_no_process() -> None:
    """Its child waits for it then, for ever, and is nothing of ours yet that could look."""
    with held(parked=1) as sandbox:

        async def story() -> None:
            began = []
            for _ in range(5):
                server = ForkServer(sandbox.sandbox._launch, "w9", group=None, log=sandbox.log)
                starting = asyncio.create_task(server.start())
                await asyncio.sleep(0)
                while not (inner := children(server._process.pid)):
                    pass
                began += [os.pidfd_open(child) for child in inner]
                os.kill(server._process.pid, signal.SIGKILL)
                with pytest.raises(LaunchFailed):
                    await starting
            assert await asyncio.to_thread(wait_gone, began)

        sandbox.runner.run(story())


def test_a_sandbox_whose_workers_cannot_be_locked_is_refused_with_the_reason() -> None:
    async def story() -> None:
        with pytest.raises(
            SandboxRefused, match="A worker cannot be locked: preparation: RuntimeError: broken on purpose"
        ):
            options = LaunchOptions(entry="sandbox_broken", path=str(INSIDE))
            await Sandbox.open(memory_bytes=MEMORY, cpu_seconds=10, parked=1, log=Log(), options=options)

    before = descriptors()
    with asyncio.Runner() as runner:
        runner.run(story())
    assert descriptors() == before


def test_an_entry_that_does_not_import_is_told_in_one_line() -> None:
    async def story() -> None:
        with pytest.raises(SandboxRefused, match="does not start: ModuleNotFoundError: No module named 'nowhere'"):
            await Sandbox.open(
                memory_bytes=MEMORY, cpu_seconds=10, parked=1, log=Log(), options=LaunchOptions(entry="nowhere")
            )

    with asyncio.Runner() as runner:
        runner.run(story())
