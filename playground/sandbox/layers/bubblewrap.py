"""Namespaces: the command line that starts the fork server in bubblewrap."""

import shutil
from collections.abc import Sequence
from pathlib import PurePath

from playground.sandbox.layers import linux
from playground.sandbox.layers.visible_files import Visible

NOBODY = 65534
NO_NETWORK = "loopback"  # in bubblewrap's error when it cannot set up a network namespace (gVisor)
_NETWORK = "--unshare-net"
_NAMESPACES = ("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")


def find_bubblewrap() -> str | None:
    """The path of bubblewrap, or None."""
    return shutil.which("bwrap")


def command(
    bwrap: str, visible: Visible, inner: Sequence[str], *, as_root: bool, network: bool = True, kills: bool = False
) -> list[str]:
    """The command that runs `inner` in its own namespaces: no network, no /proc, no /tmp, a read-only root, and the
    environment `linux.ENVIRONMENT` only.

    Without `network` it shares the host's network, which only the system-call filter then denies. With `kills` the fork
    server kills children itself and needs CAP_KILL.

    An ordinary user gets a user namespace. Root needs none, and must not have one: in a namespace that maps one user
    only, every child would be root outside. Without it each child changes to a uid of its own (`identity.py`), for
    which alone the fork server keeps capabilities. The fork server is process 1 of its namespace: nothing inside can
    signal it, and when it exits the kernel kills all others.

    When the server exits, the kernel kills bubblewrap, and the fork server reads the end of its control socket. A gap
    of microseconds remains: bubblewrap's child waits for its parent before it becomes the fork server, and waits for
    ever when the parent is killed just then. `ForkServer.kill` covers that while the server runs. Where the server
    itself is killed, one of 3,000 kills in the first 4 ms of a start left one idle process that had run nothing.
    """
    if as_root:
        user = ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", *(["--cap-add", "CAP_KILL"] if kills else [])]
    else:
        user = ["--unshare-user", "--uid", str(NOBODY), "--gid", str(NOBODY)]
    places = (visible.python, *visible.same, *(inside for _, inside in visible.moved))
    folders = sorted({str(folder) for place in places for folder in PurePath(place).parents} - {"/"})
    # Folders that bwrap creates by itself are closed to all but root.
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
