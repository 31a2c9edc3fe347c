"""The files of this machine that are visible inside the sandbox: the interpreter, its standard library, shared
libraries, and a few of our own files.
"""

import glob
import importlib.util
import os
import re
import struct
import sys
import sysconfig
import zoneinfo
from dataclasses import dataclass
from pathlib import Path

ROOMS = ("workflows", "worker", "analysis")
LAYERS = ("__init__", "linux", "landlock", "resource_limits", "identity", "seccomp")  # of this folder
INSIDE = ("__init__", "zygote", "preload", "probe_attacks", *(f"layers/{name}" for name in LAYERS))  # of the room
APP = "/app"  # where our package is inside
PACKAGES = "/packages"  # where the operator's packages are inside
ZONES = "/usr/share/zoneinfo"  # where zoneinfo looks by default
_THIRD_PARTY = ("site-packages", "dist-packages")


@dataclass(frozen=True, slots=True)
class Visible:
    """Read-only files of the host.

    `same` keep their path; `masked` are below them and hidden; `moved` are (host path, path inside). `root` is the
    entry of `sys.path` for our package; `package` are the inside paths of our files and of the operator's packages,
    whose folder is `packages`; `zones` is the directory of time zones.
    """

    python: str
    same: tuple[str, ...]
    masked: tuple[str, ...]
    moved: tuple[tuple[str, str], ...]
    root: str
    package: tuple[str, ...]
    zones: str = ZONES
    packages: str = ""

    def readable(self) -> list[str]:
        """The paths to allow reading by Landlock; nothing masked is below any of them."""
        if self.moved:
            return [*self.same, *self.package]  # hidden by mounts already; saves each worker 200 rules
        found = list(self.package)
        for path in self.same:
            found += _paths_around(path, self.masked)
        return found

    def listable(self) -> list[str]:
        """Directories that the import system must list, although not everything below is readable."""
        if self.moved:
            return []
        return [path for path in self.same if any(_is_within(mask, path) for mask in self.masked)]


def find_visible_files(*, in_namespace: bool, extra: str | None = None, packages: str = "") -> Visible:
    """The files to make visible.

    Without namespaces nothing can be moved or hidden, and Landlock alone restricts tenants to `readable()`.

    `packages` is the folder of the operator's packages. `extra` is one more directory, which is also put on the path;
    tests use it.
    """
    python = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    zones = time_zones()
    zones_in_package = zones is not None and any(part in zones for part in _THIRD_PARTY)  # which are hidden
    extras = (extra, None if zones_in_package else zones)
    same = _outermost(
        {*_standard_library(), *_library_folders(), *(path for path in extras if path and os.path.isdir(path))}
    )
    masked = tuple(sorted(path for root in same for path in _third_party(root)))
    own_files = _own_files()
    if not in_namespace:
        root = str(Path(__file__).parents[3])
        return Visible(
            python,
            same,
            masked,
            (),
            root,
            (*own_files, *([zones] if zones_in_package and zones else []), *([packages] if packages else [])),
            zones or ZONES,
            packages,
        )
    moved = [(path, path.replace(str(Path(__file__).parents[3]), APP, 1)) for path in own_files]
    if zones_in_package and zones:
        moved.append((zones, ZONES))
    if packages:
        moved.append((packages, PACKAGES))
    loader = _loader(python)
    if loader:
        moved.append((os.path.realpath(loader), loader))
    zones_inside = ZONES if zones_in_package or zones is None else zones
    inside = tuple(inside for _, inside in moved)
    return Visible(python, same, masked, tuple(moved), APP, inside, zones_inside, PACKAGES if packages else "")


def time_zones() -> str | None:
    """The directory of time zones of this interpreter: the machine's, else that of the package `tzdata`."""
    for place in zoneinfo.TZPATH:
        if os.path.isfile(f"{place}/UTC"):
            return os.path.realpath(place)
    package = importlib.util.find_spec("tzdata")
    found = None if package is None or package.origin is None else Path(package.origin).parent / "zoneinfo"
    return os.path.realpath(found) if found is not None and found.is_dir() else None


def unreachable_folder(visible: Visible, user: int) -> str | None:
    """The first directory on the way to the visible files that another user cannot enter, or None."""
    for path in (*visible.same, *visible.package):
        for folder in Path(path).parents:
            if not folder.stat().st_mode & 0o001 and folder.stat().st_uid != user:
                return str(folder)
    return None


def _own_files() -> list[str]:
    package = Path(__file__).parents[2]
    files = [package / "__init__.py", *(package / "sandbox" / f"{name}.py" for name in INSIDE)]
    return [str(path) for path in (*files, *(package / room for room in ROOMS)) if path.exists()]


def _standard_library() -> set[str]:
    base = {
        "base": sys.base_prefix,
        "platbase": sys.base_exec_prefix,
        "installed_base": sys.base_prefix,
        "installed_platbase": sys.base_exec_prefix,
    }
    return {os.path.realpath(sysconfig.get_path(name, vars=base)) for name in ("stdlib", "platstdlib")}


def _library_folders() -> set[str]:
    """The directories of the shared libraries that this interpreter has loaded."""
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        return set()
    files = set(re.findall(r"\s(/\S+\.so(?:\.[0-9.]+)?)$", maps, re.MULTILINE))
    venv = os.path.realpath(sys.prefix) if sys.prefix != sys.base_prefix else None
    return {
        os.path.dirname(path)
        for path in files
        if not any(part in path for part in _THIRD_PARTY) and not (venv and _is_within(path, venv))
    }


def _third_party(root: str) -> list[str]:
    places = (f"{root}/{folder}{name}" for folder in ("", "python*/") for name in _THIRD_PARTY)
    return [path for place in places for path in glob.glob(place) if os.path.isdir(path) and not os.path.islink(path)]


def _outermost(paths: set[str]) -> tuple[str, ...]:
    return tuple(
        sorted(path for path in paths if not any(other != path and _is_within(path, other) for other in paths))
    )


def _paths_around(path: str, masked: tuple[str, ...]) -> list[str]:
    if path in masked:
        return []
    if not any(_is_within(mask, path) for mask in masked):
        return [path]
    return [
        found
        for entry in sorted(os.scandir(path), key=lambda entry: entry.name)
        for found in _paths_around(entry.path, masked)
        if os.path.exists(found)
    ]


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _loader(python: str) -> str | None:
    """The dynamic loader of the interpreter (ELF, 64 bit: PT_INTERP)."""
    with open(python, "rb") as file:
        head = file.read(4096)
    if head[:5] != b"\x7fELF\x02":
        return None
    offset, size, count = struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<HH", head, 54)
    for index in range(count):
        kind, _, start, _, _, length = struct.unpack_from("<IIQQQQ", head, offset + index * size)
        if kind == 3:
            return head[start : start + length].rstrip(b"\0").decode()
    return None
