"""How a fork server is started: the layers that this machine has, its command line, and what it is told."""

import base64
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from playground.sandbox import tiers
from playground.sandbox.layers import bubblewrap, identity, landlock, linux, syscalls, visible_files
from playground.sandbox.layers.visible_files import Visible
from playground.sandbox.tiers import SandboxRefused

# Has warm(number of the channel), called once in the fork server; prepare(what warm gave), which a child calls before
# it is locked; and main(the same).
ENTRY = "playground.worker.main"
TAKE_SECONDS = 10.0  # how long take() waits while the fork server is being restarted
RECYCLE_SECONDS = 600.0  # children of one fork server share their addresses
RECYCLE_FORKS = 5000

# What threading, logging and random would do in each child after the fork costs it 0.8 ms in copied pages. It is not
# needed: a fork server has one thread and holds no lock at a fork, and a child reseeds random by itself.
_START = (
    "import os, sys; os.register_at_fork = lambda **hooks: None; sys.path.append({root!r}); "
    "from playground.sandbox import zygote; zygote.main({control})"
)


@dataclass(frozen=True, slots=True)
class LaunchOptions:
    """What tests and measurements may have otherwise; no setting leads here. `without` names layers to leave out."""

    entry: str = ENTRY
    path: str | None = None
    without: frozenset[str] = frozenset()
    recycle_seconds: float = RECYCLE_SECONDS
    recycle_forks: int = RECYCLE_FORKS
    take_seconds: float = TAKE_SECONDS
    group_bytes: int | None = None
    pidfds: bool = True


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a fork server and what to put its children under.

    Without `bwrap` there are no namespaces, with an empty `filter` no seccomp.

    `users` are the numbers that children change to, one each in turn (None: they stay the server's user). Without
    `pidfds` the kernel has no handles of processes, and the fork server is asked to kill.
    """

    visible: Visible
    bwrap: str | None
    landlock: bool
    filter: bytes
    limits: bool
    memory_bytes: int
    cpu_seconds: int
    users: range | None
    entry: str
    pidfds: bool
    path: tuple[str, ...] = ()
    network: bool = True  # a network namespace of its own, among the others

    def command(self, control: int) -> list[str]:
        inner = [
            self.visible.python,
            "-s",  # with -S and -P all that -I does, but for PYTHONHASHSEED: there is no other variable of Python's
            "-S",
            "-P",
            "-B",
            "-X",
            "utf8",
            "-c",
            _START.format(root=self.visible.root, control=control),
        ]
        if self.bwrap is None:
            return inner
        as_root = os.geteuid() == 0
        return bubblewrap.command(
            self.bwrap, self.visible, inner, as_root=as_root, network=self.network, kills=not self.pidfds
        )

    def plan(self) -> dict[str, Any]:
        """What the fork server is told."""
        return {
            "linux": linux.HERE,
            "pidfds": self.pidfds,
            "path": self.path,
            "entry": self.entry,
            "landlock": self.landlock,
            "readable": self.visible.readable(),
            "listable": self.visible.listable(),
            "zones": self.visible.zones,
            "filter": base64.b64encode(self.filter).decode(),
            "limits": self.limits,
            "memory_bytes": self.memory_bytes,
            "cpu_seconds": self.cpu_seconds,
        }


def strongest_launch(memory_bytes: int, cpu_seconds: int, options: LaunchOptions) -> Launch:
    """With all the layers that this machine may have; whether namespaces can be made is known only once they were
    tried.
    """
    bwrap = None if tiers.NAMESPACES in options.without else bubblewrap.find_bubblewrap()
    program = b""
    if tiers.SECCOMP not in options.without:
        with suppress(syscalls.SeccompMissing):
            program = syscalls.program()
    return Launch(
        visible=visible_files.find_visible_files(in_namespace=bwrap is not None, extra=options.path),
        bwrap=bwrap,
        landlock=tiers.LANDLOCK not in options.without and landlock.abi() >= landlock.WANTED_ABI,
        filter=program,
        limits=tiers.LIMITS not in options.without and linux.HERE,
        memory_bytes=memory_bytes,
        cpu_seconds=cpu_seconds,
        users=identity.unused() if os.geteuid() == 0 and tiers.USER not in options.without else None,
        entry=options.entry,
        pidfds=options.pidfds and linux.has_pidfds(),
        path=(options.path,) if options.path else (),
    )


def launch_without_layer(launch: Launch, options: LaunchOptions, reason: str) -> Launch:
    """What to try after bubblewrap has failed for this reason. Raises SandboxRefused, as `without_namespaces`."""
    if launch.network and launch.filter and bubblewrap.NO_NETWORK in reason:
        return replace(launch, network=False)  # the filter refuses every socket by itself
    return without_namespaces(launch, options, f"{tiers.CANNOT}: {reason}")


def without_namespaces(launch: Launch, options: LaunchOptions, missing: str) -> Launch:
    """The same without namespaces, `missing` being why.

    Raises SandboxRefused where workers could not reach Python then.
    """
    shown = visible_files.find_visible_files(in_namespace=False, extra=options.path)
    closed = visible_files.unreachable(shown, launch.users[0]) if launch.users else None
    if closed is not None:
        raise SandboxRefused(
            f"There are no namespaces ({missing}), and without them workers run as users of their own, who cannot "
            f"enter {closed}, where Python is. Get bubblewrap to work, or put Python and the playground where every "
            "user can read them, or start the server as an ordinary user."
        )
    return replace(launch, bwrap=None, visible=shown)


def layers(launch: Launch, *, memory_group: bool) -> tuple[str, ...]:
    """The names of the layers that a launch puts workers under."""
    held = {
        tiers.NAMESPACES: launch.bwrap is not None,
        tiers.USER: launch.users is not None,
        tiers.LANDLOCK: launch.landlock,
        tiers.LIMITS: launch.limits,
        tiers.SECCOMP: bool(launch.filter),
        tiers.MEMORY_GROUP: memory_group,
    }
    return tuple(name for name, there in held.items() if there)
