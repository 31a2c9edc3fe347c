"""Disk usage of a database: bytes used, and bytes free on its disk."""

import os
from contextlib import suppress
from pathlib import Path

from playground.store.open import SQLITE


def free_bytes(url: str) -> int | None:
    """Bytes free on the disk of a SQLite file; None for a database that is no local file."""
    if not url.startswith(SQLITE):
        return None
    try:
        found = os.statvfs(Path(url.removeprefix(SQLITE)).parent)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def used_bytes(url: str) -> int | None:
    """Size in bytes of a SQLite file with its write-ahead log; None for a database that is no local file."""
    if not url.startswith(SQLITE):
        return None
    sizes = []
    for end in ("", "-wal", "-shm"):
        with suppress(OSError):
            sizes.append(os.stat(url.removeprefix(SQLITE) + end).st_size)
    return sum(sizes)
