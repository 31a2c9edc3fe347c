"""One server at a time on one database file: what the writer holds in memory is right only if nobody else writes.

The lock is on a file beside the database, since closing any other handle of the database itself would drop SQLite's own
locks. The kernel lifts it when the process ends, however it ends.
"""

import contextlib
import fcntl
import os
from pathlib import Path

from playground.store.errors import StoreError, StoreInUse

SUFFIX = "-lock"


class FileLock:
    """Held from `take` to `release`, or to the end of the process.

    Args:
        database: the database file; the lock stands beside it.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._handle: int | None = None

    def take(self) -> None:
        """Lock the database for this process.

        Raises:
            StoreError: another process holds it, or the lock file can't be written.
        """
        path = self._database.with_name(self._database.name + SUFFIX)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            folder = Path(self._database).resolve().parent
            raise StoreError(
                f"cannot write in {folder}, where the database {self._database} is to be: {error.strerror}; name "
                "another database"
            ) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(handle, 32, 0).decode(errors="replace").strip()
            os.close(handle)
            process = f" by process {holder}" if holder.isdigit() else ""
            raise StoreInUse(
                f"the database {self._database} is in use{process}; stop that server or use another file"
            ) from None
        with contextlib.suppress(OSError):  # who holds it is only for people; on a full disk it can't be said
            os.ftruncate(handle, 0)
            os.pwrite(handle, b"%d\n" % os.getpid(), 0)
        self._handle = handle

    def release(self) -> None:
        """Let others have the database; calling it again does nothing."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
