"""How long a connection to the SQLite file takes over a commit: whether it waits for other programs, and tidies up
behind itself.
"""

import sqlite3

BUSY_MS = 5_000  # how long to wait for somebody who looks into the file with another program
CHECKPOINT_PAGES = 1_000  # of the write-ahead log, which then goes into the database: few enough that none takes long


class Patience:
    """A connection that may take its time, or may not because others wait for whoever uses it."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._allowed: bool | None = None

    def allow(self, allowed: bool) -> None:
        """Say which from the next commit on."""
        if allowed is not self._allowed:
            self._db.execute(f"PRAGMA busy_timeout = {BUSY_MS if allowed else 0}")
            self._db.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES if allowed else 0}")
            self._allowed = allowed
