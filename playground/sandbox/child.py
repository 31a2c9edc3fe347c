"""A child's life, from the fork to the worker it becomes. Seen inside the sandbox.

Every layer is entered in the order of `lock`; when one cannot be entered the child says which on its channel and ends, so nothing ever
runs with less than was asked for. No byte of a tenant is read before that.
"""

import fcntl
import gc
import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from playground.sandbox import identity, landlock, limits, linux, seccomp

CHANNEL = 3  # the file descriptor of a worker's one channel
LOCKED = b"L"  # first byte on the channel: locked and parked
FAILED = b"F"  # or this, followed by the reason
FAILED_EXIT = 70
PARKING = 100  # descriptors from here up wait while 0 to 3 are filled
_LAST_DESCRIPTOR = 1 << 20


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a child is put under. An empty field (None, or b"") leaves that layer out, which only a lower tier or a test does."""

    memory_bytes: int
    cpu_seconds: int
    ruleset: int | None  # file descriptor
    filter: bytes
    limited: bool
    linux: bool


@dataclass(frozen=True, slots=True)
class Birth:
    """What one child is given: its end of the channel, its user (None: the fork server's) and who its parent is."""

    channel: int
    user: int | None
    parent: int


def live(birth: Birth, confinement: Confinement, prepare: Callable[[int], Any], work: Callable[[Any], None]) -> NoReturn:
    """Lock this process, park it, and work; then end the process.

    `prepare(fd)` runs before the lock and makes what needs system calls that a locked process has not, above all the event loop. It must read
    nothing. `work` is given what it made.
    """
    code = 1
    try:
        lock = _Lock(birth, confinement, prepare)
        lock.close()
        os.write(CHANNEL, LOCKED)
        work(lock.prepared)
        code = 0
    finally:
        os._exit(code)


class _Lock:
    def __init__(self, birth: Birth, confinement: Confinement, prepare: Callable[[int], Any]) -> None:
        self.prepared: Any = None
        self._birth = birth
        self._confinement = confinement
        self._prepare = prepare
        self._channel = birth.channel

    def close(self) -> None:
        """Enter every layer, or end the process with a word on the channel."""
        stages = (
            self._reset_signals,
            os.setsid,
            self._take_descriptors,
            self._die_with_parent,
            self._renew_state,
            self._change_user,
            self._renounce_privileges,
            self._enter_landlock,
            self._hide_memory,
            self._enter_limits,
            self._enter_seccomp,
        )
        for stage in stages:
            try:
                stage()
            except BaseException as error:  # noqa: BLE001 - whatever it is, this child must not live
                reason = f"{stage.__name__.strip('_')}: {type(error).__name__}: {error}"
                os.write(self._channel, FAILED + reason.encode(errors="replace"))
                os._exit(FAILED_EXIT)

    def _reset_signals(self) -> None:
        """Those that the fork server set for itself; the others it found, and left, as a new program has them."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def _take_descriptors(self) -> None:
        moved = fcntl.fcntl(self._channel, fcntl.F_DUPFD, PARKING)
        null = fcntl.fcntl(0, fcntl.F_DUPFD, PARKING)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        os.dup2(moved, CHANNEL, inheritable=False)
        self._channel = CHANNEL
        kept = self._confinement.ruleset
        if kept is None:
            os.closerange(CHANNEL + 1, _LAST_DESCRIPTOR)
        else:
            os.closerange(CHANNEL + 1, kept)
            os.closerange(kept + 1, _LAST_DESCRIPTOR)

    def _die_with_parent(self) -> None:
        if self._confinement.linux:
            linux.die_with_parent()
        if os.getppid() != self._birth.parent:
            raise ProcessLookupError("the fork server is gone")

    def _renew_state(self) -> None:
        self.prepared = self._prepare(CHANNEL)
        random.seed()
        gc.enable()

    def _change_user(self) -> None:
        if self._birth.user is not None:
            identity.become(self._birth.user)

    def _renounce_privileges(self) -> None:
        if self._confinement.linux:
            identity.renounce()

    def _enter_landlock(self) -> None:
        if self._confinement.ruleset is not None:
            landlock.enter(self._confinement.ruleset)
            os.close(self._confinement.ruleset)

    def _hide_memory(self) -> None:
        if self._confinement.linux:
            linux.prctl(linux.PR_SET_DUMPABLE, 0)

    def _enter_limits(self) -> None:
        if self._confinement.limited:
            limits.enter(self._confinement.memory_bytes, self._confinement.cpu_seconds)

    def _enter_seccomp(self) -> None:
        if self._confinement.filter:
            seccomp.enter(self._confinement.filter)
