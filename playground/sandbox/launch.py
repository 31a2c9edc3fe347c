"""Launching a fork server: the layers that this machine supports, its command line, and the plan it receives."""

import base64
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from playground.packages.installation import PackageSet
from playground.sandbox import tiers
from playground.sandbox.layers import bubblewrap, identity, landlock, linux, seccomp, visible_files
from playground.sandbox.layers.visible_files import Visible
from playground.sandbox.tiers import SandboxRefused

# A module with warm(channel's descriptor), called once in the fork server; prepare(result of warm), called in each
# child before it is locked; and main(result of warm).
ENTRY = "playground.worker.main"
TAKE_SECONDS = 10.0  # how long take_worker() waits while the fork server restarts
RECYCLE_SECONDS = 600.0  # children of one fork server share one address-space layout
RECYCLE_FORKS = 5000

# The after-fork hooks of threading, logging and random would cost each child 0.8 ms in copied pages. They are not
# needed: a fork server has one thread and holds no lock at a fork, and a child reseeds random by itself.
_START = (
    "import os, sys; os.register_at_fork = lambda **hooks: None; sys.path.append({root!r}); "
    "from playground.sandbox import zygote; zygote.main({control})"
)


@dataclass(frozen=True, slots=True)
class LaunchOptions:
    """Options of tests and benchmarks only; no setting sets them. `without` names layers to leave out."""

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
    """How to start a fork server, and the layers of its children.

    Without `bwrap` there are no namespaces, with an empty `filter` no seccomp. `users` are the uids that children
    change to, one each in turn (None: they keep the server's). Without `pidfds` the kernel has no pidfd, and the fork
    server kills children on request.
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
    packages: PackageSet | None = None
    preload: bool = True  # import them in the fork server, where that is safe
    network: bool = True  # a network namespace of its own, among the others

    def command(self, control: int) -> list[str]:
        interpreter = [
            self.visible.python,
            "-s",  # with -S and -P as -I, but PYTHONHASHSEED is read; no other variable of Python is set
            "-S",
            "-P",
            "-B",
            "-X",
            "utf8",
            "-c",
            _START.format(root=self.visible.root, control=control),
        ]
        if self.bwrap is None:
            return interpreter
        as_root = os.geteuid() == 0
        return bubblewrap.command(
            self.bwrap, self.visible, interpreter, as_root=as_root, network=self.network, kills=not self.pidfds
        )

    def plan(self) -> dict[str, Any]:
        """The message that tells the fork server what to set up."""
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
            "packages": None
            if self.packages is None
            else {"path": self.visible.packages, "modules": self.packages.modules, "preload": self.preload},
        }


def strongest_launch(
    memory_bytes: int,
    cpu_seconds: int,
    options: LaunchOptions,
    packages: PackageSet | None = None,
    *,
    preload: bool = True,
) -> Launch:
    """A launch with all layers that this machine may support; namespaces are known to work only after a try."""
    bwrap = None if tiers.NAMESPACES in options.without else bubblewrap.find_bubblewrap()
    program = b""
    if tiers.SECCOMP not in options.without:
        with suppress(seccomp.SeccompMissing):
            program = seccomp.build_filter()
    return Launch(
        visible=_visible(options, packages, in_namespace=bwrap is not None),
        bwrap=bwrap,
        landlock=tiers.LANDLOCK not in options.without and landlock.abi() >= landlock.WANTED_ABI,
        filter=program,
        limits=tiers.LIMITS not in options.without and linux.HERE,
        memory_bytes=memory_bytes,
        cpu_seconds=cpu_seconds,
        users=identity.unused_users() if os.geteuid() == 0 and tiers.USER not in options.without else None,
        entry=options.entry,
        pidfds=options.pidfds and linux.has_pidfds(),
        path=(options.path,) if options.path else (),
        packages=packages,
        preload=preload,
    )


def _visible(options: LaunchOptions, packages: PackageSet | None, *, in_namespace: bool) -> Visible:
    folder = "" if packages is None else os.path.realpath(packages.folder)
    return visible_files.find_visible_files(in_namespace=in_namespace, extra=options.path, packages=folder)


def launch_without_layer(launch: Launch, options: LaunchOptions, reason: str) -> Launch:
    """The launch to try after bubblewrap failed for `reason`. Raises SandboxRefused, as `without_namespaces`."""
    if launch.network and launch.filter and bubblewrap.NO_NETWORK in reason:
        return replace(launch, network=False)  # the system-call filter refuses every socket anyway
    return without_namespaces(launch, options, f"{tiers.CANNOT}: {reason}")


def without_namespaces(launch: Launch, options: LaunchOptions, missing: str) -> Launch:
    """The same launch without namespaces, for the reason `missing`.

    Raises SandboxRefused where workers could not read Python's files then.
    """
    visible = _visible(options, launch.packages, in_namespace=False)
    closed = visible_files.unreachable_folder(visible, launch.users[0]) if launch.users else None
    if closed is not None:
        raise SandboxRefused(
            f"There are no namespaces ({missing}), and without them workers run as users of their own, who cannot "
            f"enter {closed}, where Python is, or packages are. Get bubblewrap to work, or put Python, the playground "
            "and packages where every user can read them, or start the server as an ordinary user."
        )
    return replace(launch, bwrap=None, visible=visible)


def layer_names(launch: Launch, *, memory_group: bool) -> tuple[str, ...]:
    """The names of the layers of a launch."""
    in_force = {
        tiers.NAMESPACES: launch.bwrap is not None,
        tiers.USER: launch.users is not None,
        tiers.LANDLOCK: launch.landlock,
        tiers.LIMITS: launch.limits,
        tiers.SECCOMP: bool(launch.filter),
        tiers.MEMORY_GROUP: memory_group,
    }
    return tuple(name for name, is_in_force in in_force.items() if is_in_force)
