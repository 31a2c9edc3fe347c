"""Namespaces: the command line that puts the fork server into bubblewrap, once."""

import shutil
from collections.abc import Sequence
from pathlib import PurePath

from playground.sandbox.layers import linux
from playground.sandbox.layers.visible_files import Visible

NOBODY = 65534
NO_NETWORK = "loopback"  # what bubblewrap names when it cannot set up a network of its own (gVisor)
_NETWORK = "--unshare-net"
_NAMESPACES = ("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")


def find_bubblewrap() -> str | None:
    """Where bubblewrap is, or None."""
    return shutil.which("bwrap")


def command(
    bwrap: str, visible: Visible, inner: Sequence[str], *, as_root: bool, network: bool = True, kills: bool = False
) -> list[str]:
    """`inner` run in namespaces of its own: no network, no /proc, no /tmp, a read-only root, an environment of nothing
    but `linux.ENVIRONMENT`.

    Without `network` it shares the host's, and only the system-call filter keeps it from there. With `kills` the fork
    server is who ends children.

    An ordinary user gets a user namespace. Root needs none, and must not have one: in a namespace that maps one user
    only, every child would be root outside; without, each child changes to a user of its own (see `identity.py`), the
    one thing the fork server keeps a capability for. The fork server is process 1 of its namespace: nothing inside can
    signal it, and when it ends the kernel ends all others. When the server ends, the kernel ends bubblewrap, and the
    fork server reads the end of its control socket. Between is a gap of microseconds: bubblewrap's child waits for its
    parent before it becomes the fork server, for ever when that is killed just then. The server sees to it where it
    lives on (`ForkServer.kill`); where it is killed itself, one idle process that has run nothing was left by one of
    3,000 kills in the first 4 ms of a start.
    """
    if as_root:
        user = ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", *(["--cap-add", "CAP_KILL"] if kills else [])]
    else:
        user = ["--unshare-user", "--uid", str(NOBODY), "--gid", str(NOBODY)]
    places = (visible.python, *visible.same, *(inside for _, inside in visible.moved))
    folders = sorted({str(folder) for place in places for folder in PurePath(place).parents} - {"/"})
    # bwrap itself would close them to all but root.
    files = [argument for folder in folders for argument in ("--dir", folder)]
    files += [argument for path in (visible.python, *visible.same) for argument in ("--ro-bind", path, path)]
    for path in visible.masked:
        files += ["--tmpfs", path, "--remount-ro", path]
    for outside, inside in visible.moved:
        files += ["--ro-bind", outside, inside]
    return [
        bwrap,
        *_NAMESPACES,
        *([_NETWORK] if network else []),
        "--die-with-parent",
        "--new-session",
        "--as-pid-1",
        "--clearenv",
        *(word for name, value in linux.ENVIRONMENT.items() for word in ("--setenv", name, value)),
        "--cap-drop",
        "ALL",
        *user,
        "--hostname",
        "worker",
        *files,
        "--remount-ro",
        "/",
        "--chdir",
        "/",
        "--",
        *inner,
    ]
