"""What tests need of Debian, installed where that is allowed: as root, or where sudo asks for no password."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

INSTALL_SECONDS = 900
LOCK = Path(tempfile.gettempdir()) / f"playground-tests-{os.getuid()}-apt.lock"


def run_installer(command: list[str]) -> str:
    """Run `command`; returns "" or one line on why it failed."""
    shown = " ".join(command)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command,
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{shown}: {error}"
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return f"{shown}: {said[-1] if said else f'exit {done.returncode}'}" if done.returncode else ""


def install_from_debian(packages: list[str], install: Callable[[list[str]], str] = run_installer) -> str:
    """Install Debian packages, with new package lists if the old ones do not know them.

    `install` runs a command and returns what it complained of, if anything. Returns "" or one line on why it failed.
    """
    root = as_root()
    if root is None or not shutil.which("apt-get"):
        return f"apt-get install {' '.join(packages)}: needs Debian or Ubuntu, and root or a sudo that asks nothing"
    command = [*root, "apt-get", "install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120", *packages]
    with one_at_a_time():
        if complaint := install(command):
            install([*root, "apt-get", "update"])
            complaint = install(command)
    return complaint


def as_root() -> list[str] | None:
    """What stands before a command that only root may run, or None where it may not be run."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], check=False, capture_output=True).returncode == 0:
        return [sudo, "-n", "env", "DEBIAN_FRONTEND=noninteractive"]
    return None


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """apt-get waits for another one that installs, but not for one that fetches lists, and tests run side by side."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
