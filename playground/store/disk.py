"""How much room there is where a database lies."""

import os
from pathlib import Path

from playground.store.open import SQLITE


def free_bytes(url: str) -> int | None:
    """Bytes that may still be written to the disk of a SQLite file; None for a database that is elsewhere."""
    if not url.startswith(SQLITE):
        return None
    try:
        found = os.statvfs(Path(url.removeprefix(SQLITE)).parent)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
