"""Imports the operator's packages in the fork server, where that is safe, so that no worker has to. Loaded inside the
sandbox.

A module is first imported in a child of its own, which says what that has left behind. It is left to the workers, each
of which imports it when code does, where its import fails there, starts a thread (a fork has only one), opens a
file (workers close all) or wants to know of forks (zygote.py calls no such hook). What an import maps is added to the
workers' limit of memory, so that a package leaves the same room to code as none.

A module is loaded as `from module import *` does it: packages that load their parts late, such as pydantic, would
otherwise do so in each worker. State that should differ from worker to worker is made anew for `random` and
`numpy.random` only; a package that draws numbers from a state of its own should not be loaded ahead.

Limits: `SECONDS` for all modules together; those that it does not reach are left to the workers.
"""

import ctypes
import errno
import fcntl
import importlib
import importlib.util
import json
import mmap
import os
import resource
import select
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from playground.sandbox.layers import linux

SECONDS = 15.0  # a fork server has 20 for it (forkserver.py)
NAMES_MOST = 1_000  # of a module, for the editor's completion
# Libraries that compute with threads are told to use the one that there is; where they try to start more, they fail.
SINGLE_THREADED = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
)
_CLONE_THREAD = 0x00010000
_DESCRIPTORS_LOOKED_AT = 1_024
_REASON_BYTES = 500
_PAGE = mmap.PAGESIZE


@dataclass(frozen=True, slots=True)
class Preloaded:
    """What was imported: the public names of each module; why the others were not; bytes of address space it takes."""

    names: dict[str, list[str]]
    left: dict[str, str]
    bytes: int


NOTHING = Preloaded({}, {}, 0)


def preload(modules: Iterable[str], *, now: Callable[[], float] = time.monotonic) -> Preloaded:
    """Import each of the modules in this process, if it is safe to fork afterwards."""
    names: dict[str, list[str]] = {}
    left: dict[str, str] = {}
    until = now() + SECONDS
    before = address_space()
    for module in modules:
        if module.startswith("_"):
            continue  # a part of another
        if now() >= until:
            left[module] = f"the modules before it took {SECONDS:.0f} s to import"
            continue
        reason = _danger(module, until - now())
        if reason:
            left[module] = reason
            continue
        try:
            names[module] = _public_names(_load(module))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is logged for the operator
            left[module] = _one_line(error)
    return Preloaded(names, left, max(0, address_space() - before))


def reseed() -> Callable[[], object] | None:
    """What gives a worker random numbers of its own from numpy; None where its module is not loaded."""
    module = sys.modules.get("numpy.random")
    return None if module is None else module.seed


def address_space() -> int:
    """The bytes of address space that this process uses, found by the limit below which nothing more can be mapped.

    The sandbox has no /proc, which would tell.
    """
    if not linux.HERE:
        return 0
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    low, high = 0, 1 << 36
    if hard != resource.RLIM_INFINITY:
        high = min(high, hard)
    try:
        while high - low > _PAGE:
            middle = (low + high) // 2
            resource.setrlimit(resource.RLIMIT_AS, (middle, hard))
            try:
                mmap.mmap(-1, _PAGE).close()
                high = middle
            except (OSError, MemoryError):
                low = middle
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    return high - _PAGE


def _load(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module(name)
        for attribute in tuple(getattr(module, "__all__", ()))[:NAMES_MOST]:
            with suppress(Exception):  # needs a package that is not there
                getattr(module, attribute)
    return module


def _public_names(module: Any) -> list[str]:
    found = getattr(module, "__all__", None) or dir(module)
    return sorted({name for name in found if isinstance(name, str) and not name.startswith("_")})[:NAMES_MOST]


def _danger(module: str, seconds: float) -> str:
    """Why the fork server must not import a module, found by a child that does; "" where it may."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _import_in_child(module, write)
    os.close(write)
    try:
        ready = select.poll()
        ready.register(read, select.POLLIN | select.POLLHUP)
        if not ready.poll(int(seconds * 1000)):
            os.kill(pid, signal.SIGKILL)
            return f"its import took more than {seconds:.0f} s"
        said = os.read(read, 2 * _REASON_BYTES)
        return str(json.loads(said)) if said else "its import ends the process"
    finally:
        os.close(read)
        os.waitpid(pid, 0)


def _import_in_child(module: str, write: int) -> NoReturn:
    hooks: list[str] = []
    os.register_at_fork = lambda **given: hooks.append(_caller())
    before = _open_descriptors()
    try:
        _load(module)
        reason = ""
        if _has_threads():
            reason = "it starts threads"
        elif _open_descriptors() != before:
            reason = "it opens files"
        elif any(caller.partition(".")[0] not in sys.stdlib_module_names for caller in hooks):
            reason = "it has to know of forks"
    except BaseException as error:  # noqa: BLE001 - SystemExit too
        reason = _one_line(error)
    finally:
        os.write(write, json.dumps(reason).encode())
        os._exit(0)


def _caller() -> str:
    return str(sys._getframe(2).f_globals.get("__name__", ""))


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:_REASON_BYTES]


def _open_descriptors() -> list[int]:
    found = []
    for descriptor in range(_DESCRIPTORS_LOOKED_AT):
        with suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_GETFD)
            found.append(descriptor)
    return found


def _has_threads() -> bool:
    """Whether this process has more than one thread, of any language: the kernel refuses to unshare those of many."""
    if threading.active_count() > 1:
        return True
    if not linux.HERE:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.unshare(_CLONE_THREAD) != 0 and ctypes.get_errno() in (errno.EINVAL, errno.ENOSYS)


def set_single_threaded() -> None:
    """Tell libraries, before they are loaded, to compute in one thread."""
    for name in SINGLE_THREADED:
        os.environ[name] = "1"


def require_visible(path: str, modules: Sequence[str]) -> None:
    """Raises FileNotFoundError unless the packages are where they should be, with each of their modules."""
    if not os.path.isdir(path):
        raise FileNotFoundError(f"the packages are not at {path}")
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise FileNotFoundError(f"the package `{module}` is not at {path}")
