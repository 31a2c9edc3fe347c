"""Installs a locked set of packages once, into a folder named by the hash of its file.

The folder is made beside its place and renamed, under a lock that the installer holds too: a killed install leaves
nothing that could be taken for a whole one, and of several processes at once one installs while the others wait. Only
wheels are installed, so that no code of a package runs before the sandbox runs it. The folder is named by the file's
text, the Python and the platform; one that is there is used as it is, offline too, and none is ever removed: another
server may use it.
"""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playground.packages.requirements import LockedSet, PackagesRefused

MANIFEST = "playground-packages.json"  # in the folder, written last; worker/packages.py reads it inside
INSTALL_SECONDS = 900
PLATFORM_MODULES = frozenset({"workers", "playground", "playground_bundle", "workflow"})
_FORMAT = 1
_KEY_CHARACTERS = 24
_ERROR_CHARACTERS = 600
_UNFINISHED = ".unfinished-"
_OWN_VARIABLES = "PLAYGROUND_"  # settings, of which some are secrets: no business of an installer
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class Package:
    """An installed distribution: name, version and the names that `import` takes."""

    name: str
    version: str
    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PackageSet:
    """Packages in a folder of this machine."""

    folder: str
    packages: tuple[Package, ...]

    @property
    def modules(self) -> tuple[str, ...]:
        """What can be imported, sorted."""
        return tuple(sorted({module for package in self.packages for module in package.modules}))


def install(locked: LockedSet, within: Path, *, command: Callable[[Path, Path], list[str]] | None = None) -> PackageSet:
    """The packages of a locked set, installed below `within` unless they are there already. Blocks.

    Args:
        command: makes the installer's command from the requirements file and the folder to fill; None: uv or pip,
            whichever is there.

    Raises:
        PackagesRefused: they can't be installed.
    """
    folder = within / _key(locked.text)
    installed = _read(folder)
    if installed is not None:
        return installed
    try:
        within.mkdir(parents=True, exist_ok=True)
        with _locked_folder(within) as lock:
            installed = _read(folder)  # another process may have installed it while this one waited
            return installed or _install(locked, within, folder, command or installer_command, lock)
    except OSError as error:
        raise PackagesRefused(
            f"{within} can't be written: {error.strerror or error}; name another packages_folder"
        ) from None


def installer_command(requirements: Path, target: Path) -> list[str]:
    """The command that fills `target` with the wheels of `requirements`. Raises PackagesRefused without uv and pip."""
    wheels_only = [
        "--require-hashes",
        "--only-binary",
        ":all:",
        "--target",
        str(target),
        "--requirement",
        str(requirements),
    ]
    uv = shutil.which("uv")
    if uv is not None:
        options = ["--quiet", "--link-mode", "copy", "--compile-bytecode", "--python", sys.executable]
        return [uv, "pip", "install", *options, *wheels_only]
    if importlib.util.find_spec("pip") is not None:
        options = ["--quiet", "--no-input", "--disable-pip-version-check", "--no-warn-script-location"]
        return [sys.executable, "-m", "pip", "install", *options, *wheels_only]
    raise PackagesRefused("neither uv nor pip is there to install packages; put uv on PATH")


def _key(text: str) -> str:
    kind = (str(_FORMAT), sys.implementation.cache_tag or "", sys.platform, platform.machine(), text)
    return hashlib.sha256("\0".join(kind).encode()).hexdigest()[:_KEY_CHARACTERS]


@contextlib.contextmanager
def _locked_folder(within: Path) -> Iterator[int]:
    """Hold the folder's lock, waiting for it; the descriptor is inherited by the installer, which may outlive us."""
    import fcntl

    lock = os.open(within / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def _install(
    locked: LockedSet, within: Path, folder: Path, command: Callable[[Path, Path], list[str]], lock: int
) -> PackageSet:
    for left in within.glob(f"{_UNFINISHED}*"):  # of an install that was killed: nobody else has the lock
        shutil.rmtree(left, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=within))
    try:
        requirements, target = scratch / "requirements.txt", scratch / "packages"
        requirements.write_text(locked.text)
        target.mkdir()
        _run(command(requirements, target), scratch, lock, locked)
        packages = _distributions(target)
        _check_names(packages, locked)
        _make_readable(target)
        rows = [{"name": it.name, "version": it.version, "modules": list(it.modules)} for it in packages]
        (target / MANIFEST).write_text(json.dumps({"format": _FORMAT, "packages": rows}, indent=1) + "\n")
        os.chmod(target / MANIFEST, 0o644)
        os.sync()  # the name below must not outlive what it names
        os.rename(target, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return PackageSet(str(folder), packages)


def _run(command: Sequence[str], folder: Path, lock: int, locked: LockedSet) -> None:
    try:
        done = subprocess.run(
            command,
            check=False,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=INSTALL_SECONDS,
            pass_fds=(lock,),
            umask=0o022,
            env={name: value for name, value in os.environ.items() if not name.startswith(_OWN_VARIABLES)},
        )
    except subprocess.TimeoutExpired:
        raise PackagesRefused(f"{locked.path} was not installed within {INSTALL_SECONDS} s") from None
    except OSError as error:
        raise PackagesRefused(f"{command[0]}, which installs packages, does not start: {error.strerror}") from None
    if done.returncode:
        said = _CREDENTIALS.sub("", " ".join((done.stderr or done.stdout).split()))[-_ERROR_CHARACTERS:]
        raise PackagesRefused(
            f"{locked.path} can't be installed (wheels only, with hashes): {said or f'status {done.returncode}'}"
        )


def _distributions(folder: Path) -> tuple[Package, ...]:
    found = [
        Package(it.metadata["Name"], it.version, _modules(it))
        for it in importlib.metadata.distributions(path=[str(folder)])
    ]
    return tuple(sorted(found, key=lambda package: package.name.lower()))


def _modules(distribution: importlib.metadata.Distribution) -> tuple[str, ...]:
    """The names that a distribution's files can be imported by: `numpy` of numpy/__init__.py, `six` of six.py."""
    names = set()
    for file in distribution.files or ():
        first = file.parts[0].partition(".")[0] if len(file.parts) == 1 else file.parts[0]
        if file.suffix in (".py", ".so", ".pyd") and first.isidentifier():
            names.add(first)
    return tuple(sorted(names))


def _check_names(packages: Sequence[Package], locked: LockedSet) -> None:
    if not packages:
        raise PackagesRefused(f"{locked.path} installs nothing on this machine; look at its environment markers")
    for package in packages:
        for module in PLATFORM_MODULES.intersection(package.modules):
            raise PackagesRefused(
                f"{package.name} {package.version} brings a module `{module}`, which is the platform's own; take it "
                f"out of {locked.path}"
            )


def _make_readable(folder: Path) -> None:
    """Let workers, which may run as users of their own, read everything; nobody needs to write it."""
    os.chmod(folder, 0o755)
    for root, folders, files in os.walk(folder):
        for name in folders:
            os.chmod(os.path.join(root, name), 0o755)
        for name in files:
            path = os.path.join(root, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                raise PackagesRefused(f"{path} is a link, and a wheel has none; clear the installer's cache")
            os.chmod(path, 0o755 if mode & 0o100 else 0o644)


def _read(folder: Path) -> PackageSet | None:
    """What is installed in a folder; None where nothing is. Raises PackagesRefused for one that was changed by hand."""
    try:
        manifest: Any = json.loads((folder / MANIFEST).read_text())
        rows = manifest["packages"]
        packages = tuple(Package(row["name"], row["version"], tuple(row["modules"])) for row in rows)
    except FileNotFoundError:
        if folder.exists():
            raise PackagesRefused(f"{folder} was changed by hand; remove it, and it is installed again") from None
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise PackagesRefused(
            f"{folder / MANIFEST} can't be read; remove {folder}, and it is installed again"
        ) from None
    return PackageSet(str(folder), packages)
