"""What an execution needs from outside, in one frozen value that is passed down."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from playground.engine.clock import Clock
from playground.sandbox.pool import Sandbox
from playground.settings import Settings
from playground.store.protocol import InstanceRow, Store

Log = Callable[..., None]


class Environment(Protocol):
    """What a tenant's code finds in `self.env`: the host objects it may call."""

    def describe(self, row: InstanceRow) -> Mapping[str, Any]:
        """For the start frame: `{name: {"methods": [...]}}` or `{name: {"value": encoded}}`."""

    async def call(self, row: InstanceRow, binding: str, method: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        """Run one call on the trusted side; gives an encoded value. Raises WorkflowError with what the tenant is told."""


@dataclass(frozen=True, slots=True)
class Services:
    """The rooms below, the clock, the settings and the log. `node` is this server's name in the store."""

    store: Store
    sandbox: Sandbox
    clock: Clock
    settings: Settings
    log: Log
    node: str
    environment: Environment | None = None

    def limit(self, row: InstanceRow, name: str) -> Any:
        """A limit of this instance: its own where it has one, else the setting."""
        if row.limits and name in row.limits:
            return row.limits[name]
        return getattr(self.settings, name)
