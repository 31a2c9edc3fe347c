"""The trusted side's handle of a worker process: its socket, killing it, and how it exited."""

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
from typing import NamedTuple

from playground.sandbox.layers.cgroup import MemoryGroup
from playground.workflows import errors

EXIT = "exit"  # it exited by itself, with a code
SIGNAL = "signal"  # killed by a signal: ours, or one of its own making
CPU = "cpu"  # over its limit of processor time
MEMORY = "memory"  # over its own memory limit, or killed at the limit of all workers together
ZYGOTE = "zygote"  # killed with its fork server

# The kernel counts whole ticks against the limit, so on a busy machine it kills before the processor time that it
# reports has reached the limit.
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")  # of processor time
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_CPU_SHARE = 0.5  # of the limit, from which the cause is CPU when we sent no signal
_CPU_SHARE_KILLED = 0.95  # when we did


@dataclass(frozen=True, slots=True)
class Exit:
    """How a worker exited. `cpu_seconds` and `max_rss_bytes` are what it used, as far as known."""

    signal: int | None
    code: int | None
    cause: str
    cpu_seconds: float = 0.0
    max_rss_bytes: int = 0


class Usage(NamedTuple):
    """What a process has used. `resident_bytes` counts shared pages too."""

    processor_seconds: float
    resident_bytes: int


class Worker:
    """One locked child process, used once and then discarded, unless it is kept (kept.py).

    `sock` is the trusted end of its only channel (a nonblocking stream), `label` names it for people, `exited` resolves
    when the process has exited.
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
        self.is_orphan = False  # its fork server has died, so it is being killed
        self.is_outdated = False  # its fork server has been replaced, and waits for the end of its workers
        self.executions = 0  # that it has played, with the check of a source
        self.first_resident_bytes: int | None = None  # after the first of them
        self._pidfd: int | None = None
        self._pid: int | None = None  # in this process's pid namespace
        self._killed = self._closed = False
        self._cpu_limit = cpu_limit
        self._kill_by_zygote = kill

    def alive(self) -> bool:
        """Whether it can still be used; asks the kernel."""
        return not (self.is_orphan or self._closed) and self._is_running()

    def is_reusable(self) -> bool:
        """Whether it may be used once more."""
        return not self.is_outdated and self.alive()

    def _is_running(self) -> bool:
        if self.exited.done():
            return False
        if self._pidfd is None:
            return True
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return not poll.poll(0)

    def processor_seconds(self) -> float | None:
        """Processor time used so far; None when it has exited or the kernel does not tell."""
        usage = self.usage()
        return None if usage is None else usage.processor_seconds

    def usage(self) -> Usage | None:
        """What it has used so far (proc(5)); None when it has exited or the kernel does not tell."""
        try:
            if self._pid is None and self._pidfd is not None:
                found = re.search(
                    rb"^Pid:\s+(\d+)", Path(f"/proc/self/fdinfo/{self._pidfd}").read_bytes(), re.MULTILINE
                )
                self._pid = int(found[1]) if found else 0
            if not self._pid or self.exited.done():
                return None
            fields = Path(f"/proc/{self._pid}/stat").read_bytes().rpartition(b")")[2].split()
            return Usage((int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND, int(fields[21]) * _PAGE_BYTES)
        except (OSError, IndexError):
            return None

    def kill(self) -> None:
        """Kill the process. Does nothing when it has exited."""
        if self._closed or not self._is_running():
            return
        self._killed = True
        with suppress(OSError):  # it has just exited
            if self._pidfd is None:
                self._kill_by_zygote()
            else:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def close(self) -> None:
        """Kill it if it runs, and close its socket and pidfd. May be called more than once."""
        self.kill()
        self._closed = True
        self.sock.close()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None

    def set_process(self, pidfd: int | None, pid: int | None) -> None:
        """Set the pidfd of the process (None on a kernel without), and its pid where both sides share a namespace."""
        self._pidfd, self._pid = pidfd, pid

    def watch_orphan(self, loop: asyncio.AbstractEventLoop) -> None:
        """Resolve `exited` from the pidfd alone, since the fork server is dead."""
        self.is_orphan = True
        if self.exited.done():
            return
        lost_exit = Exit(None, None, ZYGOTE)
        if self._pidfd is None:
            self.exited.set_result(lost_exit)
            return
        handle = os.dup(self._pidfd)

        def gone() -> None:
            loop.remove_reader(handle)
            os.close(handle)
            if not self.exited.done():
                self.exited.set_result(lost_exit)

        loop.add_reader(handle, gone)
        self.kill()

    def resolve_exit(self, status: int, cpu: float, rss: int, group: MemoryGroup | None) -> None:
        """Resolve `exited` from the status that the fork server got when it reaped the process.

        A SIGKILL that we did not send is looked up in the memory group.
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
            elif not self._killed and group is not None and group.poll_oom_kill():
                cause = MEMORY
        self.exited.set_result(Exit(number, None, cause, cpu, rss))
