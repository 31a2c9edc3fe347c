"""What the sandbox's tests share: a sandbox whose workers run a given source,
on an event loop that outlives one test.
"""

import asyncio
import os
import select
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from playground.sandbox.pool import Exit, LaunchOptions, Sandbox, Worker

INSIDE = Path(__file__).parent / "sandbox_inside"
ENTRY = "sandbox_entry"
MEMORY = 160 * 1024 * 1024
DEADLINE = 30.0


class Log(list[tuple[str, dict[str, Any]]]):
    """Keeps what the sandbox told the operator."""

    def __call__(self, event: str, **fields: Any) -> None:
        self.append((event, fields))

    def events(self) -> list[str]:
        return [event for event, _ in self]


class Held:
    """A sandbox with its own event loop."""

    def __init__(self, runner: asyncio.Runner, sandbox: Sandbox, log: Log) -> None:
        self.runner, self.sandbox, self.log = runner, sandbox, log

    def run(self, source: str) -> tuple[str, Exit]:
        """What a fresh worker answers to `source` ("" when it died first), and how it ended."""
        return self.runner.run(converse(self.sandbox, source))


@contextmanager
def held(*, cpu_seconds: int = 10, parked: int = 2, unsafe: bool = False, **options: Any) -> Iterator[Held]:
    log = Log()
    options = {"entry": ENTRY, "path": str(INSIDE), **options}
    with asyncio.Runner() as runner:
        sandbox = runner.run(
            Sandbox.open(
                memory_bytes=MEMORY,
                cpu_seconds=cpu_seconds,
                parked=parked,
                unsafe=unsafe,
                log=log,
                options=LaunchOptions(**options),
            )
        )
        try:
            yield Held(runner, sandbox, log)
        finally:
            runner.run(sandbox.close())


async def converse(sandbox: Sandbox, source: str) -> tuple[str, Exit]:
    """What a worker answers to a program, "" if it died before it was told, and how it ended."""
    async with asyncio.timeout(DEADLINE):
        worker = await sandbox.take_worker()
        try:
            with suppress(BrokenPipeError, ConnectionResetError):
                await tell(worker, source)
            answer = await hear(worker)
            return answer, await worker.exited
        finally:
            worker.close()


async def tell(worker: Worker, source: str) -> None:
    data = source.encode()
    await asyncio.get_running_loop().sock_sendall(worker.sock, len(data).to_bytes(4, "big") + data)


async def hear(worker: Worker) -> str:
    """Everything the worker says until it closes its channel."""
    said = b""
    try:
        while chunk := await asyncio.get_running_loop().sock_recv(worker.sock, 65536):
            said += chunk
    except ConnectionResetError:
        pass
    return said.decode()


def children(pid: int) -> list[int]:
    """The processes that `pid` started and that are not reaped."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descriptors() -> int:
    """How many files, sockets and handles this process has open."""
    return len(os.listdir("/proc/self/fd"))


def resident(pid: int | str = "self") -> int:
    """Bytes of memory that a process has in use; unless told otherwise, this one."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def wait_gone(pidfds: Iterable[int], deadline: float = DEADLINE) -> bool:
    """Wait until every process has ended; closes the descriptors."""
    left = set(pidfds)
    waiting = select.poll()
    for pidfd in left:
        waiting.register(pidfd, select.POLLIN)
    while left:
        ended = waiting.poll(deadline * 1000)
        if not ended:
            return False
        for pidfd, _ in ended:
            waiting.unregister(pidfd)
            left.discard(pidfd)
            os.close(pidfd)
    return True
