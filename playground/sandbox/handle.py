"""A worker as the trusted side holds it: its socket, a way to kill it, and word of its end."""

import asyncio
import os
import re
import select
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from playground.sandbox.layers.cgroup import MemoryGroup
from playground.workflows import errors

EXIT = "exit"  # it ended by itself, with a code
SIGNAL = "signal"  # a signal ended it: ours, or one of its own making
CPU = "cpu"  # it used up its processor time
MEMORY = "memory"  # its own memory was used up, or the workers' all together and the machine took it
ZYGOTE = "zygote"  # the fork server died, and its children with it

# The kernel counts whole ticks against the limit, so on a busy machine it comes before the time that it reports was
# really used.
_TICKS = os.sysconf("SC_CLK_TCK")  # the kernel's unit of processor time, in a second
_CPU_SHARE = 0.5  # of the limit used, when nobody else can have sent the signal
_CPU_SHARE_KILLED = 0.95  # when we sent one too


@dataclass(frozen=True, slots=True)
class Exit:
    """How a worker ended. `cpu_seconds` and `max_rss_bytes` are what it used, as far as known."""

    signal: int | None
    code: int | None
    cause: str
    cpu_seconds: float = 0.0
    max_rss_bytes: int = 0


class Worker:
    """One locked child, used for one conversation and then thrown away.

    `sock` is the trusted end of its only channel (nonblocking stream), `label` names it to people, `exited` resolves
    when the process is gone.
    """

    def __init__(
        self,
        sock: socket.socket,
        label: str,
        exited: "asyncio.Future[Exit]",
        *,
        cpu_limit: int,
        kill: Callable[[], None],
    ) -> None:
        self.sock = sock
        self.label = label
        self.exited = exited
        self.doomed = False  # its fork server is dead, so it is dying
        self._pidfd: int | None = None
        self._pid: int | None = None  # as this process sees it
        self._killed = self._closed = False
        self._cpu_limit = cpu_limit
        self._kill_otherwise = kill

    def alive(self) -> bool:
        """Whether it can still be used, by the kernel's word of this moment."""
        return not (self.doomed or self._closed) and self._runs()

    def _runs(self) -> bool:
        if self.exited.done():
            return False
        if self._pidfd is None:
            return True
        asked = select.poll()
        asked.register(self._pidfd, select.POLLIN)
        return not asked.poll(0)

    def processor_seconds(self) -> float | None:
        """Processor time used so far; None when it has gone or the kernel does not say."""
        try:
            if self._pid is None and self._pidfd is not None:
                found = re.search(
                    rb"^Pid:\s+(\d+)", Path(f"/proc/self/fdinfo/{self._pidfd}").read_bytes(), re.MULTILINE
                )
                self._pid = int(found[1]) if found else 0
            if not self._pid or self.exited.done():
                return None
            fields = Path(f"/proc/{self._pid}/stat").read_bytes().rpartition(b")")[2].split()
            return (int(fields[11]) + int(fields[12])) / _TICKS
        except (OSError, IndexError):
            return None

    def kill(self) -> None:
        """End the process now. Does no harm when it is gone already."""
        if self._closed or not self._runs():
            return
        self._killed = True
        with suppress(OSError):  # it has just ended
            if self._pidfd is None:
                self._kill_otherwise()
            else:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def close(self) -> None:
        """Kill it if it lives, and let go of its socket and pidfd. It may be called more than once."""
        self.kill()
        self._closed = True
        self.sock.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    def holds(self, pidfd: int | None, pid: int | None) -> None:
        """Take over the descriptor of the process (None where there is no such thing), and learn its number where both
        sides see the same.
        """
        self._pidfd, self._pid = pidfd, pid

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Resolve `exited` from the kernel's word alone, the fork server being dead."""
        self.doomed = True
        if self.exited.done():
            return
        lost = Exit(None, None, ZYGOTE)
        if self._pidfd is None:
            self.exited.set_result(lost)
            return
        handle = os.dup(self._pidfd)

        def gone() -> None:
            loop.remove_reader(handle)
            os.close(handle)
            if not self.exited.done():
                self.exited.set_result(lost)

        loop.add_reader(handle, gone)
        self.kill()

    def ended(self, status: int, cpu: float, rss: int, group: MemoryGroup | None) -> None:
        """Resolve `exited` from what the fork server learned when it reaped the process.

        The memory group is asked about a death that is not ours.
        """
        if self.exited.done():
            return
        if os.WIFEXITED(status):
            code = os.WEXITSTATUS(status)
            self.exited.set_result(Exit(None, code, MEMORY if code == errors.OUT_OF_MEMORY else EXIT, cpu, rss))
            return
        number = os.WTERMSIG(status)
        cause = SIGNAL
        if number in (signal.SIGKILL, signal.SIGXCPU):
            if cpu >= self._cpu_limit * (_CPU_SHARE_KILLED if self._killed else _CPU_SHARE):
                cause = CPU
            elif not self._killed and group is not None and group.killed():
                cause = MEMORY
        self.exited.set_result(Exit(number, None, cause, cpu, rss))
