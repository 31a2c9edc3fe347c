"""How much each tenant may have queued, running and begun in a second: the settings, or what a program has set for one of them."""

from collections.abc import Iterable
from dataclasses import dataclass

from playground.engine import queues
from playground.settings import Settings


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """Limits of one tenant; None leaves one to the setting.

    Args:
        running: instances that may have a worker at once (`running_per_tenant`).
        queued: instances that may be queued when one more is created (`queued_per_tenant`).
        starts_per_second: executions that may begin in a second (`starts_per_second_per_tenant`).

    Raises:
        ValueError: a limit is no whole number from 1 on.
    """

    running: int | None = None
    queued: int | None = None
    starts_per_second: int | None = None

    def __post_init__(self) -> None:
        for name in ("running", "queued", "starts_per_second"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} is {value!r}; it takes a whole number from 1 on, or None for the setting")


class LimitsOfTenants:
    """The limits of every tenant. `own` has those of tenants that are not left to the settings, by the tenant's name in the store."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.own: dict[str, TenantLimits] = {}

    def set(self, tenant: str, limits: TenantLimits) -> None:
        """Set a tenant's limits, in place of those set before."""
        self.own[tenant] = limits

    @property
    def limited(self) -> Iterable[str]:
        """The queues whose limits are their own."""
        return self.own

    def running(self, queue: str) -> int:
        """How many of a queue may have a worker at once."""
        settings = self._settings
        if queues.is_chaos(queue):
            return settings.chaos_running
        if queue.startswith(queues.ADDRESS):
            return settings.running_per_address
        own = self.own.get(queue)
        return settings.running_per_tenant if own is None or own.running is None else own.running

    def queued(self, tenant: str) -> int:
        """How many of a tenant may be queued."""
        own = self.own.get(tenant)
        return self._settings.queued_per_tenant if own is None or own.queued is None else own.queued

    def starts_per_second(self, queue: str) -> int:
        """How many executions of a tenant's queue may begin in a second."""
        own = self.own.get(queue)
        return self._settings.starts_per_second_per_tenant if own is None or own.starts_per_second is None else own.starts_per_second
