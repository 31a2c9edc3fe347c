"""Where a command finds its runs: on a server (`--server`, PLAYGROUND_SERVER), or in the engine of a local database.

PLAYGROUND_TOKEN is what it shows there: a run's control token, a tenant's key (with `--tenant` or PLAYGROUND_TENANT) or
the operator's token. It is never an option, since others on a machine can read command lines. Without it the tokens of
the runs that were started here are used (state.py). PLAYGROUND_START_TOKEN is that of a server without isolation.
"""

import contextlib
import shlex
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace

from playground.client import Client, NotReached, RunOf, TenantClient
from playground.client.connection import PATIENCE_SECONDS, checked_address
from playground.settings import ENV_PREFIX, Settings, from_environment, without_password
from playground.terminal.local import LOCALHOST, database_place, open_local
from playground.terminal.outcomes import BadCommand
from playground.terminal.state import KnownRun, RunFile, state_folder

SERVER, TENANT, TOKEN, START_TOKEN = (ENV_PREFIX + name for name in ("SERVER", "TENANT", "TOKEN", "START_TOKEN"))
LOCAL_PATIENCE_SECONDS = 2.0  # for the engine of another command: when that one ends, this one has its own
TOKEN_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True)
class Place:
    """Where, and as whom. `server` is "" for a local database; `patience`: seconds that it may be away."""

    server: str
    tenant: str
    token: str
    start_token: str
    settings: Settings
    environment: Mapping[str, str]
    patience: float = PATIENCE_SECONDS

    @property
    def key(self) -> str:
        """What the runs of this place are remembered by."""
        where = self.server or database_place(self.settings.database)
        return f"{where} {self.tenant}" if self.tenant else where

    @property
    def runs(self) -> RunFile:
        """The runs that were started from here."""
        return RunFile(state_folder(self.environment))

    @property
    def shown(self) -> str:
        """The place for people: a server's address, or a database without its password."""
        return self.server or without_password(self.settings.database)

    def words(self) -> str:
        """The options that name this place again, where the environment does not."""
        found = ""
        if self.server and self.environment.get(SERVER, "").rstrip("/") != self.server:
            found += f" --server {self.server}"
        database = self.settings.database
        if not self.server and self.environment.get(ENV_PREFIX + "DATABASE", Settings().database) != database:
            found += f" --database {shlex.quote(without_password(database))}"
        if self.tenant and self.environment.get(TENANT) != self.tenant:
            found += f" --tenant {shlex.quote(self.tenant)}"
        return found


def place_of(
    environment: Mapping[str, str],
    server: str | None,
    tenant: str | None,
    database: str | None,
    patience: float = PATIENCE_SECONDS,
) -> Place:
    """The place that options and environment name.

    Raises:
        BadCommand: an address is none, or both a server and a database are named.
        BadSetting: a variable is wrong.
    """
    settings = Settings(**from_environment(environment))
    if database is not None:
        if server:
            raise BadCommand("--server and --database are two places; give one of them")
        settings, server = replace(settings, database=database), ""
    address = environment.get(SERVER, "") if server is None else server
    try:
        address = checked_address(address) if address else ""
    except ValueError as error:
        raise BadCommand(str(error)) from None
    token = environment.get(TOKEN, "").strip()
    if len(token) > TOKEN_CHARACTERS_MAX or not token.isascii() or not token.isprintable():
        raise BadCommand(f"{TOKEN} is no token; was it copied whole?")
    return Place(
        address,
        tenant or environment.get(TENANT, ""),
        token,
        environment.get(START_TOKEN, ""),
        settings,
        environment,
        patience,
    )


@dataclass(frozen=True, slots=True)
class Opened:
    """An open place. `isolation` is the tier where the engine is this command's own; `operator_token` that of a local
    one.
    """

    place: Place
    client: Client
    isolation: str = ""
    operator_token: str = ""

    def tenant(self) -> TenantClient:
        """The tenant. Raises BadCommand: none is named, or there is no key."""
        if not self.place.tenant:
            raise BadCommand(f"name the tenant with --tenant, or set {TENANT}")
        if not self.place.token:
            raise BadCommand(
                f"set {TOKEN} to a key of tenant {self.place.tenant}; the operator makes one with `playground "
                f"tenant-key create {self.place.tenant}`"
            )
        return self.client.tenant(self.place.tenant, self.place.token)

    def run(self, id: str) -> RunOf:
        """The run of an id, or of the beginning of one that was started from here. Raises BadCommand."""
        if self.place.tenant:
            return self.tenant().instance(id)
        known = self.known(id)
        if known is not None:
            return self.client.instance(known.id, self.place.token or known.token)
        return self.client.instance(id, self.place.token or None)

    def known(self, id: str) -> KnownRun | None:
        """A run that was started from here, by its id or the beginning of it."""
        found = self.place.runs.matching(self.place.key, id)
        exact = [run for run in found if run.id == id]
        if len(found) > 1 and not exact:
            ids = ", ".join(run.id for run in found[:3])
            raise BadCommand(f"{id!r} begins the ids of {len(found)} runs ({ids} …); give more of it")
        return next(iter(exact or found), None)


@contextlib.asynccontextmanager
async def opened_place(place: Place, *, plays: bool = False, seconds: float = 0.0) -> AsyncIterator[Opened]:
    """The place, open. `plays`: a local engine runs what is unfinished there; `seconds`: how long to wait for another
    command that is about to be done with it.

    Raises BadCommand.
    """
    if place.server:
        async with Client(place.server, start_token=place.start_token, patience=place.patience) as client:
            yield Opened(place, client)
        return
    async with (
        open_local(place.settings, place.environment, plays=plays, seconds=seconds) as door,
        Client(LOCALHOST, start_token=door.start_token, socket=door.socket, patience=LOCAL_PATIENCE_SECONDS) as client,
    ):
        yield Opened(place, client, door.tier, door.operator_token)


def not_reached(place: Place, error: NotReached) -> str:
    """What to do about a server that is not there."""
    if place.server:
        return f"{error}; is it started, and is that its address?"
    return "the command whose engine this one used has ended; the same again has an engine of its own"
