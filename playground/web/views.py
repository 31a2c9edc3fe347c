"""What the API and the pages show of an instance: its journal, folded, with the few facts that only its row knows."""

from collections import OrderedDict
from typing import Any

from playground.store.protocol import InstanceRow, Store
from playground.workflows import events as ev
from playground.workflows.errors import InstanceNotFound
from playground.workflows.state import State

ANONYMOUS = ""  # the tenant of instances started without one; they share one namespace of ids
PAGE_OF_EVENTS = 1_000  # read from the store at a time
REMEMBERED = 32  # folds kept, so that asking again costs only what is new
DAY_MS = 86_400_000
LOG_LINES_SHOWN = 1_000  # on a page without JavaScript
LOG_EVENTS_READ = 10_000  # events looked through for them


class Views:
    """Folds journals, and keeps the latest folds."""

    def __init__(self, store: Store, retention_days: int) -> None:
        self._store, self._retention_days = store, retention_days
        self._states: OrderedDict[int, State] = OrderedDict()

    async def find(self, id: str, tenant: str = ANONYMOUS) -> InstanceRow:
        """The instance of an id. Raises InstanceNotFound, in words for people."""
        try:
            return await self._store.find(tenant, id)
        except InstanceNotFound:
            kept = f"Finished runs are kept {self._retention_days} day{'s' if self._retention_days != 1 else ''}."
            raise InstanceNotFound(f"No run has this address. {kept}") from None

    async def instance(self, row: InstanceRow) -> dict[str, Any]:
        """The JSON of `GET /api/instances/{id}`."""
        state = await self._state(row)
        shown: dict[str, Any] = {
            "id": row.id,
            "url": instance_address(row) if row.tenant else instance_url(row.id),
            "workflow": row.workflow,
            "snippet": row.snippet,
            "code_version": row.snippet,
        }
        shown |= state.as_json()
        ended_at = state.ended_at if state.status in ev.FINAL_STATUSES else None
        shown["kept_until"] = None if ended_at is None else ended_at + self._retention_days * DAY_MS
        return shown

    async def logs(self, row: InstanceRow) -> list[dict[str, Any]]:
        """The first lines that the instance printed, for a page without JavaScript."""
        lines: list[dict[str, Any]] = []
        after = 0
        while len(lines) < LOG_LINES_SHOWN and after < LOG_EVENTS_READ:
            batch = await self._store.events(row.key, after=after, limit=PAGE_OF_EVENTS)
            lines += [
                {"at": it.at, "execution": it.execution, "step": str(it.step) if it.step else None, **it.data}
                for it in batch
                if it.type == ev.LOG
            ]
            if len(batch) < PAGE_OF_EVENTS:
                break
            after = batch[-1].seq
        return lines[:LOG_LINES_SHOWN]

    async def _state(self, row: InstanceRow) -> State:
        state = self._states.setdefault(row.key, State())
        self._states.move_to_end(row.key)
        while len(self._states) > REMEMBERED:
            self._states.popitem(last=False)
        while True:
            batch = await self._store.events(row.key, after=state.last_seq, limit=PAGE_OF_EVENTS)
            for event in batch:
                if event.seq > state.last_seq:  # another request may have folded it while this one was reading
                    state.apply(event)
            if len(batch) < PAGE_OF_EVENTS:
                return state


def instance_url(id: str) -> str:
    """Where people look at an instance."""
    return f"/instances/{id}"


def instance_address(row: InstanceRow) -> str:
    """Where a tenant's instance is found over the API."""
    return f"/api/tenants/{row.tenant}/instances/{row.id}"


def snippet_url(id: str) -> str:
    """Where people look at a snippet."""
    return f"/s/{id}"
