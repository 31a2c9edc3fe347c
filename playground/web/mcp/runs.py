"""Runs as agents follow them: who owns one, how it stands, and a bounded wait until there is something to say.

A run is looked at when its journal has an event that an agent would be told of: its end, a wait for an event, a pause.
The wait is bounded by real time, whatever clock the engine goes by, and nothing of it outlives the request.
"""

import asyncio
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import Request

from playground.store.encoding import as_objects
from playground.store.rows import InstanceRow
from playground.web.context import Context
from playground.web.http import tokens
from playground.web.http.errors import NoToken, WrongToken
from playground.web.instance_view import ANONYMOUS, instance_url
from playground.web.open_waits import open_waits
from playground.workflows import events as ev
from playground.workflows.errors import InstanceNotFound
from playground.workflows.names import split_event_types

PAGE = 200  # events looked through at a time
TOLD = ev.FINAL_TYPES | {ev.WAIT_STARTED, ev.WORKFLOW_PAUSED, ev.WORKFLOW_WAITING, ev.BREAKPOINT_HIT}
HANDLE_SEPARATOR = "."  # between a run's id and its token; no id has it

_NOT_OWNED = (
    "There is no run of this id, or it is not yours. Take the `id` that `run_workflow` gave, whole: the part after the "
    "point is the token that owns the run."
)
_READ_ONLY = (
    "Changing a run takes its whole id, as `run_workflow` gave it: ID.TOKEN. Only who started a run can change it."
)


@dataclass(frozen=True, slots=True)
class OpenWait:
    """A wait for an event that has not ended. `key` names it and no other wait of the run, restarts included."""

    key: str
    name: str
    types: tuple[str, ...]
    until: int | None
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run stood after its event `last_seq`. `output` is set when it is complete, `error` when it failed."""

    row: InstanceRow
    status: str
    output: Any
    error: Mapping[str, Any] | None
    waits: tuple[OpenWait, ...]
    until: int | None

    @property
    def is_final(self) -> bool:
        return self.status in ev.FINAL_STATUSES

    @property
    def needs_somebody(self) -> bool:
        """Whether it goes no further by itself."""
        return self.is_final or bool(self.waits) or self.status == ev.PAUSED


class Owner(Protocol):
    """Whose runs a request is about. A `handle` is what an agent holds of a run."""

    tenant: str

    async def find(self, handle: str, *, to_change: bool = True) -> InstanceRow:
        """The run of a handle. Raises InstanceNotFound, NoToken, WrongToken."""

    def own(self, row: InstanceRow, token: str) -> InstanceRow:
        """Take a run that was just made with this token."""

    def handle(self, row: InstanceRow) -> str:
        """The handle of a run that `find` has found, or that was just made."""

    def page(self, row: InstanceRow) -> str:
        """Where people look at a run."""

    def state_key(self, handle: str) -> bytes:
        """What the state of a call is signed with: a secret that this owner has, and no other."""


class TenantRuns:
    """The runs of a tenant, whose key the request carries; a handle is an instance's id."""

    def __init__(self, context: Context, request: Request, tenant: str) -> None:
        self._context, self._site, self.tenant = context, context.public_url.base_for(request) or "", tenant
        self._secret = tokens.digest(tokens.bearer_token(request) or "")

    async def find(self, handle: str, *, to_change: bool = True) -> InstanceRow:
        """See `Owner`."""
        return await self._context.views.find_instance(handle, self.tenant)

    def own(self, row: InstanceRow, token: str) -> InstanceRow:
        """See `Owner`. A tenant's runs need no token."""
        return row

    def handle(self, row: InstanceRow) -> str:
        """See `Owner`."""
        return row.id

    def page(self, row: InstanceRow) -> str:
        """See `Owner`."""
        return f"{self._site}/tenants/{row.tenant}{instance_url(row.id)}"

    def state_key(self, handle: str) -> bytes:
        """See `Owner`."""
        return self._secret.encode()


class AnonymousRuns:
    """Runs without a tenant, each owned by whoever has its token; a handle is id and token."""

    tenant = ANONYMOUS

    def __init__(self, context: Context, request: Request) -> None:
        self._context, self._site = context, context.public_url.base_for(request) or ""
        self._tokens: dict[int, str] = {}

    async def find(self, handle: str, *, to_change: bool = True) -> InstanceRow:
        """See `Owner`. The id alone lets a run be read, as its link does."""
        id, separator, token = handle.partition(HANDLE_SEPARATOR)
        try:
            row = await self._context.store.find(ANONYMOUS, id)
        except InstanceNotFound:
            raise InstanceNotFound(_NOT_OWNED) from None
        owns = row.control_hash is not None and hmac.compare_digest(tokens.digest(token), row.control_hash)
        if separator and not owns:
            raise WrongToken(_NOT_OWNED)
        if to_change and not owns:
            raise NoToken(_READ_ONLY)
        if owns:
            self._tokens[row.key] = token
        return row

    def own(self, row: InstanceRow, token: str) -> InstanceRow:
        """See `Owner`."""
        self._tokens[row.key] = token
        return row

    def handle(self, row: InstanceRow) -> str:
        """See `Owner`."""
        token = self._tokens.get(row.key)
        return row.id if token is None else f"{row.id}{HANDLE_SEPARATOR}{token}"

    def page(self, row: InstanceRow) -> str:
        """See `Owner`. It lets a run be seen, and not be changed."""
        return f"{self._site}{instance_url(row.id)}"

    def state_key(self, handle: str) -> bytes:
        """See `Owner`."""
        return tokens.digest(handle.partition(HANDLE_SEPARATOR)[2]).encode()


async def standing(context: Context, row: InstanceRow) -> Standing:
    """How a run stands, by its journal. Raises InstanceNotFound where it has been deleted."""
    row = await context.store.find(row.tenant, row.id)
    state = await context.views.state(row)
    waits = tuple(
        OpenWait(
            f"wait-{step.started_seq}",
            step.key.name,
            tuple(split_event_types(step.event_type or "")),
            step.until,
            (step.config or {}).get("schema"),
        )
        for step in open_waits(state)
    )
    sleeps = state.status == ev.WAITING and row.due_at is not None and row.due_at > context.now()
    until = row.due_at if sleeps else None  # not `wait_until`, which stands until a worker goes on
    return Standing(row, state.status, as_objects(state.output), as_objects(state.error), waits, until)


async def wait_until_told(context: Context, row: InstanceRow, seconds: float) -> Standing:
    """How a run stands once it needs somebody, or sleeps past the end of this wait, or the seconds are over."""
    deadline = context.now() + seconds * 1000
    found = await standing(context, row)
    after = found.row.last_seq
    try:
        async with asyncio.timeout(seconds), context.store.subscribe(row.key) as grown:
            while not found.needs_somebody and (found.until is None or found.until <= deadline):
                reached = await grown(after)
                if await _has_news(context, row, after, reached):
                    found = await standing(context, row)
                after = max(reached, found.row.last_seq)
    except TimeoutError:
        return await standing(context, row)
    return found


async def _has_news(context: Context, row: InstanceRow, after: int, reached: int) -> bool:
    """Whether a journal has an event after a seq that an agent would be told of. More than a page is looked at."""
    found = await context.store.events_json(row.key, after=after, limit=PAGE)
    return any(type in TOLD for _, type, _ in found) or not found or found[-1][0] < reached
