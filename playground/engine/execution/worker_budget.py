"""How much one worker may say and store: held against the limits of its instance, counted to its address, and read on
only as commits follow.
"""

from playground.engine import queue_names
from playground.engine.execution.log_limit import LogBudget
from playground.engine.execution.services import Services
from playground.engine.storage_quota import EVENT_BYTES
from playground.store.protocol import InstanceRow

BACKLOG = 2_000  # commits waiting before the worker is read no further
BACKLOG_BYTES = 4 * 1024 * 1024  # or as much said since the last time that all was committed


class Budget:
    """What one execution has used.

    `dos` are steps, `stored_bytes` what the whole instance holds, `most_events` what its journal may have.
    """

    most_events: int
    logs: LogBudget

    def __init__(self, services: Services, row: InstanceRow) -> None:
        self._services = services
        self.dos = 0
        self.stored_bytes = row.stored_bytes
        self._unbilled = self._said = 0
        self.take_limits(row)

    def take_limits(self, row: InstanceRow) -> None:
        """Go by the limits of `row` from now on."""
        self.most_events = self._services.limit(row, "journal_events")
        self.logs = LogBudget(
            self._services.limit(row, "log_bytes") - row.log_bytes, self.most_events // 2 - row.last_seq
        )

    def said(self, size: int) -> None:
        """A frame of `size` bytes has come."""
        self._said += size

    def owe(self, size: int) -> None:
        """Something of `size` bytes goes into the journal."""
        self._unbilled += size + EVENT_BYTES

    def bill(self, row: InstanceRow) -> str | None:
        """Count what goes into the journal to whoever has nobody else to answer for it.

        Gives what is said when it is too much.
        """
        owed, self._unbilled = self._unbilled, 0
        stored = self._services.stored
        if owed and not row.tenant and not stored.add(queue_names.billed(row.queue), owed):
            return f"storage: your address has stored more than {stored.most:,} bytes within a day"
        return None

    def ahead(self, backlog: int) -> bool:
        """Whether the worker has said more than is committed for now; `backlog` commits wait."""
        return backlog > BACKLOG or self._said > BACKLOG_BYTES

    def caught_up(self) -> None:
        """All that was said is committed."""
        self._said = 0
