"""Errors of code that uses what a worker does not have (files, network, processes, packages): the advice to show, and
whether a retry can succeed.

An error is classified by what the interpreter and the standard library put into it, never by its class alone: a
`PermissionError` that tenant code raises itself, with its own message, is the tenant's.
"""

import _socket
import errno
import opcode
import re
import socket
import sys
import types

from playground.worker.context import Environment
from playground.worker.packages import modules_of_packages
from playground.workflows.unavailable import (
    ADVICE_AFTER_ERROR,
    FILES,
    NAME_ADVICE,
    NETWORK,
    ONLY_STANDARD,
    OWN_PACKAGES,
    PACKAGE_ADVICE,
    PROCESSES,
    TERMINAL,
    THREADS,
    package_missing,
)

_NO_TERMINAL = ("EOF when reading a line",)
_NO_THREAD = ("can't start new thread",)
_NO_DATABASE = ("unable to open database file",)
_FORKS = frozenset({"fork", "forkpty", "posix_spawn", "posix_spawnp", "execv", "execve", "execvp"})
_NO_FILE = frozenset({errno.ENOENT, errno.EPERM, errno.EACCES, errno.EROFS})
_REFUSED = frozenset({errno.EPERM, errno.EACCES})
# Standard library modules by purpose; the innermost one in a traceback tells what was tried.
_MODULES = {
    **dict.fromkeys(("subprocess", "multiprocessing"), PROCESSES),
    **dict.fromkeys(("socket", "ssl", "urllib", "http", "smtplib", "ftplib", "poplib", "imaplib"), NETWORK),
    **dict.fromkeys(("tempfile", "shutil", "pathlib", "zipfile", "tarfile", "dbm", "shelve"), FILES),
}
_RAISE = opcode.opmap["RAISE_VARARGS"]
_ADVICE = frozenset((*ADVICE_AFTER_ERROR.values(), *NAME_ADVICE.values()))
_NAME = re.compile(r"'(\w{1,100})'")


def advice(error: BaseException) -> str | None:
    """The alternative to what the code tried to use; None for other errors, and for a rebuilt error, which has it."""
    if _is_rebuilt(error):
        return None
    package = _missing_package(error)
    if package is not None:
        missing, instead = package_missing(package, modules_of_packages()), PACKAGE_ADVICE.get(package)
        return f"{missing}. {instead}" if instead else f"{missing}."
    if isinstance(error, ImportError) and error.name == "workers":
        found = _NAME.search(str(error.args[0])) if error.args else None
        return NAME_ADVICE.get(found[1]) if found else None
    kind = _missing_kind(error)
    return ADVICE_AFTER_ERROR[kind] if kind is not None else None


def never_passes(error: BaseException) -> bool:
    """Whether every retry must fail, since a worker does not have what the code needs."""
    if _is_rebuilt(error):
        notes = [str(note) for note in getattr(error, "__notes__", ())]
        return any(note in _ADVICE or note.startswith(ONLY_STANDARD) for note in notes)
    if _missing_package(error) is not None or _missing_kind(error) is not None:
        return True
    if isinstance(error, ImportError):
        return error.name == "workers"
    return isinstance(error, AttributeError) and isinstance(getattr(error, "obj", None), Environment)


def _missing_package(error: BaseException) -> str | None:
    """The package that could not be imported, if workers do not have it."""
    if not isinstance(error, ModuleNotFoundError) or not isinstance(error.name, str) or _is_raised_by_hand(error):
        return None
    name = error.name.partition(".")[0]
    return None if name in sys.stdlib_module_names or name in OWN_PACKAGES or name in modules_of_packages() else name


def _missing_kind(error: BaseException) -> str | None:
    """What the code tried to use, of what a confined worker does not have."""
    if _is_raised_by_hand(error):
        return None
    if isinstance(error, EOFError):
        return TERMINAL if error.args == _NO_TERMINAL or _innermost(error) == "getpass" else None
    if type(error).__module__ == "bdb":
        return TERMINAL
    kind = _kind_of_system_error(error)
    return kind if kind is not None and _is_confined() else None


def _kind_of_system_error(error: BaseException) -> str | None:
    """What the operating system refused, if the error is such a refusal."""
    if isinstance(error, RuntimeError):
        if error.args != _NO_THREAD:
            return None
        return NETWORK if any(frame.f_code.co_name == "getaddrinfo" for frame in _frames(error)) else THREADS
    if type(error).__module__ == "sqlite3":
        return FILES if error.args == _NO_DATABASE else None
    if not isinstance(error, OSError):
        return None
    reason = getattr(error, "reason", None)  # of a urllib.error.URLError
    if error.errno is None and isinstance(reason, OSError):
        return NETWORK if reason.errno in _REFUSED or isinstance(reason, socket.gaierror) else None
    if isinstance(error, socket.gaierror):
        return NETWORK
    if error.errno not in _NO_FILE:
        return None
    kind = _MODULES.get(_innermost(error))
    if kind is not None or error.filename is not None:
        return kind or FILES
    return PROCESSES if any(_FORKS.intersection(frame.f_code.co_names) for frame in _frames(error)[-1:]) else None


def _frames(error: BaseException) -> list[types.FrameType]:
    found, left = [], error.__traceback__
    while left is not None:
        found.append(left.tb_frame)
        left = left.tb_next
    return found


def _innermost(error: BaseException) -> str:
    """The module, without its package, in which an error was raised."""
    name = _frames(error)[-1].f_globals.get("__name__") if error.__traceback__ is not None else None
    return name.partition(".")[0] if isinstance(name, str) else ""


def _last_traceback(error: BaseException) -> types.TracebackType | None:
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last


def _is_rebuilt(error: BaseException) -> bool:
    """Whether the error was stored and raised again (failures.py): its frames, if any, run no code."""
    last = _last_traceback(error)
    return last is not None and last.tb_lasti < 0


def _is_raised_by_hand(error: BaseException) -> bool:
    """Whether a `raise` outside the standard library made the error, so that its meaning is its author's."""
    last = _last_traceback(error)
    if last is None:
        return False
    code = last.tb_frame.f_code.co_code
    if not 0 <= last.tb_lasti < len(code) or code[last.tb_lasti] != _RAISE:
        return False
    return _innermost(error) not in sys.stdlib_module_names and _innermost(error) not in OWN_PACKAGES


def _is_confined() -> bool:
    """Whether this process may not open a socket: then it may open no files, programs and threads either."""
    try:
        _socket.socket().close()
    except OSError as refused:
        return refused.errno in _REFUSED
    except BaseException:  # noqa: BLE001 - tenant code may have altered the module
        return False
    return False
