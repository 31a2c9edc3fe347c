"""A child's life, from the fork to the worker it becomes. Seen inside the sandbox.

Every layer is entered in the order of `live`; when one cannot be entered the child says which on its channel and ends,
so nothing ever runs with less than was asked for. No byte of a tenant is read before that.
"""

import _signal  # what `signal` is made of; with its enumerations a child would copy a hundred pages
import fcntl
import gc
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from playground.sandbox.layers import identity, landlock, linux, resource_limits, seccomp

CHANNEL = 3  # the file descriptor of a worker's one channel
LOCKED = b"L"  # first byte on the channel: locked and parked
FAILED = b"F"  # or this, followed by the reason
FAILED_EXIT = 70
PARKING = 100  # descriptors from here up wait while 0 to 3 are filled
_LAST_DESCRIPTOR = 1 << 20


@dataclass(frozen=True, slots=True)
class Confinement:
    """What a child is put under, made ready.

    An empty field leaves that layer out, which only a lower tier or a test does.
    """

    ruleset: int | None  # file descriptor
    ruleset_flags: int
    limits: Sequence[tuple[int, int, bool]]
    filter: seccomp.Program | None
    linux: bool


def live(
    confinement: Confinement,
    prepare: Callable[[], None],
    work: Callable[[], None],
    channel: int,
    user: int | None,
    parent: int,
) -> NoReturn:
    """Lock this process, park it, and work; then end the process.

    `prepare` runs before the lock, when the channel is in its place: for what needs system calls that a locked process
    has not. It must read nothing. `channel` is this child's end of it, `user` the number it changes to (None: it stays
    the fork server's), `parent` the fork server.

    One straight line, since each function, method and attribute that is met for the first time after a fork costs a few
    copied pages.
    """
    code = 1
    stage = "signals"
    try:
        try:
            _signal.set_wakeup_fd(-1)  # what the fork server set for itself; all else it left as a new program has it
            _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
            stage = "session"
            os.setsid()
            stage = "descriptors"
            channel = _take_descriptors(channel, confinement.ruleset)
            stage = "parent"
            if confinement.linux:
                linux.die_with_parent()
            if os.getppid() != parent:
                raise ProcessLookupError("the fork server is gone")
            stage = "preparation"
            prepare()
            random.seed()
            gc.enable()
            stage = "user"
            if user is not None:
                identity.become(user)
            stage = "privileges"
            if confinement.linux:
                identity.renounce()
            stage = "landlock"
            if confinement.ruleset is not None:
                landlock.enter(confinement.ruleset, confinement.ruleset_flags)
                os.close(confinement.ruleset)
            stage = "memory"
            if confinement.linux:
                linux.prctl(linux.PR_SET_DUMPABLE, 0)
            stage = "limits"
            if confinement.limits:
                resource_limits.enter(confinement.limits)
            stage = "seccomp"
            if confinement.filter is not None:
                seccomp.enter(confinement.filter)
        except BaseException as error:  # noqa: BLE001 - whatever it is, this child must not live
            os.write(channel, FAILED + f"{stage}: {type(error).__name__}: {error}".encode(errors="replace"))
            os._exit(FAILED_EXIT)
        os.write(CHANNEL, LOCKED)
        work()
        code = 0
    finally:
        os._exit(code)


def _take_descriptors(channel: int, kept: int | None) -> int:
    """Keep the channel, three times nothing, and the ruleset; close all else."""
    moved = fcntl.fcntl(channel, fcntl.F_DUPFD, PARKING)
    null = fcntl.fcntl(0, fcntl.F_DUPFD, PARKING)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.dup2(moved, CHANNEL, inheritable=False)
    if kept is None:
        os.closerange(CHANNEL + 1, _LAST_DESCRIPTOR)
    else:
        os.closerange(CHANNEL + 1, kept)
        os.closerange(kept + 1, _LAST_DESCRIPTOR)
    return CHANNEL
